//! Models of threads that use a driver, a mailbox and a connection without
//! waiting for each other, under every schedule and every memory order that C11
//! allows: loom tries them all.
//!
//! The files are the shipped ones, compiled a second time with loom's types in
//! place of those that `sync.rs` names. There are stand-ins for the seat and
//! the instance that they need. Bounded by two or three threads with a few
//! steps each, and by [`models::PREEMPTIONS`] switches from a thread that could
//! go on.

// The files have tests for real threads, which do not belong here.
#![cfg(not(test))]
#![expect(
    dead_code,
    reason = "files of other packages, of which the models use a part"
)]

// The files name their packages.
extern crate self as openline_channels;

mod alarms;
#[path = "../../../channels/src/attached.rs"]
mod attached;
#[path = "../../../channels/src/budget.rs"]
pub mod budget;
#[path = "../../../channels/src/connection/mod.rs"]
pub mod connection;
/// Frames of dialects, which no model speaks.
mod forms {
    use openline_core::dialect::DialectName;
    use openline_core::message::Message;

    pub(crate) fn spoken_message(_: DialectName, message: Message) -> Message {
        message
    }
}
mod instance;
/// The models hand over no publications.
pub mod channel_queue {
    /// Publications.
    #[derive(Debug)]
    pub struct Batch;
}
#[path = "../../../channels/src/outbox.rs"]
mod outbox;
mod pool;
#[path = "../../../engine/src/component/pulse.rs"]
mod pulse;
#[path = "../../../channels/src/received.rs"]
pub mod received;
#[path = "../../../channels/src/shared.rs"]
pub mod shared;
mod sync;
#[path = "../../../channels/src/wakeups.rs"]
pub mod wakeups;

pub mod models;
