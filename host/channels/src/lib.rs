//! The common parts of connections: their outboxes, the channels that they are
//! subscribed to, and the hub that finds them.
//!
//! Nothing here does I/O or waits. A connection's socket belongs to the
//! gateway, its function to the engine; both hold the same
//! [`connection::Connection`] and meet in its outbox.

mod attached;
pub mod budget;
pub mod connection;
pub mod durable;
pub mod entry;
pub mod forms;
pub mod hub;
pub mod listener;
mod members;
mod outbox;
pub mod received;
pub mod shared;
pub mod space;
pub mod sweeps;
mod sync;
mod tags;
pub mod time;
pub mod wakeups;
