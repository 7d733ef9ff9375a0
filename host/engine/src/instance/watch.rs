//! Notices that an asynchronous instance is late, whatever its guest does.
//!
//! wasmtime's event loop handles the calls in flight, the mailbox and the end
//! of an instance. A guest can keep that loop from being polled: an import that
//! is not asynchronous and waits (`wasi:io/poll`, which `std::thread::sleep`
//! uses) holds the store until it is over, and so does a run that computes or
//! waits for its turn. So the driver watches two moments from outside, with a
//! timer of its own: when the oldest call must have returned, and when the
//! guest must have let the event loop go on. Both have `handler_timeout`: a
//! job, a hibernation or an end that cannot begin meanwhile waits for that long
//! at most.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

/// The event loop's report at the end of each round.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether it has completed a round since the last check.
    came_round: bool,
    /// When the oldest call in flight began.
    oldest: Option<Instant>,
}

/// The timer outside the event loop of an asynchronous instance.
#[derive(Debug)]
pub(crate) struct Watch {
    timeout: Duration,
    /// Since when the event loop has not completed a round, although it was
    /// asked to.
    held: Option<Instant>,
    alarm: Alarm,
}

/// A timer that is cheap while its moment moves later. Setting a timer costs a
/// good part of a call, and almost no call is ever late, so a timer that is set
/// for an earlier moment is left alone until it fires.
#[derive(Debug, Default)]
struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    /// The waker that it wakes.
    waker: Option<Waker>,
}

// === impl Progress ===

impl Progress {
    /// Notes that the event loop has completed a round.
    pub(crate) fn note(&self, oldest: Option<Instant>) {
        let mut state = self.state.lock();
        state.came_round = true;
        state.oldest = oldest;
    }

    /// Whether it has completed a round since the watch was polled.
    pub(crate) fn came_round(&self) -> bool {
        self.state.lock().came_round
    }

    fn take(&self) -> (bool, Option<Instant>) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.came_round), state.oldest)
    }
}

// === impl Watch ===

impl Watch {
    pub(crate) fn new(handler_timeout: Duration) -> Self {
        Self {
            timeout: handler_timeout,
            held: None,
            alarm: Alarm::default(),
        }
    }

    /// Ready when the instance is late. Poll it whenever the driver is polled,
    /// after the event loop.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, progress: &Progress) -> Poll<()> {
        match self.due(progress, Instant::now) {
            Some(due) => self.alarm.poll(cx, due),
            None => Poll::Pending,
        }
    }

    /// When the instance will be late, if nothing happens before.
    fn due(&mut self, progress: &Progress, now: impl FnOnce() -> Instant) -> Option<Instant> {
        let (came_round, oldest) = progress.take();
        if came_round {
            self.held = None;
        } else {
            self.held.get_or_insert_with(now);
        }
        let since = oldest.into_iter().chain(self.held).min()?;
        Some(since + self.timeout)
    }
}

// === impl Alarm ===

impl Alarm {
    /// Ready when the moment has come.
    fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let waits = |waker: &Waker| waker.will_wake(cx.waker());
        let timer = match &mut self.timer {
            Some(timer)
                if timer.deadline() <= due
                    && !timer.is_elapsed()
                    && self.waker.as_ref().is_some_and(waits) =>
            {
                return Poll::Pending;
            }
            Some(timer) => {
                if timer.deadline() != due {
                    timer.as_mut().reset(due);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(due))),
        };
        self.waker = Some(cx.waker().clone());
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_oldest_call_has_its_time_though_the_event_loop_is_held() {
        let (mut watch, progress) = (Watch::new(TIMEOUT), Progress::default());
        let begun = Instant::now();
        progress.note(Some(begun));
        for seconds in 0..3 {
            let now = || begun + seconds * SECOND;
            assert_eq!(watch.due(&progress, now), Some(begun + TIMEOUT));
        }
        // It has returned, and the next one is the oldest.
        progress.note(Some(begun + 5 * SECOND));
        let due = watch.due(&progress, || begun + 6 * SECOND);
        assert_eq!(due, Some(begun + 5 * SECOND + TIMEOUT));
        progress.note(None);
        assert_eq!(watch.due(&progress, || begun + 7 * SECOND), None);
    }

    #[test]
    fn a_guest_that_holds_the_event_loop_is_late_without_a_call() {
        let (mut watch, progress) = (Watch::new(TIMEOUT), Progress::default());
        let start = Instant::now();
        // It completed a round, and is blocked when it is asked again, because
        // a job has come or the instance is to end.
        progress.note(None);
        assert_eq!(watch.due(&progress, || start), None);
        for seconds in 3..6 {
            let now = || start + seconds * SECOND;
            let asked = start + 3 * SECOND;
            assert_eq!(watch.due(&progress, now), Some(asked + TIMEOUT));
        }
        // Completing a round starts the time again.
        progress.note(None);
        assert_eq!(watch.due(&progress, || start + 7 * SECOND), None);
        let due = watch.due(&progress, || start + 8 * SECOND);
        assert_eq!(due, Some(start + 8 * SECOND + TIMEOUT));
    }

    #[tokio::test]
    async fn it_wakes_whoever_polls_it_when_the_moment_has_come() {
        let timeout = Duration::from_millis(50);
        let (mut watch, progress) = (Watch::new(timeout), Progress::default());
        let begun = Instant::now();
        progress.note(Some(begun));
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                // The timer of the first call has fired and is moved.
                progress.note(Some(begun + timeout));
            }
            watch.poll(cx, &progress)
        })
        .await;
        assert!(begun.elapsed() >= 2 * timeout);
        assert_eq!(polls, 3);
    }
}
