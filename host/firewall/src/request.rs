//! The facts of a request, as the rules see it. All are borrowed.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

/// A request after it has got its one spelling. Everything is borrowed, so
/// that evaluating rules copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The address of the peer. An IPv4-mapped IPv6 address is the IPv4
    /// address.
    pub peer: IpAddr,
    /// Whether the address is that of a hop which has not said for whom it
    /// speaks. Then the address is no value: it is in no network and in no
    /// list. Rates count the hop.
    pub peer_is_unnamed: bool,
    /// The peer's port, if it is known.
    pub peer_port: Option<u16>,
    /// The method, which is case-sensitive.
    pub method: &'a str,
    /// `http` or `https`: how peers reach the host.
    pub scheme: &'a str,
    /// The host without its port, in lower case, if the request names one.
    pub host: Option<&'a str>,
    /// The path in its one spelling.
    pub path: &'a str,
    /// The query as it was sent, without `?`.
    pub query: Option<&'a str>,
    /// The headers, by their [one name](one_names).
    pub headers: &'a HeaderMap,
    /// The TLS handshake with this host, if there was one.
    pub tls: Option<Tls<'a>>,
    /// The claims of the peer's token.
    pub claims: Claims<'a>,
}

/// A name of a header in the spelling in which rules compare it: many servers and
/// libraries read `_` and `.` as `-`, so that `X_User` reaches code that asks for
/// `X-User`.
pub fn one_name(name: &HeaderName) -> Cow<'_, HeaderName> {
    let has_other = |it: &str| it.bytes().any(|byte| matches!(byte, b'_' | b'.'));
    if !has_other(name.as_str()) {
        return Cow::Borrowed(name);
    }
    let spelled = name.as_str().replace(['_', '.'], "-");
    let spelled = HeaderName::try_from(spelled);
    spelled.map_or(Cow::Borrowed(name), Cow::Owned)
}

/// The headers of a request as rules see them, each under its one name. `None` if
/// they are so already.
pub fn one_names(headers: &HeaderMap) -> Option<HeaderMap> {
    let is_one = |name: &HeaderName| matches!(one_name(name), Cow::Borrowed(_));
    if headers.keys().all(is_one) {
        return None;
    }
    let mut renamed = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        renamed.append(one_name(name).into_owned(), value.clone());
    }
    Some(renamed)
}

/// The facts of a TLS handshake.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// `TLSv1.2` or `TLSv1.3`, as nginx writes it.
    pub protocol: &'a str,
    /// The host name that the client asked for, in lower case.
    pub server_name: Option<&'a str>,
    /// What the check of the client's certificate found.
    pub verification: Verification,
    /// The client's certificate, if it has shown one.
    pub client: Option<Certificate<'a>>,
}

/// The result of checking a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It was issued by a configured authority and is valid.
    Success,
    /// The client has shown none.
    Missing,
    /// It is not valid.
    Failed,
}

/// A client's certificate.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// The subject's distinguished name, as RFC 4514 writes it.
    pub subject: &'a str,
    /// The issuer's.
    pub issuer: &'a str,
    /// The serial number, in hexadecimal digits.
    pub serial: &'a str,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: &'a str,
}

/// What is known of the claims of a peer's token.
#[derive(Clone, Copy, Debug)]
pub enum Claims<'a> {
    /// No token was checked yet. A rule that needs a claim has to wait.
    Pending,
    /// The peer has no token, or its trigger checks none.
    Absent,
    /// The verified claims.
    Verified(&'a Map<String, Value>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_one_in_every_spelling_of_its_name() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-user", "a"),
            ("x_user", "b"),
            ("x.user", "c"),
            ("x-us", "d"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let seen = one_names(&headers).unwrap();
        let values: Vec<_> = seen.get_all("x-user").iter().collect();
        assert_eq!(values, ["a", "b", "c"]);
        assert_eq!(one_names(&seen), None);
    }
}
