//! The first step of admission: a request gets one spelling, or is refused
//! because servers would read it in different ways.
//!
//! Everything after this step sees the host and the path in their one spelling:
//! routes, limits, rules, the function, the log. So no second spelling can pass
//! a rule that the first one would not.

use http::header::{CONNECTION, COOKIE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use openline_core::path::{self, PathError};
use openline_core::trigger::Authority;

use crate::refusal::Refusal;

/// Headers that are meant for the receiver of a request. A proxy removes the
/// headers that `Connection` lists (RFC 9110 section 7.6.1), so a peer could
/// have a proxy remove one of these, and this host would decide without it.
const END_TO_END: [&str; 10] = [
    "authorization",
    "content-length",
    "cookie",
    "forwarded",
    "host",
    "origin",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
];

/// What a request asks for, in its one spelling. Its path is in the `Parts`
/// that were normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal {
    authority: Option<Authority>,
}

impl Normal {
    /// The host with its port, if the request names one.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// The host without its port, if the request names one.
    pub fn host(&self) -> Option<&str> {
        self.authority().map(Authority::host)
    }
}

/// Gives a request's path its one spelling, and reads its host.
///
/// # Errors
///
/// When the request is ambiguous: a path or a host that servers read in
/// different ways, several hosts, or a `Connection` that names a header for the
/// receiver.
pub fn normalise(parts: &mut Parts) -> Result<Normal, Refusal> {
    check_connection(&parts.headers)?;
    check_coding(&parts.headers)?;
    join_cookies(&mut parts.headers);
    let authority = authority(parts)?;
    let spelled = match path::normalise(parts.uri.path()) {
        Ok(spelled) => spelled,
        // `*`, or the target of CONNECT.
        Err(PathError::Relative) => return Err(Refusal::NotFound),
        Err(error) => return Err(Refusal::Spelling(error)),
    };
    if *spelled != *parts.uri.path() {
        let query = parts.uri.query();
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        let target = PathAndQuery::try_from(format!("{spelled}{query}"));
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.path_and_query = Some(target.map_err(|_| Refusal::NotFound)?);
        parts.uri = Uri::from_parts(uri).map_err(|_| Refusal::NotFound)?;
    }
    Ok(Normal { authority })
}

/// The method of a request. A handshake over HTTP/2 is CONNECT, which means the
/// same as GET (RFC 8441 section 5).
pub(crate) fn asked_method(parts: &Parts) -> &Method {
    match (parts.version, &parts.method) {
        (Version::HTTP_2, &Method::CONNECT) => &Method::GET,
        (_, method) => method,
    }
}

/// The host that a request names. A target with a host wins over `Host` (RFC
/// 9112 section 3.2.2), but proxies do not all agree, so both must be the same,
/// with their ports; one without a port has that of the target's scheme.
fn authority(parts: &Parts) -> Result<Option<Authority>, Refusal> {
    let read = |text: &str| Authority::parse(text).ok_or(Refusal::Host("it is not a host"));
    let mut named = parts.headers.get_all(HOST).iter();
    let header = match (named.next(), named.next()) {
        // RFC 9112 section 3.2. Over HTTP/2 the target names it.
        (None, _) if parts.version == Version::HTTP_11 => {
            return Err(Refusal::Host("there is none"));
        }
        (None, _) => None,
        (Some(value), None) => {
            let text = value.to_str();
            let text = text.map_err(|_| Refusal::Host("it is not a host"))?;
            Some(read(text.trim())?)
        }
        (Some(_), Some(_)) => return Err(Refusal::Host("there are several")),
    };
    let (scheme, target) = match (parts.uri.scheme_str(), parts.uri.authority()) {
        (Some(scheme), Some(target)) => (scheme, read(target.as_str())?),
        _ => return Ok(header),
    };
    let default = match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        _ => return Err(Refusal::Scheme),
    };
    let port = |of: &Authority| of.port().or(Some(default));
    match header {
        Some(header) if header.host() != target.host() || port(&header) != port(&target) => {
            Err(Refusal::Host("the request's target names another one"))
        }
        _ => Ok(Some(target)),
    }
}

/// A function gets a body as it is without the chunks. A body that is also compressed,
/// say, would not be what it is said to be.
fn check_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| {
        coding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked")
    };
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if is_chunked(coding) => Ok(()),
        _ => Err(Refusal::Coding),
    }
}

/// Makes one line of all cookies: HTTP/2 lets clients send them one by one, and
/// what reads them expects one line (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    if lines.next().is_none() || lines.next().is_none() {
        return;
    }
    let lines: Vec<_> = headers.get_all(COOKIE).iter().collect();
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    // Parts of valid values and a separator are a valid value.
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn check_connection(headers: &HeaderMap) -> Result<(), Refusal> {
    for value in headers.get_all(CONNECTION) {
        for option in value.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            let is = |name: &&str| option.eq_ignore_ascii_case(name.as_bytes());
            let begins = |begin: &str| {
                let begun = option.get(..begin.len());
                begun.is_some_and(|it| it.eq_ignore_ascii_case(begin.as_bytes()))
            };
            if END_TO_END.iter().any(is) || begins("x-forwarded-") {
                return Err(Refusal::Connection);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn cookies_that_come_one_by_one_are_one_line() {
        let request = Request::builder().uri("/").header("host", "a");
        let request = request.header("cookie", "a=1");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        for line in ["b=2", "c=\"3\""] {
            parts.headers.append(COOKIE, HeaderValue::from_static(line));
        }
        normalise(&mut parts).unwrap();
        let lines: Vec<_> = parts.headers.get_all(COOKIE).iter().collect();
        assert_eq!(lines, ["a=1; b=2; c=\"3\""]);
    }

    fn asked(target: &str, headers: &[(&str, &str)]) -> Result<(Normal, String), Refusal> {
        let request = Request::builder().uri(target);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if !parts.headers.contains_key(HOST) {
            parts.version = Version::HTTP_10;
        }
        let normal = normalise(&mut parts)?;
        Ok((normal, parts.uri.to_string()))
    }

    #[test]
    fn host_and_path_have_one_spelling_and_the_query_stays() {
        let host = ("host", "Chat.Example.ORG.:80");
        let (normal, uri) = asked("/%63hat//a%2fb?q=%63//..", &[host]).unwrap();
        assert_eq!(uri, "/chat/a%2Fb?q=%63//..");
        assert_eq!(normal.host(), Some("chat.example.org"));
        assert_eq!(normal.authority().unwrap().port(), Some(80));
        let (normal, uri) = asked("http://A.org:1/./b", &[("host", "a.org:1")]).unwrap();
        assert_eq!(uri, "http://A.org:1/b");
        assert_eq!(normal.authority().unwrap().port(), Some(1));
        assert_eq!(asked("/", &[]).unwrap().0.host(), None);
    }

    #[test]
    fn a_request_over_http11_names_its_host() {
        let parts = |version: Version| {
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.version = version;
            parts
        };
        let refused = normalise(&mut parts(Version::HTTP_11));
        assert_eq!(refused, Err(Refusal::Host("there is none")));
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(normalise(&mut parts(version)).unwrap().host(), None);
        }
        let mut whole = parts(Version::HTTP_11);
        whole.uri = Uri::from_static("http://a.org/");
        let refused = normalise(&mut whole);
        assert_eq!(refused, Err(Refusal::Host("there is none")));
    }

    #[test]
    fn a_target_has_a_scheme_of_http() {
        for scheme in ["ftp", "httpx", "file", "coap"] {
            let refused = asked(&format!("{scheme}://a.org/"), &[("host", "a.org")]);
            assert_eq!(refused, Err(Refusal::Scheme), "{scheme}");
        }
        for scheme in ["http", "HTTPS", "ws", "wss"] {
            let taken = asked(&format!("{scheme}://a.org/"), &[("host", "a.org")]);
            assert!(taken.is_ok(), "{scheme}");
        }
    }

    #[test]
    fn a_body_comes_in_chunks_and_in_no_other_coding() {
        for (codings, is_good) in [
            (&["chunked"][..], true),
            (&[" Chunked "], true),
            (&["gzip, chunked"], false),
            (&["chunked, chunked"], false),
            (&["chunked", "chunked"], false),
            (&["gzip", "chunked"], false),
            (&["identity"], false),
            (&[""], false),
        ] {
            let headers = codings.iter().map(|it| ("transfer-encoding", *it));
            let headers: Vec<_> = headers.chain([("host", "a")]).collect();
            let taken = asked("/", &headers);
            let expected = if is_good { None } else { Some(Refusal::Coding) };
            assert_eq!(taken.err(), expected, "{codings:?}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let spelling = Refusal::Spelling(PathError::Ambiguous);
        assert_eq!(asked("/a//../b", &[]), Err(spelling));
        for headers in [
            &[("host", "a"), ("host", "a")][..],
            &[("host", "")],
            &[("host", "a, b")],
            &[("host", "user@a")],
            &[("host", "a/b")],
        ] {
            let refused = asked("/", headers);
            assert!(matches!(refused, Err(Refusal::Host(_))), "{headers:?}");
        }
        let other = asked("http://a.org/", &[("host", "b.org")]);
        assert!(matches!(other, Err(Refusal::Host(_))));
        for (target, host, same) in [
            ("http://a.org:1/", "a.org:2", false),
            ("http://a.org:1/", "a.org", false),
            ("http://a.org/", "a.org:443", false),
            ("https://a.org/", "a.org:80", false),
            ("http://a.org/", "A.org.:80", true),
            ("https://a.org:443/", "a.org", true),
            ("wss://a.org/", "a.org:443", true),
            ("ws://a.org:80/", "a.org:", true),
            ("http://a.org:1/", "a.org:01", true),
        ] {
            let asked = asked(target, &[("host", host)]);
            assert_eq!(asked.is_ok(), same, "{target} {host}");
        }
        for options in [
            "upgrade, host",
            "HOST",
            "close,\tOrigin ",
            "X-Forwarded-For",
        ] {
            let refused = asked("/", &[("connection", options)]);
            assert_eq!(refused, Err(Refusal::Connection), "{options}");
        }
        let second = [("connection", "upgrade"), ("connection", "cookie")];
        assert_eq!(asked("/", &second), Err(Refusal::Connection));
        for fine in [
            "keep-alive , Upgrade",
            "HTTP2-Settings",
            "hosts",
            "x-forwarded",
        ] {
            assert!(asked("/", &[("connection", fine)]).is_ok(), "{fine}");
        }
    }
}
