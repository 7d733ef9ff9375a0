//! Tools for tests and benchmarks: a host in this process or the real binary,
//! peers that speak WebSocket and peers that only speak bytes, plain HTTP,
//! waits that end, and tables.
//!
//! The modules have two styles. [`exchange`], [`socket`], [`process`],
//! [`observed`], [`programs`] and [`configuration`] return errors, for
//! benchmarks and for the adversary. Modules that only tests use ([`client`],
//! [`raw`], [`openline`], `compressing`, `host`, `admin`) panic: a test that
//! cannot go on should say so and fail. Every wait of theirs is bounded by
//! [`PATIENCE`].
//!
//! A client whose own cost is part of a measurement stays with that measurement:
//! `openline-load`, `client/wire.rs` of the comparison with other servers, the
//! peers of `counts` and of `starts`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so and fail"
)]

#[cfg(feature = "host")]
pub mod admin;
pub mod bytes;
pub mod client;
#[cfg(feature = "host")]
pub mod compressing;
pub mod configuration;
#[cfg(feature = "host")]
mod deadlocks;
pub mod exchange;
pub mod head;
#[cfg(feature = "host")]
pub mod host;
pub mod observed;
pub mod openline;
pub mod process;
pub mod programs;
pub mod raw;
pub mod socket;
pub mod state;
pub mod table;
pub mod versions;
mod wait;

pub use wait::{ASK_AGAIN, PATIENCE, eventually, within};
