//! A request that a firewall function decides about, and its answer.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::Headers;
use crate::tls::TlsFacts;
use crate::trigger::TriggerPlace;

/// A request before any function is asked about it. It need not be a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The method; `GET` for a handshake over HTTP/2.
    pub method: String,
    /// `http` or `https`: how the peer reaches the host.
    pub scheme: String,
    /// The host without its port, in lower case, if the request names one.
    pub host: Option<String>,
    /// The path in its one spelling.
    pub path: String,
    /// The query as sent, without `?`.
    pub query: Option<String>,
    /// All headers, with the changes of the rules before this one.
    pub headers: Headers,
    /// The address of the peer. An IPv4-mapped IPv6 address is the IPv4
    /// address.
    pub peer: IpAddr,
    /// The peer's port, if it is known.
    pub peer_port: Option<u16>,
    /// What the peer's TLS handshake with this host has shown.
    pub tls: Option<Arc<TlsFacts>>,
    /// The id by which the log names the request.
    pub id: String,
    /// The trigger that takes it; none if no trigger does.
    pub target: Option<TriggerPlace>,
    /// The verified claims of the peer, as a JSON object.
    pub claims: Option<String>,
}

/// What a firewall function has answered. Nothing in it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rest of the firewall decides; these are headers for the function that
    /// takes the request.
    Allow(Headers),
    /// The request is refused with this answer.
    Deny(Answered),
    /// The request gets no answer.
    Drop,
    /// The request gets this answer.
    Respond(Answered),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: Option<String>,
    /// The body, which may be empty.
    pub body: Bytes,
}
