//! Bounded waits. No test sleeps and hopes that something has happened by then.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// The longest a test waits for something that should happen at once: long
/// enough for a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait before asking again for what has no event to wait for.
pub const ASK_AGAIN: Duration = Duration::from_millis(2);

/// Waits for something that should happen at once; panics after [`PATIENCE`].
#[track_caller]
pub fn within<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let what = what.to_owned();
    let place = Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(value) => value,
            Err(_) => panic!("waited in vain for {what}, at {place}"),
        }
    }
}

/// Asks again and again until it is so; for what has no event to wait for.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    within(what, waiting).await;
}
