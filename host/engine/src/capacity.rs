//! How many instances all functions of a host have together.
//!
//! Each has its place in the engines' pools, so this bounds them: a function's
//! own `instances` may promise more than there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The host's `instances`.
#[derive(Debug)]
pub(crate) struct Capacity {
    most: u32,
    live: AtomicU32,
    /// Counts all that there have been.
    made: AtomicU64,
}

/// One instance's place; given back when it is dropped, which must be after
/// its store.
#[derive(Debug)]
pub(crate) struct Place {
    capacity: Arc<Capacity>,
    number: u64,
}

impl Capacity {
    pub(crate) fn new(instances: u32) -> Self {
        Self {
            most: instances,
            live: AtomicU32::new(0),
            made: AtomicU64::new(0),
        }
    }

    /// Instances that are live now.
    pub(crate) fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |live| (live < self.most).then_some(live + 1);
        let taken = self
            .live
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Place {
            capacity: Arc::clone(self),
            number: self.made.fetch_add(1, Ordering::Relaxed) + 1,
        })
    }
}

impl Place {
    /// Names the instance; from 1 on.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.capacity.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_its_limit_and_one_past_it() {
        let capacity = Arc::new(Capacity::new(2));
        let first = capacity.take();
        let second = capacity.take();
        assert!(first.is_some() && second.is_some());
        assert!(capacity.take().is_none());
        drop(first);
        assert_eq!(capacity.live(), 1);
        assert!(capacity.take().is_some());
    }
}
