//! Models of what threads do to a driver, a mailbox and a connection without
//! waiting for each other, under every schedule and every order of memory that
//! C11 allows: loom tries them all.
//!
//! The files are those that are shipped, compiled a second time with loom's
//! types for what `sync.rs` names. What they need beside that, a seat and an
//! instance, is stood in for below. Bounded: two or three threads with a few
//! steps each, and [`PREEMPTIONS`] switches from a thread that could go on.

// The files have tests for real threads, which are not for here.
#![cfg(not(test))]
#![expect(
    dead_code,
    reason = "files of other packages, of which the models use a part"
)]

// The files name their packages.
extern crate self as openline_channels;

#[path = "../../../channels/src/attached.rs"]
mod attached;
#[path = "../../../engine/src/backoff.rs"]
mod backoff;
#[path = "../../../channels/src/budget.rs"]
pub mod budget;
#[path = "../../../channels/src/connection.rs"]
pub mod connection;
#[path = "../../../engine/src/driver.rs"]
mod driver;
#[path = "../../../engine/src/mailbox.rs"]
mod mailbox;
#[path = "../../../channels/src/outbox.rs"]
mod outbox;
mod sync;
#[path = "../../../engine/src/alarms/ticket.rs"]
mod ticket;
#[path = "../../../channels/src/wakeups.rs"]
pub mod wakeups;

pub mod models;

/// Of the alarms only whether a call may still begin.
mod alarms {
    pub(crate) use crate::ticket::Ticket;
}

/// The mailbox asks a seat one question.
mod pool {
    #[derive(Debug)]
    pub(crate) struct Seat {
        pub(crate) first: bool,
    }

    impl Seat {
        pub(crate) fn is_first(&self) -> bool {
            self.first
        }
    }
}

/// What of an instance its driver and those that give it jobs touch.
mod instance {
    use crate::driver::Driver;
    use crate::mailbox::Mailbox;

    #[derive(Debug, Default)]
    pub(crate) struct Instance {
        pub(crate) mailbox: Mailbox,
        pub(crate) driver: Driver,
    }
}
