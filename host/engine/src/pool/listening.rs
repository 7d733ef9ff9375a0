//! Hands publications to functions that channels wake.
//!
//! One task for each such function makes one call at a time, so the publications
//! of a channel are handled in their order. Each is handed over at most once: a
//! call that has begun is not repeated. A batch that no instance had room for, or
//! that was given back before its call began, is tried again; meanwhile the queue
//! drops what is too old. Bounded by `channel_calls_per_second` and the queue.

use std::sync::{Arc, Weak};
use std::time::Duration;

use openline_channels::channel_queue::{Batch, ChannelQueue};
use openline_core::rate::TokenBucket;
use tokio::time::Instant;

use super::commons::Commons;
use crate::alarms::owner::{Called, NO_ROOM_RETRY_AFTER};

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
    let queue = commons.upgrade().map(|it| Arc::clone(it.hub().queue()));
    let Some(queue) = queue else { return };
    let began = Instant::now();
    let mut lost = Lost::default();
    let mut pace: Option<TokenBucket> = None;
    while let Some(batch) = queue.next().await {
        // Also after a batch that has lost nothing: some may be untold.
        if let Some(lost) = lost.note(batch.lost, Instant::now())
            && let Some(function) = commons.upgrade()
        {
            tracing::warn!(function = %function.name(), lost, "publications were dropped, because more waited than `channel_queue` or `channel_queue_bytes` allows");
        }
        if !hand_over(&commons, &queue, &batch).await {
            continue;
        }
        let per_second = u64::from(queue.calls_per_second());
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

/// Makes the call; `false` if it was not made: the function ends, or wants these no
/// more.
async fn hand_over(commons: &Weak<Commons>, queue: &ChannelQueue, batch: &Batch) -> bool {
    loop {
        let Some(function) = commons.upgrade() else {
            return false;
        };
        if function.is_removed() || function.is_stopping() {
            let unhandled = batch.publications.len() + queue.len();
            tracing::info!(function = %function.name(), unhandled, "publications are dropped, because the function ends");
            queue.close();
            return false;
        }
        // The function may subscribe to nothing any more while it has no room.
        if !queue.wants(batch) {
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
                queue.note_failed(publications);
                tracing::warn!(function = %function.name(), channel = ?batch.channel.as_str(), publications, "the function failed, and these publications are not repeated");
                return true;
            }
            Some(Called::Done | Called::Cancelled) => return true,
        }
    }
}

impl Lost {
    /// Notes how many were lost before a batch; how many to tell of, if it is time.
    fn note(&mut self, lost: u64, now: Instant) -> Option<u64> {
        self.untold = self.untold.saturating_add(lost);
        let is_due = |at: Instant| now.duration_since(at) >= LOST_TOLD_EVERY;
        if self.untold == 0 || !self.told_at.is_none_or(is_due) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_at_most_once_in_ten_seconds_and_all_of_it() {
        let mut lost = Lost::default();
        let began = Instant::now();
        assert_eq!(lost.note(0, began), None);
        assert_eq!(lost.note(5, began), Some(5));
        assert_eq!(lost.note(3, began), None);
        let nearly = began + LOST_TOLD_EVERY - Duration::from_nanos(1);
        assert_eq!(lost.note(2, nearly), None);
        // Nothing more is lost after the burst.
        assert_eq!(lost.note(0, began + LOST_TOLD_EVERY), Some(5));
        assert_eq!(lost.note(0, began + 3 * LOST_TOLD_EVERY), None);
    }
}
