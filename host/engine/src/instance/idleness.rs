//! Finds out whether an instance has something to do, or has been idle for too
//! long.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::live::Instance;
use super::mailbox::Job;
use super::run::Run;
use crate::sync::{Sleep, sleep};

/// Waits for the next job, or for the time after which an idle instance ends.
#[derive(Debug)]
pub(crate) struct Idleness {
    timer: Pin<Box<Sleep>>,
    armed: bool,
    /// The waker that the timer wakes.
    waker: Option<Waker>,
    timeout: Duration,
}

/// The next thing for a driver to do.
pub(crate) enum Wake {
    Job(Job),
    /// End the instance, which may hibernate first.
    Idle,
}

impl Idleness {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timer: Box::pin(sleep(timeout)),
            armed: false,
            waker: None,
            timeout,
        }
    }

    /// `active` is when the last call was made, by the run's clock; `busy` says
    /// that calls are in flight, so the instance is not idle.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        instance: &Instance,
        run: &Run,
        active: u64,
        busy: bool,
    ) -> Poll<Wake> {
        if !instance.poller.is_spent() {
            if let Some(job) = instance.mailbox.pop() {
                instance.poller.spend();
                return Poll::Ready(Wake::Job(job));
            }
        } else if !instance.mailbox.is_empty() {
            instance.poller.wake();
            return Poll::Pending;
        }
        if busy {
            return Poll::Pending;
        }
        if instance.is_ending() || self.timeout.is_zero() {
            return Self::idle(instance);
        }
        // Calls do not touch the timer: when it fires, the clock shows how long
        // ago the last call was.
        let woken = |waker: &Waker| waker.will_wake(cx.waker());
        if self.armed && !self.timer.is_elapsed() && self.waker.as_ref().is_some_and(woken) {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        if self.armed && !self.timer.is_elapsed() && self.poll_timer(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            let idle = run.clock.since(active);
            if self.armed && idle >= self.timeout {
                self.armed = false;
                return Self::idle(instance);
            }
            let left = self.timeout.saturating_sub(idle);
            let left = left.max(Duration::from_millis(1));
            self.timer.as_mut().reset(Instant::now() + left);
            self.armed = true;
            if self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Unconstrained: the polling task may have used up tokio's budget, and then
    /// the timer would not register its waker.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        pin!(tokio::task::unconstrained(self.timer.as_mut())).poll(cx)
    }

    /// Idle, unless the job that the instance was made for is still to come:
    /// otherwise connections that wait for a place could end each other's
    /// instances without a call. The connection that brings the job causes
    /// another poll, even if the job came after the check for the next one.
    fn idle(instance: &Instance) -> Poll<Wake> {
        if instance.mailbox.has_more() {
            return Poll::Pending;
        }
        Poll::Ready(Wake::Idle)
    }

    /// Continues after an idle time that did not end the instance.
    pub(crate) fn rearm(&mut self) {
        self.armed = false;
    }
}
