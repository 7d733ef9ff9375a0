//! The instances of a function: which of them have room, how many there may
//! be, and what all versions of the function share.

pub(crate) mod backoff;
pub(crate) mod capacity;
pub mod commons;
mod keys;
pub mod listening;
mod seating;
pub(crate) mod seats;
mod shares;
pub mod version;
