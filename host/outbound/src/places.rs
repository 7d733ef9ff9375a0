//! Places for calls in flight: how many a function and the host may have.
//!
//! Bounded: `outbound_calls` of both. One function takes no more of the host's
//! than it leaves free, so that others always find some.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::error::OutboundError;

/// The places of the host.
#[derive(Debug)]
pub(crate) struct Places {
    most: u32,
    taken: Mutex<u32>,
}

/// A place of one call, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    own: Arc<AtomicU32>,
}

impl Places {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            taken: Mutex::new(0),
        }
    }

    /// Takes a place for a function, which has `own` and may have `own_most`.
    pub(crate) fn take(
        self: &Arc<Self>,
        own: &Arc<AtomicU32>,
        own_most: u32,
    ) -> Result<Place, OutboundError> {
        // All changes of `own` are made under the lock.
        let mut taken = self.taken.lock();
        let has = own.load(Ordering::Relaxed);
        if has >= own_most {
            return Err(OutboundError::CallLimit);
        }
        let free = self.most.saturating_sub(*taken);
        // One call is always allowed as long as there is a place.
        if free == 0 || (has > 0 && has + 1 > free - 1) {
            return Err(OutboundError::HostCallLimit);
        }
        *taken += 1;
        own.store(has + 1, Ordering::Relaxed);
        Ok(Place {
            places: Arc::clone(self),
            own: Arc::clone(own),
        })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> u32 {
        *self.taken.lock()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        *taken -= 1;
        self.own.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_as_many_as_it_may() {
        let places = Arc::new(Places::new(100));
        let own = Arc::default();
        let kept: Vec<_> = (0..3).map(|_| places.take(&own, 3).unwrap()).collect();
        assert_eq!(places.take(&own, 3).unwrap_err(), OutboundError::CallLimit);
        assert_eq!(places.taken(), 3);
        drop(kept);
        assert_eq!((places.taken(), own.load(Ordering::Relaxed)), (0, 0));
        let none = places.take(&own, 0).unwrap_err();
        assert_eq!(none, OutboundError::CallLimit);
    }

    #[test]
    fn one_function_takes_no_more_than_it_leaves_free() {
        let places = Arc::new(Places::new(10));
        let (greedy, other) = (Arc::default(), Arc::default());
        let take = |own: &Arc<AtomicU32>| places.take(own, 1000);
        let mut kept: Vec<_> = (0..5).map(|_| take(&greedy).unwrap()).collect();
        let error = take(&greedy).unwrap_err();
        assert_eq!(error, OutboundError::HostCallLimit);
        // Five are free, and the other keeps half of them free, too.
        kept.extend((0..2).map(|_| take(&other).unwrap()));
        assert!(take(&other).is_err());
        // New functions find one each, until there is none.
        kept.extend((0..3).map(|_| take(&Arc::default()).unwrap()));
        assert_eq!(places.taken(), 10);
        assert!(take(&Arc::default()).is_err());
        kept.clear();
        assert!(take(&greedy).is_ok());
    }

    #[test]
    fn a_host_without_places_has_none() {
        let places = Arc::new(Places::new(0));
        assert!(places.take(&Arc::default(), 1).is_err());
        let places = Arc::new(Places::new(1));
        let place = places.take(&Arc::default(), 1).unwrap();
        assert!(places.take(&Arc::default(), 1).is_err());
        drop(place);
        assert!(places.take(&Arc::default(), 1).is_ok());
    }
}
