//! The counts of a worker. Two kinds: counters that are watched while the run
//! goes on, and a tally that is handed over at its end.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest duration told apart; longer ones count as this long. A run lasts at
/// most a day.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Significant digits kept of a duration: 0.1 % is finer than any machine's
/// noise.
const DIGITS: u8 = 3;

/// Counters of one worker, which alone writes them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections open now.
    pub(crate) open: Counter,
    /// Connections that were opened.
    pub(crate) opened: Counter,
    /// Messages sent.
    pub(crate) sent: Counter,
    /// Messages answered.
    pub(crate) answered: Counter,
    /// Messages received that answer none of ours.
    pub(crate) foreign: Counter,
    /// The start of the first of these.
    pub(crate) foreign_example: OnceLock<String>,
}

/// A number with one writer and many readers.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    // A load and a store, not a locked addition: there is one writer.
    pub(crate) fn increase(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    pub(crate) fn decrease(&self) {
        self.0.store(self.0.load(Relaxed) - 1, Relaxed);
    }
}

/// Results of one worker, or of all.
#[derive(Debug)]
pub(crate) struct Tally {
    /// From due to answered, nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// From due to sent, nanoseconds.
    pub(crate) lateness: Histogram<u64>,
    /// From the start of a connection to the end of its handshake.
    pub(crate) connect: Histogram<u64>,
    /// Errors by kind.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Close codes received.
    pub(crate) close_codes: BTreeMap<u16, u64>,
    /// Connections not opened although tried.
    pub(crate) connect_failures: u64,
    /// Connections that ended before they were to.
    pub(crate) lost: u64,
    /// Messages sent and never answered.
    pub(crate) unanswered: u64,
    /// Messages due and never sent.
    pub(crate) unsent: u64,
    /// The part of one core this worker's thread used while it ran; the
    /// highest of all, in a merged tally.
    pub(crate) busy: Option<f64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            latency: histogram(),
            lateness: histogram(),
            connect: histogram(),
            errors: BTreeMap::new(),
            close_codes: BTreeMap::new(),
            connect_failures: 0,
            lost: 0,
            unanswered: 0,
            unsent: 0,
            busy: None,
        }
    }

    pub(crate) fn error(&mut self, kind: impl Into<String>) {
        *self.errors.entry(kind.into()).or_default() += 1;
    }

    pub(crate) fn close_code(&mut self, code: u16) {
        *self.close_codes.entry(code).or_default() += 1;
    }

    /// Adds another worker's results.
    pub(crate) fn merge(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.lateness, &other.lateness),
            (&mut self.connect, &other.connect),
        ] {
            mine.add(theirs)
                .expect("all histograms have the same bounds");
        }
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        for (code, count) in other.close_codes {
            *self.close_codes.entry(code).or_default() += count;
        }
        self.connect_failures += other.connect_failures;
        self.lost += other.lost;
        self.unanswered += other.unanswered;
        self.unsent += other.unsent;
        self.busy = match (self.busy, other.busy) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }
}

/// Records a duration in nanoseconds; one beyond the bounds counts as the
/// bound.
pub(crate) fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

fn histogram() -> Histogram<u64> {
    let most = u64::try_from(DURATION_MAX.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, most, DIGITS).expect("1 < a day, and 3 digits are allowed")
}
