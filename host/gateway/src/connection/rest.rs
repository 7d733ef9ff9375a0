//! Decides when a connection should sleep: when it has been quiet for a while.

use std::time::Duration;

/// How long a connection must be quiet before it sleeps; it may take twice as
/// long. The next message of a conversation is often near, and a timer once a
/// second costs almost nothing.
const REST_AFTER: Duration = Duration::from_secs(1);

/// The largest message or write, in bytes, after which the library's buffers
/// may stay as they are. After a larger one the connection gives them up, so
/// that a busy connection does not stay expensive after one large message.
const KEPT_BYTES: usize = 4 * 1024;

/// How near a connection is to its sleep.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) stage: Stage,
    /// When to check again, counted from the opening; not used while it sleeps.
    look: Duration,
    /// Whether something was read or written since the last check.
    active: bool,
    /// Whether a message has made the library's buffers larger than they should
    /// stay.
    large: bool,
}

/// The stages on the way to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Awake,
    /// It should sleep as soon as the buffers are empty.
    Tired,
    Asleep,
}

impl Default for Rest {
    fn default() -> Self {
        Self::at(Stage::Awake, REST_AFTER)
    }
}

impl Rest {
    fn at(stage: Stage, look: Duration) -> Self {
        Self {
            stage,
            look,
            active: false,
            large: false,
        }
    }

    /// It sleeps.
    pub(super) fn asleep() -> Self {
        Self::at(Stage::Asleep, Duration::ZERO)
    }

    /// Stays awake until the next check, a while after `now`.
    pub(super) fn stay_awake(&mut self, now: Duration) {
        self.stage = Stage::Awake;
        self.look = now + REST_AFTER;
    }

    /// When to check whether it should sleep; `None` while it sleeps.
    pub(super) fn look(&self) -> Option<Duration> {
        (self.stage != Stage::Asleep).then_some(self.look)
    }

    /// Notes that something was read or written.
    pub(super) fn note_activity(&mut self) {
        self.active = true;
    }

    /// Notes that this many bytes passed through the library's buffers at once.
    pub(super) fn note_size(&mut self, bytes: usize) {
        self.large |= bytes > KEPT_BYTES;
    }

    /// Checks whether it should sleep, if the check is due.
    pub(super) fn check(&mut self, now: Duration) {
        if self.look().is_none_or(|look| now < look) {
            return;
        }
        if std::mem::take(&mut self.active) && !self.large {
            self.look = now + REST_AFTER;
        } else {
            self.stage = Stage::Tired;
        }
    }

    /// Whether a connection that should sleep, but could not yet, is active
    /// again. It is then checked again later, unless it has large buffers to
    /// give up.
    pub(super) fn is_roused(&self) -> bool {
        self.active && !self.large
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    #[test]
    fn a_quiet_one_is_tired_at_its_time_and_not_before() {
        let mut rest = Rest::default();
        rest.check(REST_AFTER - TICK);
        assert_eq!(rest.stage, Stage::Awake);
        rest.check(REST_AFTER);
        assert_eq!(rest.stage, Stage::Tired);
    }

    #[test]
    fn a_busy_one_is_looked_at_again_and_one_with_large_buffers_is_tired() {
        let mut rest = Rest::default();
        rest.note_activity();
        rest.note_size(KEPT_BYTES);
        rest.check(REST_AFTER);
        assert_eq!(rest.look(), Some(2 * REST_AFTER));
        assert_eq!(rest.stage, Stage::Awake);
        rest.note_activity();
        rest.note_size(KEPT_BYTES + 1);
        rest.check(2 * REST_AFTER);
        assert_eq!(rest.stage, Stage::Tired);
        // With large buffers it sleeps as soon as it can, however busy it is.
        rest.note_activity();
        assert!(!rest.is_roused());
    }
}
