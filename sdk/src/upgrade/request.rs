//! The request that asks for a connection.

use std::borrow::Cow;

use crate::headers::Headers;
use crate::query;
use crate::raw::types;

/// A request to open a connection. The host has checked that it is a valid
/// WebSocket handshake.
///
/// The host makes one for a function; [`new`](Self::new) and the `with_`
/// methods are for tests of your own `upgrade`, which run without a host:
///
/// ```
/// use openline_sdk::UpgradeRequest;
///
/// let request = UpgradeRequest::new("/chat/lobby?nick=Ada+L%C3%B6we&nick=Bob&quiet")
///     .with_route_param("room", "lobby")
///     .with_header("Origin", "https://example.com")
///     .with_subprotocol("chat.v1");
///
/// assert_eq!(request.path(), "/chat/lobby");
/// assert_eq!(request.route_param("room"), Some("lobby"));
/// assert_eq!(request.query("nick").as_deref(), Some("Ada Löwe"));
/// assert_eq!(request.query("quiet").as_deref(), Some(""));
/// assert_eq!(request.query("colour"), None);
/// assert_eq!(request.header("origin"), Some("https://example.com"));
/// assert_eq!(request.subprotocols(), ["chat.v1"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeRequest {
    method: String,
    uri: String,
    headers: Headers,
    peer: String,
    subprotocols: Vec<String>,
    route_params: Vec<(String, String)>,
    tls: Option<TlsFacts>,
    claims: Option<String>,
}

/// What a TLS handshake has shown about the other end. Make one for tests with
/// `TlsFacts::default()` and its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFacts {
    /// The version of the protocol: `1.2` or `1.3`.
    pub version: String,
    /// The host name that the peer asked for (SNI), in lower case.
    pub server_name: Option<String>,
    /// The certificate that the peer has shown, where the host asks for one. It
    /// is valid, and an authority that the host's operator trusts has issued
    /// it.
    pub certificate: Option<PeerCertificate>,
}

/// The certificate of a peer. Names are distinguished names as RFC 4514 writes
/// them, of at most 1 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCertificate {
    /// Whom it is for.
    pub subject: String,
    /// The authority that has issued it.
    pub issuer: String,
    /// The serial number, in hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the certificate: 64 hexadecimal digits in lower case.
    pub fingerprint: String,
}

impl UpgradeRequest {
    /// Always `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path in its one spelling (without dot segments, doubled slashes and
    /// needless escapes), and the query as the peer sent it, percent-encoded.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The path in its one spelling, percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        query::path(&self.uri)
    }

    /// A value of the query, decoded: `+` is a space, `%41` is `A`. It is the
    /// first one if the key is repeated, and empty if the key has no value.
    /// Invalid percent-encoding stands for itself, and bytes that are not UTF-8
    /// become U+FFFD.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<Cow<'_, str>> {
        query::value(query::of(&self.uri), key)
    }

    /// The whole query, decoded, in the order in which it was sent.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(query::of(&self.uri))
    }

    /// The first header of this name, in any case, if its value is UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    /// All headers in the order in which they were sent, with names in lower
    /// case; then `openline-request-id`, by which the host's log names this
    /// request.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter()
    }

    /// Address and port of the peer. Behind a proxy that the host trusts it is
    /// the address that the proxy names, which may have no port.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The TLS handshake with the host; `None` for a request without TLS. Behind
    /// a proxy it is the proxy's: what its client has shown to the proxy is not
    /// in it.
    ///
    /// ```
    /// use openline_sdk::{Rejection, UpgradeRequest};
    ///
    /// fn name(request: &UpgradeRequest) -> Result<&str, Rejection> {
    ///     let certificate = request.tls().and_then(|tls| tls.certificate.as_ref());
    ///     let certificate = certificate.ok_or(Rejection::text(403, "show a certificate\n"))?;
    ///     Ok(&certificate.subject)
    /// }
    ///
    /// assert_eq!(name(&UpgradeRequest::new("/")).unwrap_err().status(), 403);
    /// ```
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// The claims of the peer's token, ticket or signature as a JSON object,
    /// which the host has verified; `None` where the trigger does not
    /// authenticate, or does not check this path.
    ///
    /// ```
    /// use openline_sdk::UpgradeRequest;
    ///
    /// let request = UpgradeRequest::new("/").with_claims(r#"{"sub": "ann"}"#);
    /// assert_eq!(request.claims(), Some(r#"{"sub": "ann"}"#));
    /// ```
    #[must_use]
    pub fn claims(&self) -> Option<&str> {
        self.claims.as_deref()
    }

    /// The subprotocols that the peer offers, the preferred one first.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// A parameter of the route, percent-decoded: the `room` of
    /// `/chat/{room}`.
    #[must_use]
    pub fn route_param(&self, name: &str) -> Option<&str> {
        self.route_params()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// All parameters of the route, in its order, percent-decoded.
    pub fn route_params(&self) -> impl Iterator<Item = (&str, &str)> {
        let params = self.route_params.iter();
        params.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

// === for tests of a function ===

impl UpgradeRequest {
    /// A request for this path and query, from `127.0.0.1:1`, and with nothing
    /// else.
    #[must_use]
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            method: "GET".to_owned(),
            uri: uri.into(),
            headers: Headers::default(),
            peer: "127.0.0.1:1".to_owned(),
            subprotocols: Vec::new(),
            route_params: Vec::new(),
            tls: None,
            claims: None,
        }
    }

    /// Adds a header; the name is converted to lower case, as the host does.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Adds an offered subprotocol, less preferred than those before it.
    #[must_use]
    pub fn with_subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.subprotocols.push(subprotocol.into());
        self
    }

    /// Adds a parameter of the route, decoded.
    #[must_use]
    pub fn with_route_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.route_params.push((name.into(), value.into()));
        self
    }

    /// Replaces the address of the peer.
    #[must_use]
    pub fn with_peer(mut self, peer: impl Into<String>) -> Self {
        self.peer = peer.into();
        self
    }

    /// Adds the facts of a TLS handshake.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsFacts) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds verified claims, a JSON object.
    #[must_use]
    pub fn with_claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = Some(claims.into());
        self
    }
}

impl From<types::UpgradeRequest> for UpgradeRequest {
    fn from(request: types::UpgradeRequest) -> Self {
        Self {
            method: request.method,
            uri: request.uri,
            headers: request.headers.into(),
            peer: request.peer,
            subprotocols: request.subprotocols,
            route_params: request.route_params,
            tls: request.tls.map(Into::into),
            claims: request.claims,
        }
    }
}

impl From<types::TlsFacts> for TlsFacts {
    fn from(facts: types::TlsFacts) -> Self {
        Self {
            version: facts.version,
            server_name: facts.server_name,
            certificate: facts.certificate.map(|certificate| PeerCertificate {
                subject: certificate.subject,
                issuer: certificate.issuer,
                serial: certificate.serial,
                fingerprint: certificate.fingerprint,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_has_its_first_value() {
        let request = UpgradeRequest::new("/?a=1&a=2&%61=3");
        assert_eq!(request.query("a").as_deref(), Some("1"));
        assert_eq!(request.query_pairs().count(), 3);
    }

    #[test]
    fn an_absent_route_parameter_is_none() {
        let request = UpgradeRequest::new("/").with_route_param("room", "");
        assert_eq!(request.route_param("room"), Some(""));
        assert_eq!(request.route_param("Room"), None);
    }
}
