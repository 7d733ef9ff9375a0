//! Which spaces have something that ends with time, and the task that looks at
//! them each second while there are any.
//!
//! Bounded by the spaces: each is listed once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::sync::Mutex;

/// How often spaces are looked at. What has reached its age is not given away
/// before that either; only its room is taken for so much longer.
const INTERVAL: Duration = Duration::from_secs(1);

/// Something that is swept.
pub(crate) trait Swept: std::fmt::Debug + Send + Sync {
    /// Does what has become due; whether there is more.
    fn sweep(self: Arc<Self>) -> bool;

    /// It is about to be looked at: what becomes due from now on is listed again.
    fn unlist(&self);

    /// Lists it, if it has anything to do later.
    fn list(self: Arc<Self>);
}

/// The spaces of a host that have something to forget.
#[derive(Debug, Default)]
pub struct Sweeps {
    spaces: Mutex<Vec<Weak<dyn Swept>>>,
    listed: Notify,
}

impl Sweeps {
    /// Lists a space, which has not listed itself yet.
    pub(crate) fn add(&self, space: Weak<dyn Swept>) {
        self.spaces.lock().push(space);
        self.listed.notify_one();
    }

    /// Sweeps until it is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            let listed = std::mem::take(&mut *self.spaces.lock());
            if listed.is_empty() {
                self.listed.notified().await;
                continue;
            }
            tokio::time::sleep(INTERVAL).await;
            for space in listed.iter().filter_map(Weak::upgrade) {
                space.unlist();
                // All spaces wait for this task.
                let sweep = || catch_unwind(AssertUnwindSafe(|| Arc::clone(&space).sweep()));
                loop {
                    match sweep() {
                        Ok(true) => tokio::task::yield_now().await,
                        Ok(false) => break,
                        Err(_) => {
                            tracing::error!("a sweep of channels has panicked");
                            break;
                        }
                    }
                }
                space.list();
            }
        }
    }
}
