//! Why a request is refused before a function is asked. The gateway makes the
//! response for each refusal.

use openline_core::limits::REQUEST_HEADERS_MAX;
use openline_core::path::PathError;
use openline_core::route::DecodeError;
use openline_core::trigger::Methods;

use crate::firewall::Stopped;
use crate::ledger::Reached;

/// Why a request may not ask a function. Peers read these sentences, so they
/// reveal nothing about the host that a peer need not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `Connection` lists a header that is meant for the receiver.
    #[error("`Connection` lists a header that is not about this connection")]
    Connection,
    /// The request has no host that everybody would agree on.
    #[error("`Host` does not say which host: {0}")]
    Host(&'static str),
    /// Its target is for another protocol.
    #[error("the request's target is not one of `http` or `https`")]
    Scheme,
    /// Its body is coded in a way that this host does not undo.
    #[error("`Transfer-Encoding` may only be `chunked`")]
    Coding,
    /// The request has no path that everybody would agree on.
    #[error("{0}")]
    Spelling(PathError),
    /// No trigger matches.
    #[error("no function on this path")]
    NotFound,
    /// Triggers match, but take only these methods.
    #[error("this path allows only {0}")]
    Method(Methods),
    /// A rule of a firewall has ended it.
    #[error(transparent)]
    Firewall(Stopped),
    /// The trigger is not for peers on the internet.
    #[error("this function is not reachable from the internet")]
    Internet,
    /// Path and query are longer than this many bytes (`request_uri_bytes`).
    #[error("path and query are longer than {0} bytes")]
    UriTooLong(usize),
    /// The headers are larger than this many bytes (`request_header_bytes`).
    #[error("headers are larger than {0} bytes")]
    HeadersTooLarge(usize),
    /// More than [`REQUEST_HEADERS_MAX`].
    #[error("there are more than {REQUEST_HEADERS_MAX} headers")]
    TooManyHeaders,
    /// A page of another site asks.
    #[error("pages of this origin may not open connections here")]
    Origin,
    /// A preflight of a page of another site that may not read.
    #[error("pages of this origin may not ask here")]
    CrossOrigin,
    /// The trigger wants an origin.
    #[error("a request for this function names its `Origin`")]
    NoOrigin,
    /// A header that only the host may set.
    #[error("headers that start with `openline-` belong to the host")]
    ReservedHeader,
    /// A route parameter that cannot be decoded.
    #[error("{0}")]
    Parameter(DecodeError),
    /// A limit of the function.
    #[error("the function has {}: try again later", .0.words())]
    Reached(Reached),
    /// A limit of the host.
    #[error("the host has {}: try again later", .0.words())]
    HostReached(Reached),
    /// The host is about to end.
    #[error("the host is shutting down: try again")]
    Draining,
}

impl Reached {
    fn words(self) -> &'static str {
        match self {
            Self::Connections => "as many connections as it may have",
            Self::PeerConnections => "as many connections of this peer as it may have",
            Self::PeerHandshakes => "been asked for connections too often by this peer",
        }
    }
}

impl Refusal {
    /// The stable word, for `openline-error-type` and for counting.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connection => "bad_connection",
            Self::Host(_) | Self::Scheme => "bad_host",
            Self::Coding => "transfer_encoding",
            Self::Spelling(_) | Self::Parameter(_) => "bad_path",
            Self::NotFound => "not_found",
            Self::Method(_) => "method_not_allowed",
            Self::Firewall(stopped) => match stopped {
                Stopped::Deny(_) => "firewall_denied",
                Stopped::Drop => "firewall_dropped",
                Stopped::Limit(_) => "firewall_rate_limit",
                Stopped::Respond(_) => "firewall_answered",
                Stopped::Repeated => "firewall_repeated",
                Stopped::Work => "firewall_work",
                Stopped::Failed(_) => "firewall_failed",
            },
            Self::Internet => "internet_disabled",
            Self::Origin | Self::CrossOrigin | Self::NoOrigin => "origin_refused",
            Self::UriTooLong(_) => "request_uri_bytes",
            Self::HeadersTooLarge(_) => "request_header_bytes",
            Self::TooManyHeaders => "request_headers",
            Self::ReservedHeader => "reserved_header",
            Self::Reached(Reached::Connections) => "connections",
            Self::Reached(Reached::PeerConnections) => "peer_connections",
            Self::Reached(Reached::PeerHandshakes) => "peer_handshakes_per_second",
            Self::HostReached(Reached::Connections) => "host_connections",
            Self::HostReached(Reached::PeerConnections) => "host_peer_connections",
            Self::HostReached(Reached::PeerHandshakes) => "host_peer_handshakes_per_second",
            Self::Draining => "draining",
        }
    }
}
