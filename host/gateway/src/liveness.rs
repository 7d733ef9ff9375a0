//! Whether the threads that serve make progress, as the watchdog last saw it.
//!
//! It is one atomic number: reading it takes no lock, so that a probe is
//! answered whatever else hangs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The watchdog's last observation.
#[derive(Debug, Default)]
pub struct Liveness {
    /// Milliseconds without progress; 0 while all is well.
    hung_millis: AtomicU64,
}

impl Liveness {
    /// Notes for how long there has been no progress; `None` when there is
    /// progress.
    pub fn note(&self, hung: Option<Duration>) {
        let millis = hung.map_or(0, |hung| {
            u64::try_from(hung.as_millis()).unwrap_or(u64::MAX).max(1)
        });
        self.hung_millis.store(millis, Ordering::Relaxed);
    }

    /// For how long the host has hung, if it does.
    pub fn hung(&self) -> Option<Duration> {
        match self.hung_millis.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        }
    }
}
