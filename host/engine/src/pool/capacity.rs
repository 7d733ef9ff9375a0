//! How many instances all functions of a host have together.
//!
//! Each takes places in the engines' pools, so this bounds them: a function's
//! own `instances` may promise more than there is. Nearly all take one place; a
//! component with more memories or tables than a place has, or whose calls may
//! wait on more stacks, takes several, so that no component can use up what
//! others were promised.

use std::sync::Arc;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The host's `instances`.
#[derive(Debug)]
pub(crate) struct Capacity {
    most: u32,
    taken: AtomicU32,
    live: AtomicU32,
    /// Counts all that there have been.
    made: AtomicU64,
}

/// One instance's places; given back when it is dropped, which must be after
/// its store.
#[derive(Debug)]
pub(crate) struct Place {
    capacity: Arc<Capacity>,
    places: u32,
    number: u64,
}

impl Capacity {
    pub(crate) fn new(instances: u32) -> Self {
        Self {
            most: instances,
            taken: AtomicU32::new(0),
            live: AtomicU32::new(0),
            made: AtomicU64::new(0),
        }
    }

    /// Instances that are live now.
    pub(crate) fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// Places that instances have.
    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes the places of one instance, if they are there.
    pub(crate) fn take(self: &Arc<Self>, places: u32) -> Option<Place> {
        let more = |taken: u32| {
            let taken = taken.checked_add(places)?;
            (taken <= self.most).then_some(taken)
        };
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        self.live.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            capacity: Arc::clone(self),
            places,
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
        self.capacity
            .taken
            .fetch_sub(self.places, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_its_limit_and_one_past_it() {
        let capacity = Arc::new(Capacity::new(2));
        let first = capacity.take(1);
        let second = capacity.take(1);
        assert!(first.is_some() && second.is_some());
        assert!(capacity.take(1).is_none());
        drop(first);
        assert_eq!(capacity.live(), 1);
        assert!(capacity.take(1).is_some());
    }

    #[test]
    fn an_instance_of_several_places_counts_as_one_and_takes_them_all() {
        let capacity = Arc::new(Capacity::new(5));
        let large = capacity.take(4).unwrap();
        assert_eq!(capacity.live(), 1);
        assert!(capacity.take(2).is_none());
        let small = capacity.take(1);
        assert!(small.is_some() && capacity.take(1).is_none());
        drop(large);
        assert!(capacity.take(u32::MAX).is_none());
        assert!(capacity.take(4).is_some());
    }
}
