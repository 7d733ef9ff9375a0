//! One call of an alarm: an instance is found or made for it.

use std::sync::Arc;

use openline_core::deployment::Migration;
use tokio::sync::oneshot;

use super::table::Firing;
use crate::instance::mailbox::{AlarmCall, AlarmOutcome, Job};
use crate::pool::seating::Wanted;

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    Done,
    /// The function failed.
    Failed,
    /// It was not called at all.
    NoRoom,
    /// It was taken back before it was called.
    Cancelled,
}

/// Gives an alarm to the instance of its affinity value, or to a new one.
pub(super) async fn call(firing: &Firing) -> Called {
    let (key, name) = &firing.place;
    while !firing.ticket.is_cancelled() {
        let Some(alias) = firing.commons.home() else {
            return Called::NoRoom;
        };
        let Some(version) = alias.version_for(key) else {
            return Called::NoRoom;
        };
        if version.backed_off().is_some() {
            return Called::NoRoom;
        }
        let key = version.policy().affinity.as_ref().map(|_| &**key);
        let wanted = Wanted {
            key,
            joins: false,
            follows: alias.split().migration == Migration::Pin,
        };
        let Ok(seat) = version.pool.seat(wanted) else {
            return Called::NoRoom;
        };
        let instance = Arc::clone(&seat.instance);
        let (reply, outcome) = oneshot::channel();
        let alarm = AlarmCall {
            name: name.clone(),
            attempt: firing.attempt,
            ticket: Arc::clone(&firing.ticket),
        };
        if let Err(job) = instance.submit(Job::Alarm(alarm, seat, reply)) {
            job.give_back();
        }
        match outcome.await {
            Ok(AlarmOutcome::Done) => return Called::Done,
            Ok(AlarmOutcome::Full) => return Called::NoRoom,
            Ok(AlarmOutcome::Returned) => {}
            // A job that was dropped because it is cancelled ends the loop.
            Ok(AlarmOutcome::Fault(_)) | Err(_) if !firing.ticket.is_cancelled() => {
                return Called::Failed;
            }
            Ok(AlarmOutcome::Fault(_)) | Err(_) => {}
        }
    }
    Called::Cancelled
}
