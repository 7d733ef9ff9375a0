//! gRPC-Web, as browsers and proxies speak it: the messages are gRPC's, the trailers
//! are one more message at the end of the body, and all of it may be in base64
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).
//!
//! A function gets such a call as one of gRPC, and what it answers is translated piece
//! by piece. Nothing is kept but up to three characters of base64.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::{GRPC, STATUS, Wire, rest_of_type};
use crate::answer_body::AnswerBody;
use crate::exchange::{CutOff, Written};

const WEB: &[u8] = b"application/grpc-web";
const WEB_TEXT: &[u8] = b"application/grpc-web-text";
/// The first byte of the message that has the trailers, uncompressed.
const TRAILERS: u8 = 0x80;
/// The characters of base64 that stand for up to three bytes.
const QUAD: usize = 4;

/// How a call of gRPC-Web travels; none if the type is another.
pub(super) fn kind(headers: &HeaderMap) -> Option<Wire> {
    let is = |name| rest_of_type(headers, name).is_some();
    match () {
        () if is(WEB) => Some(Wire::Web),
        () if is(WEB_TEXT) => Some(Wire::WebText),
        () => None,
    }
}

impl Wire {
    /// What the types of its bodies begin with.
    const fn content_type(self) -> &'static [u8] {
        match self {
            Self::Native => GRPC,
            Self::Web => WEB,
            Self::WebText => WEB_TEXT,
        }
    }

    /// Makes the headers of a request those of a call over HTTP/2.
    pub(crate) fn make_native(self, headers: &mut HeaderMap) {
        if self == Self::Native {
            return;
        }
        rename(headers, self, Self::Native);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if self == Self::WebText {
            headers.remove(CONTENT_LENGTH);
        }
    }

    /// What the peer that has sent a request gets of an answer to it.
    pub(crate) fn answer(asked: &Parts, answer: Response<AnswerBody>) -> Response<AnswerBody> {
        let wire = Self::of(asked).filter(|wire| *wire != Self::Native);
        // What is not of gRPC goes to the client as it is.
        let is_grpc = rest_of_type(answer.headers(), GRPC).is_some();
        let Some(wire) = wire.filter(|_| is_grpc && answer.status().is_success()) else {
            return answer;
        };
        let (mut head, body) = answer.into_parts();
        match body {
            AnswerBody::Whole(body) => {
                let answer = Response::from_parts(head, body);
                wire.whole(answer).map(AnswerBody::Whole)
            }
            AnswerBody::Written(written) => {
                rename(&mut head.headers, Self::Native, wire);
                let body = Translated { written, wire };
                Response::from_parts(head, AnswerBody::Translated(body))
            }
            other => Response::from_parts(head, other),
        }
    }

    /// The same for an answer whose status is in its head, and which has nothing else.
    /// Pages cannot read that of an answer from elsewhere, so it goes into the body.
    pub(crate) fn whole(self, answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        if self == Self::Native || !answer.headers().contains_key(STATUS) {
            return answer;
        }
        let (mut head, _) = answer.into_parts();
        rename(&mut head.headers, Self::Native, self);
        let mut trailers = HeaderMap::new();
        for (name, value) in &head.headers {
            if name.as_str().starts_with("grpc-") {
                trailers.append(name, value.clone());
            }
        }
        for name in trailers.keys() {
            head.headers.remove(name);
        }
        let body = self.piece(message(&trailers));
        Response::from_parts(head, body.into())
    }

    /// A piece of a body as it travels. Base64 is padded at the end of each, as the
    /// protocol allows: nothing waits for what comes next.
    fn piece(self, bytes: Bytes) -> Bytes {
        match self {
            Self::WebText => STANDARD.encode(bytes).into(),
            Self::Native | Self::Web => bytes,
        }
    }
}

/// Changes the type of a body, and leaves the encoding of its messages.
fn rename(headers: &mut HeaderMap, from: Wire, to: Wire) {
    let Some(rest) = rest_of_type(headers, from.content_type()) else {
        return;
    };
    let renamed = [to.content_type(), rest].concat();
    // Parts of values are values.
    if let Ok(value) = HeaderValue::from_bytes(&renamed) {
        headers.insert(CONTENT_TYPE, value);
    }
}

/// Trailers as a message: like the headers of HTTP/1.1, with names in lower case.
fn message(trailers: &HeaderMap) -> Bytes {
    let mut lines = BytesMut::new();
    for (name, value) in trailers {
        lines.put_slice(name.as_str().as_bytes());
        lines.put_slice(b": ");
        lines.put_slice(value.as_bytes());
        lines.put_slice(b"\r\n");
    }
    let mut message = BytesMut::with_capacity(5 + lines.len());
    message.put_u8(TRAILERS);
    // They are bounded by the headers that a function may have.
    message.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    message.put_slice(&lines);
    message.freeze()
}

/// The body of an answer that a function writes, as it travels.
#[derive(Debug)]
pub struct Translated {
    written: Box<Written>,
    wire: Wire,
}

impl Body for Translated {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let frame = ready!(Pin::new(&mut *self.written).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let bytes = match frame?.into_data() {
                Ok(data) => data,
                Err(frame) => message(&frame.into_trailers().unwrap_or_default()),
            };
            Ok(Frame::data(self.wire.piece(bytes)))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.written.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

/// Reads base64 that comes in pieces, and may be padded anywhere.
#[derive(Debug, Default)]
pub(crate) struct Base64 {
    /// The characters of a quad that is not complete.
    begun: Vec<u8>,
}

impl Base64 {
    /// Goes on by a piece; none if it is not base64.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Option<Bytes> {
        self.begun.extend_from_slice(piece);
        let complete = self.begun.len() - self.begun.len() % QUAD;
        let mut rest = &self.begun[..complete];
        let mut bytes = Vec::with_capacity(complete / QUAD * 3);
        while !rest.is_empty() {
            // To the end, or to where it is padded.
            let padded = rest.chunks(QUAD).position(|quad| quad.ends_with(b"="));
            let until = padded.map_or(rest.len(), |quads| (quads + 1) * QUAD);
            let (run, others) = rest.split_at(until);
            STANDARD.decode_vec(run, &mut bytes).ok()?;
            rest = others;
        }
        self.begun.drain(..complete);
        Some(bytes.into())
    }

    /// Whether nothing has begun that is to be continued.
    pub(crate) fn is_whole(&self) -> bool {
        self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    fn headers(content_type: &'static str) -> HeaderMap {
        let value = HeaderValue::from_static(content_type);
        let mut headers: HeaderMap = [(CONTENT_TYPE, value)].into_iter().collect();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("8"));
        headers
    }

    #[test]
    fn a_request_becomes_one_of_grpc() {
        for (content_type, wire, expected, has_length) in [
            ("application/grpc", Wire::Native, "application/grpc", true),
            (
                "Application/grpc-Web+proto",
                Wire::Web,
                "application/grpc+proto",
                true,
            ),
            (
                "application/grpc-web-text",
                Wire::WebText,
                "application/grpc",
                false,
            ),
        ] {
            let mut headers = headers(content_type);
            wire.make_native(&mut headers);
            assert_eq!(headers[CONTENT_TYPE], expected);
            assert_eq!(headers.contains_key(CONTENT_LENGTH), has_length);
            assert_eq!(headers.contains_key(TE), wire != Wire::Native);
        }
    }

    #[tokio::test]
    async fn a_status_without_messages_is_the_body() {
        let mut answer = Response::new(Full::default());
        *answer.headers_mut() = headers("application/grpc");
        answer.headers_mut().remove(CONTENT_LENGTH);
        for (name, value) in [("grpc-status", "5"), ("x-other", "1")] {
            let value = HeaderValue::from_static(value);
            answer.headers_mut().insert(name, value);
        }
        let answered = Wire::Web.whole(answer.clone());
        assert_eq!(answered.headers()[CONTENT_TYPE], "application/grpc-web");
        assert!(!answered.headers().contains_key("grpc-status"));
        assert_eq!(answered.headers()["x-other"], "1");
        let expected = b"\x80\0\0\0\x10grpc-status: 5\r\n";
        let body = answered.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), expected[..]);
        let native = Wire::Native.whole(answer);
        assert_eq!(native.headers()["grpc-status"], "5");
    }

    #[test]
    fn what_is_not_base64_is_none() {
        for text in ["AA?=", "A=AA", "====", "AAA=AA\n="] {
            assert_eq!(Base64::default().take(text.as_bytes()), None, "{text}");
        }
        let mut begun = Base64::default();
        assert_eq!(begun.take(b"AAA"), Some(Bytes::new()));
        assert!(!begun.is_whole());
    }

    proptest! {
        #[test]
        fn base64_is_read_in_whatever_pieces_it_comes(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
            cuts in prop::collection::vec(1_usize..12, 1..20),
        ) {
            let text: String = parts.iter().map(|part| STANDARD.encode(part)).collect();
            let mut rest = text.as_bytes();
            let mut cuts = cuts.iter().cycle();
            let (mut reading, mut read) = (Base64::default(), Vec::new());
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                read.extend(reading.take(piece).unwrap());
                rest = others;
            }
            prop_assert!(reading.is_whole());
            prop_assert_eq!(read, parts.concat());
        }
    }
}
