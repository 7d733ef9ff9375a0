//! Whether guest code has run lately, so that the thread that advances the
//! epoch can rest while none does.
//!
//! Without rest, that thread wakes 200 times a second, which costs an idle host
//! more than a thousand idle connections. Running guest code reports itself
//! when it begins and at each epoch that it meets. A report is a load of one
//! word that seldom changes; only the first one after a tick writes.
//!
//! All changes are exchanges of that one word, so no report is missed: it comes
//! either before the thread rests, which then does not, or after, and then sees
//! that it must wake the thread. A load that finds [`ACTIVE`] belongs to a run
//! that began before the last tick. The thread does not rest for many more
//! ticks, and each of them makes a run that still computes report itself again.

use crate::sync::{AtomicU8, Ordering};

/// How many ticks without guest code pass before the thread rests: a tenth of a
/// second, so that not every message of a slow conversation wakes it.
pub(crate) const QUIET_TICKS: u32 = 20;

/// No guest code has run since the last tick.
const QUIET: u8 = 0;
/// Some has.
const ACTIVE: u8 = 1;
/// The thread rests, or is about to.
const RESTING: u8 = 2;

/// The reports of guest code to the thread that advances the epoch.
#[derive(Debug)]
pub(crate) struct Pulse(AtomicU8);

impl Default for Pulse {
    fn default() -> Self {
        Self(AtomicU8::new(QUIET))
    }
}

impl Pulse {
    /// Guest code runs now. Returns whether the thread must be woken.
    pub(crate) fn report(&self) -> bool {
        self.0.load(Ordering::Relaxed) != ACTIVE && self.0.swap(ACTIVE, Ordering::AcqRel) == RESTING
    }

    /// Whether guest code has run since this was last asked. The thread asks at
    /// each tick.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(QUIET, Ordering::AcqRel) == ACTIVE
    }

    /// Announces that the thread rests; `false` if guest code has run.
    pub(crate) fn rest(&self) -> bool {
        let (found, not_found) = (Ordering::AcqRel, Ordering::Acquire);
        let rested = self.0.compare_exchange(QUIET, RESTING, found, not_found);
        rested.is_ok()
    }

    /// Whether it still may rest.
    pub(crate) fn is_resting(&self) -> bool {
        self.0.load(Ordering::Acquire) == RESTING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_report_wakes_a_thread_that_rests_and_no_other_does() {
        let pulse = Pulse::default();
        assert!(!pulse.report(), "it ticks");
        assert!(!pulse.rest(), "guest code has run");
        assert!(pulse.take() && !pulse.take());
        assert!(pulse.rest() && pulse.is_resting());
        assert!(pulse.report() && !pulse.is_resting());
        assert!(!pulse.report(), "it is woken already");
        assert!(pulse.take());
    }
}
