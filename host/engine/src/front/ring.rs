//! One call that belongs to no connection, of an alarm or of publications: finds
//! or makes an instance for it.

use std::sync::Arc;

use openline_channels::channel_queue::Batch;
use openline_core::deployment::Migration;
use tokio::sync::oneshot;

use super::alias::Alias;
use crate::alarms::owner::{Called, Calling};
use crate::alarms::ticket::AlarmCall;
use crate::instance::live::CHANNELS_KEY;
use crate::instance::mailbox::{AlarmOutcome, AlarmReply, Job};
use crate::instance::seat::Seat;
use crate::pool::commons::Home;
use crate::pool::seats::Wanted;
use crate::pool::version::Version;

impl Home for Alias {
    fn call(self: Arc<Self>, key: String, call: AlarmCall) -> Calling {
        Box::pin(async move { ring(&self, &key, call).await })
    }

    fn hear(self: Arc<Self>, batch: Batch) -> Calling {
        Box::pin(async move { hear(&self, batch).await })
    }
}

async fn ring(alias: &Alias, key: &str, call: AlarmCall) -> Option<Called> {
    let split = alias.split();
    let Some(version) = split.pick_for(key) else {
        return Some(Called::NoRoom);
    };
    let has_affinity = version.policy().affinity.is_some();
    let wanted = Wanted {
        key: has_affinity.then_some(key),
        joins: false,
        follows: split.migration == Migration::Pin,
        ..Wanted::default()
    };
    give(version, wanted, |seat, reply| Job::Alarm(call, seat, reply)).await
}

/// Publications always go to one instance, which no connection shares: so the
/// function makes one call at a time, and what that instance publishes is known to
/// be its own. No connection is bound to it, so it follows the alias at once,
/// whatever the migration is: pinned, one that is never idle would stay for good.
async fn hear(alias: &Alias, batch: Batch) -> Option<Called> {
    let split = alias.split();
    let Some(version) = split.pick_for(CHANNELS_KEY) else {
        return Some(Called::NoRoom);
    };
    let wanted = Wanted {
        key: Some(CHANNELS_KEY),
        ..Wanted::default()
    };
    let job = |seat, reply| Job::Published(Box::new(batch), seat, reply);
    give(version, wanted, job).await
}

async fn give(
    version: &Arc<Version>,
    wanted: Wanted<'_>,
    job: impl FnOnce(Seat, AlarmReply) -> Job,
) -> Option<Called> {
    if version.backed_off().is_some() {
        return Some(Called::NoRoom);
    }
    let Ok(seat) = version.seat(wanted) else {
        return Some(Called::NoRoom);
    };
    let instance = Arc::clone(&seat.instance);
    let (reply, outcome) = oneshot::channel();
    if let Err(job) = instance.submit(job(seat, reply)) {
        job.give_back();
    }
    match outcome.await {
        Ok(AlarmOutcome::Done) => Some(Called::Done),
        Ok(AlarmOutcome::Full) => Some(Called::NoRoom),
        Ok(AlarmOutcome::Returned) => None,
        Ok(AlarmOutcome::Fault(_)) | Err(_) => Some(Called::Failed),
    }
}
