//! The wall clock, by which alarms that outlive the process are due.

use std::time::Duration;

/// Milliseconds since 1970, as the wall clock shows them.
pub(super) type WallClock = Box<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "an alarm that survives a restart needs a clock that does"
)]
pub(super) fn unix_milliseconds() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    milliseconds(since)
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The time until a moment of the wall clock.
pub(super) fn until(due_at: u64, wall: u64) -> Duration {
    Duration::from_millis(due_at.saturating_sub(wall))
}
