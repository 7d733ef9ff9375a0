//! Finds the oldest call in flight. It is the first that can be late, because
//! all have the same time to return.
//!
//! Calls are kept in the order in which they began, and forgotten some time
//! after they return. Bounded by twice the most calls that were ever in flight
//! at once.

use std::collections::VecDeque;

use tokio::time::Instant;

/// When each call in flight began, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Begun {
    calls: VecDeque<BegunCall>,
}

/// A call that was begun. Another call may have its slot by now.
#[derive(Clone, Copy, Debug)]
pub(super) struct BegunCall {
    at: Instant,
    pub(super) slot: usize,
    pub(super) serial: u64,
}

impl Begun {
    /// Adds a call, which begins later than all others.
    pub(super) fn push(&mut self, at: Instant, slot: usize, serial: u64) {
        self.calls.push_back(BegunCall { at, slot, serial });
    }

    /// Forgets all calls that have returned once there are `most`: otherwise
    /// they would pile up behind one slow call.
    pub(super) fn forget_returned(&mut self, most: usize, in_flight: impl Fn(&BegunCall) -> bool) {
        if self.calls.len() >= most {
            self.calls.retain(in_flight);
        }
    }

    /// When the oldest call in flight began.
    pub(super) fn oldest(&mut self, in_flight: impl Fn(&BegunCall) -> bool) -> Option<Instant> {
        loop {
            let call = self.calls.front()?;
            if in_flight(call) {
                return Some(call.at);
            }
            self.calls.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_is_the_first_that_has_not_returned() {
        let start = Instant::now();
        let mut begun = Begun::default();
        for serial in 0..3 {
            begun.push(start + Duration::from_secs(serial), 0, serial);
        }
        let seconds = |begun: &mut Begun, returned: &[u64]| {
            let oldest = begun.oldest(|call| !returned.contains(&call.serial));
            oldest.map(|at| (at - start).as_secs())
        };
        assert_eq!(seconds(&mut begun, &[1]), Some(0));
        assert_eq!(seconds(&mut begun, &[0, 1]), Some(2));
        assert_eq!(seconds(&mut begun, &[0, 1, 2]), None);
        assert!(begun.calls.is_empty());
    }

    #[test]
    fn those_that_return_behind_a_slow_call_do_not_gather() {
        let start = Instant::now();
        let mut begun = Begun::default();
        // The first is slow; the others return at once.
        for serial in 0..1000 {
            begun.forget_returned(4, |call| call.serial == 0);
            begun.push(start + Duration::from_secs(serial), 1, serial);
            assert!(begun.calls.len() <= 4);
        }
        assert_eq!(begun.oldest(|call| call.serial == 0), Some(start));
    }
}
