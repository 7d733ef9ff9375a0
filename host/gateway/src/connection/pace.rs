//! How fast a peer may send. Its token buckets exist only where a rate is
//! configured.

use std::time::Duration;

use openline_core::close::CloseReason;
use openline_core::limits::{FunctionLimits, RateExceeded};
use openline_core::rate::TokenBucket;

use super::wire::Counted;

/// The rates of one connection. Times are counted from its opening.
#[derive(Debug)]
pub(super) struct Pace {
    messages: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
    /// Reading pauses until then.
    resume: Option<Duration>,
}

impl Pace {
    /// `None` when no rate is configured.
    pub(super) fn new(limits: &FunctionLimits) -> Option<Box<Self>> {
        let messages = TokenBucket::new(u64::from(limits.messages_per_second), Duration::ZERO);
        let bytes_per_second = u64::try_from(limits.bytes_per_second).unwrap_or(u64::MAX);
        let bytes = TokenBucket::new(bytes_per_second, Duration::ZERO);
        (messages.is_some() || bytes.is_some()).then(|| {
            Box::new(Self {
                messages,
                bytes,
                resume: None,
            })
        })
    }

    /// Charges received frames and bytes to the buckets.
    pub(super) fn charge(
        &mut self,
        counted: Counted,
        now: Duration,
        exceeded: RateExceeded,
    ) -> Result<(), CloseReason> {
        let mut wait = Duration::ZERO;
        for (bucket, tokens, reason) in [
            (&mut self.messages, counted.frames, CloseReason::MessageRate),
            (&mut self.bytes, counted.bytes, CloseReason::ByteRate),
        ] {
            let Some(bucket) = bucket else { continue };
            bucket.take(tokens, now);
            wait = wait.max(bucket.wait());
            if exceeded == RateExceeded::Close && !wait.is_zero() {
                return Err(reason);
            }
        }
        self.resume = (!wait.is_zero()).then(|| now + wait);
        Ok(())
    }

    /// When reading resumes, if it is paused now.
    pub(super) fn resume(&mut self, now: Duration) -> Option<Duration> {
        self.resume = self.resume.filter(|resume| *resume > now);
        self.resume
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(frames: u64, bytes: u64) -> Counted {
        Counted { frames, bytes }
    }

    #[test]
    fn rates_at_their_limit_and_one_past_it() {
        let limits = FunctionLimits {
            messages_per_second: 10,
            bytes_per_second: 1000,
            ..FunctionLimits::default()
        };
        let charged = |frames, bytes| {
            let mut pace = Pace::new(&limits).unwrap();
            pace.charge(counted(frames, bytes), Duration::ZERO, RateExceeded::Close)
        };
        assert_eq!(charged(10, 1000), Ok(()));
        assert_eq!(charged(11, 0), Err(CloseReason::MessageRate));
        assert_eq!(charged(0, 1001), Err(CloseReason::ByteRate));
    }

    #[test]
    fn a_pause_lasts_until_the_rate_is_met() {
        let limits = FunctionLimits {
            messages_per_second: 10,
            ..FunctionLimits::default()
        };
        let mut pace = Pace::new(&limits).unwrap();
        let now = Duration::from_secs(1);
        pace.charge(counted(15, 9_999_999), now, RateExceeded::Pause)
            .unwrap();
        let resume = now + Duration::from_millis(500);
        assert_eq!(pace.resume(now), Some(resume));
        assert_eq!(pace.resume(resume), None);
    }

    #[test]
    fn without_a_rate_there_is_nothing_to_keep() {
        assert!(Pace::new(&FunctionLimits::default()).is_none());
    }
}
