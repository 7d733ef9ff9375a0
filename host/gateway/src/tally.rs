//! What has happened since the host started, by the words of the close
//! reasons and the refusals.
//!
//! Bounded: a counter for each word, and the words are ours.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use openline_core::close::CloseReason;
use parking_lot::Mutex;

use crate::rescue::Refusal;

/// Counts by word, in the order of the alphabet.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally {
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

    pub(crate) fn refuse(&self, refusal: &Refusal) {
        *self.refused.lock().entry(refusal.label()).or_default() += 1;
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    pub(crate) fn ended(&self) -> Counts {
        self.ended.lock().clone()
    }

    pub(crate) fn refused(&self) -> Counts {
        self.refused.lock().clone()
    }
}
