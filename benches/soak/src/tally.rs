//! The counts that all peers share, read while the peers go on.
//!
//! Bounded: kinds of endings and faults are few words each, and no more than
//! [`KINDS_MAX`] of them are kept apart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

/// Kinds kept apart; the rest is counted as one.
const KINDS_MAX: usize = 200;
const OTHER: &str = "other";

/// Counts of all peers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Peers at work.
    pub(crate) peers: AtomicU64,
    /// WebSocket connections open now.
    pub(crate) open: AtomicU64,
    /// WebSocket connections that were opened.
    pub(crate) opened: AtomicU64,
    /// Messages that were answered, and the answer was right.
    pub(crate) answered: AtomicU64,
    /// The longest wait for an answer that was due at once, in microseconds.
    slowest: AtomicU64,
    /// Peers that are through, by what they did.
    pub(crate) behaved: Kinds,
    /// Close codes that ended connections, by who began it.
    pub(crate) endings: Kinds,
    /// Things that went wrong.
    pub(crate) wrongs: Kinds,
}

/// Counts by kind.
#[derive(Debug, Default)]
pub(crate) struct Kinds(Mutex<BTreeMap<String, u64>>);

impl Tally {
    /// A right answer came, after so long where it was due at once.
    pub(crate) fn answer(&self, after: Option<Duration>) {
        self.answered.fetch_add(1, Relaxed);
        if let Some(after) = after {
            let microseconds = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
            self.slowest.fetch_max(microseconds, Relaxed);
        }
    }

    pub(crate) fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.load(Relaxed))
    }
}

impl Kinds {
    pub(crate) fn count(&self, kind: String) {
        let mut kinds = self.0.lock();
        let kind = if kinds.len() < KINDS_MAX || kinds.contains_key(&kind) {
            kind
        } else {
            OTHER.to_owned()
        };
        *kinds.entry(kind).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().clone()
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.lock().values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS_MAX, Kinds, OTHER};

    #[test]
    fn kinds_past_their_bound_are_counted_as_one() {
        let kinds = Kinds::default();
        for kind in 0..KINDS_MAX + 5 {
            kinds.count(kind.to_string());
        }
        kinds.count("0".to_owned());
        let all = kinds.all();
        assert_eq!((all["0"], all[OTHER]), (2, 5));
        assert_eq!(all.len(), KINDS_MAX + 1);
        assert_eq!(kinds.sum(), KINDS_MAX as u64 + 6);
    }
}
