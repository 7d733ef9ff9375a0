//! Decides which task polls an instance: its own, or that of a connection that
//! brings it a job.
//!
//! An instance's future belongs to a task of its own, which timers and
//! everything asynchronous wake. A connection that hands it an event polls the
//! future on the spot instead of waking that task, unless another task is
//! polling it. Most calls return in this poll, so a message costs neither the
//! way to another task nor the way back: about a tenth of the cost of an echoed
//! message, when measured.
//!
//! All pollers of an instance belong to one tokio runtime: the timers that its
//! calls make belong to the runtime of the task that polls.
//!
//! No poller waits for the lock. One that finds it locked sets a flag, and the
//! holder wakes the task when it unlocks.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::{self, AtomicBool, AtomicU32, Mutex, MutexGuard, OnceLock, Ordering};

type Driving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The most jobs that one poll begins, so that a connection that polls for its
/// own job does not serve all others forever.
const JOBS_PER_POLL_MAX: u32 = 64;

/// An instance's future, and the flags of those that poll it.
#[derive(Default)]
pub(crate) struct Poller {
    /// `None` before [`spawn`] and after the end of the future.
    driving: Mutex<Option<Driving>>,
    /// The task's waker, once the task has run for the first time.
    waker: OnceLock<Waker>,
    /// Whether a poller has found `driving` locked.
    missed: AtomicBool,
    /// How many jobs this poll may still begin.
    left: AtomicU32,
}

/// The owner of a poller: an instance.
pub(crate) trait Polled: Send + Sync + 'static {
    fn poller(&self) -> &Poller;

    /// Called when its task is dropped with the future: at its end, or at the
    /// end of the runtime. A future that was never polled has answered no
    /// caller.
    fn abandon(&self);
}

/// The task of an instance.
struct Task<T: Polled>(Arc<T>);

/// Starts a task that drives an instance to its end.
pub(crate) fn spawn<T: Polled>(
    instance: Arc<T>,
    driving: impl Future<Output = ()> + Send + 'static,
) {
    *instance.poller().driving.lock() = Some(Box::pin(driving));
    sync::spawn(Task(instance));
}

impl Poller {
    /// Polls the instance here and now, unless another task does or its own
    /// task has not run yet: then its task will. The poll begins as many jobs
    /// as wait at that moment; for later ones the task is woken.
    pub(crate) fn run(&self, waiting: usize) {
        // Without a waker the task is about to run for the first time, and will
        // find every job.
        if let Some(waker) = self.waker.get() {
            let most = u32::try_from(waiting).unwrap_or(u32::MAX);
            let _ = self.poll(waker, most.min(JOBS_PER_POLL_MAX));
        }
    }

    /// Wakes its task to poll it.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Whether its task has run: it has a place of the host.
    pub(crate) fn has_run(&self) -> bool {
        self.waker.get().is_some()
    }

    /// Whether this poll has begun as many jobs as it may.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Notes that this poll begins a job.
    pub(crate) fn spend(&self) {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
    }

    fn poll(&self, waker: &Waker, jobs: u32) -> Poll<()> {
        let Some(mut driving) = self.take() else {
            return Poll::Pending;
        };
        self.left.store(jobs, Ordering::Relaxed);
        let polled = driving.as_mut().map(|future| {
            let mut cx = Context::from_waker(waker);
            // A panic in the future must not end the polling connection.
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)))
        });
        let pending = matches!(polled, Some(Ok(Poll::Pending)));
        let ended = if pending { None } else { driving.take() };
        drop(driving);
        // This pairs with the exchange in `take`: the later of the two sees
        // what happened before the earlier one. Either this exchange sees the
        // flag set, or the other poller sees the lock free.
        if self.missed.swap(false, Ordering::AcqRel) || ended.is_some() {
            waker.wake_by_ref();
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Takes the lock. If it is held, sets the flag for its holder.
    fn take(&self) -> Option<MutexGuard<'_, Option<Driving>>> {
        self.driving.try_lock().or_else(|| {
            // An exchange and not a store: see `poll`.
            self.missed.swap(true, Ordering::AcqRel);
            // The holder may have unlocked before the flag was set.
            self.driving.try_lock()
        })
    }
}

impl<T: Polled> Future for Task<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let poller = self.0.poller();
        let waker = poller.waker.get_or_init(|| cx.waker().clone());
        poller.poll(waker, JOBS_PER_POLL_MAX)
    }
}

impl<T: Polled> Drop for Task<T> {
    /// Breaks the cycle: the future holds the instance, which holds the future.
    fn drop(&mut self) {
        let driving = self.0.poller().driving.lock().take();
        drop(driving);
        self.0.abandon();
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A poller whose task has run once, with the count of its wake-ups.
    fn poller(driving: impl Future<Output = ()> + Send + 'static) -> (Arc<Poller>, Arc<Count>) {
        let poller = Poller::default();
        *poller.driving.lock() = Some(Box::pin(driving));
        let count = Arc::<Count>::default();
        poller.waker.set(Waker::from(Arc::clone(&count))).unwrap();
        (Arc::new(poller), count)
    }

    #[test]
    fn who_finds_it_taken_leaves_at_once_and_the_task_is_woken() {
        let inside = Arc::new(Barrier::new(2));
        let polls = Arc::new(AtomicUsize::new(0));
        let (entered, counted) = (Arc::clone(&inside), Arc::clone(&polls));
        let (poller, woken) = poller(poll_fn(move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                entered.wait();
                entered.wait();
            }
            Poll::Pending
        }));
        let first = Arc::clone(&poller);
        let first = std::thread::spawn(move || first.run(1));
        inside.wait();
        poller.run(1);
        assert_eq!(polls.load(Ordering::SeqCst), 1, "one at a time");
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        inside.wait();
        first.join().unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        poller.run(1);
        assert_eq!(polls.load(Ordering::SeqCst), 2);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "no poller was missed");
    }

    #[test]
    fn its_end_is_told_to_the_task_and_nothing_is_kept() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let (poller, woken) = poller(poll_fn(move |_| {
            assert_eq!(Arc::strong_count(&inside), 2);
            Poll::Ready(())
        }));
        poller.run(1);
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        poller.run(1);
    }

    #[test]
    fn a_panic_is_its_end_and_not_the_callers() {
        let (poller, woken) = poller(poll_fn(|_| panic!("a defect")));
        poller.run(1);
        assert!(poller.driving.lock().is_none());
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_poll_begins_so_many_jobs_and_no_more() {
        let (poller, _) = poller(poll_fn(|_| Poll::Pending));
        for (waiting, begun) in [(1, 1), (3, 3), (64, 64), (65, 64)] {
            poller.run(waiting);
            for _ in 0..begun {
                assert!(!poller.is_spent());
                poller.spend();
            }
            assert!(poller.is_spent());
        }
    }

    /// The owner of a task, which notes that the task was dropped.
    #[derive(Default)]
    struct Alone {
        poller: Poller,
        abandoned: AtomicBool,
    }

    impl Polled for Alone {
        fn poller(&self) -> &Poller {
            &self.poller
        }

        fn abandon(&self) {
            assert!(
                self.poller.driving.lock().is_none(),
                "the future goes first"
            );
            self.abandoned.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_that_is_dropped_with_its_runtime_leaves_nothing_whether_it_has_run_or_not() {
        for has_run in [false, true] {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.build().unwrap();
            let (alone, held) = (Arc::<Alone>::default(), Arc::new(()));
            let inside = Arc::clone(&held);
            let entered = runtime.enter();
            spawn(Arc::clone(&alone), async move {
                std::future::pending::<()>().await;
                drop(inside);
            });
            if has_run {
                runtime.block_on(tokio::task::yield_now());
            }
            assert_eq!(alone.poller.waker.get().is_some(), has_run);
            assert_eq!(Arc::strong_count(&held), 2);
            drop(entered);
            drop(runtime);
            assert!(alone.abandoned.load(Ordering::SeqCst));
            assert_eq!(Arc::strong_count(&held), 1);
            assert_eq!(Arc::strong_count(&alone), 1);
        }
    }

    #[tokio::test]
    async fn a_future_that_ends_ends_its_task() {
        let alone = Arc::<Alone>::default();
        spawn(Arc::clone(&alone), async {});
        let ended = async {
            while !alone.abandoned.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ended).await;
        ended.expect("its task ends");
    }
}
