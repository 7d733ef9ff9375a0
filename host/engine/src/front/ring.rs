//! One call of an alarm that belongs to no connection: finds or makes an
//! instance for it.

use std::sync::Arc;

use openline_core::deployment::Migration;
use tokio::sync::oneshot;

use super::alias::Alias;
use crate::alarms::owner::{Called, Calling};
use crate::alarms::ticket::AlarmCall;
use crate::instance::mailbox::{AlarmOutcome, Job};
use crate::pool::commons::Home;
use crate::pool::seats::Wanted;

impl Home for Alias {
    fn call(self: Arc<Self>, key: String, call: AlarmCall) -> Calling {
        Box::pin(async move { ring(&self, &key, call).await })
    }
}

async fn ring(alias: &Alias, key: &str, call: AlarmCall) -> Option<Called> {
    let split = alias.split();
    let Some(version) = split.pick_for(key) else {
        return Some(Called::NoRoom);
    };
    if version.backed_off().is_some() {
        return Some(Called::NoRoom);
    }
    let wanted = Wanted {
        key: version.policy().affinity.as_ref().map(|_| key),
        joins: false,
        follows: split.migration == Migration::Pin,
    };
    let Ok(seat) = version.seat(wanted) else {
        return Some(Called::NoRoom);
    };
    let instance = Arc::clone(&seat.instance);
    let (reply, outcome) = oneshot::channel();
    if let Err(job) = instance.submit(Job::Alarm(call, seat, reply)) {
        job.give_back();
    }
    match outcome.await {
        Ok(AlarmOutcome::Done) => Some(Called::Done),
        Ok(AlarmOutcome::Full) => Some(Called::NoRoom),
        Ok(AlarmOutcome::Returned) => None,
        Ok(AlarmOutcome::Fault(_)) | Err(_) => Some(Called::Failed),
    }
}
