//! Decides who may use the admin interface.
//!
//! With a token, only requests that bear it are answered. Without one, only
//! peers on this machine that address it by a loopback name, and no web page
//! but the host's own. A browser on this machine may send requests for pages of
//! other sites: such a request names another host or another origin, or says
//! that it crosses sites.

use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, Uri};
use openline_admission::peer::Peer;
use sha2::{Digest as _, Sha256};

use crate::page;
use crate::problem::Problem;

/// Sent by browsers with every request to this machine
/// (<https://www.w3.org/TR/fetch-metadata/>).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The purpose of a request, which decides who may make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A file of the page. It is the same on all hosts, a browser cannot send a
    /// token with the request, and other pages may link to it.
    Page,
    /// Everything else.
    Interface,
}

/// The token that requests must bear; only its digest is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Compares in constant time, so that the time does not reveal which part
    /// is wrong.
    fn is(&self, other: &[u8]) -> bool {
        let other: [u8; 32] = Sha256::digest(other).into();
        let pairs = self.0.iter().zip(other);
        pairs.fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
    }
}

/// The token that a request had to bear, if it had to bear one. What it opened
/// ends when the host has another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LetIn(Option<Token>);

impl LetIn {
    /// By the token of the configuration, if there is one.
    pub(crate) fn by(token: Option<&str>) -> Self {
        Self(token.map(Token::new))
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.0.as_ref()
    }
}

/// Checks that a request may be answered.
pub(crate) fn check(
    token: Option<&Token>,
    uri: &Uri,
    headers: &HeaderMap,
    peer: &Peer,
    scope: Scope,
) -> Result<(), Problem> {
    match token {
        Some(_) if scope == Scope::Page => Ok(()),
        Some(token) => check_token(token, headers),
        None => check_place(uri, headers, peer, scope),
    }
}

fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        let problem = Problem::new(
            401,
            "no_token",
            "this host's admin interface needs its token",
        )
        .hint("send `Authorization: Bearer TOKEN`, with the host's `admin_token`");
        let challenge = HeaderValue::from_static("Bearer realm=\"openline\"");
        return Err(problem.header(WWW_AUTHENTICATE, challenge));
    };
    // RFC 9110 section 11.1: the scheme's case does not matter.
    let value = value.as_bytes();
    let borne = value
        .split_at_checked(7)
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    if borne.is_some_and(|(_, borne)| token.is(borne.trim_ascii())) {
        return Ok(());
    }
    let problem = Problem::new(401, "wrong_token", "this is not the token of this host")
        .hint("look for `admin_token` in the host's configuration");
    let challenge = "Bearer realm=\"openline\", error=\"invalid_token\"";
    Err(problem.header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
}

fn check_place(uri: &Uri, headers: &HeaderMap, peer: &Peer, scope: Scope) -> Result<(), Problem> {
    let denied = |message: &str| {
        Problem::new(403, "denied", message)
            .hint("give the host an `admin_token` to reach it from elsewhere")
    };
    if !peer.is_loopback() {
        return Err(denied("without a token only this machine may ask"));
    }
    if !page::names_loopback(uri, headers) {
        return Err(denied(
            "without a token it must be addressed as `localhost` or 127.0.0.1, and not by a proxy",
        ));
    }
    if scope == Scope::Interface && !is_own(headers, peer.tls().is_some()) {
        return Err(denied("a page of another origin may not ask"));
    }
    Ok(())
}

/// Whether a request comes from the host's own page, or from no page at all.
/// With TLS the page is at `https`, and without at `http`.
fn is_own(headers: &HeaderMap, has_tls: bool) -> bool {
    let scheme: &[u8] = if has_tls { b"https://" } else { b"http://" };
    let mut sites = headers.get_all(FETCH_SITE).iter();
    let crossing = sites.any(|site| site != "same-origin" && site != "none");
    let host = headers.get(HOST).map_or(&[][..], HeaderValue::as_bytes);
    let mut origins = headers.get_all(ORIGIN).iter();
    let foreign = origins.any(|origin| {
        let named = origin.as_bytes().strip_prefix(scheme);
        !named.is_some_and(|named| named.eq_ignore_ascii_case(host))
    });
    !crossing && !foreign
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use openline_admission::peer::{TlsFacts, TlsVersion};

    use super::*;

    const HERE: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50_000);

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn ask(token: Option<&str>, pairs: &[(&str, &str)], scope: Scope) -> u16 {
        let token = token.map(Token::new);
        let (uri, headers) = (Uri::from_static("/"), headers(pairs));
        match check(token.as_ref(), &uri, &headers, &Peer::at(HERE), scope) {
            Ok(()) => 200,
            Err(problem) => problem.status(),
        }
    }

    #[test]
    fn a_token_is_compared_as_a_whole() {
        let token = Some("0123456789abcdef");
        let bearing = |value: &str| ask(token, &[("authorization", value)], Scope::Interface);
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert_eq!(bearing(right), 200, "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789ABCDEF",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert_eq!(bearing(wrong), 401, "{wrong}");
        }
        assert_eq!(ask(token, &[], Scope::Interface), 401);
        // A token is enough from anywhere; the page's files need none.
        let elsewhere = [
            ("authorization", "Bearer 0123456789abcdef"),
            ("host", "host.example"),
            ("x-forwarded-for", "10.0.0.1"),
        ];
        assert_eq!(ask(token, &elsewhere, Scope::Interface), 200);
        assert_eq!(ask(token, &[], Scope::Page), 200);
    }

    #[test]
    fn without_a_token_only_this_machine_by_its_own_names() {
        let named = |host: &str| ask(None, &[("host", host)], Scope::Interface);
        assert_eq!(named("localhost:8081"), 200);
        assert_eq!(named("evil.example:8081"), 403);
        let proxied = [("host", "localhost"), ("x-forwarded-for", "10.0.0.1")];
        assert_eq!(ask(None, &proxied, Scope::Interface), 403);
        let elsewhere = Peer::at("10.0.0.1:5".parse().unwrap());
        let localhost = headers(&[("host", "localhost")]);
        assert!(
            check(
                None,
                &Uri::from_static("/"),
                &localhost,
                &elsewhere,
                Scope::Page
            )
            .is_err()
        );
        let mapped = Peer::at("[::ffff:127.0.0.1]:5".parse().unwrap());
        assert!(
            check(
                None,
                &Uri::from_static("/"),
                &localhost,
                &mapped,
                Scope::Interface
            )
            .is_ok()
        );
    }

    #[test]
    fn without_a_token_no_page_of_another_origin() {
        let from = |origin: &str| {
            let pairs = [("host", "localhost:8081"), ("origin", origin)];
            ask(None, &pairs, Scope::Interface)
        };
        assert_eq!(from("http://localhost:8081"), 200);
        let secure = TlsFacts {
            version: TlsVersion::Tls13,
            server_name: None,
            client: None,
        };
        let secure = Peer::at(HERE).with_tls(Some(Arc::new(secure)));
        for (origin, is_own) in [
            ("https://localhost:8081", true),
            ("http://localhost:8081", false),
        ] {
            let headers = headers(&[("host", "localhost:8081"), ("origin", origin)]);
            let uri = Uri::from_static("/");
            let checked = check(None, &uri, &headers, &secure, Scope::Interface);
            assert_eq!(checked.is_ok(), is_own, "{origin}");
        }
        for foreign in [
            "null",
            "",
            "http://localhost",
            "http://localhost:8080",
            "http://127.0.0.1:8081",
            "https://localhost:8081",
            "http://evil.example",
            "http://localhost:8081.evil.example",
        ] {
            assert_eq!(from(foreign), 403, "{foreign}");
        }
        let two = [
            ("host", "localhost"),
            ("origin", "http://localhost"),
            ("origin", "http://evil.example"),
        ];
        assert_eq!(ask(None, &two, Scope::Interface), 403);
        // Requests of scripts and images on other sites, which name no origin.
        for (site, status) in [
            ("same-origin", 200),
            ("none", 200),
            ("same-site", 403),
            ("cross-site", 403),
        ] {
            let pairs = [("host", "localhost"), ("sec-fetch-site", site)];
            assert_eq!(ask(None, &pairs, Scope::Interface), status, "{site}");
            // A link leads to the page from anywhere.
            assert_eq!(ask(None, &pairs, Scope::Page), 200, "{site}");
        }
    }
}
