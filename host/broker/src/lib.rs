//! What a channel remembers: its history, its current values, which requests it
//! has seen, and its subscribers.
//!
//! Plain state and pure functions: no I/O, no asynchronous code, no locks, no
//! clock and no random numbers; moments and epochs are arguments. The caller
//! keeps a [`channel::Channel`] under the lock of the channel's subscribers, so
//! that a publish appends and delivers, and a subscription reads and joins, each
//! as one step. `openline-channels` has the locks, the clock and the store.
//!
//! The words are chosen so that they stay true when a channel is spread over
//! nodes: a [`position::Position`] is opaque, an [`outcome::Outcome`] says how
//! far a publication went instead of how many have it, and a recovery is
//! complete or says that it is not.
//!
//! Everything is bounded by the channel's terms and the constants of each file,
//! and [`channel::Channel::cost`] says what a channel takes.

pub mod channel;
pub mod filter;
pub mod fuzzing;
pub mod idempotency;
pub mod latest;
pub mod log;
pub mod moment;
pub mod outcome;
pub mod position;
pub mod presence;
pub mod publication;
pub mod rows;
pub mod subject;
pub mod terms;
pub mod versions;
mod wire;
