//! Alarms that belong to no connection: when they are due, an instance is
//! woken for them.
//!
//! Bounded: `alarms` for each affinity value, and the host's `alarms` in all;
//! `FIRING_MAX` in `table` are being handled at once, and no function takes all
//! of either. Each is called at least once: what fails is tried again
//! `RETRIES_MAX` times. A durable one is in the store until its call has
//! returned. One that is taken back is not called any more, unless its call had
//! begun: that one is the last.

pub(crate) mod clock;
mod fire;
mod kept;
pub(crate) mod owner;
#[cfg(test)]
pub(crate) mod stand_in;
pub(crate) mod table;
pub(crate) mod ticket;
mod wall;
