//! The common parts of connections: their outboxes and the hub that finds them.
//!
//! Nothing here does I/O or waits. A connection's socket belongs to the
//! gateway, its function to the engine; both hold the same
//! [`connection::Connection`] and meet in its outbox.

mod attached;
pub mod budget;
pub mod connection;
pub mod hub;
mod members;
mod outbox;
pub mod publication;
pub mod received;
mod sync;
mod tags;
pub mod wakeups;
