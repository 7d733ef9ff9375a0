//! The protocols of existing clients that a trigger can speak, by their names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A protocol of existing clients, which the connections of a trigger speak
/// instead of raw messages. `openline-dialects` implements them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DialectName {
    /// PushFlo's client protocol.
    Pushflo,
    /// Centrifugo's client protocol, in JSON.
    Centrifugo,
    /// Server-Sent Events, of the interface for publishers: no trigger speaks it.
    #[serde(skip)]
    Events,
    /// Server-Sent Events of answers that functions hold: the data of messages and
    /// publications alone. No trigger speaks it.
    #[serde(skip)]
    HeldEvents,
}

impl DialectName {
    /// How many there are: for tables that are indexed by them.
    pub const COUNT: usize = Self::HeldEvents as usize + 1;
}

impl fmt::Display for DialectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pushflo => "pushflo",
            Self::Centrifugo => "centrifugo",
            Self::Events => "events",
            Self::HeldEvents => "held events",
        })
    }
}
