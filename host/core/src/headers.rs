//! Which headers go on from one TCP connection to the next, and which may come behind
//! a body. One list each, for both directions, and for functions' calls out.
//!
//! Bounded by what the libraries take as headers.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, WWW_AUTHENTICATE,
};

use crate::alias::begins_like_header;

/// Headers that begin so are between the host and its functions.
pub const RESERVED_PREFIX: &str = "openline-";

/// Headers for one TCP connection (RFC 9110 section 7.6.1), beside those that
/// `Connection` names, and `TE`. The host answers `Expect` by itself. `Trailer` is not one: without it HTTP/1.1 has no
/// trailers.
const OF_THE_HOP: [HeaderName; 9] = [
    CONNECTION,
    EXPECT,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What is only allowed in a head, beside that: framing, routing, modifiers of
/// requests, authentication, and how a body is to be read (RFC 9110 section 6.5.1).
const OF_HEADS: [HeaderName; 15] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    HeaderName::from_static("forwarded"),
    HOST,
    MAX_FORWARDS,
    RANGE,
    SET_COOKIE,
    TE,
    TRAILER,
    WWW_AUTHENTICATE,
];

/// Removes what is for one TCP connection. `TE: trailers` stays, which says that
/// trailers are taken; gRPC asks for it.
pub fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = listed(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    for name in named.iter().filter(|name| **name != TE).chain(&OF_THE_HOP) {
        headers.remove(name);
    }
    let takes_trailers = listed(headers, &TE).any(|it| it.eq_ignore_ascii_case(b"trailers"));
    headers.remove(TE);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes from trailers what is only allowed in a head, and what is between the host
/// and its functions: a receiver that merges the two would trust it, although only the
/// head was checked.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    for name in OF_THE_HOP.iter().chain(&OF_HEADS) {
        trailers.remove(name);
    }
    remove(trailers, |name| {
        is_reserved(name) || begins_like_header(name.as_str(), "x-forwarded-")
    });
}

/// Removes what is between the host and its functions.
pub fn strip_reserved(headers: &mut HeaderMap) {
    remove(headers, is_reserved);
}

/// Whether a header is between the host and its functions, or could be taken for one
/// by a program that reads headers as variables (`OPENLINE_PEER`).
pub fn is_reserved(name: &HeaderName) -> bool {
    begins_like_header(name.as_str(), RESERVED_PREFIX)
}

/// The members of a header whose value is a list.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

fn remove(headers: &mut HeaderMap, is_one: impl Fn(&HeaderName) -> bool) {
    let found: Vec<_> = headers
        .keys()
        .filter(|name| is_one(name))
        .cloned()
        .collect();
    for name in found {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_meant_for_this_hop_does_not_go_on() {
        let mut some = headers(&[
            ("connection", "keep-alive, X-Mine , te"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-authenticate", "Basic"),
            ("proxy-connection", "close"),
            ("te", "gzip, Trailers;q=1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("x-mine", "1"),
            ("authorization", "Bearer x"),
            ("trailer", "x-checksum"),
            ("x-other", "2"),
        ]);
        strip(&mut some);
        let left = headers(&[
            ("te", "trailers"),
            ("authorization", "Bearer x"),
            ("trailer", "x-checksum"),
            ("x-other", "2"),
        ]);
        assert_eq!(some, left);
        let mut none = headers(&[("te", "gzip, chunked")]);
        strip(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn what_belongs_into_a_head_is_no_trailer() {
        let mut trailers = headers(&[
            ("grpc-status", "0"),
            ("grpc-message", "1"),
            ("x-checksum", "1"),
            ("digest", "1"),
            ("content-length", "1"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("authorization", "1"),
            ("proxy-authorization", "1"),
            ("set-cookie", "1"),
            ("set-cookie", "2"),
            ("host", "1"),
            ("trailer", "1"),
            ("x-forwarded-for", "1"),
            ("openline-claims", "1"),
            ("openline_peer", "1"),
        ]);
        strip_trailers(&mut trailers);
        let left = [
            ("grpc-status", "0"),
            ("grpc-message", "1"),
            ("x-checksum", "1"),
            ("digest", "1"),
        ];
        assert_eq!(trailers, headers(&left));
    }

    #[test]
    fn what_is_read_as_a_reserved_header_is_one() {
        let mut some = headers(&[
            ("openline-claims", "1"),
            ("openline_claims", "1"),
            ("openline.peer", "1"),
            ("openliner", "1"),
        ]);
        strip_reserved(&mut some);
        assert_eq!(some, headers(&[("openliner", "1")]));
    }
}
