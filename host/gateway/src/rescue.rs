//! Refusals: everything that keeps a request from becoming a connection, and
//! the response to each. This is the only such mapping.
//!
//! A peer reads a stable word in `openline-error-type` and a safe sentence;
//! details go to the log.

use std::time::Duration;

use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use openline_admission::ledger::Reached;
use openline_admission::refusal::Refusal as Denied;
use openline_core::fault::{Blame, Fault};
use openline_core::limits::AFFINITY_BYTES_MAX;
use openline_engine::version::UpgradeError;

use crate::reserved::Answer;

const ERROR_TYPE: HeaderName = HeaderName::from_static("openline-error-type");
const WEBSOCKET_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
/// How long a refused peer should wait, in seconds: connections come and go
/// within seconds, and idle instances are kept for ten.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It may not ask the function.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It does not ask for an upgrade.
    #[error("this path only speaks WebSocket: send an upgrade request")]
    UpgradeRequired,
    /// Its path allows only these methods, with commas between them.
    #[error("this path allows only {0}")]
    MethodNotAllowed(&'static str),
    /// It lacks something that RFC 6455 section 4.2.1 demands.
    #[error("not a WebSocket handshake: {0}")]
    Handshake(&'static str),
    /// It asks for another version of WebSocket.
    #[error("only WebSocket version 13 is spoken here")]
    Version,
    /// All instances are full, and there can be no more.
    #[error("no instance of the function has room: try again later")]
    Full,
    /// The alias has no version.
    #[error("the function has no version yet: deploy one")]
    NotDeployed,
    /// The affinity value is too long.
    #[error("the value that chooses the instance is longer than {AFFINITY_BYTES_MAX} bytes")]
    Affinity,
    /// The host backs off from the function for this long.
    #[error("the function keeps failing: try again later")]
    BackedOff(Duration),
    /// The host's `attached_bytes` are taken.
    #[error("the host has no room for more attachments and tags: try again later")]
    Attached,
    /// Functions are deciding about too many handshakes, most of them from this
    /// peer.
    #[error(
        "the host has too many handshakes to decide, most of them of this peer: try again later"
    )]
    Requests,
    /// The function's `upgrade` failed.
    #[error("the function failed: {}", .0.reason())]
    Fault(Fault),
    /// The function's answer breaks the contract; the log has the details.
    #[error("the function's answer is not valid")]
    Answer(String),
}

impl Refusal {
    /// There is nothing on the path.
    pub fn not_found() -> Self {
        Self::Denied(Denied::NotFound)
    }

    /// The stable word.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.label(),
            Self::UpgradeRequired => "upgrade_required",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::Handshake(_) => "bad_handshake",
            Self::Version => "unsupported_version",
            Self::Full => "no_capacity",
            Self::NotDeployed => "not_deployed",
            Self::Affinity => "affinity",
            Self::BackedOff(_) => "backed_off",
            Self::Attached => "attached_bytes",
            Self::Requests => "requests",
            Self::Fault(fault) => fault.label(),
            Self::Answer(_) => "bad_answer",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Denied(denied) => status(*denied),
            Self::UpgradeRequired | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Handshake(_) | Self::Affinity => StatusCode::BAD_REQUEST,
            Self::Full
            | Self::NotDeployed
            | Self::BackedOff(_)
            | Self::Attached
            | Self::Requests => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fault(Fault::HandlerTimeout | Fault::CpuTimeout) => StatusCode::GATEWAY_TIMEOUT,
            Self::Fault(fault) if fault.blame() == Blame::Host => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Fault(_) | Self::Answer(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The response.
    pub fn answer(&self) -> Answer {
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
            Self::MethodNotAllowed(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Denied(Denied::Method(allowed)) => {
                if let Ok(allowed) = HeaderValue::from_str(&allowed.to_string()) {
                    headers.insert(ALLOW, allowed);
                }
            }
            Self::BackedOff(left) => {
                headers.insert(RETRY_AFTER, (left.as_secs() + 1).into());
            }
            Self::Full
            | Self::NotDeployed
            | Self::Attached
            | Self::Requests
            | Self::Denied(Denied::Draining | Denied::Reached(_) | Denied::HostReached(_)) => {
                headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            _ => {}
        }
        response
    }
}

fn status(denied: Denied) -> StatusCode {
    match denied {
        Denied::NotFound => StatusCode::NOT_FOUND,
        Denied::UriTooLong(_)
        | Denied::HeadersTooLarge(_)
        | Denied::TooManyHeaders
        | Denied::ReservedHeader
        | Denied::Connection
        | Denied::Host(_)
        | Denied::Spelling(_)
        | Denied::Parameter(_) => StatusCode::BAD_REQUEST,
        Denied::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        Denied::Internet | Denied::Origin | Denied::NoOrigin => StatusCode::FORBIDDEN,
        Denied::Draining | Denied::HostReached(Reached::Connections) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Denied::Reached(_) | Denied::HostReached(_) => StatusCode::TOO_MANY_REQUESTS,
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
