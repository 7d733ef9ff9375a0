//! The instances of a function.

#[path = "../../../engine/src/pool/backoff.rs"]
pub(crate) mod backoff;
#[path = "../../../engine/src/pool/capacity.rs"]
pub(crate) mod capacity;
#[path = "../../../engine/src/pool/commons.rs"]
pub mod commons;
#[path = "../../../engine/src/pool/keys.rs"]
mod keys;
#[path = "../../../engine/src/pool/seating.rs"]
mod seating;
#[path = "../../../engine/src/pool/seats.rs"]
pub(crate) mod seats;
#[path = "../../../engine/src/pool/shares.rs"]
mod shares;
#[path = "../../../engine/src/pool/version.rs"]
pub mod version;
