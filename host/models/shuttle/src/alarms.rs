//! There are no alarms without a connection: only whether a call may begin.

#[path = "../../../engine/src/alarms/ticket.rs"]
mod ticket;

pub(crate) use crate::stand_ins::alarms::{AlarmClock, Owner};
pub(crate) use ticket::Ticket;
