//! How long the end of a connection may take.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// How long the end may take. The time runs once the connection is to end, so
/// that a peer that does not read cannot keep it from ending.
#[derive(Debug)]
pub(super) struct Ending {
    close_timeout: Duration,
    /// Made when it is needed: most connections are idle, and a timer is as
    /// large as the rest of them.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Ending {
    pub(super) fn within(close_timeout: Duration) -> Self {
        Self {
            close_timeout,
            timer: None,
        }
    }

    /// Whether the time is over; it runs from the first time this is asked.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.close_timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        // Asked first: a poll that has read much finds tokio's budget for it
        // used up, and the timer would not say that it has fired.
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
