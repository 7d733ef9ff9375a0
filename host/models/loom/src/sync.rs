//! loom's versions of the names in `sync.rs` of the engine and of the channels:
//! another thread may run at each access, and a load may return any value that
//! the memory order allows.

pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::task::Waker;
use std::time::Duration;

/// A lock like parking_lot's: it is not poisoned, and `try_lock` first checks
/// whether it is free, with a relaxed load that may see an old state. loom's
/// own lock always sees the newest state, which would hide the effect of memory
/// orders.
#[derive(Default)]
pub(crate) struct Mutex<T> {
    taken: AtomicBool,
    inner: loom::sync::Mutex<T>,
}

pub(crate) struct MutexGuard<'a, T> {
    taken: &'a AtomicBool,
    inner: loom::sync::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            taken: AtomicBool::new(false),
            inner: loom::sync::Mutex::new(value),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let inner = self.inner.lock().expect("loom poisons no lock");
        self.guard(inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        if self.taken.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.guard(self.inner.try_lock().ok()?))
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut().expect("loom poisons no lock")
    }

    fn guard<'a>(&'a self, inner: loom::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.taken.store(true, Ordering::Relaxed);
        MutexGuard {
            taken: &self.taken,
            inner,
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // The lock itself is released after this returns.
        self.taken.store(false, Ordering::Release);
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// Like the standard library's, with the memory order of its flag.
pub(crate) struct OnceLock<T> {
    is_set: AtomicBool,
    inner: std::sync::OnceLock<T>,
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self {
            is_set: AtomicBool::new(false),
            inner: std::sync::OnceLock::new(),
        }
    }
}

impl<T> OnceLock<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        let is_set = self.is_set.load(Ordering::Acquire);
        is_set.then(|| self.inner.get()).flatten()
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let value = self.inner.get_or_init(make);
        self.is_set.store(true, Ordering::Release);
        value
    }
}

/// loom's, with the names of the crate `atomic-waker`.
#[derive(Debug)]
pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(loom::future::AtomicWaker::new())
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.0.register_by_ref(waker);
    }

    pub(crate) fn take(&self) -> Option<Waker> {
        self.0.take_waker()
    }

    pub(crate) fn wake(&self) {
        self.0.wake();
    }
}

/// A task is a thread here.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    loom::thread::spawn(|| loom::future::block_on(task));
}

/// Returns at once, which covers every moment, because the waiting thread may
/// rest at each step.
pub(crate) async fn sleep(_time: Duration) {}
