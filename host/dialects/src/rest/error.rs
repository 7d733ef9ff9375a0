//! Errors: a word for programs, a sentence for people, and a status.

use std::fmt;

use crate::http::Answer;
use crate::json::{self, Object};

/// Why a request, or one publication of it, fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The body is not the JSON that is expected.
    #[error("the body is not the expected JSON: {0}")]
    Malformed(String),
    /// A part of it has a value that is not possible.
    #[error("`{name}` {why}")]
    Invalid {
        /// The part.
        name: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// There is more than the host takes at once.
    #[error("there is more than one request may have")]
    TooMany,
    /// The data is larger than the host allows.
    #[error("the data is larger than the host allows")]
    TooLarge,
    /// The request has no credential, or not a good one.
    #[error("the key is missing or not known")]
    Unauthorized,
    /// The key may not do this.
    #[error("the key may not do this")]
    Denied,
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(Missing),
    /// The channel is not at the expected position, but at this one.
    #[error("the channel is not at the expected position")]
    Conflict {
        /// Where it is.
        position: String,
    },
    /// The position cannot be read from: what came after it is not kept, or it
    /// is of another history.
    #[error("the publications after this position are not kept")]
    Unrecoverable,
    /// The channel or the host has no room for more.
    #[error("there is no room for more")]
    Full,
    /// The peer of a connection reads too slowly.
    #[error("the peer reads too slowly")]
    Slow,
    /// Too many requests.
    #[error("too many requests")]
    RateLimited,
    /// The host cannot do this now.
    #[error("the host cannot do this now")]
    Unavailable,
    /// The host has failed.
    #[error("the host has failed")]
    Internal,
}

/// What is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A request of this path.
    Path,
    /// A request of this path with this method.
    Method,
    /// The function.
    Function,
    /// The connection.
    Connection,
    /// The presence of the channel.
    Presence,
}

impl Missing {
    /// The word for programs, which stays the same.
    const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Method => "method",
            Self::Function => "function",
            Self::Connection => "connection",
            Self::Presence => "presence",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = match self {
            Self::Method => " here",
            Self::Presence => " in this channel",
            Self::Path | Self::Function | Self::Connection => "",
        };
        write!(f, "{}{rest}", self.name())
    }
}

impl ApiError {
    /// The word, which stays the same.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Invalid { .. } => "invalid",
            Self::TooMany => "too-many",
            Self::TooLarge => "too-large",
            Self::Unauthorized => "unauthorized",
            Self::Denied => "denied",
            Self::NotFound(_) => "not-found",
            Self::Conflict { .. } => "conflict",
            Self::Unrecoverable => "unrecoverable",
            Self::Full => "full",
            Self::Slow => "slow",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// What the word is about: a part of the request, or what is not there. It
    /// stays the same as well.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { name, .. } => Some(name),
            Self::NotFound(missing) => Some(missing.name()),
            _ => None,
        }
    }

    /// The status of an answer that has nothing else.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Invalid { .. } => 400,
            Self::Unauthorized => 401,
            Self::Denied => 403,
            Self::NotFound(_) => 404,
            Self::Conflict { .. } => 409,
            Self::Unrecoverable => 410,
            Self::TooMany | Self::TooLarge => 413,
            Self::Slow | Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Full | Self::Unavailable => 503,
        }
    }

    /// The answer.
    pub fn answer(&self) -> Answer {
        let body = json::document(|answer| self.write(answer));
        Answer::json(self.status(), body)
    }

    pub(super) fn write(&self, answer: &mut Object<'_>) {
        answer.object("error", |error| {
            error.text("code", self.code());
            error.text_if_some("name", self.name());
            error.text("message", &self.to_string());
            if let Self::Conflict { position } = self {
                error.text("position", position);
            }
        });
    }
}
