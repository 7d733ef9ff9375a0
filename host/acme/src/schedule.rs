//! When the host asks for a certificate: rules without a clock. Moments are
//! times since 1970 by the wall clock, or times that pass.
//!
//! A certificate is renewed when two thirds of its time have passed, or a little
//! later, by an amount that differs from certificate to certificate. After a
//! failure the host waits, longer each time. Bounded:
//! [`ATTEMPTS_PER_HOUR_MAX`], whatever the clock does and however often the
//! configuration is read.

use std::collections::VecDeque;
use std::time::Duration;

use openline_gateway::tls::issued::Issued;
use tokio::time::Instant;

/// Attempts for one host name in an hour. Let's Encrypt refuses after five that
/// fail.
pub const ATTEMPTS_PER_HOUR_MAX: usize = 5;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long to wait after the first failure: a name that was entered a moment
/// ago is known everywhere then.
const BACKOFF: Duration = Duration::from_secs(60);
/// The factor of each further wait: 1, 4, 16 and 64 minutes.
const BACKOFF_FACTOR: u32 = 4;
/// The longest wait: four attempts a day for a name that has no certificate,
/// and more than a hundred in the third of its time that an old one has left.
const BACKOFF_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// The longest wait that an authority may ask for.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// When a certificate is renewed. The amount that differs is at most a
/// twenty-fourth of its time: three days of ninety.
pub(crate) fn renewal(issued: &Issued) -> Duration {
    let life = issued.ends.saturating_sub(issued.begins);
    let spread = life / 24;
    let millis = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX).max(1);
    issued.begins + life / 3 * 2 + Duration::from_millis(issued.stamp % millis)
}

/// How long the host waits after it got a certificate that is already due again:
/// half of the time that the certificate then had left. So neither a clock that
/// jumps nor an authority whose certificates last for minutes makes it ask
/// without end.
pub(crate) fn rest(issued: &Issued, now: Duration) -> Duration {
    issued.ends.saturating_sub(now) / 2
}

/// How long to wait after a number of failures in a row. `random` is of 0 to
/// 255, and adds up to a quarter, so that hosts that failed together do not all
/// come back together. An authority that asks for a longer wait gets it.
pub(crate) fn backoff(failures: u32, random: u8, asked: Option<Duration>) -> Duration {
    let factor = BACKOFF_FACTOR.saturating_pow(failures.saturating_sub(1));
    let wait = BACKOFF.saturating_mul(factor).min(BACKOFF_MAX);
    let wait = wait.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX));
    wait + wait * u32::from(random) / 1024
}

/// The attempts of the last hour.
#[derive(Debug, Default)]
pub(crate) struct Attempts(VecDeque<Instant>);

impl Attempts {
    /// From when on another one may be made; `None` means now.
    pub(crate) fn allowed(&mut self, now: Instant) -> Option<Instant> {
        while self.0.front().is_some_and(|first| now - *first >= HOUR) {
            self.0.pop_front();
        }
        match self.0.len() < ATTEMPTS_PER_HOUR_MAX {
            true => None,
            false => self.0.front().map(|first| *first + HOUR),
        }
    }

    /// Notes one.
    pub(crate) fn note(&mut self, now: Instant) {
        if self.0.len() == ATTEMPTS_PER_HOUR_MAX {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn issued(begins: Duration, days: u32, stamp: u64) -> Issued {
        Issued {
            begins,
            ends: begins + DAY * days,
            stamp,
        }
    }

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_time_have_passed() {
        let begins = DAY * 20_000;
        let at = |stamp| renewal(&issued(begins, 90, stamp)) - begins;
        assert_eq!(at(0), DAY * 60);
        assert!((DAY * 60..DAY * 64).contains(&at(u64::MAX)));
        assert_ne!(at(1 << 20), at(1 << 21), "they differ");
        // One whose end is before its beginning.
        let odd = Issued {
            begins,
            ends: begins - DAY,
            stamp: 7,
        };
        assert_eq!(renewal(&odd), begins);
        assert_eq!(rest(&odd, begins), Duration::ZERO);
        assert_eq!(rest(&issued(begins, 90, 0), begins), DAY * 45);
    }

    #[test]
    fn each_failure_makes_the_wait_longer_up_to_the_most() {
        let minutes = |failures| backoff(failures, 0, None).as_secs() / 60;
        let waits: Vec<_> = (1..=6).map(minutes).collect();
        assert_eq!(waits, [1, 4, 16, 64, 256, 360]);
        assert_eq!(minutes(u32::MAX), 360);
        // No more than are allowed in an hour, without counting.
        let mut begun = 0;
        let begins = waits.iter().map(|wait| {
            begun += wait;
            begun
        });
        let in_an_hour = 1 + begins.filter(|begun| *begun < 60).count();
        assert!(in_an_hour <= ATTEMPTS_PER_HOUR_MAX);
        assert_eq!(backoff(1, 0, Some(HOUR)), HOUR);
        assert_eq!(backoff(1, 0, Some(Duration::MAX)), RETRY_AFTER_MAX);
    }

    #[test]
    fn as_many_attempts_as_an_hour_has_and_one_more() {
        let mut attempts = Attempts::default();
        let first = Instant::now();
        let after = |seconds| first + Duration::from_secs(seconds);
        for second in 0..ATTEMPTS_PER_HOUR_MAX as u64 {
            assert_eq!(attempts.allowed(after(second)), None, "{second}");
            attempts.note(after(second));
        }
        assert_eq!(attempts.allowed(after(10)), Some(first + HOUR));
        assert_eq!(attempts.allowed(after(3599)), Some(first + HOUR));
        assert_eq!(attempts.allowed(after(3600)), None);
        attempts.note(after(3600));
        assert_eq!(attempts.allowed(after(3600)), Some(after(3601)));
    }

    proptest! {
        #[test]
        fn whatever_an_authority_issues_the_rules_hold(
            begins in any::<u32>(), ends in any::<u32>(), stamp in any::<u64>(),
            failures in any::<u32>(), random in any::<u8>(), asked in any::<Option<u32>>(),
        ) {
            let since = |seconds: u32| Duration::from_secs(seconds.into());
            let issued = Issued { begins: since(begins), ends: since(ends), stamp };
            let at = renewal(&issued);
            prop_assert!(at >= issued.begins && at <= issued.begins.max(issued.ends) + Duration::from_millis(1));
            let wait = backoff(failures, random, asked.map(since));
            prop_assert!(wait >= BACKOFF && wait <= RETRY_AFTER_MAX * 5 / 4);
        }
    }
}
