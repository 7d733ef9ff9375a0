//! Who may compute for long: runs of guest code past their first slice take
//! turns on all of the host's threads but one.
//!
//! A run that computes yields its thread at each tick of the epoch. Without
//! more, it would go to the end of the thread's queue, and with many of them on
//! few threads everything short, a message to echo say, would wait for a slice
//! of several at each of its steps. So a run that has used up a slice goes on
//! only with a permit, which it gives back when it yields again. There is one
//! permit less than there are threads, and they are given in the order they
//! were asked for. With one thread there is one permit: what is short then
//! waits for one slice, not for many.
//!
//! Bounded: each instance waits for one permit at most.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::budget::RunClock;

/// The permits of a host.
#[derive(Clone, Debug)]
pub(crate) struct LongRuns {
    permits: Arc<Semaphore>,
}

/// One driver's way to a permit.
#[derive(Default)]
pub(crate) struct Gate {
    asked: Option<Asked>,
}

type Asked = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

impl LongRuns {
    /// So many may have a thread at once, at least one.
    pub(crate) fn new(at_once: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(at_once)),
        }
    }
}

impl Gate {
    /// Ready when the run may have the thread. What it is ready with is to be
    /// dropped when the thread is given back.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        clock: &RunClock,
        long_runs: &LongRuns,
    ) -> Poll<Option<OwnedSemaphorePermit>> {
        if !clock.is_long() {
            return Poll::Ready(None);
        }
        let asked = self
            .asked
            .get_or_insert_with(|| Box::pin(Arc::clone(&long_runs.permits).acquire_owned()));
        let Poll::Ready(permit) = asked.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.asked = None;
        // An error says that the semaphore is closed, which it never is.
        Poll::Ready(permit.ok())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::task::noop_waker;
    use openline_core::fault::Fault;
    use openline_core::limits::FunctionLimits;

    use super::*;
    use crate::instance::enforce;
    use crate::store::{Run, Shared};

    /// A run that has used up a slice.
    fn long_clock() -> RunClock {
        let clock = RunClock::new();
        clock.enter();
        while !clock.is_long() {
            clock.tick(Duration::from_secs(600)).unwrap();
        }
        clock
    }

    #[test]
    fn a_run_in_its_first_slice_needs_no_permit_and_long_runs_take_turns() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let long_runs = LongRuns::new(1);
        let clock = long_clock();
        let (mut first, mut second, mut third) =
            (Gate::default(), Gate::default(), Gate::default());
        let Poll::Ready(permit @ Some(_)) = first.poll(&mut cx, &clock, &long_runs) else {
            panic!("the first gets the permit");
        };
        assert!(second.poll(&mut cx, &clock, &long_runs).is_pending());
        assert!(third.poll(&mut cx, &clock, &long_runs).is_pending());
        let short = RunClock::new();
        let mut other = Gate::default();
        assert!(other.poll(&mut cx, &short, &long_runs).is_ready());
        drop(permit);
        // The first asks again, but others have waited for longer.
        assert!(first.poll(&mut cx, &clock, &long_runs).is_pending());
        assert!(third.poll(&mut cx, &clock, &long_runs).is_pending());
        let Poll::Ready(permit @ Some(_)) = second.poll(&mut cx, &clock, &long_runs) else {
            panic!("it is the turn of the second");
        };
        // One that ends while it waits leaves its place to the next.
        drop(third);
        drop(permit);
        assert!(first.poll(&mut cx, &clock, &long_runs).is_ready());
    }

    #[tokio::test]
    async fn a_call_that_waits_for_its_turn_is_late_all_the_same() {
        let long_runs = LongRuns::new(1);
        let taken = Arc::clone(&long_runs.permits).acquire_owned().await;
        let shared = Shared {
            long_runs,
            limits: Arc::new(FunctionLimits {
                handler_timeout: Duration::from_millis(50),
                ..FunctionLimits::default()
            }),
            ..Shared::unnamed()
        };
        let run = Run::new();
        let computing = async {
            while !run.clock.is_long() {
                run.clock.tick(Duration::from_secs(600)).unwrap();
            }
            // As wasmtime does when a guest yields.
            tokio::task::yield_now().await;
            panic!("goes on without a permit");
        };
        let failure = enforce::<()>(&run, &shared, computing).await.unwrap_err();
        assert_eq!(failure.fault, Fault::HandlerTimeout);
        drop(taken);
    }

    #[test]
    fn there_is_always_a_permit() {
        assert_eq!(LongRuns::new(0).permits.available_permits(), 1);
        assert_eq!(LongRuns::new(3).permits.available_permits(), 3);
    }
}
