//! Between the types of the crate `http` and those of wasi:http: one module for
//! each version, and what both share.

pub(crate) mod asynchronous;
pub(crate) mod plain;

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

/// Says the length of a body that is known, unless the function has said one.
fn set_length(headers: &mut HeaderMap, status: StatusCode, length: Option<u64>) {
    let has_none = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
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
