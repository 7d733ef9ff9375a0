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

mod alarms;
mod component;
mod contract;
pub mod front;
mod instance;
pub mod pool;
mod stand_ins;
mod sync;
mod world;

pub mod models;

pub use stand_ins::{FunctionStore, StoreError};
