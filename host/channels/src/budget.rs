//! How much all connections of a host may keep together, and each function's
//! part of it.
//!
//! Outboxes take shares of their budget in large pieces, and only past their
//! first few kilobytes, so that the usual small message touches no shared
//! counter. Data that functions attach to connections changes seldom and is
//! counted byte by byte. Equal lists of automatic responses are kept once: the
//! host remembers the last [`PAIRS_KEPT`] different ones, as long as a
//! connection has them.

use std::sync::{Arc, Weak};

use openline_core::auto_response::AutoResponse;
use openline_core::name::Tag;

use crate::received::Received;
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// The cost of each attached value in addition to its payload, in bytes: a
/// place in a list, a place in an index that is two thirds full, the header of
/// a shared buffer, and the allocator's rounding.
pub(crate) const ATTACHED_OVERHEAD_BYTES: usize = 128;

/// How many different lists of automatic responses are searched for an equal
/// one: a function has one or two kinds of connections.
const PAIRS_KEPT: usize = 8;

/// A number of bytes that all functions of a host share.
#[derive(Debug)]
pub struct Pot {
    most: usize,
    used: AtomicUsize,
    /// How many functions have a budget.
    functions: AtomicUsize,
}

/// One function's part of a pot. A function that is alone may take all of it;
/// one that shares the host takes no more than it leaves free. So no function
/// takes everything, a function that comes later finds room, and no parts have
/// to be configured. Many functions that want much get equal parts (dynamic
/// thresholds, as in switches that share memory between ports).
#[derive(Debug)]
pub struct Budget {
    pot: Arc<Pot>,
    used: AtomicUsize,
}

/// The budgets of a host.
#[derive(Debug)]
pub struct HostBudget {
    /// The host's `outbox_bytes`.
    pub outboxes: Arc<Pot>,
    /// The host's `attached_bytes`.
    pub attached: Arc<Pot>,
    /// The host's `compression_bytes`.
    pub compressors: Arc<Pot>,
    /// The host's `received_bytes`.
    pub received: Arc<Pot>,
    /// The host's `channel_bytes`.
    pub channels: Arc<Pot>,
}

/// The budgets of one function.
#[derive(Debug)]
pub struct FunctionBudget {
    /// Its part of the host's `outbox_bytes`.
    pub outboxes: Budget,
    /// Its part of the host's `attached_bytes`.
    pub attached: Budget,
    /// Its part of the host's `compression_bytes`.
    pub compressors: Budget,
    /// Its part of the host's `received_bytes`.
    pub received: Received,
    pairs: Mutex<Vec<Weak<Pairs>>>,
}

/// The budget that subscribers without a function share, for as long as there is
/// one of them: to the host they are one function more.
#[derive(Debug, Default)]
pub struct SharedBudget(Mutex<Weak<FunctionBudget>>);

/// A list of automatic responses that connections share, and that counts once.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub(crate) pairs: Box<[AutoResponse]>,
    cost: usize,
    function: Arc<FunctionBudget>,
}

/// The place of one connection's compressor in the host's `compression_bytes`.
/// Dropping it gives the bytes back.
#[derive(Debug)]
pub struct CompressorPlace {
    bytes: usize,
    function: Arc<FunctionBudget>,
}

/// The function's connections keep as much as they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Pot {
    fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            most: bytes,
            used: AtomicUsize::new(0),
            functions: AtomicUsize::new(0),
        })
    }

    /// How many bytes all functions have taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl SharedBudget {
    /// The budget, which is made for the first of them.
    pub fn get(&self, host: &HostBudget) -> Arc<FunctionBudget> {
        let mut known = self.0.lock();
        known.upgrade().unwrap_or_else(|| {
            let made = host.function();
            *known = Arc::downgrade(&made);
            made
        })
    }
}

impl Budget {
    /// The budget of a function that is alone, with this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self::of(&Pot::new(bytes))
    }

    fn of(pot: &Arc<Pot>) -> Self {
        pot.functions.fetch_add(1, Ordering::Relaxed);
        Self {
            pot: Arc::clone(pot),
            used: AtomicUsize::new(0),
        }
    }

    /// How many bytes are taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes all of the bytes, or none.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let own = self.used.fetch_add(bytes, Ordering::Relaxed);
        let own = own.saturating_add(bytes);
        let alone = self.pot.functions.load(Ordering::Relaxed) <= 1;
        let more = |used: usize| {
            let after = used.checked_add(bytes)?;
            let free = self.pot.most.checked_sub(after)?;
            (alone || own <= free).then_some(after)
        };
        let taken = self
            .pot
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if taken.is_err() {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// How many bytes could be [taken](Self::take) now.
    pub(crate) fn left(&self) -> usize {
        let free = self.pot.most.saturating_sub(self.pot.used());
        if self.pot.functions.load(Ordering::Relaxed) <= 1 {
            return free;
        }
        // After taking x, own + x must be at most free - x.
        free.saturating_sub(self.used()) / 2
    }

    /// Takes the bytes even if they are not free.
    pub(crate) fn take_anyway(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.pot.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether more is taken than could be [taken](Self::take) now.
    pub(crate) fn is_exceeded(&self) -> bool {
        let alone = self.pot.functions.load(Ordering::Relaxed) <= 1;
        let free = self.pot.most.checked_sub(self.pot.used());
        free.is_none_or(|free| !alone && self.used() > free)
    }

    /// Whether less than an eighth of what all functions share is free.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.pot.used() > self.pot.most - self.pot.most / 8
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.pot.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Changes what one thing takes from `before` to `after`, or leaves it as
    /// it is.
    pub(crate) fn change(&self, before: usize, after: usize) -> Result<(), Exhausted> {
        if after > before {
            return self.take(after - before).then_some(()).ok_or(Exhausted);
        }
        self.give_back(before - after);
        Ok(())
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.pot.functions.fetch_sub(1, Ordering::Relaxed);
        // What its owner had when it went, went with it.
        self.pot.used.fetch_sub(self.used(), Ordering::Relaxed);
    }
}

impl HostBudget {
    /// The budgets of a host with these `outbox_bytes` and `attached_bytes`, in
    /// which no connection has a compressor of its own, and what was received and
    /// what channels take is not bounded.
    pub fn new(outbox_bytes: usize, attached_bytes: usize) -> Self {
        Self {
            outboxes: Pot::new(outbox_bytes),
            attached: Pot::new(attached_bytes),
            compressors: Pot::new(0),
            received: Pot::new(usize::MAX),
            channels: Pot::new(usize::MAX),
        }
    }

    /// The same with these `channel_bytes`.
    #[must_use]
    pub fn with_channels(mut self, channel_bytes: usize) -> Self {
        self.channels = Pot::new(channel_bytes);
        self
    }

    /// What the channels of one more function, or those that functions share,
    /// may remember.
    pub fn channels(&self) -> Budget {
        Budget::of(&self.channels)
    }

    /// The same with these `compression_bytes`.
    #[must_use]
    pub fn with_compression(mut self, compression_bytes: usize) -> Self {
        self.compressors = Pot::new(compression_bytes);
        self
    }

    /// The same with these `received_bytes`.
    #[must_use]
    pub fn with_received(mut self, received_bytes: usize) -> Self {
        self.received = Pot::new(received_bytes);
        self
    }

    /// The budgets of one more function.
    pub fn function(&self) -> Arc<FunctionBudget> {
        Arc::new(FunctionBudget {
            outboxes: Budget::of(&self.outboxes),
            attached: Budget::of(&self.attached),
            compressors: Budget::of(&self.compressors),
            received: Received::new(Budget::of(&self.received)),
            pairs: Mutex::default(),
        })
    }
}

impl FunctionBudget {
    /// Takes the bytes of a compressor, if there is room.
    pub fn compressor(self: &Arc<Self>, bytes: usize) -> Option<CompressorPlace> {
        self.compressors.take(bytes).then(|| CompressorPlace {
            bytes,
            function: Arc::clone(self),
        })
    }

    /// The list that all connections with these pairs share.
    pub(crate) fn share(
        self: &Arc<Self>,
        pairs: Vec<AutoResponse>,
    ) -> Result<Arc<Pairs>, Exhausted> {
        // Compare without the lock, because a list may be long.
        let known: Vec<_> = self.pairs.lock().iter().filter_map(Weak::upgrade).collect();
        if let Some(same) = known.into_iter().find(|known| *known.pairs == *pairs) {
            return Ok(same);
        }
        let payload = |pair: &AutoResponse| pair.request.bytes() + pair.reply.bytes();
        let payload: usize = pairs.iter().map(payload).sum();
        // Two messages for each pair, and the list.
        let cost = payload + (2 * pairs.len() + 1) * ATTACHED_OVERHEAD_BYTES;
        if !self.attached.take(cost) {
            return Err(Exhausted);
        }
        let shared = Arc::new(Pairs {
            pairs: pairs.into(),
            cost,
            function: Arc::clone(self),
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

impl Drop for CompressorPlace {
    fn drop(&mut self) {
        self.function.compressors.give_back(self.bytes);
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        self.function.attached.give_back(self.cost);
    }
}

/// How much of the host's budget tags take.
pub(crate) fn tags_cost(tags: &[Tag]) -> usize {
    let costs = tags.iter();
    costs
        .map(|tag| tag.as_str().len() + ATTACHED_OVERHEAD_BYTES)
        .sum()
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
    fn beside_others_a_function_takes_what_it_leaves_and_none_past_it() {
        let host = HostBudget::new(0, 100);
        let (greedy, other) = (host.function(), host.function());
        assert!(greedy.attached.take(50));
        assert!(!greedy.attached.take(1));
        assert!(other.attached.take(25));
        assert!(!other.attached.take(1));
        // Bytes that one function gives back are free for the other.
        greedy.attached.give_back(2);
        assert!(other.attached.take(1));
        assert!(!other.attached.take(1));
        assert_eq!((greedy.attached.used(), other.attached.used()), (48, 26));
        assert_eq!(host.attached.used(), 74);
        // A function that is alone again may take everything.
        other.attached.give_back(26);
        drop(other);
        assert!(greedy.attached.take(52));
        assert!(!greedy.attached.take(1));
    }

    #[test]
    fn a_compressor_has_a_place_at_its_limit_and_none_past_it() {
        let host = HostBudget::new(0, 0).with_compression(100);
        let function = host.function();
        let (first, second) = (function.compressor(60), function.compressor(40));
        assert!(first.is_some() && second.is_some());
        assert!(function.compressor(1).is_none());
        drop(first);
        assert_eq!(
            (function.compressors.used(), host.compressors.used()),
            (40, 40)
        );
        assert!(function.compressor(61).is_none());
        assert!(function.compressor(60).is_some());
        let without = HostBudget::new(0, 0).function();
        assert!(without.compressor(1).is_none());
    }

    #[test]
    fn equal_pairs_are_kept_and_counted_once_as_long_as_somebody_has_them() {
        let host = HostBudget::new(0, 10_000).function();
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
        let host = HostBudget::new(0, cost).function();
        let kept = host.share(vec![pair(1)]).unwrap();
        assert_eq!(host.share(vec![pair(2)]).err(), Some(Exhausted));
        drop(kept);
        assert!(host.share(vec![pair(2)]).is_ok());
        let host = HostBudget::new(0, usize::MAX).function();
        let all: Vec<_> = (0..2 * PAIRS_KEPT)
            .map(|index| host.share(vec![pair(index)]).unwrap())
            .collect();
        assert_eq!(host.pairs.lock().len(), PAIRS_KEPT);
        drop(all);
    }
}
