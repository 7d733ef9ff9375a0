//! The common parts of connections: their outboxes, the hub that finds them, and
//! the channels that they are subscribed to, with what these remember.
//!
//! Nothing here does I/O. Two tasks of the host run here, [`sweeps`] and
//! [`durable`]; only who restores channels or publishes on a durable one waits,
//! for the store. A connection's socket belongs to the gateway, its function to the
//! engine; both hold the same [`connection::Connection`] and meet in its outbox.

mod attached;
mod audience;
pub mod budget;
pub mod channel_queue;
pub mod connection;
pub mod durable;
pub mod entry;
pub mod forms;
pub mod hub;
mod joining;
mod members;
mod outbox;
mod outside;
pub mod reader;
pub mod reading;
pub mod received;
pub mod shared;
pub mod space;
mod subscribing;
mod sweeping;
pub mod sweeps;
mod sync;
mod tags;
pub mod time;
pub mod wakeups;
