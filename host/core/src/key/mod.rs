//! API keys: what callers from outside may do on channels, and where keys come
//! from.
//!
//! `scope` has the words for what a key is for, `terms` the rules of one key,
//! `written` the tables `[[key]]` of the configuration with their checks, and
//! `record` a key as the data directory keeps it. `openline-authentication`
//! makes the texts of keys, and the host looks them up.
//!
//! Bounded: [`KEYS_CONFIGURED_MAX`] keys of the configuration, [`KEYS_MADE_MAX`]
//! that were made in a running host, and for each key the lists' bounds here.

mod record;
mod scope;
mod terms;
mod written;

pub use record::{AccessKeyId, AccessKeyIdError, KeyCredential, KeyRecord};
pub use scope::{Scope, ScopeError, Scopes};
pub use terms::{KEY_CHANNELS_MAX, KEY_FUNCTIONS_MAX, KeyTerms};
pub use written::{KEYS_CONFIGURED_MAX, KeyTable, KeyWritten};

/// Keys that a running host has made: one for each server and each kind of page
/// of a large service. Each takes some hundred bytes.
pub const KEYS_MADE_MAX: usize = 1024;

/// The shortest text of a key, in characters: 80 bits even when they are only
/// `0-9a-f`.
pub const KEY_TEXT_BYTES_MIN: usize = 20;
/// The longest text of a key, in bytes, so that it fits into any header or
/// query.
pub const KEY_TEXT_BYTES_MAX: usize = 256;
