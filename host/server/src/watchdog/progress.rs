//! Decides when a host hangs. These rules have no clock.
//!
//! They count how long a beat has not been answered, in ticks of at most the
//! planned length: a process that was stopped for an hour has missed one tick.

use std::time::Duration;

use openline_core::config::ServerConfig;

/// How many ticks fit into `watchdog_timeout`: a hang is noticed at most one
/// tick late.
const TICKS: u32 = 10;
/// The longest tick. Each tick wakes two threads.
const TICK_MAX: Duration = Duration::from_secs(1);

/// How long a host may make no progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long before the hang is logged.
    pub(super) timeout: Duration,
    /// How long before the process ends; zero means never.
    pub(super) exit_timeout: Duration,
}

/// A task for the watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Report that there has been no progress for this long; once for each
    /// hang.
    Hung(Duration),
    /// Report that there is progress again, after this long.
    Recovered(Duration),
    /// End the process, after this long without progress.
    End(Duration),
}

/// The state of a watchdog.
#[derive(Debug, Default)]
pub(super) struct Progress {
    missed: Duration,
    told: bool,
}

impl Limits {
    pub(super) fn of(config: &ServerConfig) -> Self {
        Self {
            timeout: config.watchdog_timeout,
            exit_timeout: config.watchdog_exit_timeout,
        }
    }

    /// How often to check.
    pub(super) fn tick(self) -> Duration {
        (self.timeout / TICKS).min(TICK_MAX)
    }
}

impl Progress {
    /// Notes that there was progress.
    pub(super) fn made(&mut self) -> Option<Event> {
        let before = std::mem::take(self);
        before.told.then_some(Event::Recovered(before.missed))
    }

    /// Notes that there was no progress for another `time`.
    pub(super) fn missed(&mut self, time: Duration, limits: Limits) -> Option<Event> {
        self.missed = self.missed.saturating_add(time);
        if !self.told {
            self.told = self.missed >= limits.timeout;
            return self.told.then_some(Event::Hung(self.missed));
        }
        let ends = !limits.exit_timeout.is_zero() && self.missed >= limits.exit_timeout;
        ends.then_some(Event::End(self.missed))
    }

    /// For how long the host has hung, if it does.
    pub(super) fn hung(&self) -> Option<Duration> {
        self.told.then_some(self.missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: Limits = Limits {
        timeout: SECOND,
        exit_timeout: Duration::from_secs(3),
    };

    #[test]
    fn a_hang_is_told_once_at_its_limit_and_not_before() {
        let mut progress = Progress::default();
        assert_eq!(progress.missed(999 * MILLISECOND, LIMITS), None);
        assert_eq!(progress.hung(), None);
        assert_eq!(
            progress.missed(MILLISECOND, LIMITS),
            Some(Event::Hung(SECOND))
        );
        assert_eq!(progress.missed(SECOND, LIMITS), None);
        assert_eq!(progress.hung(), Some(2 * SECOND));
        assert_eq!(progress.made(), Some(Event::Recovered(2 * SECOND)));
        assert_eq!(progress.hung(), None);
        // The next hang is counted from zero.
        assert_eq!(progress.made(), None);
        assert_eq!(progress.missed(999 * MILLISECOND, LIMITS), None);
        assert_eq!(progress.made(), None);
        assert_eq!(progress.missed(999 * MILLISECOND, LIMITS), None);
        assert_eq!(
            progress.missed(SECOND, LIMITS),
            Some(Event::Hung(1999 * MILLISECOND))
        );
    }

    #[test]
    fn the_process_ends_at_its_limit_if_there_is_one() {
        let mut progress = Progress::default();
        assert!(progress.missed(SECOND, LIMITS).is_some());
        assert_eq!(progress.missed(1999 * MILLISECOND, LIMITS), None);
        assert_eq!(
            progress.missed(MILLISECOND, LIMITS),
            Some(Event::End(3 * SECOND))
        );

        let never = Limits {
            exit_timeout: Duration::ZERO,
            ..LIMITS
        };
        let mut progress = Progress::default();
        assert!(progress.missed(SECOND, never).is_some());
        assert_eq!(progress.missed(Duration::MAX, never), None);
    }

    #[test]
    fn a_hang_is_told_before_it_ends_the_process() {
        let equal = Limits {
            exit_timeout: SECOND,
            ..LIMITS
        };
        let mut progress = Progress::default();
        assert_eq!(progress.missed(SECOND, equal), Some(Event::Hung(SECOND)));
        assert_eq!(
            progress.missed(Duration::ZERO, equal),
            Some(Event::End(SECOND))
        );
    }

    #[test]
    fn ticks_are_short_against_the_limit_and_not_many() {
        let tick = |timeout| Limits { timeout, ..LIMITS }.tick();
        assert_eq!(tick(SECOND), 100 * MILLISECOND);
        assert_eq!(tick(10 * SECOND), SECOND);
        assert_eq!(tick(3600 * SECOND), SECOND);
    }
}
