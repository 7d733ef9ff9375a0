//! Channels as they are configured: patterns of names, and what holds for the
//! channels whose names match.
//!
//! `pattern` is which names a table is for, `access` which peers may subscribe
//! and publish, `terms` what a channel remembers, `written` the tables
//! `[[channel]]` and `[[function.channel]]` with their checks.
//! `openline-broker` finds the terms of a channel and keeps its state.
//!
//! Bounded: [`CHANNEL_PATTERNS_MAX`] tables in one list, and a range for every
//! number.

mod access;
mod pattern;
mod subscription;
mod terms;
mod written;

pub use access::{Access, AccessError, PeerRights, Right};
pub use pattern::{ChannelPattern, PATTERN_BYTES_MAX, PatternError, SEGMENTS_MAX};
pub use subscription::{SUBSCRIPTIONS_MAX, Subscription};
pub use terms::{
    ChannelTerms, HISTORY_BYTES_MAX, HISTORY_COUNT_MAX, HistoryTerms, JoinLeave, KEYS_MAX,
    KeyedTerms, MEMORY_TIME_MAX,
};
pub use written::{CHANNEL_PATTERNS_MAX, ChannelTable, ChannelWritten};
