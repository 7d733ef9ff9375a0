//! What the host says about a request.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, Request, Uri};

use super::json;
use crate::query;
use crate::upgrade::{PeerCertificate, TlsFacts};

/// Reads what the host has added to a request. The host refuses requests of peers
/// that have such headers themselves (`openline-…`), so these can be believed.
///
/// ```
/// use openline_sdk::http::{Request, RequestExt};
///
/// let request = Request::get("/chat/a%20b?nick=Ada+L%C3%B6we")
///     .header("openline-route-params", "room=a%20b")
///     .header("openline-peer", "127.0.0.1:4711")
///     .body(())?;
/// assert_eq!(request.route_param("room").as_deref(), Some("a b"));
/// assert_eq!(request.query("nick").as_deref(), Some("Ada Löwe"));
/// assert_eq!(request.peer(), "127.0.0.1:4711");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait RequestExt: Head {
    /// Address and port of the peer. Behind a proxy that the host trusts it is the
    /// address that the proxy names, which may have no port. Empty without a host, as
    /// in tests.
    fn peer(&self) -> &str {
        header(self.head(), "openline-peer").unwrap_or_default()
    }

    /// By which the host's log names this request. Empty without a host.
    fn request_id(&self) -> &str {
        header(self.head(), "openline-request-id").unwrap_or_default()
    }

    /// A parameter of the route, decoded: the `room` of `/chat/{room}`.
    fn route_param(&self, name: &str) -> Option<Cow<'_, str>> {
        query::value(route_params(self.head()), name)
    }

    /// All parameters of the route, in its order, decoded.
    fn route_params(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(route_params(self.head()))
    }

    /// A value of the query, decoded, as
    /// [`UpgradeRequest::query`](crate::UpgradeRequest::query).
    fn query(&self, key: &str) -> Option<Cow<'_, str>> {
        query::value(self.head().0.query().unwrap_or_default(), key)
    }

    /// The whole query, decoded, in the order in which it was sent.
    fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(self.head().0.query().unwrap_or_default())
    }

    /// The claims of the peer's token, ticket or signature as a JSON object in ASCII,
    /// which the host has verified; none where the trigger does not authenticate, or
    /// does not check this path.
    fn claims(&self) -> Option<&str> {
        header(self.head(), "openline-claims")
    }

    /// The TLS handshake with the host; none for a request without TLS. Behind a proxy
    /// it is the proxy's.
    fn tls(&self) -> Option<TlsFacts> {
        let facts = json::parse(header(self.head(), "openline-tls")?)?;
        let certificate = facts.get("certificate");
        let certificate = certificate.filter(|value| matches!(value, json::Value::Object(_)));
        Some(TlsFacts {
            version: facts.text("version").unwrap_or_default(),
            server_name: facts.text("server_name"),
            certificate: certificate.map(|certificate| PeerCertificate {
                subject: certificate.text("subject").unwrap_or_default(),
                issuer: certificate.text("issuer").unwrap_or_default(),
                serial: certificate.text("serial").unwrap_or_default(),
                fingerprint: certificate.text("fingerprint").unwrap_or_default(),
            }),
        })
    }
}

impl<R: Head> RequestExt for R {}

/// Requests, and their heads without a body.
pub trait Head {
    /// The URI and the headers.
    #[doc(hidden)]
    fn head(&self) -> (&Uri, &HeaderMap);
}

impl<B> Head for Request<B> {
    fn head(&self) -> (&Uri, &HeaderMap) {
        (self.uri(), self.headers())
    }
}

impl Head for Parts {
    fn head(&self) -> (&Uri, &HeaderMap) {
        (&self.uri, &self.headers)
    }
}

fn header<'a>((_, headers): (&'a Uri, &'a HeaderMap), name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn route_params<'a>(head: (&'a Uri, &'a HeaderMap)) -> &'a str {
    header(head, "openline-route-params").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_host_has_nothing_of_it() {
        let request = Request::get("/").body(()).unwrap();
        assert_eq!(request.peer(), "");
        assert_eq!(request.request_id(), "");
        assert_eq!(request.route_param("room"), None);
        assert_eq!(request.route_params().count(), 0);
        assert_eq!(request.claims(), None);
        assert_eq!(request.tls(), None);
        assert_eq!(request.query("a"), None);
    }

    #[test]
    fn what_the_host_says_is_read_from_a_request_and_from_its_head() {
        let request = Request::get("https://example.com/a?x=1&x=2")
            .header("openline-request-id", "r1")
            .header("openline-claims", r#"{"sub":"ann"}"#)
            .header("openline-route-params", "room=%C3%A4&x=1+2")
            .body(())
            .unwrap();
        assert_eq!(request.request_id(), "r1");
        assert_eq!(request.claims(), Some(r#"{"sub":"ann"}"#));
        let (head, ()) = request.into_parts();
        assert_eq!(head.route_param("room").as_deref(), Some("ä"));
        let params: Vec<_> = head.route_params().collect();
        assert_eq!(params[1], (Cow::from("x"), Cow::from("1 2")));
        assert_eq!(head.query("x").as_deref(), Some("1"));
        assert_eq!(head.query_pairs().count(), 2);
    }

    #[test]
    fn the_facts_of_tls_are_read() {
        let facts = r#"{"version":"1.3","server_name":null,"certificate":{"subject":"CN=\u00e4",
            "issuer":"CN=authority","serial":"0a","fingerprint":"ff"}}"#;
        let facts = facts.replace('\n', "");
        let request = Request::get("/").header("openline-tls", facts);
        let tls = request.body(()).unwrap().tls().unwrap();
        assert_eq!((tls.version.as_str(), tls.server_name), ("1.3", None));
        let certificate = tls.certificate.unwrap();
        assert_eq!(certificate.subject, "CN=ä");
        assert_eq!(certificate.fingerprint, "ff");
        let facts = r#"{"version":"1.2","server_name":"a.example","certificate":null}"#;
        let request = Request::get("/").header("openline-tls", facts);
        let tls = request.body(()).unwrap().tls().unwrap();
        assert_eq!(tls.server_name.as_deref(), Some("a.example"));
        assert_eq!(tls.certificate, None);
    }
}
