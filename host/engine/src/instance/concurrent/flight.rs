//! State that outlives the event loop: the callers of calls in flight, and
//! which calls have completed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use parking_lot::Mutex;

use crate::instance::asker::Asker;
use crate::instance::live::Instance;
use crate::instance::watch::Progress;

/// The askers of calls in flight, and the calls that have completed.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) askers: Mutex<Vec<Option<Asker>>>,
    pub(super) completed: Mutex<Vec<usize>>,
    /// Read by the watch outside the event loop.
    pub(super) progress: Progress,
    /// Whether the driver is being polled, so that a call that completes need
    /// not wake it.
    pub(super) polling: AtomicBool,
    instance: Arc<Instance>,
}

/// The waker of one slot in the table of calls.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) slot: usize,
    pub(super) flight: Arc<Flight>,
}

impl Flight {
    pub(super) fn new(instance: Arc<Instance>) -> Self {
        Self {
            askers: Mutex::default(),
            completed: Mutex::default(),
            progress: Progress::default(),
            polling: AtomicBool::new(false),
            instance,
        }
    }

    pub(super) fn take_askers(&self) -> Vec<Asker> {
        self.askers.lock().drain(..).flatten().collect()
    }
}

impl Wake for Completion {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.flight.completed.lock().push(self.slot);
        if !self.flight.polling.load(Ordering::Acquire) {
            self.flight.instance.poller.wake();
        }
    }
}
