//! Between the types of the crate `http` and those of wasi:http: one module for
//! each version, and what both share.

pub(crate) mod wasi_0_2;
pub(crate) mod wasi_0_3;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use super::{Error, ErrorCode};

/// The parts of a URI, as wasi:http has them.
pub(crate) struct Target {
    scheme: Option<String>,
    authority: Option<String>,
    path_and_query: Option<String>,
}

impl Target {
    /// The parts of a URI to which a request is sent.
    fn of(uri: &Uri) -> Result<Self, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            let text = format!("`{uri}` names no host: a call out needs `http://host/path`");
            return Err(Error::Invalid(text));
        };
        Ok(Self {
            scheme: Some(scheme.to_owned()),
            authority: Some(authority.to_string()),
            path_and_query: uri.path_and_query().map(ToString::to_string),
        })
    }

    /// The URI of a request that has come in. Without an authority it is only a path.
    fn uri(self) -> Result<Uri, Error> {
        let invalid =
            |what: &str| Error::Invalid(format!("the {what} of the request is not valid"));
        let path = self.path_and_query.filter(|path| !path.is_empty());
        let path = path.map_or(Ok(PathAndQuery::from_static("/")), PathAndQuery::try_from);
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path.map_err(|_| invalid("path"))?);
        if let (Some(scheme), Some(authority)) = (self.scheme, self.authority) {
            let scheme = Scheme::try_from(scheme.as_str()).map_err(|_| invalid("scheme"))?;
            let authority = Authority::try_from(authority).map_err(|_| invalid("authority"))?;
            parts.scheme = Some(scheme);
            parts.authority = Some(authority);
        }
        Uri::from_parts(parts).map_err(|_| invalid("URI"))
    }
}

/// Headers or trailers as the crate `http` has them. The host has checked them.
fn headers(entries: Vec<(String, Vec<u8>)>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(entries.len());
    for (name, value) in entries {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// The same as wasi:http has them.
fn entries(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let entries = headers.iter();
    entries
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// What the header says.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// Says the length of a body that is known, unless the function has said one. A held
/// answer goes on behind its body.
fn set_length(headers: &mut HeaderMap, status: StatusCode, length: Option<u64>) {
    let has_none = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || headers.contains_key("openline-hold");
    if let (Some(length), false) = (length, has_none) {
        let entry = headers.entry(header::CONTENT_LENGTH);
        entry.or_insert_with(|| HeaderValue::from(length));
    }
}

/// A method without a name of its own in wasi:http.
fn other_method(text: &str) -> Result<Method, Error> {
    let invalid = |_| Error::Invalid(format!("`{text}` is not a method"));
    Method::from_bytes(text.as_bytes()).map_err(invalid)
}

fn status(code: u16) -> Result<StatusCode, Error> {
    StatusCode::from_u16(code).map_err(|_| Error::Failed(ErrorCode::HttpProtocolError))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(status: u16, body: Option<u64>, given: &[(&'static str, &str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.insert(*name, value.parse().unwrap());
        }
        set_length(&mut headers, self::status(status).unwrap(), body);
        declared_length(&headers)
    }

    #[test]
    fn a_length_is_said_where_it_is_known_and_means_something() {
        assert_eq!(length(200, Some(3), &[]), Some(3));
        assert_eq!(length(200, Some(0), &[]), Some(0));
        assert_eq!(length(200, None, &[]), None);
        assert_eq!(length(200, Some(3), &[("content-length", "5")]), Some(5));
        assert_eq!(length(200, Some(3), &[("openline-hold", "stream")]), None);
        for status in [100, 204, 304] {
            assert_eq!(length(status, Some(0), &[]), None, "{status}");
        }
        assert_eq!(length(200, None, &[("content-length", "many")]), None);
    }

    #[test]
    fn a_target_has_all_parts_or_only_a_path() {
        let uri: Uri = "https://example.com:8443/a?b=c".parse().unwrap();
        assert_eq!(Target::of(&uri).unwrap().uri().unwrap(), uri);
        let text = |text: &str| Some(text.to_owned());
        let path = |path_and_query| Target {
            scheme: text("http"),
            authority: None,
            path_and_query,
        };
        assert_eq!(path(text("/a?b")).uri().unwrap(), "/a?b");
        assert_eq!(path(text("")).uri().unwrap(), "/");
        assert_eq!(path(None).uri().unwrap(), "/");
        assert!(path(text("/a b")).uri().is_err());
        for relative in ["/a", "example.com"] {
            assert!(Target::of(&relative.parse().unwrap()).is_err());
        }
    }

    #[test]
    fn headers_keep_their_repetitions_and_bytes() {
        let mut map = HeaderMap::new();
        map.append("x-a", HeaderValue::from_static("1"));
        map.append("x-b", HeaderValue::from_bytes(b"\xff").unwrap());
        map.append("x-a", HeaderValue::from_static("2"));
        assert_eq!(headers(entries(&map)), map);
        assert!(other_method("BREW").is_ok());
        assert!(other_method("a b").is_err());
        assert!(status(99).is_err());
    }
}
