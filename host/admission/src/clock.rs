//! The two clocks by which credentials are good: the one on the wall, which may be
//! set, and one that does not jump.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use openline_authentication::Now;
use openline_core::authentication::UnixTime;
use tokio::time::Instant;

/// Steady times are counted from here.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The moment, on both clocks.
pub fn now() -> Now {
    Now {
        wall: UnixTime(wall().as_secs()),
        steady: steady(),
    }
}

/// The time since 1970, by the clock on the wall.
#[expect(
    clippy::disallowed_methods,
    reason = "tokens and tickets end by the clock on the wall"
)]
pub(crate) fn wall() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// The time on the clock that does not jump.
pub fn steady() -> Duration {
    STARTED.elapsed()
}
