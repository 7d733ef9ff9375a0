//! The code that reads bytes from the network, as functions of bytes, only for
//! the fuzz targets.
//!
//! The first bytes of an input choose limits, whether compression was agreed
//! on, and how the rest is cut into reads, so that the fuzzer varies these as
//! well.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use openline_admission::hops::{HOPS_MAX, Hops};
use openline_admission::normalise::{Normal, normalise};
use openline_admission::peer::Peer;
use openline_channels::budget::HostBudget;
use openline_channels::connection::Compressed;
use openline_core::close::CloseReason;
use openline_core::config::{HopHeader, ServerConfig};
use openline_core::limits::{Compression as Mode, FunctionLimits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::arrival::{self, Header, Parsed};
use crate::connection::intake::{Intake, Room};
use crate::connection::wire::{Compression, Received, Socket, Wire};
use crate::grpc::{Base64, Framing};
use crate::held::headers::Hold;
use crate::{handshake, tls};

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

impl Socket for Script<'_> {}

/// Reads the bytes of a peer from its first frame on, and now and then stops, as
/// a full batch does. Any input must give messages within their limits and one
/// close reason.
pub fn frames(bytes: &[u8]) {
    let Some((&[size, fragments, piece], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let limits = FunctionLimits {
        message_bytes: usize::from(size) * 16 + 1,
        fragments: u32::from(fragments) + 1,
        ..Default::default()
    };
    let (compresses, piece) = (piece & 0x80 != 0, piece & 0x7f);
    let script = Script {
        rest,
        piece: usize::from(piece) + 1,
    };
    let compression = compresses.then(|| {
        let facts = Arc::new(Compressed::new(Mode::Shared, 15));
        Compression::new(&facts, &limits, &HostBudget::new(0, 0).function())
    });
    let mut wire = Wire::new(script, Bytes::new(), &limits, compression);
    let mut cx = Context::from_waker(Waker::noop());
    let function = HostBudget::new(0, 0).with_received(64 * 1024).function();
    let mut intake = Intake::default();
    let mut received = 0;
    let reason = 'all: loop {
        let mut reader = wire.reader();
        let mut room = Room {
            intake: &mut intake,
            function: &function,
            kept: 0,
        };
        for _ in 0..=piece % 8 {
            let Poll::Ready(next) = reader.poll_received(&mut cx, &mut room) else {
                // A poll has read as much as it may.
                break;
            };
            received += 1;
            match next {
                Received::Message(message) => {
                    let bytes = message.bytes();
                    assert!(bytes <= limits.message_bytes, "{bytes} bytes");
                }
                Received::Ping(payload) | Received::Pong(payload) => {
                    assert!(payload.len() <= 125, "{} bytes", payload.len());
                }
                Received::Skipped => unreachable!("nothing is skipped"),
                Received::End(reason) => break 'all reason,
            }
        }
    };
    let allowed = matches!(
        reason,
        CloseReason::Peer(_)
            | CloseReason::Lost
            | CloseReason::Protocol
            | CloseReason::InvalidText
            | CloseReason::InvalidCompression
            | CloseReason::MessageTooBig
            | CloseReason::Fragments
    );
    assert!(allowed, "{reason:?}");
    // All were counted that were received, but for an end without a frame.
    let (counted, _) = wire.take_heard();
    assert!(received <= counted.frames + 1, "{received} of {counted:?}");
    // Compressed messages count as what they become.
    assert!(compresses || counted.bytes <= rest.len() as u64);
}

/// The first bytes of a TLS connection.
pub fn hello(bytes: &[u8]) {
    if let Some((&piece, rest)) = bytes.split_first() {
        tls::refuse_hello(rest, usize::from(piece) + 1);
    }
}

/// The first bytes of a proxy's TCP connection. Whatever comes behind a header
/// must not change it, and what was a part of one is no part of another.
pub fn proxy(bytes: &[u8]) {
    let Ok(Parsed::Header(header)) = arrival::parse(bytes) else {
        return;
    };
    let Header { bytes: length, .. } = header;
    assert!(length <= bytes.len());
    assert_eq!(arrival::parse(&bytes[..length]), Ok(Parsed::Header(header)));
    for end in 0..length {
        assert_eq!(arrival::parse(&bytes[..end]), Ok(Parsed::Partial), "{end}");
    }
}

/// Headers in which hops name their peers: the address from which a request
/// came, and lines.
pub fn hops(bytes: &[u8]) {
    let Some((&[last, which], lines)) = bytes.split_first_chunk() else {
        return;
    };
    let config = ServerConfig {
        trusted_hops: vec!["10.0.0.0/8".parse().expect("a network")],
        hop_header: match which % 2 {
            0 => HopHeader::XForwardedFor,
            _ => HopHeader::Forwarded,
        },
        ..ServerConfig::default()
    };
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value.clone());
            headers.append("forwarded", value);
        }
    }
    let hops = Hops::of(&config);
    let stranger = Peer::at(([11, 0, 0, last], 1).into());
    assert_eq!(hops.peer(&stranger, &headers), None);
    let hop = Peer::at(([10, 0, 0, last], 1).into());
    if let Some(peer) = hops.peer(&hop, &headers) {
        // Nonsense is an unnamed peer of the hop that wrote it.
        let least = usize::from(!peer.is_unnamed());
        assert!((least..=HOPS_MAX).contains(&peer.hops().len()), "{peer:?}");
        assert!(!peer.is_unnamed() || hops.trusts(peer.ip()), "{peer:?}");
        assert!(peer.hops().iter().all(|hop| hops.trusts(*hop)), "{peer:?}");
    }
}

/// The body of a call of gRPC, in pieces: however it is cut, the same messages pass,
/// and the same is wrong with it. The text of one of gRPC-Web as well.
pub fn calls(bytes: &[u8]) {
    let Some((&[most, piece], body)) = bytes.split_first_chunk() else {
        return;
    };
    let (most, piece) = (usize::from(most), usize::from(piece).max(1));
    let passed = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut framing = Framing::new(most);
        let mut passed = 0;
        for piece in pieces {
            if let Err((before, violation)) = framing.take(piece) {
                return (passed + before, Err(violation));
            }
            passed += piece.len();
        }
        (passed, framing.end())
    };
    let whole = passed(&mut std::iter::once(body));
    let cut = passed(&mut body.chunks(piece));
    // A message that began in an earlier piece has partly passed.
    assert_eq!(cut.1, whole.1);
    assert!(cut.0 >= whole.0, "{cut:?} {whole:?}");

    let decoded = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut base64, mut decoded) = (Base64::default(), Vec::new());
        for piece in pieces {
            decoded.extend_from_slice(&base64.take(piece)?);
        }
        base64.is_whole().then_some(decoded)
    };
    let whole = decoded(&mut std::iter::once(body));
    assert_eq!(decoded(&mut body.chunks(piece)), whole);
}

/// The headers by which a function has its answer held: lines of a name's end and a
/// value.
pub fn holds(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let cut = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(cut.unwrap_or(0));
        let name = [b"openline-hold".as_slice(), name].concat();
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), value) {
            headers.append(name, value);
        }
    }
    let limits = FunctionLimits::default();
    match Hold::take(&mut headers, &limits) {
        Ok(Some(_)) => {
            let mut left = headers.keys();
            assert!(!left.any(|name| name.as_str() == "openline-hold"));
        }
        Ok(None) => {}
        Err(why) => assert!(!why.is_empty()),
    }
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
    let (mut parts, ()) = request.into_parts();
    let limits = FunctionLimits {
        request_header_bytes: 1024,
        request_uri_bytes: 256,
        ..Default::default()
    };
    let normal = normalise(&mut parts);
    let within = openline_admission::admit::limits(&parts, &limits).is_ok();
    let checked = handshake::check(&parts);
    let offered = handshake::subprotocols(&parts.headers);
    if let Ok(offers) = handshake::extensions(&parts.headers)
        && let Some(agreement) = offers.agree(Mode::Dedicated)
    {
        assert!((9..=15).contains(&agreement.compressed().window_bits));
    }
    if let Ok(normal) = &normal {
        spelled_once(normal, &parts);
    }
    if let (Ok(_), true, Ok(handshake)) = (normal, within, checked) {
        // SHA-1 in base64.
        assert_eq!(handshake.accept.map(|accept| accept.len()), Some(28));
    }
    // No more names than were offered.
    let names = offered.map_or(0, |names| names.len());
    assert!(names <= handshake::SUBPROTOCOLS_MAX.min(bytes.len()));
}

/// A request that has its one spelling keeps it.
fn spelled_once(normal: &Normal, parts: &Parts) {
    let mut again = parts.clone();
    assert_eq!(normalise(&mut again).as_ref(), Ok(normal));
    assert_eq!(again.uri, parts.uri);
    let path = parts.uri.path();
    assert!(path.starts_with('/') && !path.contains("//"), "{path}");
    let dots = |segment: &str| matches!(segment, "." | "..");
    assert!(!path.split('/').any(dots), "{path}");
    if let Some(host) = normal.host() {
        assert!(!host.is_empty() && !host.ends_with('.'), "{host}");
        assert!(
            !host.bytes().any(|byte| byte.is_ascii_uppercase()),
            "{host}"
        );
    }
}
