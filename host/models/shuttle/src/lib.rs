//! Models of what threads do to the instances of a function: its pools, their
//! locks, what all its versions share, and the connections that want seats.
//!
//! The files are those that are shipped, compiled a second time with shuttle's
//! types for what `sync.rs` names. What they need beside that is stood in for
//! in [`stand_ins`]: guests, the store and the clock of alarms. Shuttle picks
//! schedules by chance from fixed seeds, so that each run tries the same ones;
//! it knows no memory orders, which are the loom models' part. Bounded: two to
//! four connections with a few events each, and [`models::SCHEDULES`].

// The files have tests for real guests, which are not for here.
#![cfg(not(test))]
#![expect(
    dead_code,
    reason = "files of another package, of which the models use a part"
)]

// The files name the package.
extern crate self as openline_store;

#[path = "../../../engine/src/alias.rs"]
pub mod alias;
#[path = "../../../engine/src/backoff.rs"]
mod backoff;
#[path = "../../../engine/src/binding.rs"]
pub mod binding;
#[path = "../../../engine/src/capacity.rs"]
mod capacity;
#[path = "../../../engine/src/commons.rs"]
pub mod commons;
#[path = "../../../engine/src/driver.rs"]
mod driver;
#[path = "../../../engine/src/instance.rs"]
mod instance;
#[path = "../../../engine/src/mailbox.rs"]
mod mailbox;
#[path = "../../../engine/src/pool.rs"]
mod pool;
mod stand_ins;
mod sync;
#[path = "../../../engine/src/alarms/ticket.rs"]
mod ticket;
#[path = "../../../engine/src/version.rs"]
pub mod version;
mod world;

pub mod models;

pub use stand_ins::inspect;
pub use stand_ins::{FunctionStore, StoreError};
use stand_ins::{alarms, component, concurrent, plain, store};
