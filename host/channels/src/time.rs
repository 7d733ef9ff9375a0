//! The moments of channels: the wall clock as it was when the process first
//! asked, and the time since. They do not go back while the process runs.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use openline_broker::moment::Moment;
use tokio::time::Instant;

use crate::connection::Facts;

/// The present moment.
#[expect(
    clippy::disallowed_methods,
    reason = "publications outlive the process: it is asked once"
)]
pub fn now() -> Moment {
    static START: OnceLock<(Moment, Instant)> = OnceLock::new();
    let (moment, instant) = START.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let moment = Moment(0).plus(since.unwrap_or_default());
        (moment, Instant::now())
    });
    moment.plus(instant.elapsed())
}

impl Facts {
    /// Of a connection that is made now, with nothing else.
    pub fn now() -> Self {
        Self {
            opened_ms: now().0,
            ..Self::default()
        }
    }
}
