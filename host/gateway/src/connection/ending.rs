//! How long the end of a connection may take.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// How long the end may take. The time runs from the decision to end, so that a
/// peer that does not read cannot delay the end.
#[derive(Debug)]
pub(crate) struct Ending {
    /// In milliseconds: every connection has room for it.
    close_timeout: u32,
    /// Made when needed: most connections are idle, and a timer is as large as
    /// everything else in one.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Ending {
    pub(crate) fn within(close_timeout: Duration) -> Self {
        let milliseconds = close_timeout.as_millis();
        Self {
            close_timeout: u32::try_from(milliseconds).unwrap_or(u32::MAX),
            timer: None,
        }
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.close_timeout.into())
    }

    /// Ready when the time is over; it runs from the first call.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.time();
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
    pub(crate) fn deadline(self) -> Pin<Box<Sleep>> {
        let time = self.time();
        let timer = self.timer;
        timer.unwrap_or_else(|| Box::pin(tokio::time::sleep(time)))
    }
}
