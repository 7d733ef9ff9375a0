//! Of the alarms only whether a call may still begin.

#[path = "../../../engine/src/alarms/ticket.rs"]
pub(crate) mod ticket;
