//! There are no alarms without a connection: only what a function owes them.

#[path = "../../../engine/src/alarms/owner.rs"]
pub(crate) mod owner;
#[path = "../../../engine/src/alarms/ticket.rs"]
pub(crate) mod ticket;

pub(crate) use crate::stand_ins::clock;
