//! The opening handshake of RFC 6455 section 4.2.1, and that of RFC 8441 over
//! HTTP/2.
//!
//! Bounded: its headers are as large as `request_header_bytes` allows; a request
//! offers [`SUBPROTOCOLS_MAX`] subprotocols.

use std::collections::HashSet;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use hyper::ext::Protocol;
use openline_admission::admit::Asks;
use openline_admission::services::Service;
use openline_websocket::accept_key;

use crate::connection::wire::negotiation::Offers;
use crate::rescue::Refusal;

/// Subprotocols that a request may offer: many times what any client does.
pub(crate) const SUBPROTOCOLS_MAX: usize = 100;

/// Two bits of a key's last letter have no meaning. Clients that make a key of
/// random letters set them, and so does the example of RFC 6455 section 4.1, so
/// they are ignored.
const KEY: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// A request that may become a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// The value of `Sec-WebSocket-Accept` (section 4.2.2, 5.4); none over
    /// HTTP/2.
    pub(crate) accept: Option<String>,
}

impl Handshake {
    /// The status of the answer that accepts it.
    pub(crate) fn status(&self) -> StatusCode {
        match self.accept {
            Some(_) => StatusCode::SWITCHING_PROTOCOLS,
            None => StatusCode::OK,
        }
    }
}

/// Whether a request asks for a WebSocket, validly or not.
pub(crate) fn is_wanted(parts: &Parts) -> bool {
    if parts.version == Version::HTTP_2 {
        let protocol = parts.extensions.get::<Protocol>();
        return protocol.is_some_and(|it| it.as_str() == "websocket");
    }
    has_token(&parts.headers, &UPGRADE, "websocket")
}

/// What a request asks a function for, which has these handlers: a WebSocket, by a
/// valid handshake, or an answer. A request that asks for a WebSocket where there
/// are none is one for an answer, as if it had not asked (RFC 9110 section 7.8).
pub(crate) fn asked(
    parts: &Parts,
    service: &Service,
) -> Result<(Asks, Option<Handshake>), Refusal> {
    let alias = &service.alias;
    let answers = service.trigger.dialect.is_none() && alias.takes_requests();
    let connects = parts.version == Version::HTTP_2 && parts.method == Method::CONNECT;
    let is_for_answer = !connects && (!is_wanted(parts) || !alias.takes_connections());
    if answers && is_for_answer {
        return Ok((Asks::Answer, None));
    }
    check(parts).map(|handshake| (Asks::Connection, Some(handshake)))
}

/// Checks everything that section 4.2.1 demands, except the subprotocols. A
/// request that asks for no WebSocket is told to.
pub(crate) fn check(parts: &Parts) -> Result<Handshake, Refusal> {
    let headers = &parts.headers;
    if !is_wanted(parts) {
        return Err(Refusal::UpgradeRequired);
    }
    if parts.version == Version::HTTP_2 {
        // The library lets only CONNECT have a protocol, and a body of CONNECT
        // is what travels on the stream.
        return version(headers).map(|()| Handshake { accept: None });
    }
    if parts.method != Method::GET {
        return Err(Refusal::MethodNotAllowed("GET"));
    }
    if parts.version != Version::HTTP_11 {
        return Err(Refusal::Handshake("it needs HTTP/1.1"));
    }
    if only(headers, &HOST).is_none() {
        return Err(Refusal::Handshake("it needs one `Host` header"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Refusal::Handshake("`Connection` must hold `Upgrade`"));
    }
    version(headers)?;
    let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(Refusal::Handshake(
        "it needs one `Sec-WebSocket-Key` header",
    ))?;
    if KEY.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Err(Refusal::Handshake(
            "`Sec-WebSocket-Key` must be 16 bytes in base64",
        ));
    }
    // Bytes of a body would be taken for frames.
    if !headers.get_all(CONTENT_LENGTH).iter().all(is_zero)
        || headers.contains_key(TRANSFER_ENCODING)
    {
        return Err(Refusal::Handshake("it has no body"));
    }
    Ok(Handshake {
        accept: Some(accept_key(key)),
    })
}

fn version(headers: &HeaderMap) -> Result<(), Refusal> {
    match only(headers, &SEC_WEBSOCKET_VERSION) {
        Some(b"13") => Ok(()),
        Some(_) => Err(Refusal::Version),
        None => Err(Refusal::Handshake(
            "it needs one `Sec-WebSocket-Version` header",
        )),
    }
}

/// The value of a header that must be there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values
        .next()
        .is_none()
        .then(|| value.as_bytes().trim_ascii())
}

/// Whether a list header contains a token, in any line, position and case (RFC
/// 9110 section 5.6.1).
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// Whether a length is zero, however it is written.
fn is_zero(length: &HeaderValue) -> bool {
    let mut items = length.as_bytes().split(|byte| *byte == b',');
    items.all(|item| {
        let digits = item.trim_ascii();
        !digits.is_empty() && digits.iter().all(|digit| *digit == b'0')
    })
}

/// The offered subprotocols, the preferred one first, each once.
pub(crate) fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, Refusal> {
    let mut offered: Vec<String> = Vec::new();
    let mut known: HashSet<&str> = HashSet::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for item in value.as_bytes().split(|byte| *byte == b',') {
            let item = item.trim_ascii();
            if item.is_empty() {
                continue;
            }
            match std::str::from_utf8(item) {
                Ok(name) if is_token(item) => {
                    if !known.insert(name) {
                        continue;
                    }
                    if offered.len() == SUBPROTOCOLS_MAX {
                        return Err(Refusal::Handshake("it offers too many subprotocols"));
                    }
                    offered.push(name.into());
                }
                _ => return Err(Refusal::Handshake("a subprotocol is not a token")),
            }
        }
    }
    Ok(offered)
}

/// The extensions that a request offers, checked.
pub(crate) fn extensions(headers: &HeaderMap) -> Result<Offers, Refusal> {
    Offers::of(headers)
        .map_err(|_| Refusal::Handshake("`Sec-WebSocket-Extensions` is not a list of extensions"))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    text.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || special.contains(byte))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn request(change: impl FnOnce(&mut Parts)) -> Result<Handshake, Refusal> {
        check(&parts(change))
    }

    fn parts(change: impl FnOnce(&mut Parts)) -> Parts {
        let (mut parts, ()) = Request::builder()
            .uri("/echo")
            .header("host", "localhost")
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", KEY)
            .body(())
            .unwrap()
            .into_parts();
        change(&mut parts);
        parts
    }

    /// The subprotocols that are read from a header.
    fn offered(value: &str) -> Result<Vec<String>, Refusal> {
        let value = value.parse().unwrap();
        let parts = parts(|parts| drop(parts.headers.insert("sec-websocket-protocol", value)));
        subprotocols(&parts.headers)
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 6455 section 1.3.
        assert_eq!(
            request(|_| {}).unwrap().accept.as_deref(),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
    }

    #[test]
    fn over_http_2_it_needs_a_protocol_and_a_version() {
        let stream = |protocol: Option<&'static str>| {
            parts(|parts| {
                parts.version = Version::HTTP_2;
                parts.method = Method::CONNECT;
                for name in ["host", "upgrade", "connection", "sec-websocket-key"] {
                    parts.headers.remove(name);
                }
                let protocol = protocol.map(Protocol::from_static);
                protocol.map(|protocol| parts.extensions.insert(protocol));
            })
        };
        let mut websocket = stream(Some("websocket"));
        assert!(is_wanted(&websocket));
        let handshake = check(&websocket).unwrap();
        assert_eq!(
            (handshake.status(), handshake.accept),
            (StatusCode::OK, None)
        );
        websocket
            .headers
            .insert("sec-websocket-version", HeaderValue::from_static("8"));
        assert_eq!(check(&websocket), Err(Refusal::Version));
        websocket.headers.remove("sec-websocket-version");
        assert!(matches!(check(&websocket), Err(Refusal::Handshake(_))));
        assert!(!is_wanted(&stream(Some("connect-udp"))) && !is_wanted(&stream(None)));
    }

    #[test]
    fn a_key_whose_last_bits_are_set() {
        // The key of RFC 6455 section 4.1, and one of random letters.
        for key in ["AQIDBAUGBwgJCgsMDQ4PEC==", "AAAAAAAAAAAAAAAAAAAAAB=="] {
            let value = key.parse().unwrap();
            let accepted = request(|parts| drop(parts.headers.insert("sec-websocket-key", value)));
            // The accept key is derived from the key as it was sent.
            assert_eq!(accepted.unwrap().accept, Some(accept_key(key.as_bytes())));
        }
    }

    #[test]
    fn subprotocols_at_their_number_and_one_past_it() {
        let names: Vec<_> = (0..SUBPROTOCOLS_MAX).map(|n| format!("p{n}")).collect();
        let list = names.join(", ");
        assert_eq!(offered(&list).unwrap(), names);
        // Repeated names and empty items do not count.
        assert_eq!(offered(&format!("{list}, p0,, p1")).unwrap(), names);
        let refused = offered(&format!("{list}, another"));
        assert!(matches!(refused, Err(Refusal::Handshake(_))));
        assert!(matches!(offered("a, b c"), Err(Refusal::Handshake(_))));
    }

    #[test]
    fn a_body_that_is_none_and_one_that_is() {
        let of_length = |values: &[&str]| {
            request(|parts| {
                for value in values {
                    parts
                        .headers
                        .append("content-length", value.parse().unwrap());
                }
            })
        };
        for none in [&["0"][..], &["00"], &["0, 0"], &["0", "0"]] {
            assert!(of_length(none).is_ok(), "{none:?}");
        }
        for some in [
            &["5"][..],
            &["5", "5"],
            &["0", "5"],
            &["0,5"],
            &["+0"],
            &[""],
        ] {
            assert!(of_length(some).is_err(), "{some:?}");
        }
    }

    #[test]
    fn tokens_in_any_case_and_place() {
        let parts = parts(|parts| {
            parts
                .headers
                .insert("connection", "keep-alive , uPgRaDe".parse().unwrap());
            parts
                .headers
                .insert("upgrade", "h2c, WebSocket".parse().unwrap());
            parts
                .headers
                .append("sec-websocket-protocol", "b, a".parse().unwrap());
            parts
                .headers
                .append("sec-websocket-protocol", "a,,c".parse().unwrap());
        });
        assert!(check(&parts).is_ok());
        assert_eq!(subprotocols(&parts.headers).unwrap(), ["b", "a", "c"]);
    }

    #[test]
    fn each_thing_that_is_missing_doubled_or_wrong() {
        let bad = |change: fn(&mut Parts)| request(change).unwrap_err();
        let handshake = |change| assert!(matches!(bad(change), Refusal::Handshake(_)));
        for name in [
            "host",
            "connection",
            "sec-websocket-version",
            "sec-websocket-key",
        ] {
            let missing = request(|parts| drop(parts.headers.remove(name)));
            assert!(matches!(missing, Err(Refusal::Handshake(_))), "{name}");
        }
        for name in ["host", "sec-websocket-version", "sec-websocket-key"] {
            let doubled = request(|parts| {
                let value = parts.headers[name].clone();
                parts.headers.append(name, value);
            });
            assert!(matches!(doubled, Err(Refusal::Handshake(_))), "{name}");
        }
        assert_eq!(
            bad(|parts| parts.method = Method::POST),
            Refusal::MethodNotAllowed("GET")
        );
        handshake(|parts| parts.version = Version::HTTP_10);
        handshake(|parts| {
            drop(
                parts
                    .headers
                    .insert("connection", "upgraded".parse().unwrap()),
            )
        });
        handshake(|parts| drop(parts.headers.insert("content-length", "1".parse().unwrap())));
        handshake(|parts| {
            drop(
                parts
                    .headers
                    .insert("transfer-encoding", "chunked".parse().unwrap()),
            )
        });
        for version in ["12", "013", "13, 8", ""] {
            let refused = request(|parts| {
                parts
                    .headers
                    .insert("sec-websocket-version", version.parse().unwrap());
            });
            assert_eq!(refused, Err(Refusal::Version), "{version}");
        }
        for key in [
            "",
            "abc",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "****",
        ] {
            let refused = request(|parts| {
                parts
                    .headers
                    .insert("sec-websocket-key", key.parse().unwrap());
            });
            assert!(matches!(refused, Err(Refusal::Handshake(_))), "{key}");
        }
    }

    proptest! {
        /// Any bytes in a header lead to a decision, not to a panic.
        #[test]
        fn any_header_value_is_decided(
            name in prop::sample::select(vec![
                "host", "connection", "upgrade", "sec-websocket-version", "sec-websocket-key",
                "sec-websocket-protocol", "content-length",
            ]),
            value in prop::collection::vec(32u8..=255, 0..64),
        ) {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                let parts = parts(|parts| drop(parts.headers.insert(name, value)));
                let _ = (check(&parts), subprotocols(&parts.headers));
            }
        }
    }
}
