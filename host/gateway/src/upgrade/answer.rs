//! Checks a function's answer to a handshake: the headers of the 101, or a
//! rejection. An answer that breaks the contract is a refusal.

use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use openline_core::event::{Headers, Rejection};
use openline_core::limits::FunctionLimits;

use crate::handshake::Handshake;
use crate::rescue::Refusal;
use crate::reserved::Answer;

/// Headers that a function may not set: those of the handshake, and those by
/// which HTTP frames and routes a message (RFC 9110 section 7.6.1).
const FORBIDDEN: [&str; 11] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
];

/// The headers of the 101 response (RFC 6455 section 4.2.2).
pub(super) fn switching(
    handshake: &Handshake,
    headers: Headers,
    (offered, subprotocol): (&[String], Option<&str>),
    limits: &FunctionLimits,
) -> Result<HeaderMap, Refusal> {
    let mut headers = response_headers(headers, limits.response_header_bytes)?;
    if let Some(chosen) = subprotocol {
        if !offered.iter().any(|offered| offered == chosen) {
            let chosen = chosen.escape_debug();
            return Err(Refusal::Answer(format!(
                "the subprotocol `{chosen}` was not offered"
            )));
        }
        let value = HeaderValue::from_str(chosen)
            .map_err(|_| Refusal::Answer("the subprotocol is not a token".into()))?;
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    // HTTP/2 has no such headers (RFC 8441 section 5).
    let Some(accept) = &handshake.accept else {
        return Ok(headers);
    };
    let accept =
        HeaderValue::from_str(accept).map_err(|_| Refusal::Handshake("the key gives no answer"))?;
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    Ok(headers)
}

/// The response for a rejection.
pub(super) fn rejected(rejection: Rejection, limits: &FunctionLimits) -> Result<Answer, Refusal> {
    let status = StatusCode::from_u16(rejection.status)
        .ok()
        .filter(|status| (200..=599).contains(&status.as_u16()))
        .ok_or_else(|| {
            Refusal::Answer(format!(
                "a rejection's status is 200 to 599, not {}",
                rejection.status
            ))
        })?;
    let most = limits.rejection_body_bytes;
    if rejection.body.len() > most {
        return Err(Refusal::Answer(format!(
            "a rejection's body has at most {most} bytes (rejection_body_bytes), not {}",
            rejection.body.len()
        )));
    }
    let headers = response_headers(rejection.headers, limits.response_header_bytes)?;
    let mut response: Response<Full<Bytes>> = Response::new(Full::new(rejection.body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Checks the headers of a function's answer.
fn response_headers(headers: Headers, most: usize) -> Result<HeaderMap, Refusal> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > most {
        return Err(Refusal::Answer(format!(
            "its headers have {bytes} bytes, more than {most} (response_header_bytes)"
        )));
    }
    let mut checked = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        let invalid =
            || Refusal::Answer(format!("`{}` is not a valid header", name.escape_debug()));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_bytes(&value).map_err(|_| invalid())?;
        let lower = name.as_str();
        if FORBIDDEN.contains(&lower)
            || lower.starts_with("sec-websocket-")
            || lower.starts_with("openline-")
        {
            return Err(Refusal::Answer(format!(
                "the header `{lower}` belongs to the host"
            )));
        }
        checked.append(name, value);
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, usize)]) -> Headers {
        pairs
            .iter()
            .map(|(name, bytes)| ((*name).into(), vec![b'v'; *bytes]))
            .collect()
    }

    #[test]
    fn headers_of_an_answer_at_their_bytes_and_past_them() {
        assert!(response_headers(headers(&[("a", 99)]), 100).is_ok());
        assert!(response_headers(headers(&[("a", 100)]), 100).is_err());
    }

    #[test]
    fn headers_that_are_not_the_functions() {
        for name in [
            "Connection",
            "sec-websocket-accept",
            "Openline-X",
            "content-length",
            "",
            "a b",
        ] {
            let answer = response_headers(headers(&[(name, 1)]), 100);
            assert!(answer.is_err(), "{name}");
        }
        assert_eq!(
            response_headers(headers(&[("Set-Cookie", 1), ("set-cookie", 1)]), 100)
                .unwrap()
                .len(),
            2
        );
        assert!(response_headers(vec![("x".into(), b"a\r\nb: c".to_vec())], 100).is_err());
    }

    #[test]
    fn a_rejection_at_its_bounds_and_past_them() {
        let with = |status, bytes| Rejection {
            status,
            headers: Vec::new(),
            body: Bytes::from(vec![b'b'; bytes]),
        };
        let limits = FunctionLimits {
            rejection_body_bytes: 10,
            ..FunctionLimits::default()
        };
        for status in [200, 403, 599] {
            assert!(rejected(with(status, 10), &limits).is_ok(), "{status}");
        }
        for status in [0, 99, 101, 199, 600, 1000] {
            assert!(rejected(with(status, 0), &limits).is_err(), "{status}");
        }
        assert!(rejected(with(403, 11), &limits).is_err());
    }
}
