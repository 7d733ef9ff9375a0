//! Calls into guest code, under the limits of time and with turns.
//!
//! `handler_timeout` bounds a call, and the run's clock bounds its computing.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use openline_core::fault::Fault;
use tokio::time::{Instant, Sleep};
use tracing::field;

use super::exchange::Exchange;
use super::program::Program;
use super::run::Run;
use super::turns::Gate;
use crate::component::failure::Failure;

/// When a call must have returned.
pub(crate) trait Due {
    /// When it must have, if it paused for the first time at `paused`. Asked at each
    /// pause; one that moves sees to it that the waker is woken.
    fn due(&self, paused: Instant, waker: &Waker) -> Instant;

    /// Whether the call is late when it is due, and not what it waits for.
    fn is_late(&self) -> bool {
        true
    }

    /// The call has paused.
    fn paused(&self, _: &mut Context<'_>) {}
}

/// So long after its first pause.
struct Within(Duration);

impl Due for Within {
    fn due(&self, paused: Instant, _: &Waker) -> Instant {
        paused + self.0
    }
}

impl Due for Exchange {
    fn due(&self, _: Instant, waker: &Waker) -> Instant {
        Self::due(self, waker)
    }

    fn is_late(&self) -> bool {
        Self::is_late(self)
    }

    fn paused(&self, cx: &mut Context<'_>) {
        self.read_ahead(cx);
    }
}

/// Runs guest code in its turn, for at most `time`, usually `handler_timeout`.
/// Each time it pauses, the connections that it wrote to are woken.
pub(crate) async fn enforce<T>(
    run: &Run,
    time: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Failure> {
    enforce_due(run, &Within(time), call).await
}

/// The same for a call that must have returned when it is due.
pub(crate) async fn enforce_due<T>(
    run: &Run,
    time: &impl Due,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Failure> {
    let mut call = pin!(call);
    let mut gate = Gate::default();
    run.clock.start_over(1);
    // Most calls return in their first poll and never see a timer.
    let mut timeout: Option<(Instant, Pin<Box<Sleep>>)> = None;
    let enforced = std::future::poll_fn(|cx| {
        if let Poll::Ready(permit) = gate.poll(cx, &run.clock, &run.long_runs) {
            run.enter();
            let polled = call.as_mut().poll(cx);
            run.wakeups.lock().flush();
            drop(permit);
            match polled {
                Poll::Ready(result) => return Poll::Ready(result.map_err(Failure::from)),
                Poll::Pending => run.clock.pause(),
            }
            time.paused(cx);
        }
        let (paused, timer) = timeout.get_or_insert_with(|| {
            let now = Instant::now();
            (
                now,
                Box::pin(tokio::time::sleep_until(time.due(now, cx.waker()))),
            )
        });
        loop {
            let due = time.due(*paused, cx.waker());
            if due != timer.deadline() {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            if time.is_late() {
                let fault = Fault::HandlerTimeout;
                return Poll::Ready(Err(Failure { fault, cause: None }));
            }
        }
    });
    // tokio makes a task pause that has done much at once. A guest could use up
    // that budget, for example by printing: each such pause would look like an
    // await and begin a new run, and would hide the timer. The epoch ensures
    // that the thread is given back.
    tokio::task::unconstrained(enforced).await
}

/// Lets a guest save its data before it is dropped. Failures are only logged,
/// because no caller waits for this.
pub(crate) async fn hibernate<T>(
    program: &Program,
    run: &Run,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> bool {
    let time = program.policy.hibernate_timeout;
    let done = enforce(run, time, call).await;
    if let Err(failure) = &done {
        let name = &program.name;
        if failure.fault == Fault::HandlerTimeout {
            tracing::warn!(function = %name, "`hibernate` did not return within {time:?} (hibernate_timeout)");
        } else {
            let cause = failure.describe();
            let backtrace = failure.backtrace().map(field::display);
            tracing::warn!(function = %name, fault = failure.fault.label(), backtrace, "`hibernate` failed: {cause}");
        }
    }
    done.is_ok()
}
