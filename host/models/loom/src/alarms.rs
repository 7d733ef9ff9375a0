//! The only part of the alarms: whether a call may still begin.

#[path = "../../../engine/src/alarms/ticket.rs"]
pub(crate) mod ticket;
