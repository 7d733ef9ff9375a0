//! The thread that advances the epoch, so that computing guest code yields. All
//! engines of a runtime share it; it stops when its last owner is dropped. Each
//! function is an owner, because it may outlive the runtime that loaded it.
//!
//! While no guest code runs, it rests (see [`pulse`](super::pulse)), and only
//! advances the epoch every [`REST_MAX`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use openline_core::limits::EPOCH_TICK;
use parking_lot::Mutex;
use wasmtime::Engine;

use super::pulse::{Pulse, QUIET_TICKS};

/// How long the epoch stands still while the thread rests. Guest code reports
/// itself just before wasmtime sets its next deadline, one epoch later. Where the
/// system takes its CPU away in between, for so long that the thread rests
/// again, only another epoch makes it yield and report itself. A wake-up each
/// second costs less than ten idle connections.
const REST_MAX: Duration = Duration::from_secs(1);

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
            self.advance();
            quiet = if self.pulse.take() { 0 } else { quiet + 1 };
            if quiet >= QUIET_TICKS {
                self.rest();
                quiet = 0;
            }
        }
    }

    fn advance(&self) {
        for engine in self.engines.lock().iter() {
            engine.increment_epoch();
        }
    }

    /// Waits for guest code.
    fn rest(&self) {
        if !self.pulse.rest() {
            return;
        }
        while self.pulse.is_resting() && !self.stopped.load(Ordering::Acquire) {
            thread::park_timeout(REST_MAX);
            self.advance();
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
    use wasmtime::{Config, Instance, Module, Store};

    use super::*;

    /// `(module (func (export "f") (loop (br 0))))`
    const ENDLESS: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\
        \x07\x05\x01\x01f\0\0\x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b";

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

    #[test]
    fn a_run_that_is_held_up_behind_its_report_meets_an_epoch() {
        let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
        let module = Module::new(&engine, ENDLESS).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let endless = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        let ticker = Ticker::start().unwrap();
        ticker.add(engine);
        ticker.note_run();
        wait_until(|| ticker.shared.pulse.is_resting());
        store.set_epoch_deadline(1);
        let run = thread::spawn(move || endless.call(&mut store, ()));
        wait_until(|| run.is_finished());
        assert!(run.join().unwrap().is_err());
    }
}
