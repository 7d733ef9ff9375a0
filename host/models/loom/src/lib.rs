//! Models of what threads do to a driver, a mailbox and a connection without
//! waiting for each other, under every schedule and every order of memory that
//! C11 allows: loom tries them all.
//!
//! The files are those that are shipped, compiled a second time with loom's
//! types for what `sync.rs` names. What they need beside that, a seat and an
//! instance, is stood in for beside them. Bounded: two or three threads with a few
//! steps each, and [`PREEMPTIONS`] switches from a thread that could go on.

// The files have tests for real threads, which are not for here.
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
mod instance;
#[path = "../../../channels/src/outbox.rs"]
mod outbox;
mod pool;
mod sync;
#[path = "../../../channels/src/wakeups.rs"]
pub mod wakeups;

pub mod models;
