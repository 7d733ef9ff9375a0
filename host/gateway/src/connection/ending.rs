//! How long the end of a connection may take.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// How long the end may take. The time runs from the decision to end, so that a
/// peer that does not read cannot delay the end.
#[derive(Debug)]
pub(super) struct Ending {
    close_timeout: Duration,
    /// Made when needed: most connections are idle, and a timer is as large as
    /// everything else in one.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Ending {
    pub(super) fn within(close_timeout: Duration) -> Self {
        Self {
            close_timeout,
            timer: None,
        }
    }

    /// Ready when the time is over; it runs from the first call.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.close_timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        // Check first: in a poll that has read much, tokio's budget may be used
        // up, and then a timer that has fired is still pending.
        if timer.is_elapsed() {
            return Poll::Ready(());
        }
        timer.as_mut().poll(cx)
    }

    /// The rest of the time.
    pub(super) fn deadline(self) -> Pin<Box<Sleep>> {
        let time = self.close_timeout;
        let timer = self.timer;
        timer.unwrap_or_else(|| Box::pin(tokio::time::sleep(time)))
    }
}
