//! The status of a call that the host ends: as an answer without messages, or as the
//! trailers of one that has begun. The status of HTTP is 200 in both, because a client
//! of gRPC reads its own.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use openline_engine::Unfinished;

use super::cut_off::CutOff;
use crate::grpc::{STATUS, Violation, Wire};
use crate::request_id::RequestId;
use crate::rescue::{ERROR_BLAME, ERROR_TYPE, Refusal};
use crate::reserved::Answer;

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// What is encoded in a message beside all that is not ASCII (gRPC over HTTP/2,
/// `Percent-Encoded`).
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// The statuses of gRPC that the host gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Unknown = 2,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// That of a refusal, by its status of HTTP.
    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            // As clients make of this status; INVALID_ARGUMENT is for functions, which
            // know their arguments.
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            // There is no such method: no trigger, not for POST, or a function that
            // answers no requests.
            404 | 405 | 426 => Self::Unimplemented,
            // A message is too large, or the peer asks too much; both are limits.
            // So is the time of a peer for whose instance others wait.
            408 | 413 | 429 => Self::ResourceExhausted,
            // The function failed, or its answer is not valid; or the host failed. It
            // may have done its work, so UNAVAILABLE, which clients try again, is
            // wrong.
            500 | 502 => Self::Internal,
            // It has not been asked: the client may try again.
            503 => Self::Unavailable,
            504 => Self::DeadlineExceeded,
            // Rules of firewalls have whatever status they like.
            _ => Self::Unknown,
        }
    }

    fn header(self) -> HeaderValue {
        HeaderValue::from(self as u16)
    }
}

fn message(text: &str) -> HeaderValue {
    let encoded = utf8_percent_encode(text, MESSAGE).to_string();
    HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static(""))
}

/// The answer to a request that is refused, in the way in which it came if it is a
/// call.
pub(crate) fn answer(refusal: &Refusal, id: RequestId, call: Option<Wire>) -> Answer {
    match call {
        Some(wire) => wire.whole(refused(refusal, id)),
        None => refusal.answer_to(id),
    }
}

/// The answer to a call that is refused: with the headers that all refusals have.
fn refused(refusal: &Refusal, id: RequestId) -> Answer {
    let (head, _) = refusal.answer_to(id).into_parts();
    let mut response = Response::new(Full::from(Bytes::new()));
    let mut headers = head.headers;
    for name in [CONNECTION, UPGRADE] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(STATUS, Code::of(head.status).header());
    headers.insert(GRPC_MESSAGE, message(&format!("{refusal} (request {id})")));
    // Clients that try again by themselves wait as long.
    let seconds = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    if let Some(seconds) = seconds.and_then(|it| it.parse::<u32>().ok()) {
        // It is a signed number of 32 bits.
        let pushback = seconds.saturating_mul(1000).min(i32::MAX.unsigned_abs());
        headers.insert(PUSHBACK, pushback.into());
    }
    *response.headers_mut() = headers;
    response
}

fn code_of(why: &CutOff) -> Code {
    use Violation::{Flag, TooLarge, Truncated};
    match why {
        CutOff::Unfinished(Unfinished::Function(_)) | CutOff::Message(Flag(_) | Truncated) => {
            Code::Internal
        }
        CutOff::Message(TooLarge(_)) | CutOff::Unfinished(Unfinished::Slow) => {
            Code::ResourceExhausted
        }
        CutOff::StreamTime | CutOff::Ended | CutOff::Deadline => Code::DeadlineExceeded,
        // As proxies do.
        CutOff::NoStatus => Code::Unknown,
        CutOff::Request(refusal) => Code::of(refusal.status()),
    }
}

/// The end of an answer that has begun.
pub(super) fn trailers(why: &CutOff, id: RequestId) -> HeaderMap {
    let text = match why {
        // The log has its cause.
        CutOff::Unfinished(Unfinished::Function(_)) => {
            "the function has not finished its answer".into()
        }
        CutOff::Message(violation) => format!("in the function's answer, {violation}"),
        other => other.to_string(),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, code_of(why).header());
    trailers.insert(GRPC_MESSAGE, message(&format!("{text} (request {id})")));
    trailers.insert(ERROR_TYPE, HeaderValue::from_static(why.label()));
    trailers.insert(ERROR_BLAME, HeaderValue::from_static(why.blame()));
    trailers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use openline_admission::refusal::Refusal as Denied;
    use openline_core::fault::Fault;

    use super::*;
    use crate::grpc::GrpcRefusal;
    use crate::request_id::RequestIds;

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn refusals_have_a_status_of_grpc_and_the_headers_of_all() {
        let id = RequestIds::default().next();
        for (refusal, code) in [
            (Refusal::from(Denied::NotFound), "12"),
            (Refusal::UpgradeRequired, "12"),
            (Refusal::from(Denied::Origin), "7"),
            (Refusal::from(Denied::ReservedHeader), "13"),
            (Refusal::Full, "14"),
            (Refusal::BackedOff(Duration::from_secs(9)), "14"),
            (Refusal::StreamTime, "4"),
            (Refusal::Fault(Fault::HandlerTimeout), "4"),
            (Refusal::Answer("secret".into()), "13"),
            (GrpcRefusal::Message(5).into(), "8"),
            (GrpcRefusal::Framing.into(), "13"),
            (GrpcRefusal::Timeout.into(), "13"),
            (GrpcRefusal::Deadline.into(), "4"),
        ] {
            let answer = refused(&refusal, id);
            let (head, body) = answer.into_parts();
            assert_eq!(head.status, 200);
            let headers = head.headers;
            assert_eq!(text(&headers, "grpc-status"), code, "{refusal}");
            assert_eq!(text(&headers, "content-type"), "application/grpc");
            assert_eq!(text(&headers, "openline-error-type"), refusal.label());
            assert_eq!(text(&headers, "cache-control"), "no-store");
            assert!(!headers.contains_key("upgrade"), "{refusal}");
            let said = text(&headers, "grpc-message");
            assert!(said.contains(&id.to_string()), "{said}");
            assert!(!said.contains("secret"), "{said}");
            let retry = text(&headers, "retry-after").parse::<u64>();
            let pushback = text(&headers, "grpc-retry-pushback-ms").parse::<u64>();
            assert_eq!(pushback.ok(), retry.ok().map(|seconds| seconds * 1000));
            assert!(body.collect().await.unwrap().to_bytes().is_empty());
        }
    }

    #[test]
    fn each_status_of_http_has_one_of_grpc() {
        for (status, code) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (405, 12),
            (413, 8),
            (426, 12),
            (429, 8),
            (500, 13),
            (502, 13),
            (503, 14),
            (504, 4),
            (200, 2),
            (451, 2),
        ] {
            let of = Code::of(StatusCode::from_u16(status).unwrap());
            assert_eq!(of as u16, code, "{status}");
        }
    }

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(message("100 % é\n~"), "100 %25 %C3%A9%0A~");
    }

    #[test]
    fn an_answer_that_is_cut_off_says_why() {
        let id = RequestIds::default().next();
        for (why, code, word) in [
            (CutOff::StreamTime, "4", "stream_time"),
            (CutOff::Deadline, "4", "grpc_deadline"),
            (CutOff::NoStatus, "2", "bad_answer"),
            (Violation::Truncated.into(), "13", "bad_answer"),
            (Violation::Flag(9).into(), "13", "bad_answer"),
            (Violation::TooLarge(9).into(), "8", "bad_answer"),
            (
                CutOff::Request(GrpcRefusal::Message(1).into()),
                "8",
                "message_bytes",
            ),
            (
                CutOff::Request(Refusal::RequestBodyIncomplete),
                "13",
                "request_body_incomplete",
            ),
        ] {
            let trailers = trailers(&why, id);
            assert_eq!(text(&trailers, "grpc-status"), code, "{why}");
            assert_eq!(text(&trailers, "openline-error-type"), word, "{why}");
        }
    }
}
