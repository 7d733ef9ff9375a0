//! Why a deployment does not change, for people.

use std::borrow::Cow;

use openline_hint::Hint;

use super::bounds::{ALIASES_MAX, DEPLOYMENT_FORMAT, DRAIN_PACE_MAX, HISTORY_MAX, NOTE_BYTES_MAX};
use crate::digest::{DIGEST_LETTERS_MIN, Digest};
use crate::name::{AliasName, TriggerName};
use crate::trigger::TRIGGERS_MAX;

/// Why a change is refused, or why stored data is not a deployment. Nothing has
/// changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentError {
    /// Another release wrote it.
    #[error(
        "the deployment has format {0}, and this release knows formats up to {DEPLOYMENT_FORMAT}"
    )]
    Format(u32),
    /// The same version twice in a list of versions.
    #[error("the version {} is listed twice", .0.short())]
    VersionTwice(Digest),
    /// The same trigger twice in a list of triggers, or the list is not sorted.
    #[error("the trigger `{0}` is listed twice, or not in its place")]
    TriggerTwice(TriggerName),
    /// An alias remembers more than it may.
    #[error("an alias remembers at most {HISTORY_MAX} changes")]
    History,
    /// The note is too long.
    #[error("a note has at most {NOTE_BYTES_MAX} bytes, this one has {0}")]
    Note(usize),
    /// A pace of 0 or above the bound.
    #[error("an alias drains 1 to {DRAIN_PACE_MAX} connections a second, not {0}")]
    Pace(u32),
    /// There are as many aliases as there can be.
    #[error("a function has at most {ALIASES_MAX} aliases")]
    TooManyAliases,
    /// There is no such trigger.
    #[error("there is no trigger `{0}`")]
    NoTrigger(TriggerName),
    /// There are as many triggers as there can be.
    #[error("a function has at most {TRIGGERS_MAX} triggers")]
    TooManyTriggers,
    /// There is no such alias.
    #[error("there is no alias `{0}`")]
    NoAlias(AliasName),
    /// It is the only alias.
    #[error("`{0}` is the only alias of the function")]
    LastAlias(AliasName),
    /// A weight is not 1 to 100.
    #[error("a weight is 1 to 100, not {0}")]
    Weight(u32),
    /// The weights do not add up to 100.
    #[error("the weights add up to {0}, and must add up to 100")]
    Sum(u64),
    /// The same version in two shares.
    #[error("the version {} has two shares", .0.short())]
    ShareTwice(Digest),
    /// The function has no such version.
    #[error("the function has no version {}", .0.short())]
    NoVersion(Digest),
    /// The alias has no other version to take the rest of the weight.
    #[error("no other version of `{alias}` can take the other {rest} of 100")]
    NothingBeside {
        /// The alias.
        alias: AliasName,
        /// The weight that no version takes.
        rest: u32,
    },
    /// All of the alias goes to one version already.
    #[error("`{0}` has no canary: all its connections go to one version")]
    NoCanary(AliasName),
    /// The alias never pointed elsewhere, or the history has been forgotten.
    #[error("there is no record of where `{0}` pointed before")]
    NoBefore(AliasName),
    /// An alias points to the version.
    #[error("the alias `{alias}` points to the version {}", .version.short())]
    InUse {
        /// The version.
        version: Digest,
        /// The alias.
        alias: AliasName,
    },
    /// Not the beginning of a digest.
    #[error("`{0}` is not the beginning of a digest: at least {DIGEST_LETTERS_MIN} of 0-9a-f")]
    NotPrefix(String),
    /// No version begins with it.
    #[error("no version of the function begins with `{0}`")]
    NotFound(String),
    /// Several versions begin with it.
    #[error("{count} versions of the function begin with `{prefix}`")]
    Ambiguous {
        /// The prefix as it was written.
        prefix: String,
        /// How many versions begin with it.
        count: usize,
    },
}

impl Hint for DeploymentError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Format(_) => "use the release that wrote it, or a newer one",
            Self::VersionTwice(_) | Self::TriggerTwice(_) | Self::History => {
                "it was not written by this host, or is damaged"
            }
            Self::Note(_) => "a sentence is enough",
            Self::Pace(_) => "leave it out for the host's `drain_connections_per_second`",
            Self::TooManyAliases => "remove one that nothing leads to",
            Self::NoTrigger(_) => "`openline triggers list` lists the triggers of a function",
            Self::TooManyTriggers => {
                "remove one; a parameter, as in \"/chat/{room}\", makes one route of many"
            }
            Self::NoAlias(_) => "deploy to it with the full weight, which creates it",
            Self::LastAlias(_) => "remove the function, or make another alias first",
            Self::Weight(_) | Self::Sum(_) => {
                "write how many of a hundred connections each version gets, as in 90 and 10"
            }
            Self::ShareTwice(_) => "name each version once, with one weight",
            Self::NoVersion(_) | Self::NotFound(_) => {
                "`openline versions` lists the versions of a function"
            }
            Self::NothingBeside { .. } => {
                "deploy it with the full weight first; a canary needs another version next to it"
            }
            Self::NoCanary(_) => "name the version that is to have all connections",
            Self::NoBefore(_) => "name a version, and promote it",
            Self::InUse { .. } => "point the alias elsewhere first",
            Self::NotPrefix(_) => "`openline versions` lists the digests of a function's versions",
            Self::Ambiguous { .. } => "write more letters of the digest",
        };
        Some(hint.into())
    }
}
