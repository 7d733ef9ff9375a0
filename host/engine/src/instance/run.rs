//! The parts of a run that the driver of an instance needs while wasmtime
//! borrows the store.

use std::time::Duration;

use openline_channels::wakeups::Wakeups;
use parking_lot::Mutex;

use super::budget::RunClock;
use super::turns::LongRuns;

/// The clock of a run, and the connections to wake when it pauses.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) clock: RunClock,
    /// Flushed when the run pauses: one wake for each connection, not one for
    /// each message.
    pub(crate) wakeups: Mutex<Wakeups>,
    /// The turns that it takes once it has computed for long.
    pub(crate) long_runs: LongRuns,
}

impl Run {
    pub(crate) fn new(cpu_timeout: Duration, long_runs: &LongRuns) -> Self {
        Self {
            clock: RunClock::new(cpu_timeout),
            wakeups: Mutex::default(),
            long_runs: long_runs.clone(),
        }
    }
}
