//! When a dialect's own pings are due.
//!
//! They are sent whether or not the peer says anything: its client takes a host
//! for gone that is silent for longer than it has announced. Rules without a
//! clock; times are counted from the connection's opening.

use std::time::Duration;

/// How much longer a peer has to answer that could not be heard.
const GRACE: Duration = Duration::from_secs(1);

/// The pings of one connection; none by default.
#[derive(Debug, Default)]
pub(super) struct Pings {
    interval: Duration,
    timeout: Duration,
    /// When the next one is due.
    next: Option<Duration>,
    /// When the answer to the first that was not answered is late.
    late: Option<Duration>,
}

impl Pings {
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        Self {
            interval,
            timeout,
            next: (!interval.is_zero()).then_some(interval),
            late: None,
        }
    }

    pub(super) fn due(&self) -> Option<Duration> {
        [self.next, self.late].into_iter().flatten().min()
    }

    /// Whether an answer is late, and whether to ping. While it is not `audible`,
    /// no answer is late.
    pub(super) fn check(&mut self, now: Duration, audible: bool) -> (bool, bool) {
        if !audible {
            self.late = self.late.map(|late| late.max(now + GRACE));
        }
        let is_late = self.late.is_some_and(|late| now >= late);
        let pings = self.next.is_some_and(|next| now >= next);
        if pings {
            self.next = Some(now + self.interval);
        }
        (is_late, pings)
    }

    /// A ping was sent.
    pub(super) fn sent(&mut self, now: Duration) {
        if !self.timeout.is_zero() {
            self.late.get_or_insert(now + self.timeout);
        }
    }

    /// One was answered.
    pub(super) fn answered(&mut self) {
        self.late = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_peer_that_does_not_answer_is_late_at_its_time() {
        let mut pings = Pings::new(s(25), s(10));
        assert_eq!(pings.due(), Some(s(25)));
        assert_eq!(pings.check(s(24), true), (false, false));
        assert_eq!(pings.check(s(25), true), (false, true));
        pings.sent(s(25));
        assert_eq!(pings.due(), Some(s(35)));
        assert_eq!(pings.check(s(34), true), (false, false));
        assert_eq!(pings.check(s(35), true), (true, false));
        pings.answered();
        assert_eq!(pings.check(s(49), true), (false, false));
        assert_eq!(pings.check(s(50), true), (false, true));
    }

    #[test]
    fn one_that_cannot_be_heard_has_time_when_it_can() {
        let mut pings = Pings::new(s(25), s(10));
        assert_eq!(pings.check(s(25), true), (false, true));
        pings.sent(s(25));
        assert_eq!(pings.check(s(40), false), (false, false));
        assert_eq!(
            pings.check(s(41) - Duration::from_nanos(1), true),
            (false, false)
        );
        assert_eq!(pings.check(s(41), true), (true, false));
    }

    #[test]
    fn without_an_interval_there_are_none_and_without_a_time_none_is_late() {
        assert_eq!(Pings::new(s(0), s(10)).due(), None);
        let mut pings = Pings::new(s(25), s(0));
        assert_eq!(pings.check(s(25), true), (false, true));
        pings.sent(s(25));
        assert_eq!(pings.due(), Some(s(50)));
    }
}
