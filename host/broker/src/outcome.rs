//! The answer to a publish.
//!
//! An outcome says only what stays true when a channel is spread over nodes: the
//! position, how many subscribers of this node took the publication, and how far
//! it went. How many have it in all, no node knows.

use std::fmt;

use crate::position::Position;

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The publication's position, or the channel's if it was suppressed. None
    /// on channels that do not count.
    pub position: Option<Position>,
    /// How many subscribers of this node took it.
    pub local: u64,
    /// How far it went.
    pub scope: Scope,
    /// Why nothing was published, although nothing is wrong.
    pub suppressed: Option<Suppressed>,
}

/// How far a publication went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// To all nodes. A host by itself is all nodes.
    #[default]
    Everywhere,
    /// To the subscribers of this node; others could not be reached and will not
    /// be.
    Local,
}

/// Why nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppressed {
    /// A publish with the same key has been done: this is its outcome.
    Repeated,
    /// The channel has this version, or a later one.
    Stale,
}

/// Why a publish was refused. Nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A part is larger than it may be.
    #[error("{what} may have {most}, and has {found}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size: bytes, or entries of a list.
        found: usize,
        /// The most.
        most: usize,
    },
    /// The caller may not publish here.
    #[error("this caller may not publish on the channel")]
    Denied,
    /// The channel is not where the publisher expected it.
    #[error("the channel has changed")]
    Conflict {
        /// Where the channel is, or where the key was last changed; none if the
        /// key has no value.
        present: Option<Position>,
    },
    /// A bound is reached.
    #[error("the channel has no room: {what}")]
    Full {
        /// Which bound.
        what: &'static str,
    },
    /// It could not be written, or nodes could not be reached. It may be
    /// repeated, with an idempotency key without any danger.
    #[error("the publication could not be written or sent")]
    Unavailable,
    /// A name is no name, or the channel has no use for it.
    #[error("{0}")]
    InvalidName(&'static str),
}

impl Outcome {
    /// The outcome of a publish that was done.
    pub fn published(position: Option<Position>, local: u64) -> Self {
        Self {
            position,
            local,
            scope: Scope::Everywhere,
            suppressed: None,
        }
    }

    /// The outcome of a publish that was not done.
    pub fn suppressed(position: Option<Position>, why: Suppressed) -> Self {
        Self {
            suppressed: Some(why),
            ..Self::published(position, 0)
        }
    }
}

impl PublishError {
    /// The word for programs, which never changes.
    pub fn word(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Denied => "denied",
            Self::Conflict { .. } => "conflict",
            Self::Full { .. } => "full",
            Self::Unavailable => "unavailable",
            Self::InvalidName(_) => "invalid-name",
        }
    }

    pub(crate) fn check_bytes(what: &'static str, found: usize, most: usize) -> Result<(), Self> {
        let error = Self::TooLarge { what, found, most };
        (found <= most).then_some(()).ok_or(error)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everywhere => "everywhere",
            Self::Local => "local",
        })
    }
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "repeated",
            Self::Stale => "stale",
        })
    }
}
