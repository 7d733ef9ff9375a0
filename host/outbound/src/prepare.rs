//! The heads of calls and answers: what a function may not decide is removed or
//! set here.
//!
//! Headers for one TCP connection (RFC 9110 section 7.6.1) do not pass, in either
//! direction. `Host` is that of the URL: a function that is allowed to call one
//! host of a server must not ask it for another.

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Parts, Uri};
use http::{Method, Request, StatusCode};
use openline_core::headers;
use openline_core::outbound::{Destination, Scheme};

use crate::error::OutboundError;
use crate::hops::CDN_LOOP;

/// Where a URL leads.
pub(crate) fn destination(uri: &Uri) -> Result<Destination, OutboundError> {
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(OutboundError::Url),
    };
    let authority = uri.authority().ok_or(OutboundError::Url)?;
    Destination::parse(scheme, authority.as_str()).ok_or(OutboundError::Url)
}

/// Makes the headers of a call those that are sent, except `Host`.
pub(crate) fn prepare<B>(
    request: &mut Request<B>,
    hops: HeaderValue,
    bytes_max: usize,
) -> Result<(), OutboundError> {
    if *request.method() == Method::CONNECT {
        return Err(OutboundError::Method);
    }
    let headers = request.headers_mut();
    strip(headers);
    headers.remove(header::HOST);
    headers.insert(CDN_LOOP, hops);
    let bytes = bytes_of(headers);
    if bytes > bytes_max {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        return Err(OutboundError::RequestHeaderBytes(bytes));
    }
    Ok(())
}

/// Addresses a call in the way of the version of HTTP that it is made in.
pub(crate) fn address<B>(
    request: &mut Request<B>,
    to: &Destination,
    http2: bool,
) -> Result<(), OutboundError> {
    let wrong = |_| OutboundError::Url;
    let target = request.uri().path_and_query().cloned();
    let mut parts = Parts::default();
    parts.path_and_query = Some(target.unwrap_or_else(|| "/".parse().expect("it is a path")));
    let authority = to.authority();
    if http2 {
        request.headers_mut().remove(header::HOST);
        parts.scheme = Some(match to.scheme {
            Scheme::Http => http::uri::Scheme::HTTP,
            Scheme::Https => http::uri::Scheme::HTTPS,
        });
        parts.authority = Some(authority.parse().map_err(|_| OutboundError::Url)?);
    } else {
        let host = HeaderValue::try_from(authority).map_err(|_| OutboundError::Url)?;
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(wrong)?;
    // The connection has one already.
    *request.version_mut() = if http2 {
        http::Version::HTTP_2
    } else {
        http::Version::HTTP_11
    };
    Ok(())
}

/// Checks the head of an answer, and takes off what is for the host alone.
pub(crate) fn check(
    status: StatusCode,
    headers: &mut HeaderMap,
    bytes_max: usize,
) -> Result<(), OutboundError> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(OutboundError::Upgrade);
    }
    let bytes = bytes_of(headers);
    if bytes > bytes_max {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        return Err(OutboundError::ResponseHeaderBytes(Some(bytes)));
    }
    // The transfer coding overrides the length (RFC 9112 section 6.3). A function that
    // went by the length would take the rest of this answer for the next one.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    strip(headers);
    Ok(())
}

/// Whether an answer says that its body is too large.
pub(crate) fn is_too_long(headers: &HeaderMap, method: &Method, most: u64) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    // The answer to a HEAD tells the length of another one.
    *method != Method::HEAD && length.is_some_and(|length| length > most)
}

fn strip(headers: &mut HeaderMap) {
    headers::strip(headers);
    headers::strip_reserved(headers);
}

/// The bytes of names and values.
fn bytes_of(headers: &HeaderMap) -> usize {
    let bytes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn prepared(headers: &[(&'static str, &str)]) -> Vec<String> {
        let mut request = request("http://a/", headers);
        prepare(&mut request, HeaderValue::from_static("me"), 1000).unwrap();
        let headers = request.headers().iter();
        let text = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut text: Vec<_> = text.collect();
        text.sort();
        text
    }

    #[test]
    fn only_what_is_for_the_other_host_passes() {
        assert_eq!(prepared(&[]), ["cdn-loop: me"]);
        let found = prepared(&[
            ("host", "other"),
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("keep-alive", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AA"),
            ("proxy-authorization", "x"),
            ("cdn-loop", "forged"),
            ("openline-claims", "{}"),
            ("openline_claims", "{}"),
            ("te", "gzip"),
            ("authorization", "Bearer x"),
        ]);
        assert_eq!(
            found,
            ["authorization: Bearer x", "cdn-loop: me", "x-other: 1"]
        );
        let trailers = prepared(&[("te", "trailers"), ("trailer", "grpc-status")]);
        assert_eq!(
            trailers,
            ["cdn-loop: me", "te: trailers", "trailer: grpc-status"]
        );
    }

    #[test]
    fn headers_have_a_limit() {
        let hops = || HeaderValue::from_static("me");
        let value = "x".repeat(100 - "cdn-loop".len() - 2 - 1);
        let mut fits = request("http://a/", &[("x", &value)]);
        assert_eq!(prepare(&mut fits, hops(), 100), Ok(()));
        let mut large = request("http://a/", &[("x", &value)]);
        let error = prepare(&mut large, hops(), 99);
        assert_eq!(error, Err(OutboundError::RequestHeaderBytes(100)));
        let mut connect = request("http://a/", &[]);
        *connect.method_mut() = Method::CONNECT;
        let error = prepare(&mut connect, hops(), 99);
        assert_eq!(error, Err(OutboundError::Method));
    }

    #[test]
    fn a_call_names_its_host_once() {
        for (uri, http2, expected, host) in [
            ("http://A:80/b?c", false, "/b?c", Some("a")),
            ("http://a:81", false, "/", Some("a:81")),
            ("https://a:443/b", true, "https://a/b", None),
            ("https://[::1]:1/", true, "https://[::1]:1/", None),
        ] {
            let mut request = request(uri, &[("host", "other")]);
            let to = destination(request.uri()).unwrap();
            address(&mut request, &to, http2).unwrap();
            assert_eq!(request.uri(), expected);
            let found = request.headers().get("host");
            assert_eq!(found.map(|it| it.to_str().unwrap()), host, "{uri}");
        }
    }

    #[test]
    fn urls_with_two_meanings_are_none() {
        for uri in [
            "/a",
            "ftp://a/",
            "ws://a/",
            "http://user@a/",
            "http://user:b@a/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://a%2eb/",
            "http://a:0/",
            "http://a:99999/",
        ] {
            let found = uri.parse::<Uri>().ok();
            let found = found.map(|uri| destination(&uri));
            assert!(!matches!(found, Some(Ok(_))), "{uri}: {found:?}");
        }
    }

    #[test]
    fn answers_are_stripped_and_bounded() {
        let headers = |size: usize| {
            let mut headers = HeaderMap::new();
            headers.insert("connection", HeaderValue::from_static("x"));
            headers.insert("x", HeaderValue::from_str(&"y".repeat(size)).unwrap());
            headers
        };
        let mut fits = headers(88);
        assert_eq!(check(StatusCode::OK, &mut fits, 100), Ok(()));
        assert!(fits.is_empty());
        let error = check(StatusCode::OK, &mut headers(89), 100);
        assert_eq!(error, Err(OutboundError::ResponseHeaderBytes(Some(101))));
        let error = check(StatusCode::SWITCHING_PROTOCOLS, &mut headers(1), 100);
        assert_eq!(error, Err(OutboundError::Upgrade));
        let mut both = HeaderMap::new();
        both.insert(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        both.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
        assert_eq!(check(StatusCode::OK, &mut both, 100), Ok(()));
        assert!(both.is_empty(), "{both:?}");
        let mut long = HeaderMap::new();
        long.insert(header::CONTENT_LENGTH, HeaderValue::from_static("11"));
        assert_eq!(check(StatusCode::OK, &mut long, 100), Ok(()));
        assert!(is_too_long(&long, &Method::GET, 10));
        assert!(!is_too_long(&long, &Method::GET, 11));
        assert!(!is_too_long(&long, &Method::HEAD, 10));
    }
}
