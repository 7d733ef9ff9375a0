//! The times of a connection, and the one timer for all of them.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use openline_core::lifetime::Lifetime;
use openline_core::limits::FunctionLimits;
use tokio::time::{Instant, Sleep};

use super::pace::Pace;

/// The next thing that is due, and the timer for it.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) opened_at: Instant,
    pub(super) lifetime: Lifetime,
    pub(super) pace: Option<Box<Pace>>,
    /// When the connection's next alarm is due.
    pub(super) alarm: Option<Instant>,
    /// Polled only to see whether it has fired.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    /// The timer waits for the answer to a ping. Once the answer is there,
    /// something may be due earlier.
    pub(super) awaits_pong: bool,
    pub(super) watcher: Watcher,
}

/// The means of noticing that a peer has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watcher {
    /// Pings, whose answers the host reads.
    Host,
    /// The system, because the host reads nothing.
    System,
}

impl Clock {
    /// The clock of a connection that opens now.
    pub(super) fn new(limits: &FunctionLimits) -> Self {
        Self {
            opened_at: Instant::now(),
            lifetime: Lifetime::default(),
            pace: Pace::new(limits),
            alarm: None,
            timer: None,
            awaits_pong: false,
            watcher: Watcher::Host,
        }
    }

    /// The time since the connection was opened.
    pub(super) fn now(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Whether the timer has fired.
    pub(super) fn has_fired(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.is_elapsed())
    }

    /// Sets the timer to the next moment at which something is due; at `look`
    /// the connection checks whether it should sleep.
    pub(super) fn arm(
        &mut self,
        cx: &mut Context<'_>,
        limits: &FunctionLimits,
        look: Option<Duration>,
    ) {
        let now = self.now();
        let resume = self.pace.as_mut().and_then(|pace| pace.resume(now));
        let due = self.lifetime.due(limits);
        // Something overdue waits for an event in flight, whose end wakes this
        // task.
        let later = |due: &Duration| *due > now;
        let rest = look.filter(later);
        let alarm = self.alarm.map(|due| due - self.opened_at).filter(later);
        let all = [due, resume, rest, alarm];
        let Some(due) = all.into_iter().flatten().min() else {
            return;
        };
        let at = self.opened_at + due;
        let timer = match &mut self.timer {
            Some(timer) => {
                timer.as_mut().reset(at);
                timer
            }
            None => self.timer.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        // Polling registers this task with the timer. A timer that has already
        // fired registers nothing, so wake the task by hand.
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
