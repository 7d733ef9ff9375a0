//! Hands publications to functions that channels wake.
//!
//! One task for each such function makes one call at a time, so the publications
//! of a channel are handled in their order. Each is handed over at most once: a
//! call that has begun is not repeated. A batch that no instance had room for, or
//! that was given back before its call began, is tried again; meanwhile the queue
//! drops what is too old. Bounded by `channel_calls_per_second` and the queue.

use std::sync::{Arc, Weak};
use std::time::Duration;

use openline_channels::listener::{Batch, Listener};
use openline_core::rate::TokenBucket;
use tokio::time::Instant;

use super::commons::Commons;
use crate::alarms::owner::Called;

/// The time before another try when no instance had room: as for alarms.
const NO_ROOM_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The log has at most one line in so long about publications that were lost.
const LOST_TOLD_EVERY: Duration = Duration::from_secs(10);

/// Publications that were lost and of which the log says nothing yet.
#[derive(Debug, Default)]
struct Lost {
    untold: u64,
    told_at: Option<Instant>,
}

/// Serves the channel handler of a function for as long as the function is there.
pub async fn serve(commons: Weak<Commons>) {
    let listener = commons.upgrade().map(|it| Arc::clone(it.hub().listener()));
    let Some(listener) = listener else { return };
    let began = Instant::now();
    let mut lost = Lost::default();
    let mut pace: Option<TokenBucket> = None;
    while let Some(batch) = listener.next().await {
        if let Some(function) = commons.upgrade().filter(|_| batch.lost > 0) {
            lost.tell(&function, batch.lost);
        }
        if !hand_over(&commons, &listener, &batch).await {
            continue;
        }
        let per_second = u64::from(listener.calls_per_second());
        if pace
            .as_ref()
            .is_none_or(|pace| pace.per_second() != per_second)
        {
            pace = TokenBucket::new(per_second, began.elapsed());
        }
        if let Some(pace) = &mut pace {
            pace.take(1, began.elapsed());
            tokio::time::sleep(pace.wait()).await;
        }
    }
}

/// Makes the call; `false` if the function is not served any more.
async fn hand_over(commons: &Weak<Commons>, listener: &Listener, batch: &Batch) -> bool {
    loop {
        let Some(function) = commons.upgrade() else {
            return false;
        };
        if function.is_removed() || function.is_stopping() {
            let unhandled = batch.publications.len() + listener.len();
            tracing::info!(function = %function.name(), unhandled, "publications are dropped, because the function ends");
            listener.close();
            return false;
        }
        // The function may subscribe to nothing any more while it has no room.
        if !listener.wants(batch) {
            return false;
        }
        match function.hear(batch.clone()).await {
            // Another instance is there, or made, at once.
            None => {}
            Some(Called::NoRoom) => {
                // Not held meanwhile: the function may go.
                drop(function);
                tokio::time::sleep(NO_ROOM_RETRY_AFTER).await;
            }
            Some(Called::Failed) => {
                // The fault was logged with its instance.
                let publications = batch.publications.len();
                listener.note_failed(publications);
                tracing::warn!(function = %function.name(), channel = ?batch.channel.as_str(), publications, "the function failed, and these publications are not repeated");
                return true;
            }
            Some(Called::Done | Called::Cancelled) => return true,
        }
    }
}

impl Lost {
    fn tell(&mut self, function: &Commons, lost: u64) {
        self.untold = self.untold.saturating_add(lost);
        let is_due = |at: Instant| at.elapsed() >= LOST_TOLD_EVERY;
        if !self.told_at.is_none_or(is_due) {
            return;
        }
        tracing::warn!(function = %function.name(), lost = self.untold, "publications were dropped, because more waited than `channel_queue` or `channel_queue_bytes` allows");
        (self.untold, self.told_at) = (0, Some(Instant::now()));
    }
}
