//! Long runs of guest code, those past their first slice, take turns on all of
//! the host's threads except one.
//!
//! A run that computes yields its thread at each tick of the epoch, and would
//! then go to the end of the thread's queue. With many such runs on few
//! threads, every short run, such as an echo, would wait for the slices of
//! several of them at each step. So a run that has used up a slice goes on only
//! with a permit, which it gives back when it yields again. There is one permit
//! fewer than threads, and runs get permits in the order in which they ask.
//! With one thread there is one permit: a short run then waits for one slice,
//! not for many.
//!
//! A permit alone does not leave a thread to others. tokio polls sockets and
//! timers when a thread has no task to run, or has run 61 of them; a run that
//! wakes its own task, or another run that waited for the permit, is a task to
//! run. On a single thread all others would wait for dozens of slices. So a run
//! that gets a permit first lets its thread poll sockets and timers, and then
//! queues behind the tasks that these wake.
//!
//! Each instance waits for one permit at most.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::RunClock;

/// The permits of a host.
#[derive(Clone, Debug)]
pub(crate) struct LongRuns {
    permits: Arc<Semaphore>,
    at_once: usize,
}

/// One driver's way to a permit.
#[derive(Default)]
pub(crate) struct Gate {
    asked: Option<PermitFuture>,
}

type PermitFuture = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

impl LongRuns {
    /// Permits for this many runs at once, at least one.
    pub(crate) fn new(at_once: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(at_once)),
            at_once,
        }
    }

    /// How many permits are taken.
    pub(crate) fn taken(&self) -> usize {
        self.at_once
            .saturating_sub(self.permits.available_permits())
    }
}

impl Gate {
    /// Ready when the run may have the thread. The caller drops the result when
    /// it gives the thread back.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        clock: &RunClock,
        long_runs: &LongRuns,
    ) -> Poll<Option<OwnedSemaphorePermit>> {
        if !clock.is_long() {
            return Poll::Ready(None);
        }
        clock.wake();
        let asked = self
            .asked
            .get_or_insert_with(|| Box::pin(permit(Arc::clone(&long_runs.permits))));
        let Poll::Ready(permit) = asked.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.asked = None;
        Poll::Ready(permit)
    }
}

/// Waits for a permit, and then lets all ready tasks go first.
async fn permit(permits: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // An error would mean that the semaphore is closed, which it never is.
    let permit = permits.acquire_owned().await.ok();
    // Goes on when the thread has polled sockets and timers ...
    tokio::task::yield_now().await;
    // ... but then at the front of the queue, as the task that was woken last.
    go_to_the_back().await;
    permit
}

/// Puts the task behind all that are ready to run on its thread.
async fn go_to_the_back() {
    let mut gone = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut gone, true) {
            return Poll::Ready(());
        }
        // A task that wakes itself while it runs goes to the back.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::task::noop_waker;
    use openline_core::fault::Fault;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::component::ticker::Ticker;
    use crate::instance::enforce::enforce;
    use crate::instance::run::Run;

    /// How many echoes a test makes.
    const ROUNDS: usize = 20;
    /// After this many slices a run ends that has not left the thread to
    /// others.
    const SLICES_MAX: usize = 10_000;
    /// Longer than any test computes.
    const LONG: Duration = Duration::from_secs(600);

    /// A run that has used up a slice.
    fn long_clock() -> RunClock {
        let clock = RunClock::new(LONG);
        clock.start_over(1);
        clock.enter();
        while !clock.is_long() {
            clock.tick().unwrap();
        }
        clock
    }

    /// Polls as often as getting a free permit takes.
    fn poll(
        gate: &mut Gate,
        cx: &mut Context<'_>,
        clock: &RunClock,
        long_runs: &LongRuns,
    ) -> Poll<Option<OwnedSemaphorePermit>> {
        for _ in 0..2 {
            let _ = gate.poll(cx, clock, long_runs);
        }
        gate.poll(cx, clock, long_runs)
    }

    #[test]
    fn a_run_in_its_first_slice_needs_no_permit_and_long_runs_take_turns() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let long_runs = LongRuns::new(1);
        let clock = long_clock();
        let (mut first, mut second, mut third) =
            (Gate::default(), Gate::default(), Gate::default());
        let Poll::Ready(permit @ Some(_)) = poll(&mut first, &mut cx, &clock, &long_runs) else {
            panic!("the first gets the permit");
        };
        assert!(poll(&mut second, &mut cx, &clock, &long_runs).is_pending());
        assert!(poll(&mut third, &mut cx, &clock, &long_runs).is_pending());
        let short = RunClock::new(LONG);
        let mut other = Gate::default();
        assert!(other.poll(&mut cx, &short, &long_runs).is_ready());
        drop(permit);
        // The first asks again, but others have waited for longer.
        assert!(poll(&mut first, &mut cx, &clock, &long_runs).is_pending());
        assert!(poll(&mut third, &mut cx, &clock, &long_runs).is_pending());
        let Poll::Ready(permit @ Some(_)) = poll(&mut second, &mut cx, &clock, &long_runs) else {
            panic!("it is the turn of the second");
        };
        // A run that ends while it waits leaves its place to the next.
        drop(third);
        drop(permit);
        assert!(poll(&mut first, &mut cx, &clock, &long_runs).is_ready());
    }

    #[tokio::test]
    async fn a_call_that_waits_for_its_turn_is_late_all_the_same() {
        let long_runs = LongRuns::new(1);
        let taken = Arc::clone(&long_runs.permits).acquire_owned().await;
        let ticker = Arc::new(Ticker::start().unwrap());
        let run = Run::new(LONG, &long_runs, ticker);
        let computing = async {
            while !run.clock.is_long() {
                run.clock.tick().unwrap();
            }
            // wasmtime does the same when a guest yields.
            tokio::task::yield_now().await;
            panic!("goes on without a permit");
        };
        let failure = enforce::<()>(&run, Duration::from_millis(50), computing)
            .await
            .unwrap_err();
        assert_eq!(failure.fault, Fault::HandlerTimeout);
        drop(taken);
    }

    #[test]
    fn between_two_slices_the_thread_looks_at_sockets_and_runs_what_they_wake() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Then tokio never polls by itself while there is a task to run.
            .event_interval(u32::MAX)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut here, mut there) = tokio::net::UnixStream::pair().unwrap();
            let long_runs = LongRuns::new(1);
            let slices = Arc::new(AtomicUsize::new(0));
            // Two runs, so that each is also woken by the other's permit.
            for _ in 0..2 {
                let (long_runs, slices) = (long_runs.clone(), Arc::clone(&slices));
                tokio::spawn(async move {
                    let clock = long_clock();
                    let mut gate = Gate::default();
                    std::future::poll_fn(|cx| {
                        let permit = gate.poll(cx, &clock, &long_runs);
                        if permit.is_pending() {
                            return Poll::Pending;
                        }
                        if slices.fetch_add(1, Ordering::Relaxed) > SLICES_MAX {
                            return Poll::Ready(());
                        }
                        // wasmtime does the same when a guest yields.
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    })
                    .await;
                });
            }
            let echo = tokio::spawn(async move {
                let mut byte = [0];
                for _ in 0..ROUNDS {
                    there.read_exact(&mut byte).await.unwrap();
                    there.write_all(&byte).await.unwrap();
                }
            });
            for _ in 0..ROUNDS {
                here.write_all(&[1]).await.unwrap();
                here.read_exact(&mut [0]).await.unwrap();
            }
            echo.await.unwrap();
            // One or two slices for each of the four steps of an echo: written,
            // read by the other end, answered, and read.
            let slices = slices.load(Ordering::Relaxed);
            assert!((1..=4 * ROUNDS).contains(&slices), "{slices}");
        });
    }

    #[test]
    fn there_is_always_a_permit() {
        assert_eq!(LongRuns::new(0).permits.available_permits(), 1);
        assert_eq!(LongRuns::new(3).permits.available_permits(), 3);
    }
}
