//! Decides when a connection sleeps: when it has been quiet for a while.
//!
//! A connection that sleeps needs no timer of this kind, gives up the room of
//! its outbox, and is counted, so that the host returns memory to the system
//! after many have fallen asleep. Pings and pongs of either side do not wake it:
//! with a ping every 30 s, waking for each would cost more than the ping itself.

use std::time::Duration;

/// How long a connection must be quiet before it sleeps; it may take twice as
/// long. The next message of a conversation is often near, and a timer once a
/// second costs almost nothing.
const REST_AFTER: Duration = Duration::from_secs(1);

/// Whether a connection sleeps, and what keeps it awake.
#[derive(Debug)]
pub(crate) struct Rest {
    /// When to check again, counted from the opening; `None` while it sleeps.
    look: Option<Duration>,
    /// Whether something was read or written since the last check.
    active: bool,
    /// Pings and pongs read since reading was last noted.
    controls: u32,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            look: Some(REST_AFTER),
            active: false,
            controls: 0,
        }
    }
}

impl Rest {
    /// When to check whether it should sleep; `None` while it sleeps.
    pub(crate) fn look(&self) -> Option<Duration> {
        self.look
    }

    /// Notes that something was read or written.
    pub(crate) fn note_activity(&mut self) {
        self.active = true;
    }

    /// Notes that a ping or a pong was read.
    pub(crate) fn note_control(&mut self) {
        self.controls = self.controls.saturating_add(1);
    }

    /// Notes that something was read, in which so many frames began. Pings and
    /// pongs alone are no activity. Bytes without a new frame are: they belong
    /// to a message.
    pub(crate) fn note_read(&mut self, frames: u64) {
        let controls = u64::from(std::mem::take(&mut self.controls));
        if frames == 0 || frames != controls {
            self.note_activity();
        }
    }

    /// Checks whether it should sleep, if the check is due, and whether it
    /// `can`, which is asked only if it has been quiet; returns whether it now
    /// falls asleep.
    pub(crate) fn check(&mut self, now: Duration, can: impl FnOnce() -> bool) -> bool {
        if self.look.is_none_or(|look| now < look) {
            return false;
        }
        let sleeps = !std::mem::take(&mut self.active) && can();
        self.look = (!sleeps).then_some(now + REST_AFTER);
        sleeps
    }

    /// Whether it sleeps although something has happened.
    pub(crate) fn is_roused(&self) -> bool {
        self.active && self.is_asleep()
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.look.is_none()
    }

    /// Stays awake until the next check, a while after `now`.
    pub(crate) fn stay_awake(&mut self, now: Duration) {
        self.look = Some(now + REST_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    #[test]
    fn a_quiet_one_sleeps_at_its_time_and_not_before() {
        let mut rest = Rest::default();
        assert!(!rest.check(REST_AFTER - TICK, || true));
        assert_eq!(rest.look(), Some(REST_AFTER));
        assert!(rest.check(REST_AFTER, || true));
        assert_eq!(rest.look(), None);
        assert!(!rest.check(9 * REST_AFTER, || true), "it sleeps already");
    }

    #[test]
    fn a_busy_one_and_one_that_cannot_sleep_are_looked_at_again() {
        let mut rest = Rest::default();
        rest.note_activity();
        assert!(!rest.check(REST_AFTER, || true));
        assert_eq!(rest.look(), Some(2 * REST_AFTER));
        assert!(!rest.check(2 * REST_AFTER, || false));
        assert_eq!(rest.look(), Some(3 * REST_AFTER));
        assert!(rest.check(3 * REST_AFTER, || true));
    }

    #[test]
    fn activity_rouses_only_one_that_sleeps() {
        let mut rest = Rest::default();
        rest.note_activity();
        assert!(!rest.is_roused());
        rest.check(REST_AFTER, || true);
        rest.check(2 * REST_AFTER, || true);
        assert!(!rest.is_roused());
        rest.note_activity();
        assert!(rest.is_roused());
        rest.stay_awake(5 * REST_AFTER);
        assert_eq!(rest.look(), Some(6 * REST_AFTER));
        assert!(!rest.is_roused());
    }

    #[test]
    fn pings_and_pongs_alone_rouse_nothing_and_all_else_that_is_read_does() {
        for (controls, frames, roused) in [
            (1, 1, false),
            (3, 3, false),
            (0, 1, true),
            (1, 2, true),
            // The rest of a message, alone and behind a pong.
            (0, 0, true),
            (1, 0, true),
        ] {
            let mut rest = Rest::default();
            assert!(rest.check(REST_AFTER, || true));
            for _ in 0..controls {
                rest.note_control();
            }
            rest.note_read(frames);
            assert_eq!(rest.is_roused(), roused, "{controls} of {frames}");
            // Each is counted once.
            rest.note_read(1);
            assert!(rest.is_roused());
        }
    }
}
