//! Refusals: everything that keeps a request from becoming a connection, and
//! the response to each. This is the only such mapping.
//!
//! A peer reads a stable word in `openline-error-type`, whose fault it is in
//! `openline-error-blame`, and a safe sentence with the id of its request, by
//! which the log has the details. `docs/reference/refusals.md` lists all
//! refusals; a test compares it with this file.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE,
    WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use openline_admission::firewall::{self, Stopped};
use openline_admission::ledger::Reached;
use openline_admission::refusal::Refusal as Denied;
use openline_authentication::{Denial, Denied as Unauthenticated};
use openline_core::close::CloseReason;
use openline_core::fault::{Blame, Fault};
use openline_core::limits::AFFINITY_BYTES_MAX;
use openline_engine::version::UpgradeError;

use crate::grpc::GrpcRefusal;
use crate::request_id::RequestId;
use crate::reserved::Answer;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static("openline-error-type");
const WEBSOCKET_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
pub(crate) const ERROR_BLAME: HeaderName = HeaderName::from_static("openline-error-blame");
/// How long a refused peer should wait at least, in seconds: connections come
/// and go within seconds, and idle instances are kept for ten.
const RETRY_AFTER_SECONDS: u64 = 5;
/// How much longer some peers wait, in seconds, so that those who were refused
/// together do not all come back together.
const RETRY_SPREAD_SECONDS_MAX: u64 = 10;
/// The word for a peer that leaves while its function decides or answers.
pub(crate) const PEER_GONE: &str = "peer_gone";

/// The word for an answer that breaks the contract.
pub(crate) const BAD_ANSWER: &str = "bad_answer";

/// The word for a request, or an answer, that ends because its peer is slow while
/// others wait for the instance.
pub(crate) const PEER_SLOW: &str = "peer_slow";

/// The word for an answer that ends before its end, because its function failed while
/// it wrote it. Its peer has the head already.
pub(crate) const UNFINISHED: &str = "unfinished_answer";

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It may not ask the function.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It comes without TLS where the host speaks TLS.
    #[error("this port speaks TLS: use https:// or wss://")]
    PlainHttp,
    /// It does not show who asks; the log has the details.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
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
    /// There is no affinity value.
    #[error("the request has no single value that chooses the instance")]
    NoAffinity,
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
    /// The body of the request is larger than the function allows, in bytes.
    #[error("the body of the request has more than {0} bytes")]
    RequestBody(u64),
    /// The body of the request ends before its end, or does not come.
    #[error("the body of the request did not come in time, or is not what was announced")]
    RequestBodyIncomplete,
    /// The body of the request comes slowly, and others wait for the instance.
    #[error("the body of the request came too slowly, and others waited")]
    Slow,
    /// The exchange has lasted for `stream_time`, and there is no answer.
    #[error("the request has taken too long")]
    StreamTime,
    /// It is a call of gRPC that cannot be answered.
    #[error(transparent)]
    Grpc(#[from] GrpcRefusal),
    /// The function failed.
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
            Self::PlainHttp => "plain_http",
            Self::Unauthenticated(denied) => denied.denial.label(),
            Self::UpgradeRequired => "upgrade_required",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::Handshake(_) => "bad_handshake",
            Self::Version => "unsupported_version",
            Self::Full => "no_capacity",
            Self::NotDeployed => "not_deployed",
            Self::Affinity | Self::NoAffinity => "affinity",
            Self::BackedOff(_) => "backed_off",
            Self::Attached => "attached_bytes",
            Self::Requests => "requests",
            Self::RequestBody(_) => "request_body_bytes",
            Self::RequestBodyIncomplete => "request_body_incomplete",
            Self::Slow => PEER_SLOW,
            Self::StreamTime => "stream_time",
            Self::Grpc(refusal) => refusal.label(),
            Self::Fault(fault) => fault.label(),
            Self::Answer(_) => BAD_ANSWER,
        }
    }

    /// Who can mend it: the peer that asks, the function's author, or the
    /// host's operator.
    pub(crate) fn blame(&self) -> &'static str {
        match self {
            Self::Denied(Denied::Draining | Denied::HostReached(Reached::Connections))
            | Self::Full
            | Self::Attached => "host",
            Self::Unauthenticated(denied) => match denied.denial {
                Denial::KeysUnavailable | Denial::SignatureNonces => "host",
                _ => "peer",
            },
            Self::Denied(Denied::Firewall(Stopped::Failed(undecided))) => blamed(undecided.blame()),
            Self::Denied(Denied::Reached(Reached::Connections))
            | Self::NotDeployed
            | Self::BackedOff(_)
            | Self::StreamTime
            | Self::Answer(_) => "function",
            Self::Denied(_)
            | Self::PlainHttp
            | Self::UpgradeRequired
            | Self::MethodNotAllowed(_)
            | Self::Handshake(_)
            | Self::Version
            | Self::Affinity
            | Self::NoAffinity
            | Self::RequestBody(_)
            | Self::RequestBodyIncomplete
            | Self::Slow
            | Self::Grpc(_)
            | Self::Requests => "peer",
            Self::Fault(fault) => blamed(fault.blame()),
        }
    }

    /// The seconds after which the peer should come back, if it should.
    fn retry_after(&self, id: Option<RequestId>) -> Option<u64> {
        let least = match self {
            Self::BackedOff(left) | Self::Denied(Denied::Firewall(Stopped::Limit(left))) => {
                left.as_secs() + 1
            }
            Self::Full
            | Self::NotDeployed
            | Self::Attached
            | Self::Requests
            | Self::Denied(
                Denied::Draining
                | Denied::Reached(_)
                | Denied::HostReached(_)
                | Denied::Firewall(Stopped::Failed(_)),
            ) => RETRY_AFTER_SECONDS,
            Self::Unauthenticated(denied) if denied.denial.status() == 503 => RETRY_AFTER_SECONDS,
            _ => return None,
        };
        let most = least.min(RETRY_SPREAD_SECONDS_MAX);
        Some(least + id.map_or(0, |id| id.spread(most)))
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Denied(denied) => status(denied),
            Self::Unauthenticated(denied) => {
                let status = StatusCode::from_u16(denied.denial.status());
                status.unwrap_or(StatusCode::FORBIDDEN)
            }
            Self::UpgradeRequired | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::PlainHttp | Self::Handshake(_) | Self::Affinity | Self::NoAffinity => {
                StatusCode::BAD_REQUEST
            }
            Self::Full
            | Self::NotDeployed
            | Self::BackedOff(_)
            | Self::Attached
            | Self::Requests => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestBody(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestBodyIncomplete => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Grpc(refusal) => refusal.status(),
            Self::StreamTime | Self::Fault(Fault::HandlerTimeout | Fault::CpuTimeout) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Fault(fault) if fault.blame() == Blame::Host => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Fault(_) | Self::Answer(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The answer of a rule that has one of its own.
    fn own_body(&self) -> Option<&firewall::Answer> {
        match self {
            Self::Denied(Denied::Firewall(Stopped::Respond(answer))) => Some(answer),
            Self::Denied(Denied::Firewall(Stopped::Deny(answer))) => {
                Some(&**answer).filter(|answer| !answer.body.is_empty())
            }
            _ => None,
        }
    }

    /// Whether the peer is to get no answer at all.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Denied(Denied::Firewall(Stopped::Drop)))
    }

    /// How a connection ends that was upgraded before its request was refused,
    /// with the same word.
    pub(crate) fn close_reason(&self) -> CloseReason {
        let code = match self.status().as_u16() {
            429 | 503 => 1013,
            500.. => 1011,
            _ => 1008,
        };
        CloseReason::Refused {
            code,
            word: self.label(),
        }
    }

    /// The response to a request.
    pub(crate) fn answer_to(&self, id: RequestId) -> Answer {
        self.respond(Some(id))
    }

    /// The response, without an id in its text.
    pub fn answer(&self) -> Answer {
        self.respond(None)
    }

    fn respond(&self, id: Option<RequestId>) -> Answer {
        let text = match id {
            Some(id) => format!("{self} (request {id})\n"),
            None => format!("{self}\n"),
        };
        let (kind, body) = match self.own_body() {
            Some(own) => (own.content_type.clone(), own.body.clone()),
            None => (Some(TEXT), Bytes::from(text)),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, kind);
        }
        // Some caches keep errors by themselves, and the next request may be
        // one that the host takes.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.label()));
        headers.insert(ERROR_BLAME, HeaderValue::from_static(self.blame()));
        if let Some(seconds) = self.retry_after(id) {
            headers.insert(RETRY_AFTER, seconds.into());
        }
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
            Self::Unauthenticated(denied) => {
                let challenge = denied.denial.challenge();
                if let Some(challenge) = challenge.map(HeaderValue::from_static) {
                    headers.insert(WWW_AUTHENTICATE, challenge);
                }
            }
            Self::Denied(Denied::Method(allowed)) => {
                if let Ok(allowed) = HeaderValue::from_str(&allowed.to_string()) {
                    headers.insert(ALLOW, allowed);
                }
            }
            _ => {}
        }
        response
    }
}

fn blamed(blame: Blame) -> &'static str {
    match blame {
        Blame::Guest => "function",
        Blame::Host => "host",
    }
}

fn status(denied: &Denied) -> StatusCode {
    match denied {
        Denied::Firewall(stopped) => match stopped {
            Stopped::Deny(answer) | Stopped::Respond(answer) => answer.status,
            // The peer does not get it.
            Stopped::Drop => StatusCode::FORBIDDEN,
            // It says nothing about the peer, who may come back.
            Stopped::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
            Stopped::Limit(_) => StatusCode::TOO_MANY_REQUESTS,
            Stopped::Repeated | Stopped::Work => StatusCode::BAD_REQUEST,
        },
        Denied::NotFound => StatusCode::NOT_FOUND,
        Denied::UriTooLong(_)
        | Denied::HeadersTooLarge(_)
        | Denied::TooManyHeaders
        | Denied::ReservedHeader
        | Denied::Connection
        | Denied::Host(_)
        | Denied::Scheme
        | Denied::Coding
        | Denied::Spelling(_)
        | Denied::Parameter(_) => StatusCode::BAD_REQUEST,
        Denied::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        Denied::Internet | Denied::Origin | Denied::CrossOrigin | Denied::NoOrigin => {
            StatusCode::FORBIDDEN
        }
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
            UpgradeError::NoAffinity => Self::NoAffinity,
            // Of the versions of an alias, some have the handler.
            UpgradeError::NoHandler => Self::UpgradeRequired,
            UpgradeError::Full => Self::Full,
            UpgradeError::Slow => Self::Slow,
            UpgradeError::BackedOff(left) => Self::BackedOff(left),
            UpgradeError::Fault(fault) => Self::Fault(fault),
            UpgradeError::Invalid(text) => Self::Answer(text),
        }
    }
}

#[cfg(test)]
#[path = "rescue_tests.rs"]
mod tests;
