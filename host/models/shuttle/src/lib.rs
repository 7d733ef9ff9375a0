//! Models of threads that use the instances of a function: its pools, their
//! locks, what all its versions share, and the connections that want seats; and of
//! threads that use a channel: its publishers, its subscribers, and the store.
//!
//! The files are the shipped ones, compiled a second time with shuttle's types
//! in place of those that `sync.rs` names. [`stand_ins`] has stand-ins for
//! guests, the store and the clock of alarms. Shuttle picks random schedules
//! from fixed seeds, so that each run tries the same ones; it knows no memory
//! orders, which the loom models cover. Bounded by two to four connections with
//! a few events each, and by [`models::SCHEDULES`].

// The files have tests for real guests, which do not belong here.
#![cfg(not(test))]
#![expect(
    dead_code,
    reason = "files of another package, of which the models use a part"
)]

// The files name the package.
extern crate self as openline_store;

mod alarms;
#[path = "../../../channels/src/attached.rs"]
mod attached;
#[path = "../../../channels/src/audience.rs"]
mod audience;
#[path = "../../../channels/src/budget.rs"]
pub mod budget;
#[path = "../../../channels/src/channel_queue.rs"]
pub mod channel_queue;
mod component;
#[path = "../../../channels/src/connection/mod.rs"]
pub mod connection;
mod contract;
#[path = "../../../channels/src/durable.rs"]
pub mod durable;
#[path = "../../../channels/src/entry.rs"]
pub mod entry;
#[path = "../../../channels/src/forms.rs"]
pub mod forms;
pub mod front;
/// Of the hub only what its spaces know.
pub mod hub {
    pub use crate::subscribing::{Answer, SubscribeError, Subscribing};
}
mod instance;
#[path = "../../../channels/src/joining.rs"]
mod joining;
mod line;
#[path = "../../../channels/src/outbox.rs"]
mod outbox;
#[path = "../../../channels/src/outside.rs"]
mod outside;
pub mod pool;
#[path = "../../../channels/src/reading.rs"]
pub mod reading;
#[path = "../../../channels/src/received.rs"]
pub mod received;
#[path = "../../../channels/src/shared.rs"]
pub mod shared;
#[path = "../../../channels/src/space.rs"]
pub mod space;
mod stand_ins;
#[path = "../../../channels/src/subscribing.rs"]
mod subscribing;
#[path = "../../../channels/src/sweeping.rs"]
mod sweeping;
#[path = "../../../channels/src/sweeps.rs"]
pub mod sweeps;
mod sync;
#[path = "../../../channels/src/time.rs"]
pub mod time;
#[path = "../../../channels/src/wakeups.rs"]
pub mod wakeups;
mod world;

pub mod models;

pub use line::{Attempt, ChannelStore, GroupError, LineError, Place, RowChange};
pub use stand_ins::{FunctionStore, StoreError};
