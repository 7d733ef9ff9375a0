//! Models of threads that use the instances of a function: its pools, their
//! locks, what all its versions share, and the connections that want seats.
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
