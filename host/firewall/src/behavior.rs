//! Behaviours: what a rule does when its criteria hold.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use openline_core::alias::{are_header_aliases, begins_like_header};

use crate::function::FunctionRef;
use crate::limiter::{LimitBy, Limiter};

/// Headers that no rule and no function may set: they say how the request was
/// sent, or whom the host believes.
const RESERVED: [&str; 14] = [
    "connection",
    "content-length",
    "content-encoding",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How names of reserved headers begin.
const RESERVED_BEGINS: [&str; 3] = ["openline-", "sec-websocket-", "x-forwarded-"];

/// The type of a body that has no other.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What a rule does. `Display` writes its name and its main argument.
#[derive(Clone, Debug)]
pub(crate) enum Behavior {
    /// The firewall is done, and the request passes.
    Allow,
    /// The request is refused with 400 to 499.
    Deny(Answer),
    /// The connection is closed without an answer.
    Drop,
    /// The request is answered.
    Respond(Answer),
    /// Something is written to the log.
    Log,
    /// The request is refused if too many came.
    Limit(LimitBy, Arc<Limiter>),
    /// The function sees this header, and not what the peer sent by that name.
    SetHeader(HeaderName, HeaderValue),
    /// A function decides.
    Run(FunctionRef),
}

/// An answer to a request. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The type of the body, if there is one.
    pub content_type: Option<HeaderValue>,
    /// The body, which may be empty.
    pub body: Bytes,
}

impl Behavior {
    /// Whether no later behaviour of the rule can run.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Allow | Self::Deny(_) | Self::Drop | Self::Respond(_) => true,
            Self::Log | Self::Limit(..) | Self::SetHeader(..) | Self::Run(_) => false,
        }
    }

    /// Whether it needs the claims of the peer.
    pub(crate) fn needs_claims(&self) -> bool {
        matches!(self, Self::Limit(LimitBy::Claim(_), _))
    }
}

impl fmt::Display for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Deny(answer) => write!(f, "deny {}", answer.status.as_u16()),
            Self::Drop => f.write_str("drop"),
            Self::Respond(answer) => write!(f, "set_custom_response {}", answer.status.as_u16()),
            Self::Log => f.write_str("log"),
            Self::Limit(by, limiter) => {
                let rate = limiter.rate();
                write!(
                    f,
                    "set_rate_limit {} a {} by {by}",
                    rate.average, rate.period
                )
            }
            Self::SetHeader(name, _) => write!(f, "set_header {name}"),
            Self::Run(function) => write!(f, "run_function {function}"),
        }
    }
}

/// Whether no rule may set a header.
pub(crate) fn is_reserved(header: &HeaderName) -> bool {
    let name = header.as_str();
    let is_reserved = |reserved: &&str| are_header_aliases(reserved, name);
    let begins = |begin: &&str| begins_like_header(name, begin);
    RESERVED.iter().any(is_reserved) || RESERVED_BEGINS.iter().any(begins)
}

/// Whether answers of a status have a body; these end with their headers
/// (RFC 9110).
pub(crate) fn may_have_body(status: StatusCode) -> bool {
    ![
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ]
    .contains(&status)
}
