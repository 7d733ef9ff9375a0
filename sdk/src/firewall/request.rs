//! The request that a firewall function decides about.

use std::borrow::Cow;

use crate::headers::Headers;
use crate::query;
use crate::raw::firewall;
use crate::upgrade::TlsFacts;

/// A request before any function is asked about it. It need not be a WebSocket
/// handshake: the host checks that later.
///
/// The host makes one for a function; [`new`](Self::new) and the `with_` methods
/// are for tests of your own `inspect`, which run without a host:
///
/// ```
/// use openline_sdk::firewall::Request;
///
/// let request = Request::new("/chat/lobby?nick=Ada+L%C3%B6we")
///     .with_header("User-Agent", "bot")
///     .with_peer("192.0.2.7", Some(4711))
///     .with_target("chat", "chat-room");
///
/// assert_eq!(request.path(), "/chat/lobby");
/// assert_eq!(request.query("nick").as_deref(), Some("Ada Löwe"));
/// assert_eq!(request.header("user-agent").as_deref(), Some("bot"));
/// assert_eq!(request.peer_address(), "192.0.2.7");
/// assert_eq!(request.target().unwrap().function, "chat");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: String,
    scheme: String,
    host: Option<String>,
    path: String,
    query: Option<String>,
    headers: Headers,
    peer_address: String,
    peer_port: Option<u16>,
    tls: Option<TlsFacts>,
    id: String,
    target: Option<Target>,
    claims: Option<String>,
}

/// The trigger that takes a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The name of its function.
    pub function: String,
    /// The name of the trigger.
    pub trigger: String,
}

impl Request {
    /// The method; `GET` where HTTP/2 carries a handshake as `CONNECT`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// `http` or `https`: how the peer reaches the host.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host without its port, in lower case, if the request names one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The path in its one spelling (without dot segments, doubled slashes and
    /// needless escapes), percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as the peer sent it, percent-encoded, without `?`.
    #[must_use]
    pub fn query_text(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The first value of a key of the query, decoded, with the rules of
    /// [`UpgradeRequest::query`](crate::UpgradeRequest::query). The peer may send
    /// the key again: look at all [pairs](Self::query_pairs) before you allow
    /// something by it.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<Cow<'_, str>> {
        query::value(self.query.as_deref()?, key)
    }

    /// The whole query, decoded, in the order in which it was sent.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(self.query.as_deref().unwrap_or_default())
    }

    /// The headers of this name, in any case, as one value, as rules of a firewall
    /// read it: lines are joined by `, `, those of `cookie` by `; `, and bytes that
    /// are not UTF-8 become U+FFFD. So no second line hides behind the first.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.joined(name)
    }

    /// All headers in the order in which they were sent, with names in lower
    /// case. Rules and firewall functions that ran before have made their
    /// changes.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter()
    }

    /// The IP address of the peer; `parse` makes a [`std::net::IpAddr`] of it.
    /// Behind a proxy that the host trusts it is the address that the proxy
    /// names.
    #[must_use]
    pub fn peer_address(&self) -> &str {
        &self.peer_address
    }

    /// The port of the peer, if it is known.
    #[must_use]
    pub fn peer_port(&self) -> Option<u16> {
        self.peer_port
    }

    /// The TLS handshake with the host; `None` for a request without TLS. Behind
    /// a proxy it is the proxy's.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// The id by which the host's log names this request.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the request leads; `None` if no trigger takes it.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The claims of the peer's token, ticket or signature as a JSON object,
    /// which the host has verified. `None` if the host has not authenticated the
    /// peer yet: it does so before the first rule that is about claims.
    #[must_use]
    pub fn claims(&self) -> Option<&str> {
        self.claims.as_deref()
    }
}

// === for tests of a function ===

impl Request {
    /// A GET request for this path and query, from `127.0.0.1`, and with nothing
    /// else.
    #[must_use]
    pub fn new(uri: &str) -> Self {
        let (path, query) = match uri.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (uri, None),
        };
        Self {
            method: "GET".to_owned(),
            scheme: "http".to_owned(),
            host: None,
            path: path.to_owned(),
            query,
            headers: Headers::default(),
            peer_address: "127.0.0.1".to_owned(),
            peer_port: Some(1),
            tls: None,
            id: String::new(),
            target: None,
            claims: None,
        }
    }

    /// Replaces the method.
    #[must_use]
    pub fn with_method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// Replaces the host.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Adds a header; the name is converted to lower case, as the host does.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Replaces the address and the port of the peer.
    #[must_use]
    pub fn with_peer(mut self, address: impl Into<String>, port: Option<u16>) -> Self {
        self.peer_address = address.into();
        self.peer_port = port;
        self
    }

    /// Adds the facts of a TLS handshake, with the scheme `https`.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsFacts) -> Self {
        self.scheme = "https".to_owned();
        self.tls = Some(tls);
        self
    }

    /// Adds the trigger that takes the request.
    #[must_use]
    pub fn with_target(mut self, function: impl Into<String>, trigger: impl Into<String>) -> Self {
        self.target = Some(Target {
            function: function.into(),
            trigger: trigger.into(),
        });
        self
    }

    /// Adds verified claims, a JSON object.
    #[must_use]
    pub fn with_claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = Some(claims.into());
        self
    }
}

impl From<firewall::Request> for Request {
    fn from(request: firewall::Request) -> Self {
        Self {
            method: request.method,
            scheme: request.scheme,
            host: request.host,
            path: request.path,
            query: request.query,
            headers: request.headers.into(),
            peer_address: request.peer_address,
            peer_port: request.peer_port,
            tls: request.tls.map(Into::into),
            id: request.id,
            target: request.target.map(|target| Target {
                function: target.function,
                trigger: target.trigger,
            }),
            claims: request.claims,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_what_follows_the_first_question_mark() {
        let request = Request::new("/a?b=1&b=2&c?=%41");
        assert_eq!(request.path(), "/a");
        assert_eq!(request.query_text(), Some("b=1&b=2&c?=%41"));
        assert_eq!(request.query("b").as_deref(), Some("1"));
        assert_eq!(request.query("c?").as_deref(), Some("A"));
        let none = Request::new("/a");
        assert_eq!((none.query_text(), none.query_pairs().count()), (None, 0));
    }

    #[test]
    fn tls_is_https() {
        let request = Request::new("/").with_tls(TlsFacts::default());
        assert_eq!((request.scheme(), request.tls().is_some()), ("https", true));
        assert_eq!(Request::new("/").scheme(), "http");
    }
}
