//! Finds the oldest call in flight. It is the first that can be late, because
//! all have the same time to return.
//!
//! Calls are kept in the order in which they began, and forgotten some time
//! after they return. Those that wait for their peers have more time: they are
//! taken out of the order once they are the oldest. Bounded by twice the most calls that were ever in flight
//! at once.

use std::collections::VecDeque;

use tokio::time::Instant;

/// When each call in flight began, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Begun {
    calls: VecDeque<BegunCall>,
    /// Those that have more time than the others.
    moved: Vec<BegunCall>,
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

    /// When the oldest call in flight began. `in_flight` answers none for a call that
    /// has returned; and for one that has more time than others, when it would have
    /// begun if it had the same.
    pub(super) fn oldest(
        &mut self,
        in_flight: impl Fn(&BegunCall) -> Option<Option<Instant>>,
    ) -> Option<Instant> {
        let mut oldest = None;
        while let Some(call) = self.calls.front() {
            match in_flight(call) {
                Some(began) if began.is_none_or(|began| began <= call.at) => {
                    oldest = Some(call.at);
                    break;
                }
                Some(_) => self.moved.push(*call),
                None => {}
            }
            self.calls.pop_front();
        }
        self.moved.retain(|call| {
            let began = in_flight(call);
            if let Some(began) = began {
                let began = began.unwrap_or(call.at);
                oldest = Some(oldest.map_or(began, |oldest| began.min(oldest)));
            }
            began.is_some()
        });
        oldest
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
            let oldest = begun.oldest(|call| (!returned.contains(&call.serial)).then_some(None));
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
        let first = |call: &BegunCall| (call.serial == 0).then_some(None);
        assert_eq!(begun.oldest(first), Some(start));
    }

    #[test]
    fn one_that_waits_for_its_peer_is_late_when_its_time_is_up_and_hides_no_other() {
        let start = Instant::now();
        let mut begun = Begun::default();
        for serial in 0..3 {
            begun.push(start + Duration::from_secs(serial), 0, serial);
        }
        let mut seconds = |waits: u64, returned: &[u64]| {
            let oldest = begun.oldest(|call| {
                let moved = (call.serial == 0).then_some(start + Duration::from_secs(waits));
                (!returned.contains(&call.serial)).then_some(moved)
            });
            oldest.map(|at| (at - start).as_secs())
        };
        assert_eq!(seconds(0, &[]), Some(0));
        assert_eq!(seconds(9, &[]), Some(1));
        assert_eq!(seconds(9, &[1, 2]), Some(9));
        // What was waited for has come: no further time is given.
        assert_eq!(seconds(4, &[1, 2]), Some(4));
        assert_eq!(seconds(4, &[0, 1, 2]), None);
    }
}
