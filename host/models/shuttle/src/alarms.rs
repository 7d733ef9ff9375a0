//! There are no alarms without a connection, only the trait that a function
//! implements for them.

#[path = "../../../engine/src/alarms/owner.rs"]
pub(crate) mod owner;
#[path = "../../../engine/src/alarms/ticket.rs"]
pub(crate) mod ticket;

pub(crate) use crate::stand_ins::clock;
