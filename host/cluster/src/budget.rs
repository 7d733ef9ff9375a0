//! What may wait to be written to all connections of a host together.
//!
//! Outboxes take shares of it, in large pieces and only past their first few
//! kilobytes, so that the usual small message costs no shared counter.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The host's `outbox_bytes`.
#[derive(Debug)]
pub struct OutboxBudget {
    most: usize,
    used: AtomicUsize,
}

impl OutboxBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            most: bytes,
            used: AtomicUsize::new(0),
        }
    }

    /// Bytes that outboxes have taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes all of the bytes or none.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.most);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_its_limit_and_one_past_it() {
        let budget = OutboxBudget::new(100);
        assert!(budget.take(60));
        assert!(!budget.take(41));
        assert!(budget.take(40));
        assert!(!budget.take(1));
        budget.give_back(60);
        assert_eq!(budget.used(), 40);
    }
}
