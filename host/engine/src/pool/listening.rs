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

/// Serves the channel handler of a function for as long as the function is there.
pub async fn serve(commons: Weak<Commons>) {
    let listener = commons.upgrade().map(|it| Arc::clone(it.hub().listener()));
    let Some(listener) = listener else { return };
    let began = Instant::now();
    let mut pace: Option<TokenBucket> = None;
    while let Some(batch) = listener.next().await {
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
            let lost = batch.publications.len() + listener.len();
            tracing::debug!(function = %function.name(), lost, "publications are not handled");
            listener.close();
            return false;
        }
        match function.hear(batch.clone()).await {
            None => {}
            Some(Called::NoRoom) => {
                // Not held meanwhile: the function may go.
                drop(function);
                tokio::time::sleep(NO_ROOM_RETRY_AFTER).await;
            }
            // The fault was logged with its instance.
            Some(Called::Done | Called::Failed | Called::Cancelled) => return true,
        }
    }
}
