//! The code that reads bytes from the network, as functions of bytes, only for
//! the fuzz targets.
//!
//! The first bytes of an input choose limits, and how the rest is cut into
//! reads, so that the fuzzer varies these as well.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::{FutureExt, Stream};
use http::{HeaderName, HeaderValue, Request};
use openline_core::close::CloseReason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::connection::wire::frames::{self, Received};
use crate::connection::wire::meter::Meter;
use crate::handshake;

/// A peer that has sent all its bytes, in pieces.
struct Script<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl AsyncRead for Script<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.piece.min(buffer.remaining()).min(self.rest.len());
        let (now, later) = self.rest.split_at(size);
        buffer.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads the bytes of a peer from its first frame on. Any input must give
/// messages within their limits and one close reason, and the meter must have
/// seen what the library saw.
pub fn frames(bytes: &[u8]) {
    let Some((&[size, fragments, piece], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let message_bytes = usize::from(size) * 16 + 1;
    let fragments_max = u32::from(fragments) + 1;
    let script = Script {
        rest,
        piece: usize::from(piece) + 1,
    };
    let meter = Meter::new(script, &[], fragments_max);
    let config = Some(frames::config(message_bytes, 2 * 1024));
    let stream = WebSocketStream::from_raw_socket(meter, Role::Server, config);
    let mut stream = stream
        .now_or_never()
        .expect("making a stream waits for nothing");
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = 0;
    loop {
        let Poll::Ready(item) = Pin::new(&mut stream).poll_next(&mut cx) else {
            // The meter stops reading only for this.
            assert!(stream.get_mut().scan.has_too_many_fragments());
            break;
        };
        match frames::received(item) {
            Received::Message(message) => {
                assert!(
                    message.bytes() <= message_bytes,
                    "{} bytes",
                    message.bytes()
                );
                seen += 1;
            }
            Received::Ping | Received::Pong(_) | Received::Nothing => seen += 1,
            Received::BadClose => break,
            Received::End(reason) => {
                let allowed = matches!(
                    reason,
                    CloseReason::Peer(_)
                        | CloseReason::Lost
                        | CloseReason::Protocol
                        | CloseReason::InvalidText
                        | CloseReason::MessageTooBig
                );
                assert!(allowed, "{reason:?}");
                break;
            }
        }
    }
    let counted = stream.get_mut().scan.take_counted();
    assert!(seen <= counted.frames, "{seen} of {}", counted.frames);
    assert!(counted.bytes <= rest.len() as u64);
}

/// The head of a request: a first line and lines of headers.
pub fn handshake(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(first) = lines.next() else { return };
    let mut words = first.split(|byte| *byte == b' ');
    let (method, uri) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else {
        return;
    };
    let (parts, ()) = request.into_parts();
    let limits = openline_core::limits::FunctionLimits {
        request_header_bytes: 1024,
        request_uri_bytes: 256,
        ..Default::default()
    };
    let wanted = handshake::is_wanted(&parts.headers);
    let within = openline_admission::admit::limits(&parts, &limits).is_ok();
    let checked = handshake::check(&parts);
    let offered = handshake::subprotocols(&parts.headers);
    if let (true, true, Ok(handshake)) = (wanted, within, checked) {
        // SHA-1 in base64.
        assert_eq!(handshake.accept.len(), 28);
    }
    // No more names than were offered.
    let names = offered.map_or(0, |names| names.len());
    assert!(names <= handshake::SUBPROTOCOLS_MAX.min(bytes.len()));
}
