//! What a change asks of the data directory: it is answered within a bounded
//! time, and nothing is half done when the disk answers later.
//!
//! What cannot be cut short is done in a task of its own, which has the turn of
//! the change until it has ended, whether its asker still waits or not. An asker
//! that has given up has been told that nothing changes: what has been written
//! for it is taken back. While such a task is late, other changes are refused
//! rather than kept waiting; so there is at most one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openline_store::StoreError;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::timeout;

use crate::deployer::Deployer;
use crate::error::ChangeError;

/// How long the data directory is waited for: a disk that works answers within
/// milliseconds, one that wakes up or is shared with others within seconds.
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a slow disk writes of a component in a second, at the least.
const BYTES_PER_SECOND_MIN: usize = 1024 * 1024;

/// The turn of a change; it ends when the last of them is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "it is held")] Arc<OwnedMutexGuard<()>>);

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Held while something changes.
    changing: Arc<Mutex<()>>,
    /// What has not been answered in time, and still is not.
    late: watch::Sender<u32>,
}

/// Decides between a change and its asker, whichever comes first: whether it is
/// made, or given up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(Arc<AtomicBool>);

/// Gives a change up when its asker goes.
struct UntilDropped(Wanted);

// === impl Turns ===

impl Default for Turns {
    fn default() -> Self {
        Self {
            changing: Arc::default(),
            late: watch::Sender::new(0),
        }
    }
}

impl Turns {
    /// Waits for a turn, for as long as other changes take that are not late.
    pub(crate) async fn next(&self) -> Result<Turn, StoreError> {
        let mut late = self.late.subscribe();
        tokio::select! {
            biased;
            turn = Arc::clone(&self.changing).lock_owned() => Ok(Turn(Arc::new(turn))),
            _ = late.wait_for(|late| *late > 0) => Err(unanswered(STORE_TIMEOUT)),
        }
    }

    /// Does something in a task that has the turn until it has ended. Its asker is
    /// told after [`STORE_TIMEOUT`] that nothing has changed, unless the work has
    /// [claimed](Wanted::claim) by then that it will.
    pub(crate) async fn settle<T, E, F>(
        &self,
        turn: &Turn,
        work: impl FnOnce(Wanted, Turn) -> F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let wanted = Wanted::default();
        let given_up = UntilDropped(wanted.clone());
        let mut work = Box::pin(work(wanted.clone(), turn.clone()));
        let late = self.late.clone();
        let turn = turn.clone();
        let mut working = tokio::spawn(async move {
            let done = match timeout(STORE_TIMEOUT, work.as_mut()).await {
                Ok(done) => done,
                Err(_) => {
                    late.send_modify(|late| *late += 1);
                    let done = work.await;
                    late.send_modify(|late| *late -= 1);
                    done
                }
            };
            drop(turn);
            done
        });
        let done = match timeout(STORE_TIMEOUT, &mut working).await {
            Err(_) if wanted.claim() => return Err(unanswered(STORE_TIMEOUT).into()),
            Err(_) => working.await,
            Ok(done) => done,
        };
        drop(given_up);
        done.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string()).into()))
    }
}

// === impl Wanted ===

impl Wanted {
    /// Whether this one comes first.
    pub(crate) fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Whether the asker has given up, as long as the change has not been
    /// claimed.
    pub(crate) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for UntilDropped {
    fn drop(&mut self) {
        self.0.claim();
    }
}

impl Deployer {
    /// Waits for the turn of a change.
    pub(crate) async fn turn(&self) -> Result<Turn, ChangeError> {
        let turn = self.inner.turns.next().await?;
        self.is_open()?;
        Ok(turn)
    }
}

/// Waits for an answer of the data directory that changes nothing, or that does
/// no harm when it has happened later.
pub(crate) async fn answered<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    within(STORE_TIMEOUT, answer).await
}

/// The same, of one that writes so many bytes.
pub(crate) async fn written<T>(
    bytes: usize,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let seconds = u64::try_from(bytes / BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
    let patience = STORE_TIMEOUT.saturating_add(Duration::from_secs(seconds));
    within(patience, answer).await
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answered = timeout(patience, answer).await;
    answered.unwrap_or_else(|_| Err(unanswered(patience)))
}

fn unanswered(patience: Duration) -> StoreError {
    let seconds = patience.as_secs();
    StoreError::Unavailable(format!("the disk has not done its work after {seconds} s"))
}
