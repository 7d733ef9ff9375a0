//! Counts of connections and refusals since the host started, by the labels of
//! close reasons and refusals.
//!
//! Bounded by the labels, which the host defines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use openline_core::close::CloseReason;
use parking_lot::Mutex;

/// Counts by label, in alphabetical order.
pub type Counts = BTreeMap<&'static str, u64>;

/// Counts since the host started.
#[derive(Debug, Default)]
pub struct Tally {
    opened: AtomicU64,
    ended: Mutex<Counts>,
    refused: Mutex<Counts>,
}

impl Tally {
    pub(crate) fn open(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, reason: &CloseReason) {
        *self.ended.lock().entry(reason.label()).or_default() += 1;
    }

    pub(crate) fn refuse(&self, label: &'static str) {
        *self.refused.lock().entry(label).or_default() += 1;
    }

    /// How many connections were opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many connections have ended, by the label of their close reason.
    pub fn ended(&self) -> Counts {
        self.ended.lock().clone()
    }

    /// How many requests were refused, by `openline-error-type`.
    pub fn refused(&self) -> Counts {
        self.refused.lock().clone()
    }
}
