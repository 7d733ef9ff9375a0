//! A request as authentication sees it, and where its credentials are found.
//!
//! A credential that occurs twice is refused: a proxy could have checked one of
//! the two, and the function could read the other.

use http::HeaderMap;
use http::header::{COOKIE, SEC_WEBSOCKET_PROTOCOL};
use openline_core::authentication::{Lookup, Place};
use percent_encoding::percent_decode_str;

/// A request after its path got its one spelling.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The host with its port, as the request names it.
    pub host: Option<&'a str>,
    /// The path, in its one spelling.
    pub path: &'a str,
    /// The query, as it was sent.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Whether it may have a body, which a handshake has not.
    pub has_body: bool,
}

/// Why a credential is not taken from a place that has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FindError {
    #[error("`{0}` occurs more than once")]
    Twice(String),
    #[error("`{0}` is not text")]
    Text(String),
}

/// Finds the first credential, in the order of the lookup, without its prefix.
pub(crate) fn find(request: &Request<'_>, lookup: &Lookup) -> Result<Option<String>, FindError> {
    for place in lookup.places() {
        let mut found = match place {
            Place::Header { name, prefix } => header(request, name, prefix, place)?,
            Place::Cookie(name) => cookies(request.headers, name, place)?,
            Place::Query(name) => query(request.query.unwrap_or_default(), name, place)?,
            Place::Subprotocol(prefix) => subprotocols(request.headers)
                .into_iter()
                .filter_map(|entry| entry.strip_prefix(&**prefix).map(str::to_owned))
                .collect(),
        };
        if found.len() > 1 {
            return Err(FindError::Twice(place.to_string()));
        }
        // An empty one is as good as none, as browsers send cookies that were
        // emptied.
        if let Some(text) = found.pop().filter(|text| !text.is_empty()) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// The entries of `Sec-WebSocket-Protocol` that are there for a credential. The
/// function must see none of them, whichever place the credential came from.
pub(crate) fn secret_subprotocols(request: &Request<'_>, lookup: &Lookup) -> Vec<String> {
    let is_secret = |entry: &String| {
        lookup.places().iter().any(|place| match place {
            Place::Subprotocol(prefix) => entry.starts_with(prefix),
            _ => false,
        })
    };
    let entries = subprotocols(request.headers).into_iter();
    entries.filter(is_secret).collect()
}

fn header(
    request: &Request<'_>,
    name: &str,
    prefix: &str,
    place: &Place,
) -> Result<Vec<String>, FindError> {
    let mut found = Vec::new();
    for value in request.headers.get_all(name) {
        let text = value
            .to_str()
            .map_err(|_| FindError::Text(place.to_string()))?;
        let (begin, rest) = match text.split_at_checked(prefix.len()) {
            Some((begin, rest)) if begin.eq_ignore_ascii_case(prefix) => (begin, rest),
            _ => continue,
        };
        // RFC 9110 section 11.4 allows several spaces after a scheme.
        let rest = if begin.ends_with(' ') {
            rest.trim()
        } else {
            rest
        };
        found.push(rest.to_owned());
    }
    Ok(found)
}

/// The values of all cookies of a name. Lines are read as bytes: a cookie of
/// another name that is not text must not hide the others.
fn cookies(headers: &HeaderMap, name: &str, place: &Place) -> Result<Vec<String>, FindError> {
    let mut found = Vec::new();
    for pair in cookie_pairs(headers) {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        if pair[..at].trim_ascii_end() == name.as_bytes() {
            let value = &pair[at + 1..];
            let bare = value.strip_prefix(b"\"");
            let value = bare.and_then(|it| it.strip_suffix(b"\"")).unwrap_or(value);
            let value = std::str::from_utf8(value);
            let value = value.map_err(|_| FindError::Text(place.to_string()))?;
            found.push(value.to_owned());
        }
    }
    Ok(found)
}

/// The cookies of all lines, as they were sent, without the spaces around them.
pub(crate) fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii)
}

/// The values of all keys of a name, decoded. A `+` is a plus: no credential has
/// spaces.
fn query(query: &str, name: &str, place: &Place) -> Result<Vec<String>, FindError> {
    let mut found = Vec::new();
    for (key, value) in pairs(query) {
        if decoded(key).as_deref() == Some(name) {
            let value = decoded(value).ok_or_else(|| FindError::Text(place.to_string()))?;
            found.push(value);
        }
    }
    Ok(found)
}

/// The keys and values of a query, as they were sent; an empty value where there
/// is none.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    split_pairs(query).map(|(key, value)| (key, value.unwrap_or_default()))
}

/// The same, with the difference between no value and an empty one.
pub(crate) fn split_pairs(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| match pair.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (pair, None),
    })
}

/// A text without its escapes; `None` if an escape is broken or the result is
/// not UTF-8.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
        if *byte == b'%' && !(digit(rest.next()) && digit(rest.next())) {
            return None;
        }
    }
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// The entries of all `Sec-WebSocket-Protocol`.
pub(crate) fn subprotocols(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let texts = lines.filter_map(|value| value.to_str().ok());
    let entries = texts.flat_map(|line| line.split(','));
    entries.map(|entry| entry.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn found(lookup: &str, query: &str, lines: &[(&str, &str)]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::try_from(*name).unwrap(), value);
        }
        let request = Request {
            method: "GET",
            host: None,
            path: "/",
            query: Some(query),
            headers: &headers,
            has_body: false,
        };
        let lookup = Lookup::parse(lookup).unwrap();
        find(&request, &lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn each_place_has_its_token() {
        let is = |lookup: &str, query: &str, lines: &[(&str, &str)], token: Option<&str>| {
            let expected = Ok(token.map(str::to_owned));
            assert_eq!(found(lookup, query, lines), expected, "{lookup}");
        };
        let bearer = "header:Authorization:Bearer ";
        is(
            bearer,
            "",
            &[("authorization", "Bearer a.b.c")],
            Some("a.b.c"),
        );
        is(
            bearer,
            "",
            &[("authorization", "bearer  a.b.c ")],
            Some("a.b.c"),
        );
        is(bearer, "", &[("authorization", "Basic a.b.c")], None);
        is(bearer, "", &[("authorization", "Bearer")], None);
        is(bearer, "", &[("authorization", "Bearer ")], None);
        is("header:x-token", "", &[("x-token", "a")], Some("a"));
        let cookies = [("cookie", "a=1; t=one"), ("cookie", "b=\"two\"; tt=3")];
        is("cookie:t", "", &cookies, Some("one"));
        is("cookie:b", "", &cookies, Some("two"));
        is("cookie:c", "", &cookies, None);
        is("query:t", "a=1&%74=x%2By&tt=3", &[], Some("x+y"));
        is("query:t", "t=a+b", &[], Some("a+b"));
        is("query:t", "t", &[], None);
        let bytes = [("cookie", "caf\u{e9}=\u{e9}; t=one")];
        is("cookie:t", "", &bytes, Some("one"));
        is("cookie:caf", "", &bytes, None);
        let offered = [("sec-websocket-protocol", "chat, bearer.a.b.c")];
        is("subprotocol:bearer.", "", &offered, Some("a.b.c"));
        is("subprotocol:Bearer.", "", &offered, None);
    }

    #[test]
    fn the_first_place_that_has_one_wins() {
        let lookup = "header:Authorization:Bearer ,cookie:t,query:t";
        let header = ("authorization", "Bearer one");
        let cookie = ("cookie", "t=two");
        let is = |lines: &[(&str, &str)], token: &str| {
            assert_eq!(found(lookup, "t=three", lines), Ok(Some(token.into())));
        };
        is(&[header, cookie], "one");
        is(&[cookie], "two");
        is(&[], "three");
    }

    #[test]
    fn two_in_one_place_are_refused() {
        let twice = |lookup: &str, query: &str, lines: &[(&str, &str)]| {
            let error = found(lookup, query, lines).unwrap_err();
            assert!(error.contains("more than once"), "{error}");
        };
        let header = ("authorization", "Bearer a");
        twice("header:authorization:Bearer ", "", &[header, header]);
        twice("cookie:t", "", &[("cookie", "t=a; t=b")]);
        twice("query:t", "t=a&%74=b", &[]);
        let offered = ("sec-websocket-protocol", "bearer.a, bearer.b");
        twice("subprotocol:bearer.", "", &[offered]);
        assert!(found("query:t", "t=%2", &[]).is_err());
        assert!(found("query:t", "t=%ff", &[]).is_err());
        assert!(found("header:x:", "", &[("x", "\u{e9}")]).is_err());
    }

    /// A site may have set a cookie in an old encoding before it had tokens.
    #[test]
    fn bytes_of_one_cookie_hide_no_other_one() {
        let found = |line: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_bytes(line).unwrap());
            let place = Place::Cookie("t".into());
            cookies(&headers, "t", &place).map_err(|error| error.to_string())
        };
        assert_eq!(found(b"a=caf\xe9; t=one; \xff"), Ok(vec!["one".into()]));
        assert_eq!(found(b"a=1; t\xff=one"), Ok(vec![]));
        assert_eq!(found(b"t=\xe9"), Err("`cookie:t` is not text".into()));
    }
}
