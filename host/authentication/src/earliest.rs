//! The earliest moment that it may be, if the clock on the wall may have jumped
//! ahead: what must not be forgotten early is forgotten by this one.
//!
//! It is the earliest time that the clock on the wall has shown, carried on by
//! the clock that does not jump. So it is right while the clock on the wall is,
//! and while that one is ahead for a time. It is behind after the clock on the
//! wall was behind, and after the machine has slept: then entries stay for
//! longer. A clock that is ahead from the start on is believed, because nothing
//! says otherwise.

use openline_core::authentication::UnixTime;

use crate::token::Now;

/// What the clocks have shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Earliest {
    /// The moment at which the clock on the wall was the furthest behind.
    seen: Now,
}

impl Earliest {
    /// Begins at a moment.
    pub(crate) fn new(now: Now) -> Self {
        Self { seen: now }
    }

    /// The earliest moment that it may be.
    pub(crate) fn at(&self, now: Now) -> UnixTime {
        let passed = now.steady.saturating_sub(self.seen.steady);
        now.wall.min(self.seen.wall.plus(passed))
    }

    /// The same; remembers the moment if the clock on the wall is behind.
    pub(crate) fn see(&mut self, now: Now) -> UnixTime {
        let earliest = self.at(now);
        if now.wall <= earliest {
            self.seen = now;
        }
        earliest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now(wall: u64, steady: u64) -> Now {
        Now {
            wall: UnixTime(wall),
            steady: Duration::from_secs(steady),
        }
    }

    #[test]
    fn a_clock_that_is_ahead_for_a_time_is_not_believed() {
        let mut earliest = Earliest::new(now(1000, 50));
        for (wall, steady, expected) in [
            (1000, 50, 1000),
            (1010, 60, 1010),
            // An hour ahead, and right again.
            (4620, 70, 1020),
            (4630, 80, 1030),
            (1040, 90, 1040),
            // Behind, and right again: what was seen is what may be.
            (1030, 100, 1030),
            (1060, 110, 1040),
        ] {
            let now = now(wall, steady);
            assert_eq!(earliest.at(now), UnixTime(expected), "{now:?}");
            assert_eq!(earliest.see(now), UnixTime(expected), "{now:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_right_is_right_from_then_on() {
        let mut earliest = Earliest::new(now(5000, 0));
        assert_eq!(earliest.see(now(1001, 1)), UnixTime(1001));
        assert_eq!(earliest.see(now(5002, 2)), UnixTime(1002));
    }
}
