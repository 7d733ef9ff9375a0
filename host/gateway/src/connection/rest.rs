//! How near a connection is to its sleep: it should when it has been quiet for a
//! while.

use std::time::Duration;

/// How long nothing may have happened before a connection sleeps, at least,
/// and twice as long at most: the next message of a conversation is often near,
/// and a timer once a second costs nothing.
const REST_AFTER: Duration = Duration::from_secs(1);

/// What one message, or all that one wake writes, may leave behind in the
/// library's buffers, in bytes: a busy connection should cost what it did
/// before it carried a large message.
const KEPT_BYTES: usize = 4 * 1024;

/// How near a connection is to its sleep.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) stage: Stage,
    /// When to look again, since the connection was opened; not while it sleeps.
    look: Duration,
    /// Something was read or written since that was last looked at.
    active: bool,
    /// A message has made the library's buffers larger than they should stay.
    large: bool,
}

/// How near it is.
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

    /// It is awake, and is looked at a while after `now`.
    pub(super) fn stay_awake(&mut self, now: Duration) {
        self.stage = Stage::Awake;
        self.look = now + REST_AFTER;
    }

    /// When to look whether it should sleep; none while it does.
    pub(super) fn look(&self) -> Option<Duration> {
        (self.stage != Stage::Asleep).then_some(self.look)
    }

    /// Something was read or written.
    pub(super) fn note_activity(&mut self) {
        self.active = true;
    }

    /// So many bytes have passed through the library's buffers at once.
    pub(super) fn note_size(&mut self, bytes: usize) {
        self.large |= bytes > KEPT_BYTES;
    }

    /// Looks whether it should sleep, if it is time to.
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

    /// Whether one that should sleep, and cannot, has something to do: then it
    /// is looked at anew later, unless large buffers wait to be given back.
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
        // It sleeps as soon as it can, however busy it is.
        rest.note_activity();
        assert!(!rest.is_roused());
    }
}
