//! gRPC: which requests are calls, how they travel, and how long their clients wait.
//!
//! A call is an exchange like any other, whose function speaks gRPC itself. The host
//! reads the five bytes before each message in passing (`framing`), so that no
//! message is larger than `message_bytes`, and gives every call a status that its
//! client understands, even where the function has none (`exchange/status.rs`). It
//! holds no message, and reads none.
//!
//! Calls of gRPC-Web, which browsers make, are translated (`web`): a function gets and
//! answers them as gRPC.

mod framing;
mod web;

use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::response;
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};

pub(crate) use framing::{Framing, Violation};
pub(crate) use web::{Base64, Translated};

/// What says how a call went.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The digits of a timeout (gRPC over HTTP/2, `TimeoutValue`).
const TIMEOUT_DIGITS_MAX: usize = 8;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrpcRefusal {
    /// It comes over HTTP/1.1, in which clients of gRPC do not read trailers.
    #[error("gRPC needs HTTP/2, and this request comes over HTTP/1.1")]
    Http1,
    /// What its client says about its deadline is not valid.
    #[error("`grpc-timeout` is one to eight digits and one of H, M, S, m, u, n")]
    Timeout,
    /// The client's deadline is over, and there is no answer.
    #[error("the deadline of the call is over")]
    Deadline,
    /// A message of the request is larger than the function allows, in bytes.
    #[error("a message of the request has more than {0} bytes")]
    Message(u64),
    /// The body of the request is not a sequence of messages.
    #[error("the body of the request is not a sequence of gRPC's messages")]
    Framing,
}

impl GrpcRefusal {
    /// One of each.
    pub const ALL: [Self; 5] = [
        Self::Http1,
        Self::Timeout,
        Self::Deadline,
        Self::Message(1),
        Self::Framing,
    ];

    /// The stable word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http1 => "http2_required",
            Self::Timeout => "grpc_timeout",
            Self::Deadline => "grpc_deadline",
            Self::Message(_) => "message_bytes",
            Self::Framing => "grpc_framing",
        }
    }

    /// The status of HTTP, where the peer gets one.
    pub const fn status(self) -> StatusCode {
        match self {
            // Another minor version of HTTP does not help: gRPC is defined for
            // HTTP/2 alone, and a client cannot upgrade the TCP connection.
            Self::Http1 => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Timeout | Self::Framing => StatusCode::BAD_REQUEST,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::Message(_) => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// Whether the function has been asked.
    pub const fn has_run(self) -> bool {
        !matches!(self, Self::Http1 | Self::Timeout)
    }
}

/// What the types of gRPC begin with, without regard to case.
const GRPC: &[u8] = b"application/grpc";

/// Whether a value of `content-type` is gRPC's, with whatever encoding of messages.
/// `application/grpc-web` is another protocol.
fn is_grpc(headers: &HeaderMap) -> bool {
    rest_of_type(headers, GRPC).is_some()
}

/// What follows in a value of `content-type` on the name of a type: its encoding, and
/// parameters. None if it is another type.
fn rest_of_type<'a>(headers: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    let (start, rest) = value.split_at_checked(name.len())?;
    let is_end = matches!(rest.first(), None | Some(b'+' | b';' | b' '));
    (start.eq_ignore_ascii_case(name) && is_end).then_some(rest)
}

/// How a call travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As gRPC says it, over HTTP/2.
    Native,
    /// gRPC-Web, over any version of HTTP: the trailers end the body.
    Web,
    /// The same, all in base64.
    WebText,
}

impl Wire {
    /// None if the request is not a call, whose client reads a status of gRPC.
    pub(crate) fn of(parts: &Parts) -> Option<Self> {
        if parts.method != Method::POST {
            return None;
        }
        let web = web::kind(&parts.headers);
        let native = || parts.version == Version::HTTP_2 && is_grpc(&parts.headers);
        web.or_else(|| native().then_some(Self::Native))
    }
}

/// What the client of a call says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// How long it waits.
    pub(crate) timeout: Option<Duration>,
    pub(crate) wire: Wire,
}

impl Call {
    /// None if the request is not a call.
    pub(crate) fn of(parts: &Parts) -> Result<Option<Self>, GrpcRefusal> {
        let Some(wire) = Wire::of(parts) else {
            let is_tried = parts.method == Method::POST && is_grpc(&parts.headers);
            return match is_tried {
                true => Err(GrpcRefusal::Http1),
                false => Ok(None),
            };
        };
        let mut values = parts.headers.get_all(TIMEOUT).iter();
        let timeout = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => Some(timeout(value.as_bytes()).ok_or(GrpcRefusal::Timeout)?),
            (Some(_), Some(_)) => return Err(GrpcRefusal::Timeout),
        };
        Ok(Some(Self { timeout, wire }))
    }
}

/// Zero is a deadline that is over: clients send what is left of theirs.
fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let is_number =
        (1..=TIMEOUT_DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !is_number {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// What the head of an answer to a call says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is not gRPC's, and goes to the peer as it is: clients make a status of that
    /// of HTTP.
    Otherwise,
    /// Messages follow, and a status.
    Messages,
    /// It has the status, and nothing may follow ("Trailers-Only").
    Whole,
}

impl Form {
    /// Its length is removed: what the host may have to append would not fit it.
    pub(crate) fn of(head: &mut response::Parts) -> Self {
        if head.status != StatusCode::OK || !is_grpc(&head.headers) {
            return Self::Otherwise;
        }
        head.headers.remove(CONTENT_LENGTH);
        match head.headers.contains_key(STATUS) {
            true => Self::Whole,
            false => Self::Messages,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn parts(version: Version, method: Method, headers: &[(&'static str, &str)]) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        (parts.version, parts.method) = (version, method);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            parts.headers.append(HeaderName::from_static(name), value);
        }
        parts
    }

    fn call(content_type: &str) -> Parts {
        let headers = [("content-type", content_type)];
        parts(Version::HTTP_2, Method::POST, &headers)
    }

    #[test]
    fn a_call_is_a_post_over_http2_with_the_type_of_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC+json", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc ;a=b", true),
            ("application/grpcx", false),
            ("application/grp", false),
            ("text/plain", false),
        ] {
            let expected = expected.then_some(Wire::Native);
            assert_eq!(Wire::of(&call(content_type)), expected, "{content_type}");
        }
        let grpc = [("content-type", "application/grpc")];
        let get = parts(Version::HTTP_2, Method::GET, &grpc);
        assert_eq!(Call::of(&get), Ok(None));
        let old = parts(Version::HTTP_11, Method::POST, &grpc);
        assert_eq!(Call::of(&old), Err(GrpcRefusal::Http1));
        let plain = parts(Version::HTTP_11, Method::POST, &[]);
        assert_eq!(Call::of(&plain), Ok(None));
    }

    #[test]
    fn a_call_of_grpc_web_comes_over_any_version() {
        for (content_type, expected) in [
            ("application/grpc-web", Some(Wire::Web)),
            ("Application/gRPC-Web+proto", Some(Wire::Web)),
            ("application/grpc-web; charset=utf-8", Some(Wire::Web)),
            ("application/grpc-web-text", Some(Wire::WebText)),
            ("application/grpc-web-text+proto", Some(Wire::WebText)),
            ("application/grpc-web-texts", None),
            ("application/grpc-webs", None),
        ] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let headers = [("content-type", content_type)];
                let post = parts(version, Method::POST, &headers);
                assert_eq!(Wire::of(&post), expected, "{content_type}");
                let get = parts(version, Method::GET, &headers);
                assert_eq!(Wire::of(&get), None);
            }
        }
    }

    #[test]
    fn a_timeout_has_one_to_eight_digits_and_a_unit() {
        for (value, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("100m", Some(Duration::from_millis(100))),
            ("7u", Some(Duration::from_micros(7))),
            ("9n", Some(Duration::from_nanos(9))),
            ("0n", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("000000001S", None),
            ("100000000n", None),
            ("S", None),
            ("1", None),
            ("", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1 S", None),
            ("1.5S", None),
            ("1SS", None),
        ] {
            assert_eq!(timeout(value.as_bytes()), expected, "{value:?}");
        }
        let mut one = call("application/grpc");
        let wire = Wire::Native;
        let timeout = None;
        assert_eq!(Call::of(&one), Ok(Some(Call { timeout, wire })));
        one.headers.append(TIMEOUT, HeaderValue::from_static("1S"));
        let timeout = Some(Duration::from_secs(1));
        assert_eq!(Call::of(&one), Ok(Some(Call { timeout, wire })));
        one.headers.append(TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(Call::of(&one), Err(GrpcRefusal::Timeout));
        let mut wrong = call("application/grpc");
        wrong.headers.append(TIMEOUT, HeaderValue::from_static("x"));
        assert_eq!(Call::of(&wrong), Err(GrpcRefusal::Timeout));
    }

    #[test]
    fn the_head_of_an_answer_says_what_follows() {
        let answered = |status: u16, headers: &[(&'static str, &'static str)]| {
            let (mut head, ()) = http::Response::new(()).into_parts();
            head.status = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                let value = HeaderValue::from_static(value);
                head.headers.insert(HeaderName::from_static(name), value);
            }
            let answered = Form::of(&mut head);
            (answered, head.headers.contains_key(CONTENT_LENGTH))
        };
        let grpc = ("content-type", "application/grpc+proto");
        let length = ("content-length", "5");
        let has_status = ("grpc-status", "5");
        assert_eq!(answered(200, &[grpc, length]), (Form::Messages, false));
        assert_eq!(
            answered(200, &[grpc, length, has_status]),
            (Form::Whole, false)
        );
        assert_eq!(answered(404, &[grpc, length]), (Form::Otherwise, true));
        assert_eq!(answered(200, &[length]), (Form::Otherwise, true));
    }
}
