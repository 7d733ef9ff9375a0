//! shuttle's versions of the names in `sync.rs` of the engine and of the channels:
//! another thread may run before each access.

pub(crate) use shuttle::sync::MutexGuard;
pub(crate) use shuttle::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
// No model waits for a socket.
pub(crate) use atomic_waker::AtomicWaker;
// No thread waits for it, so it is not a step of its own.
pub(crate) use std::sync::OnceLock;

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};
use shuttle::thread::{self, Thread};
use tokio::time::Instant;

use crate::world;

/// A lock with parking_lot's interface: it is not poisoned.
#[derive(Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// The same for a readers-writer lock.
#[derive(Default)]
pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}

/// A task is a thread here. The world joins it, so one that never ends is a
/// deadlock.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    world::add_task(thread::spawn(|| block_on(task)));
}

/// Wakes a thread; several calls before that count as one.
struct Signal {
    /// Not shuttle's, because unparking is the step.
    told: std::sync::atomic::AtomicBool,
    thread: Thread,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.told.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Polls a future only after a wake-up, so that a lost one is a deadlock.
/// Shuttle's own `block_on` also wakes a thread that waits for a lock within a
/// poll, and forgets this once it has the lock.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let signal = Arc::new(Signal {
        told: std::sync::atomic::AtomicBool::new(false),
        thread: thread::current(),
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut future = pin!(future);
    loop {
        let mut cx = Context::from_waker(&waker);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        while !signal.told.swap(false, Ordering::SeqCst) {
            thread::park();
        }
    }
}

/// Lets other threads run, like a call that awaits.
pub(crate) async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A time that is over when the model is: see [`world::end`].
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Over at once, except [`LONG`]: the waiting thread may rest at each step.
#[derive(Debug)]
pub(crate) struct Sleep {
    is_long: bool,
}

pub(crate) fn sleep(time: Duration) -> Sleep {
    Sleep {
        is_long: time >= LONG,
    }
}

impl Sleep {
    pub(crate) fn is_elapsed(&self) -> bool {
        !self.is_long || world::is_over()
    }

    #[expect(clippy::unused_self, reason = "tokio's interface")]
    pub(crate) fn reset(self: Pin<&mut Self>, _moment: Instant) {}
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_elapsed() {
            return Poll::Ready(());
        }
        world::add_sleeper(cx.waker());
        Poll::Pending
    }
}

/// The time is never over.
pub(crate) async fn timeout<T>(
    _time: Duration,
    future: impl Future<Output = T>,
) -> Result<T, std::convert::Infallible> {
    Ok(future.await)
}
