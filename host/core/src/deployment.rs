//! What is deployed: the versions of a function, and the aliases that point to
//! them. Pure rules; the store keeps it, the gateway follows it.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What becomes of open connections when their alias points elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Migration {
    /// Their next event goes to the new version.
    #[default]
    Migrate,
    /// They stay with the version that took them until they end.
    Pin,
    /// Those whose version is not the alias's any more are closed with 1012,
    /// at a bounded pace.
    Drain,
}

/// A part of an alias's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The version they go to.
    pub version: Digest,
    /// How many of a hundred.
    pub weight: u32,
}
