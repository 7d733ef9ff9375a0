//! What a function may call: the hosts of `[function.outbound]`, and which
//! addresses each of them may have.
//!
//! `rule` reads one entry of `hosts`, `rules` asks all of them, `destination` is
//! what is asked about, in its one spelling, and `address` says what kind of
//! address one is. Nothing here looks a name up: whoever does asks the [`Grant`]
//! about each address, and dials only what it allows.
//!
//! Bounded: [`OUTBOUND_HOSTS_MAX`] entries, each of which is compared with each
//! call, and [`OUTBOUND_ROOTS_MAX`] files.

mod address;
mod destination;
mod rule;
mod rules;
mod written;

use std::path::{Path, PathBuf};

pub use address::{AddressKind, canonical, kind_of};
pub use destination::{Destination, Host, Scheme};
pub use rule::{OutboundRule, OutboundRuleError};
pub use rules::{Grant, OutboundRules};
pub(crate) use written::OutboundWritten;

/// Entries of `hosts`: a function that calls more hosts than this wants a
/// wildcard.
pub const OUTBOUND_HOSTS_MAX: usize = 256;

/// Files of `roots`: an organisation has a handful of authorities.
pub const OUTBOUND_ROOTS_MAX: usize = 16;

/// What a function may call, as it is configured. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundConfig {
    /// The hosts.
    pub rules: OutboundRules,
    /// Files of authorities that are trusted besides the system's, in PEM.
    pub roots: Vec<PathBuf>,
}

impl OutboundConfig {
    /// Makes the paths relative to the folder of the configuration.
    pub fn be_relative_to(&mut self, folder: &Path) {
        for root in &mut self.roots {
            *root = folder.join(&root);
        }
    }
}
