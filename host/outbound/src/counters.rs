//! What the calls of a function have cost since the host has known it.
//!
//! Bounded: one number for each word of [`OutboundError`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::OutboundError;

/// The counts of a function.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    connects: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

/// The counts of a function at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that were begun, also those that have failed or were denied.
    pub calls: u64,
    /// Those that are in flight.
    pub in_flight: u32,
    /// TCP connections that were made for them.
    pub connects: u64,
    /// Bytes of the bodies of calls.
    pub sent_bytes: u64,
    /// Bytes of the bodies of their answers.
    pub received_bytes: u64,
    /// Calls that have failed, by [`OutboundError::word`].
    pub failures: BTreeMap<&'static str, u64>,
}

fn add(to: &AtomicU64, number: usize) {
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    to.fetch_add(number, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn called(&self) {
        add(&self.calls, 1);
    }

    pub(crate) fn connected(&self) {
        add(&self.connects, 1);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.sent_bytes, bytes);
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.received_bytes, bytes);
    }

    pub(crate) fn failed(&self, error: &OutboundError) {
        *self.failures.lock().entry(error.word()).or_default() += 1;
    }

    /// All of them, with the calls that are in flight.
    pub(crate) fn read(&self, in_flight: u32) -> Counts {
        let number = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Counts {
            calls: number(&self.calls),
            in_flight,
            connects: number(&self.connects),
            sent_bytes: number(&self.sent_bytes),
            received_bytes: number(&self.received_bytes),
            failures: self.failures.lock().clone(),
        }
    }
}
