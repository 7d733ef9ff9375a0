//! The thread that advances the epoch, so that computing guest code yields. All
//! engines of a runtime share it; it stops when its last owner is dropped. Each
//! function is an owner, because it may outlive the runtime that loaded it.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};

use openline_core::limits::EPOCH_TICK;
use parking_lot::Mutex;
use wasmtime::Engine;

/// Advances the epoch of all its engines every [`EPOCH_TICK`].
#[derive(Debug)]
pub(crate) struct Ticker {
    engines: Arc<Mutex<Vec<Engine>>>,
    /// Dropping it ends the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start() -> std::io::Result<Self> {
        let engines: Arc<Mutex<Vec<Engine>>> = Arc::default();
        let (stop, stopped) = mpsc::sync_channel(0);
        let ticked = Arc::clone(&engines);
        let thread = thread::Builder::new().name("epoch".into()).spawn(move || {
            while stopped.recv_timeout(EPOCH_TICK) == Err(RecvTimeoutError::Timeout) {
                for engine in ticked.lock().iter() {
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self {
            engines,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(crate) fn add(&self, engine: Engine) {
        self.engines.lock().push(engine);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The thread's code cannot panic; if it did, nothing could be done
            // here.
            let _ = thread.join();
        }
    }
}
