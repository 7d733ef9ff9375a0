//! The thread that advances the epoch, so that computing guest code yields. All
//! engines of a runtime share it; it stops when its last owner is dropped. Each
//! function is an owner, because it may outlive the runtime that loaded it.
//!
//! While no guest code runs, it rests (see [`pulse`](super::pulse)).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use openline_core::limits::EPOCH_TICK;
use parking_lot::Mutex;
use wasmtime::Engine;

use super::pulse::{Pulse, QUIET_TICKS};

/// Advances the epoch of all its engines every [`EPOCH_TICK`] while guest code
/// runs.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    engines: Mutex<Vec<Engine>>,
    pulse: Pulse,
    stopped: AtomicBool,
}

impl Ticker {
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let ticking = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("epoch".into())
            .spawn(move || ticking.tick())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn add(&self, engine: Engine) {
        self.shared.engines.lock().push(engine);
    }

    /// Guest code begins to run, or goes on at the end of an epoch.
    pub(crate) fn note_run(&self) {
        if self.shared.pulse.report() {
            self.unpark();
        }
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Shared {
    fn tick(&self) {
        let mut quiet = 0;
        while !self.stopped.load(Ordering::Acquire) {
            // A wake-up that comes too early makes an epoch shorter, and
            // happens once, when the thread is about to rest.
            thread::park_timeout(EPOCH_TICK);
            for engine in self.engines.lock().iter() {
                engine.increment_epoch();
            }
            quiet = if self.pulse.take() { 0 } else { quiet + 1 };
            if quiet >= QUIET_TICKS {
                self.rest();
                quiet = 0;
            }
        }
    }

    /// Waits for guest code.
    fn rest(&self) {
        if !self.pulse.rest() {
            return;
        }
        while self.pulse.is_resting() && !self.stopped.load(Ordering::Acquire) {
            thread::park();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.unpark();
        if let Some(thread) = self.thread.take() {
            // The thread's code cannot panic; if it did, nothing could be done
            // here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Waits for a thread; a bound for what should come at once.
    fn wait_until(what: impl Fn() -> bool) {
        for _ in 0..20_000 {
            if what() {
                return;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        panic!("it does not come");
    }

    #[test]
    fn it_rests_while_no_guest_code_runs_and_stops_while_it_rests() {
        let ticker = Ticker::start().unwrap();
        for _ in 0..3 {
            wait_until(|| ticker.shared.pulse.is_resting());
            // Again and again, because it rests again soon.
            wait_until(|| {
                ticker.note_run();
                !ticker.shared.pulse.is_resting()
            });
        }
        wait_until(|| ticker.shared.pulse.is_resting());
        drop(ticker);
    }
}
