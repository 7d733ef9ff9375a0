//! Alarms that belong to no connection: when one is due, an instance is made or
//! found for it.
//!
//! Bounded by `alarms` for each affinity value and by the host's `alarms` in
//! all. `FIRING_MAX` in `table` bounds the calls in flight. No function takes
//! all of either. Each alarm is called at least once: a failed call is repeated
//! `RETRIES_MAX` times. A durable alarm is in the store until its call has
//! returned. An alarm that is cleared is not called any more; a call that has
//! already begun is the last.

pub(crate) mod clock;
mod fire;
mod kept;
pub(crate) mod owner;
#[cfg(test)]
pub(crate) mod stand_in;
pub(crate) mod table;
pub(crate) mod ticket;
mod wall;
