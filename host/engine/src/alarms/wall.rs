//! The clock on the wall. An alarm that outlives the process is due by it.

use std::time::Duration;

/// Milliseconds since 1970, as whoever sets the clock sees them.
pub(super) type WallClock = Box<dyn Fn() -> u64 + Send + Sync>;

/// What the system's clock shows.
#[expect(
    clippy::disallowed_methods,
    reason = "what survives a restart cannot be due by a clock that does not"
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

/// How long it is until a moment of the wall clock.
pub(super) fn until(due_at: u64, wall: u64) -> Duration {
    Duration::from_millis(due_at.saturating_sub(wall))
}
