//! Removes from trailers, in both directions, what is only allowed in a head: a
//! receiver that merges the two would trust it, although the host has checked only
//! the head.
//!
//! Bounded by what the libraries take as trailers.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, RANGE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    WWW_AUTHENTICATE,
};
use openline_core::alias::begins_like_header;

/// Framing, routing, modifiers of requests, authentication, and how a body is to be
/// read (RFC 9110 section 6.5.1).
const OF_HEADS: [HeaderName; 22] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    RANGE,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    WWW_AUTHENTICATE,
];

/// Removes what may not be a trailer, and what is between the host and its functions.
pub(super) fn strip(trailers: &mut HeaderMap) {
    for name in &OF_HEADS {
        trailers.remove(name);
    }
    let is_reserved = |name: &&HeaderName| {
        let name = name.as_str();
        begins_like_header(name, "openline-") || begins_like_header(name, "x-forwarded-")
    };
    let reserved: Vec<_> = trailers.keys().filter(is_reserved).cloned().collect();
    for name in reserved {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_belongs_into_a_head_is_no_trailer() {
        let mut trailers = HeaderMap::new();
        for name in [
            "grpc-status",
            "grpc-message",
            "x-checksum",
            "digest",
            "content-length",
            "transfer-encoding",
            "authorization",
            "set-cookie",
            "host",
            "x-forwarded-for",
            "openline-claims",
            "openline_peer",
        ] {
            trailers.append(name, HeaderValue::from_static("1"));
        }
        trailers.append("set-cookie", HeaderValue::from_static("2"));
        strip(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["digest", "grpc-message", "grpc-status", "x-checksum"]
        );
    }
}
