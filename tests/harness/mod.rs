//! What tests are written with: a host, peers that speak WebSocket, and peers
//! that only speak bytes. Every wait is bounded by [`PATIENCE`].

mod admin;
mod browser;
mod client;
mod deadlocks;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod debugger;
mod host;
mod process;
mod raw;
mod state;

use std::future::Future;
use std::time::Duration;

pub use admin::{AdminHost, Got};
pub use browser::{Browser, ENTER, ESCAPE, TAB};
pub use client::{Client, Closed};
pub use host::{Host, HostBuilder};
#[cfg(target_os = "linux")]
pub use process::openline_that_may_not_execute;
pub use process::{
    Ended, Serving, openline, openline_in, openline_under, openline_with, shell, signal, spawned,
};
pub use raw::{HANDSHAKE, Raw, close_frame, frame};

/// The longest a test waits for something that should happen at once: long
/// enough for a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait before asking again for what has no event to wait for.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// Waits for something that should happen at once.
#[track_caller]
pub fn within<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let what = what.to_owned();
    let place = std::panic::Location::caller();
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
