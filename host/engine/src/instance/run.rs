//! The parts of a run that the driver of an instance needs while wasmtime
//! borrows the store.

use std::sync::Arc;
use std::time::Duration;

use openline_channels::wakeups::Wakeups;
use parking_lot::Mutex;
use wasmtime::UpdateDeadline;

use super::budget::RunClock;
use super::turns::LongRuns;
use crate::component::ticker::Ticker;

/// The clock of a run, and the connections to wake when it pauses.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) clock: RunClock,
    /// Flushed when the run pauses: one wake for each connection, not one for
    /// each message.
    pub(crate) wakeups: Mutex<Wakeups>,
    /// The turns that it takes once it has computed for long.
    pub(crate) long_runs: LongRuns,
    ticker: Arc<Ticker>,
}

impl Run {
    pub(crate) fn new(cpu_timeout: Duration, long_runs: &LongRuns, ticker: Arc<Ticker>) -> Self {
        Self {
            clock: RunClock::new(cpu_timeout),
            wakeups: Mutex::default(),
            long_runs: long_runs.clone(),
            ticker,
        }
    }

    /// Notes that guest code gets the thread.
    pub(crate) fn enter(&self) {
        self.ticker.note_run();
        self.clock.enter();
    }

    /// Called when an epoch passes while guest code runs. As long as it
    /// computes, the epoch must advance.
    pub(crate) fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        self.ticker.note_run();
        self.clock.tick()
    }
}
