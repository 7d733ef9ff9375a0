//! How fast something may happen: a token bucket.
//!
//! Has no clock: the caller passes the time since a fixed moment. A time before
//! the last one counts as the last one, so a clock that jumps back grants
//! nothing, and one that jumps forward grants a second's worth at most.

use std::time::Duration;

/// Allows a number of tokens a second, and a second's worth at once. Something
/// larger is let through while the bucket is not empty, and leaves a debt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    per_second: u64,
    /// Billionths of a token; below zero is debt.
    balance: i128,
    last: Duration,
}

const BILLION: i128 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket. `None` for a rate of 0, which is no limit.
    pub fn new(per_second: u64, now: Duration) -> Option<Self> {
        (per_second > 0).then(|| Self {
            per_second,
            balance: i128::from(per_second) * BILLION,
            last: now,
        })
    }

    /// The rate that it was made with, in tokens per second.
    pub fn per_second(&self) -> u64 {
        self.per_second
    }

    /// Takes tokens whether there are enough or not; [`TokenBucket::wait`] says
    /// how long it takes to pay the debt.
    pub fn take(&mut self, tokens: u64, now: Duration) {
        self.fill(now);
        self.balance -= i128::from(tokens) * BILLION;
    }

    /// Takes one token, if there is a whole one.
    pub fn try_take(&mut self, now: Duration) -> bool {
        self.fill(now);
        let there = self.balance >= BILLION;
        if there {
            self.balance -= BILLION;
        }
        there
    }

    /// How long until the debt is paid; zero when there is none.
    pub fn wait(&self) -> Duration {
        if self.balance >= 0 {
            return Duration::ZERO;
        }
        // Rounded up, so that the debt is paid after that time.
        let rate = u128::from(self.per_second);
        let nanoseconds = self.balance.unsigned_abs().div_ceil(rate);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Whether it is full, so that it need not be kept.
    pub fn is_full(&mut self, now: Duration) -> bool {
        self.fill(now);
        self.balance == i128::from(self.per_second) * BILLION
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        let nanoseconds = i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX >> 64);
        let rate = i128::from(self.per_second);
        self.balance = self
            .balance
            .saturating_add(nanoseconds.saturating_mul(rate))
            .min(rate * BILLION);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_second_s_worth_at_once_and_one_past_it() {
        let mut bucket = TokenBucket::new(3, ms(0)).unwrap();
        assert!((0..3).all(|_| bucket.try_take(ms(0))));
        assert!(!bucket.try_take(ms(333)));
        assert!(bucket.try_take(ms(334)));
        assert!(!bucket.try_take(ms(334)));
    }

    #[test]
    fn no_rate_is_no_bucket() {
        assert_eq!(TokenBucket::new(0, ms(0)), None);
    }

    #[test]
    fn what_is_larger_than_a_second_s_worth_is_paid_off() {
        let mut bucket = TokenBucket::new(100, ms(0)).unwrap();
        bucket.take(300, ms(0));
        assert_eq!(bucket.wait(), ms(2000));
        bucket.take(0, ms(1999));
        assert_eq!(bucket.wait(), ms(1));
        bucket.take(0, ms(2000));
        assert_eq!(bucket.wait(), ms(0));
    }

    #[test]
    fn a_clock_that_jumps_gives_a_second_s_worth_at_most() {
        let mut bucket = TokenBucket::new(10, ms(5_000)).unwrap();
        bucket.take(10, ms(5_000));
        bucket.take(0, ms(0));
        assert_eq!(bucket.wait(), ms(0));
        assert!(!bucket.try_take(ms(0)));
        assert!(!bucket.try_take(ms(5_000)));
        let far = Duration::from_secs(1 << 40);
        assert!((0..10).all(|_| bucket.try_take(far)));
        assert!(!bucket.try_take(far));
    }

    proptest! {
        /// Whatever the times and amounts, never more passes than a second's
        /// worth and what was added in the time.
        #[test]
        fn never_more_than_the_rate(
            rate in 1u64..1000,
            steps in prop::collection::vec(0u64..200, 1..500),
        ) {
            let mut bucket = TokenBucket::new(rate, ms(0)).unwrap();
            let (mut now, mut taken) = (0, 0);
            for step in steps {
                now += step;
                taken += u64::from(bucket.try_take(ms(now)));
                prop_assert!(taken <= rate + rate * now / 1000);
            }
        }
    }
}
