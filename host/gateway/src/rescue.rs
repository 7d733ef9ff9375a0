//! Refusals: everything that keeps a request from becoming a connection, and
//! the response each of them gets. The only such mapping.
//!
//! A peer reads a stable word in `openline-error-type` and a safe sentence;
//! details go to the log.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use openline_core::fault::{Blame, Fault};
use openline_core::limits::{AFFINITY_BYTES_MAX, REQUEST_HEADERS_MAX};
use openline_engine::version::UpgradeError;

use crate::ledger::Reached;

pub(crate) type Answer = Response<Full<Bytes>>;

const ERROR_TYPE: HeaderName = HeaderName::from_static("openline-error-type");
const WEBSOCKET_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
/// How long a refused peer should wait, in seconds: connections come and go
/// within seconds, and an instance is idle for ten.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no function on this path")]
    NotFound,
    #[error("this path only speaks WebSocket: send an upgrade request")]
    UpgradeRequired,
    #[error("only GET is allowed here")]
    MethodNotAllowed,
    #[error("not a WebSocket handshake: {0}")]
    Handshake(&'static str),
    #[error("only WebSocket version 13 is spoken here")]
    Version,
    #[error("path and query are longer than {0} bytes")]
    UriTooLong(usize),
    #[error("headers are larger than {0} bytes")]
    HeadersTooLarge(usize),
    #[error("there are more than {REQUEST_HEADERS_MAX} headers")]
    TooManyHeaders,
    #[error("headers that start with `openline-` belong to the host")]
    ReservedHeader,
    #[error("a parameter in the path is not UTF-8 after percent-decoding")]
    Path,
    #[error("no instance of the function has room: try again later")]
    Full,
    #[error("the function has {}: try again later", .0.words())]
    Reached(Reached),
    #[error("the function has no version yet: deploy one")]
    NotDeployed,
    #[error("the value that chooses the instance is longer than {AFFINITY_BYTES_MAX} bytes")]
    Affinity,
    #[error("the function keeps failing: try again later")]
    BackedOff(Duration),
    #[error("all connections keep too much: try again later")]
    Attached,
    #[error("the host has {}: try again later", .0.words())]
    HostReached(Reached),
    #[error(
        "the host has too many handshakes to decide, most of them of this peer: try again later"
    )]
    Requests,
    #[error("the host is shutting down: try again")]
    Draining,
    #[error("the function failed: {}", .0.reason())]
    Fault(Fault),
    #[error("the function's answer is not valid")]
    Answer(String),
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
    /// The stable word.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::UpgradeRequired => "upgrade_required",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Handshake(_) => "bad_handshake",
            Self::Version => "unsupported_version",
            Self::UriTooLong(_) => "request_uri_bytes",
            Self::HeadersTooLarge(_) => "request_header_bytes",
            Self::TooManyHeaders => "request_headers",
            Self::ReservedHeader => "reserved_header",
            Self::Path => "bad_path",
            Self::Full => "no_capacity",
            Self::NotDeployed => "not_deployed",
            Self::Affinity => "affinity",
            Self::BackedOff(_) => "backed_off",
            Self::Attached => "attached_bytes",
            Self::Reached(Reached::Connections) => "connections",
            Self::Reached(Reached::PeerConnections) => "peer_connections",
            Self::Reached(Reached::PeerHandshakes) => "peer_handshakes_per_second",
            Self::HostReached(Reached::Connections) => "host_connections",
            Self::HostReached(Reached::PeerConnections) => "host_peer_connections",
            Self::HostReached(Reached::PeerHandshakes) => "host_peer_handshakes_per_second",
            Self::Requests => "requests",
            Self::Draining => "draining",
            Self::Fault(fault) => fault.label(),
            Self::Answer(_) => "bad_answer",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::UpgradeRequired | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Handshake(_)
            | Self::UriTooLong(_)
            | Self::HeadersTooLarge(_)
            | Self::TooManyHeaders
            | Self::ReservedHeader
            | Self::Affinity
            | Self::Path => StatusCode::BAD_REQUEST,
            Self::Full
            | Self::NotDeployed
            | Self::BackedOff(_)
            | Self::Attached
            | Self::Requests
            | Self::Draining
            | Self::HostReached(Reached::Connections) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Reached(_) | Self::HostReached(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Fault(Fault::HandlerTimeout | Fault::CpuTimeout) => StatusCode::GATEWAY_TIMEOUT,
            Self::Fault(fault) if fault.blame() == Blame::Host => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Fault(_) | Self::Answer(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The response.
    pub(crate) fn answer(&self) -> Answer {
        let mut response = Response::new(Full::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.label()));
        match self {
            Self::UpgradeRequired => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            }
            // RFC 6455 section 4.4.
            Self::Version => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::BackedOff(left) => {
                headers.insert(RETRY_AFTER, (left.as_secs() + 1).into());
            }
            Self::Full
            | Self::NotDeployed
            | Self::Attached
            | Self::Requests
            | Self::Draining
            | Self::Reached(_)
            | Self::HostReached(_) => {
                headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            _ => {}
        }
        response
    }
}

impl From<UpgradeError> for Refusal {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::NotDeployed => Self::NotDeployed,
            UpgradeError::Affinity => Self::Affinity,
            UpgradeError::Full => Self::Full,
            UpgradeError::BackedOff(left) => Self::BackedOff(left),
            UpgradeError::Fault(fault) => Self::Fault(fault),
            UpgradeError::Invalid(text) => Self::Answer(text),
        }
    }
}
