//! What all connections of a host may keep together.
//!
//! Outboxes take shares of their budget in large pieces and only past their
//! first few kilobytes, so that the usual small message costs no shared
//! counter. What functions attach to connections changes seldom and is counted
//! byte by byte. Equal lists of automatic responses are kept once: the last
//! [`PAIRS_KEPT`] different ones are remembered, as long as a connection has
//! them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use openline_core::auto_response::AutoResponse;
use parking_lot::Mutex;

/// What is attached costs so much beside its payload, in bytes: a place in a
/// list, a place in an index that is two thirds full, the header of a shared
/// buffer, and the allocator's rounding.
pub(crate) const ATTACHED_OVERHEAD_BYTES: usize = 128;

/// Different lists of automatic responses that are looked through for an equal
/// one: a function has one or two kinds of connections.
const PAIRS_KEPT: usize = 8;

/// So many bytes and no more.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    used: AtomicUsize,
}

/// The budgets of a host.
#[derive(Debug)]
pub struct HostBudget {
    /// The host's `outbox_bytes`.
    pub outboxes: Budget,
    /// The host's `attached_bytes`.
    pub attached: Budget,
    pairs: Mutex<Vec<Weak<Pairs>>>,
}

/// A list of automatic responses that connections share. It counts once.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub(crate) pairs: Box<[AutoResponse]>,
    cost: usize,
    host: Arc<HostBudget>,
}

/// All connections of the host together keep `attached_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            most: bytes,
            used: AtomicUsize::new(0),
        }
    }

    /// Bytes that are taken.
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

    /// Something that has taken `before` takes `after` from now on, or stays as
    /// it is.
    pub(crate) fn change(&self, before: usize, after: usize) -> Result<(), Exhausted> {
        if after > before {
            return self.take(after - before).then_some(()).ok_or(Exhausted);
        }
        self.give_back(before - after);
        Ok(())
    }
}

impl HostBudget {
    /// The host's `outbox_bytes` and `attached_bytes`.
    pub fn new(outbox_bytes: usize, attached_bytes: usize) -> Self {
        Self {
            outboxes: Budget::new(outbox_bytes),
            attached: Budget::new(attached_bytes),
            pairs: Mutex::default(),
        }
    }

    /// The list that all connections with these pairs share.
    pub(crate) fn share(
        self: &Arc<Self>,
        pairs: Vec<AutoResponse>,
    ) -> Result<Arc<Pairs>, Exhausted> {
        // Compared without the lock: a list may be long.
        let known: Vec<_> = self.pairs.lock().iter().filter_map(Weak::upgrade).collect();
        if let Some(same) = known.into_iter().find(|known| *known.pairs == *pairs) {
            return Ok(same);
        }
        let payload = |pair: &AutoResponse| pair.request.bytes() + pair.reply.bytes();
        let payload: usize = pairs.iter().map(payload).sum();
        // Two messages each, and the list.
        let cost = payload + (2 * pairs.len() + 1) * ATTACHED_OVERHEAD_BYTES;
        if !self.attached.take(cost) {
            return Err(Exhausted);
        }
        let shared = Arc::new(Pairs {
            pairs: pairs.into(),
            cost,
            host: Arc::clone(self),
        });
        let mut known = self.pairs.lock();
        known.retain(|known| known.strong_count() > 0);
        if known.len() == PAIRS_KEPT {
            known.remove(0);
        }
        known.push(Arc::downgrade(&shared));
        Ok(shared)
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        self.host.attached.give_back(self.cost);
    }
}

#[cfg(test)]
mod tests {
    use openline_core::auto_response::MatchKind;
    use openline_core::message::Message;

    use super::*;

    fn pair(request: usize) -> AutoResponse {
        AutoResponse {
            match_kind: MatchKind::Exact,
            request: Message::Text(request.to_string().into()),
            reply: Message::Text("".into()),
        }
    }

    #[test]
    fn at_its_limit_and_one_past_it() {
        let budget = Budget::new(100);
        assert!(budget.take(60));
        assert!(!budget.take(41));
        assert!(budget.take(40));
        assert!(!budget.take(1));
        budget.give_back(60);
        assert_eq!(budget.used(), 40);
        assert_eq!(budget.change(10, 70), Ok(()));
        assert_eq!(budget.change(70, 71), Err(Exhausted));
        assert_eq!(budget.change(70, 1), Ok(()));
        assert_eq!(budget.used(), 31);
    }

    #[test]
    fn equal_pairs_are_kept_and_counted_once_as_long_as_somebody_has_them() {
        let host = Arc::new(HostBudget::new(0, 10_000));
        let first = host.share(vec![pair(1)]).unwrap();
        let used = host.attached.used();
        let same = host.share(vec![pair(1)]).unwrap();
        assert!(Arc::ptr_eq(&first, &same));
        assert_eq!(host.attached.used(), used);
        let other = host.share(vec![pair(2)]).unwrap();
        assert_eq!(host.attached.used(), 2 * used);
        drop((first, same, other));
        assert_eq!(host.attached.used(), 0);
    }

    #[test]
    fn pairs_past_the_host_s_budget_are_not_kept_and_few_lists_are_remembered() {
        let cost = 1 + 3 * ATTACHED_OVERHEAD_BYTES;
        let host = Arc::new(HostBudget::new(0, cost));
        let kept = host.share(vec![pair(1)]).unwrap();
        assert_eq!(host.share(vec![pair(2)]).err(), Some(Exhausted));
        drop(kept);
        assert!(host.share(vec![pair(2)]).is_ok());
        let host = Arc::new(HostBudget::new(0, usize::MAX));
        let all: Vec<_> = (0..2 * PAIRS_KEPT)
            .map(|index| host.share(vec![pair(index)]).unwrap())
            .collect();
        assert_eq!(host.pairs.lock().len(), PAIRS_KEPT);
        drop(all);
    }
}
