//! How often something may pass, for each of any number of clients, within a
//! fixed amount of memory.
//!
//! A client's state is one number: the time at which its bucket is full again
//! (the generic cell rate algorithm). A bucket that is full is as good as none,
//! so its slot is free.
//!
//! The table has 65,536 slots: more clients than one host sees in a second that
//! is not a flood. A hash with a secret key leads a client to one of [`SETS`]
//! sets of [`WAYS`] slots. While all slots of a set are in use, its
//! other clients share one more bucket. So no client is ever forgotten that has
//! to wait, however many others come: a flood of addresses does not give an
//! address its burst back. And a flood takes no memory; it only makes clients
//! that come during it share. Has no clock: the caller passes the time since a
//! fixed moment.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderName;
use parking_lot::Mutex;

/// Slots of a set. A look-up compares all of them.
const WAYS: usize = 8;

/// Sets of a table. Each has a lock of its own, so that threads rarely meet.
const SETS: usize = 1 << 13;

/// Clients that can have a bucket of their own at a time.
#[cfg(test)]
const SLOTS: usize = WAYS * SETS;

/// How many requests may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests in each period, on average; at least 1.
    pub(crate) average: u64,
    /// The period.
    pub(crate) period: Period,
    /// How many may come at once; at least 1.
    pub(crate) burst: u64,
}

/// The period of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
}

/// Which requests share a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LimitBy {
    /// Those of one address. Of IPv6, the network of 64 bits that a household
    /// gets.
    Address,
    /// All of them.
    All,
    /// Those with the same values of a header. Requests without it share one
    /// bucket, so leaving it out escapes nothing.
    Header(HeaderName),
    /// Those with the same value of a claim, or without one.
    Claim(Box<str>),
}

/// The buckets of one rate.
pub(crate) struct Limiter {
    rate: Rate,
    /// Nanoseconds that one request costs.
    cost: u64,
    /// Nanoseconds that a client may owe.
    debt_max: u64,
    hasher: RandomState,
    sets: Box<[Mutex<Set>]>,
}

/// Slots, and the time at which the bucket of all other clients of the set is
/// full.
#[derive(Clone, Default)]
struct Set {
    slots: [Slot; WAYS],
    others_full_at: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    client: u64,
    /// In nanoseconds. The slot is free from then on.
    full_at: u64,
}

impl Period {
    fn nanoseconds(self) -> u64 {
        match self {
            Self::Second => 1_000_000_000,
            Self::Minute => 60_000_000_000,
        }
    }
}

/// The address that stands for one client: an IPv4 address, or the network of
/// 64 bits of an IPv6 address.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

// === impl Limiter ===

impl Limiter {
    /// A table of full buckets. A rate that all requests share has one set.
    pub(crate) fn new(rate: Rate, by: &LimitBy) -> Self {
        // Rounded up, so that never more passes than the rate allows.
        let cost = rate.period.nanoseconds().div_ceil(rate.average.max(1));
        let sets = if *by == LimitBy::All { 1 } else { SETS };
        Self {
            rate,
            cost,
            debt_max: cost.saturating_mul(rate.burst.max(1)),
            hasher: RandomState::new(),
            sets: (0..sets).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one request of an address.
    pub(crate) fn take_address(&self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        self.take(self.hasher.hash_one(client_of(address)), now)
    }

    /// Takes one request of all.
    pub(crate) fn take_all(&self, now: Duration) -> Result<(), Duration> {
        self.take(0, now)
    }

    /// Takes one request with these values of a header.
    pub(crate) fn take_header(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
        now: Duration,
    ) -> Result<(), Duration> {
        let mut hasher = self.hasher.build_hasher();
        for value in headers.get_all(name) {
            value.as_bytes().hash(&mut hasher);
        }
        self.take(hasher.finish(), now)
    }

    /// Takes one request with this text.
    pub(crate) fn take_text(&self, text: &str, now: Duration) -> Result<(), Duration> {
        self.take(self.hasher.hash_one(text), now)
    }

    /// Takes one request of a client, or says how long until one may pass.
    fn take(&self, client: u64, now: Duration) -> Result<(), Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        // The remainder of a number of sets fits into any `usize`.
        #[expect(clippy::cast_possible_truncation, reason = "less than SETS")]
        let index = (client % self.sets.len() as u64) as usize;
        let mut set = self.sets[index].lock();
        let bucket = set.bucket(client, now);
        let full_at = (*bucket).max(now).saturating_add(self.cost);
        let debt = full_at - now;
        if debt > self.debt_max {
            return Err(Duration::from_nanos(debt - self.debt_max));
        }
        *bucket = full_at;
        Ok(())
    }
}

impl Set {
    /// The bucket of a client: its own, a free one that becomes its own, or
    /// that of the others.
    fn bucket(&mut self, client: u64, now: u64) -> &mut u64 {
        let own = self.slots.iter().position(|slot| {
            let is_free = slot.full_at <= now;
            slot.client == client && !is_free
        });
        let free = || self.slots.iter().position(|slot| slot.full_at <= now);
        match own.or_else(free) {
            Some(index) => {
                let slot = &mut self.slots[index];
                slot.client = client;
                &mut slot.full_at
            }
            None => &mut self.others_full_at,
        }
    }
}

impl fmt::Display for LimitBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("client_ip"),
            Self::All => f.write_str("global"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
        })
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("Limiter");
        it.field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limiter(average: u64, period: Period, burst: u64, by: &LimitBy) -> Limiter {
        let rate = Rate {
            average,
            period,
            burst,
        };
        Limiter::new(rate, by)
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn address(number: u64) -> IpAddr {
        Ipv6Addr::from_bits(u128::from(number) << 64).into()
    }

    #[test]
    fn a_burst_at_once_and_one_past_it_then_the_average() {
        let limiter = limiter(2, Period::Second, 3, &LimitBy::Address);
        let take = |text: &str, now| limiter.take_address(text.parse().unwrap(), now);
        assert!((0..3).all(|_| take("10.0.0.1", ms(0)).is_ok()));
        assert_eq!(take("10.0.0.1", ms(0)), Err(ms(500)));
        // Another spelling is the same client, another address is not.
        assert_eq!(take("::ffff:10.0.0.1", ms(400)), Err(ms(100)));
        assert_eq!(take("10.0.0.2", ms(400)), Ok(()));
        // What is refused costs nothing.
        assert_eq!(take("10.0.0.1", ms(500)), Ok(()));
        assert_eq!(take("10.0.0.1", ms(500)), Err(ms(500)));
        assert!((0..3).all(|_| take("10.0.0.1", ms(9_000)).is_ok()));
        assert!(take("10.0.0.1", ms(9_000)).is_err());
        // The clock jumps back: nothing is granted.
        assert!(take("10.0.0.1", ms(8_000)).is_err());
    }

    #[test]
    fn a_household_shares_a_bucket_and_all_share_one() {
        let limited = limiter(1, Period::Minute, 1, &LimitBy::Address);
        let take = |text: &str| limited.take_address(text.parse().unwrap(), ms(0));
        assert_eq!(take("2001:db8::1"), Ok(()));
        assert_eq!(take("2001:db8::ffff:1"), Err(ms(60_000)));
        assert_eq!(take("2001:db8:0:1::1"), Ok(()));
        let all = limiter(1, Period::Minute, 2, &LimitBy::All);
        assert!(all.take_all(ms(0)).is_ok() && all.take_all(ms(0)).is_ok());
        assert_eq!(all.take_all(ms(30_000)), Err(ms(30_000)));
    }

    #[test]
    fn requests_without_the_header_share_a_bucket() {
        let name = HeaderName::from_static("x-key");
        let limiter = limiter(1, Period::Minute, 1, &LimitBy::Header(name.clone()));
        let take = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, value.parse().unwrap());
            }
            limiter.take_header(&headers, &name, ms(0)).is_ok()
        };
        assert!(take(&[]) && !take(&[]));
        assert!(take(&["a"]) && !take(&["a"]));
        assert!(take(&["b"]));
        assert!(take(&["a", "b"]) && !take(&["a", "b"]));
        assert!(take(&["ab"]));
    }

    /// An address that has to wait waits, however many others come.
    #[test]
    fn a_flood_gives_no_bucket_back_and_does_not_pass_the_shared_ones() {
        let limiter = limiter(1, Period::Minute, 2, &LimitBy::Address);
        let spent = address(u64::MAX >> 1);
        assert!((0..2).all(|_| limiter.take_address(spent, ms(0)).is_ok()));
        // These have half of their burst left.
        let regulars: Vec<_> = (0..100).map(|it| address(u64::MAX - it)).collect();
        let take = |client: &IpAddr| limiter.take_address(*client, ms(0)).is_ok();
        assert!(regulars.iter().all(take));
        let flood = 4 * SLOTS as u64;
        let passed = (0..flood).filter(|it| limiter.take_address(address(*it), ms(1)).is_ok());
        // One for each slot, and the burst for each set.
        let passed = passed.count();
        assert!(passed <= SLOTS + 2 * SETS, "{passed} of {flood} passed");
        assert!(passed >= SLOTS - 101, "only {passed} passed");
        assert!(limiter.take_address(spent, ms(2)).is_err());
        let rest = |client: &IpAddr| limiter.take_address(*client, ms(2)).is_ok();
        assert!(regulars.iter().all(rest));
        assert!(!regulars.iter().any(rest));
        // When the flood is over, its slots are free again.
        let later = ms(120_000);
        let fresh = (flood..flood + 1_000).map(address);
        let passed = fresh.filter(|it| limiter.take_address(*it, later).is_ok());
        assert_eq!(passed.count(), 1_000);
    }

    proptest! {
        /// Whatever the times, never more passes than the burst and what the
        /// average adds in the time.
        #[test]
        fn never_more_than_the_rate(
            average in 1u64..500,
            burst in 1u64..50,
            is_minute in any::<bool>(),
            steps in prop::collection::vec(0u64..3_000, 1..300),
        ) {
            let period = if is_minute { Period::Minute } else { Period::Second };
            let limiter = limiter(average, period, burst, &LimitBy::Address);
            let (mut now, mut passed) = (0, 0);
            for step in steps {
                now += step;
                match limiter.take_address(address(1), ms(now)) {
                    Ok(()) => passed += 1,
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO);
                        // One passes after that time, and none before it.
                        let then = ms(now) + wait;
                        let before = then - Duration::from_nanos(1);
                        prop_assert!(limiter.take_address(address(1), before).is_err());
                    }
                }
                let added = average * now * 1_000_000 / period.nanoseconds();
                prop_assert!(passed <= burst + added, "{passed} after {now} ms");
            }
        }
    }
}
