//! Time for asynchronous handlers. A component imports WASI's 0.3 clock only
//! when it calls [`sleep`].

use std::time::Duration;

use crate::raw::monotonic_clock;

/// Waits, and lets the instance serve other connections meanwhile.
///
/// This is for [`AsyncHandler`](crate::AsyncHandler)s; a plain handler cannot
/// await. Dropping the future ends the wait. Durations beyond 584 years are
/// cut. The time counts towards `handler_timeout`.
///
/// ```no_run
/// # async fn reply(connection: &openline_sdk::Connection) {
/// use std::time::Duration;
///
/// openline_sdk::time::sleep(Duration::from_millis(100)).await;
/// connection.send("a tenth of a second later");
/// # }
/// ```
pub async fn sleep(duration: Duration) {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::wait_for(nanoseconds).await;
}
