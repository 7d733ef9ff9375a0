//! Requests of a change to the data directory: each is answered within a
//! bounded time, and nothing is half done when the disk answers later.
//!
//! Work that cannot be cut short has a task of its own, which holds the
//! change lock until it has ended, whether its asker still waits or not. An
//! asker that has given up has been told that nothing changes: anything that
//! was written for it is taken back. While such a task is late, other changes
//! are refused rather than kept waiting; so there is at most one.

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
/// How much of a component even a slow disk writes in a second.
const BYTES_PER_SECOND_MIN: usize = 1024 * 1024;

/// Holds the [`ChangeLock`] until the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct ChangeGuard(#[expect(dead_code, reason = "it is held")] Arc<OwnedMutexGuard<()>>);

/// The lock that a change holds: there is one change at a time.
#[derive(Debug)]
pub(crate) struct ChangeLock {
    /// Held while something changes.
    changing: Arc<Mutex<()>>,
    /// The number of tasks that are late and have not ended yet.
    late: watch::Sender<u32>,
    /// [`STORE_TIMEOUT`].
    patience: Duration,
}

/// Decides between a change and its asker, whichever comes first: whether it is
/// made, or given up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicBool>);

/// Gives a change up when its asker goes.
struct UntilDropped(Claim);

/// Counts a task as late until it has ended, even by a panic.
struct Late(watch::Sender<u32>);

// === impl ChangeLock ===

impl Default for ChangeLock {
    fn default() -> Self {
        Self {
            changing: Arc::default(),
            late: watch::Sender::new(0),
            patience: STORE_TIMEOUT,
        }
    }
}

impl ChangeLock {
    /// Waits for the lock, for as long as other changes take that are not late.
    pub(crate) async fn lock(&self) -> Result<ChangeGuard, StoreError> {
        let mut late = self.late.subscribe();
        tokio::select! {
            biased;
            guard = Arc::clone(&self.changing).lock_owned() => Ok(ChangeGuard(Arc::new(guard))),
            _ = late.wait_for(|late| *late > 0) => Err(unanswered(self.patience)),
        }
    }

    /// Waits until no change holds the lock, however late.
    pub(crate) async fn ended(&self) {
        drop(self.changing.lock().await);
    }

    /// Does something in a task that holds the lock until it has ended. Its
    /// asker is told after [`STORE_TIMEOUT`] that nothing has changed, unless
    /// the work has [claimed](Claim::take) by then that it will.
    pub(crate) async fn settle<T, E, F>(
        &self,
        guard: &ChangeGuard,
        work: impl FnOnce(Claim, ChangeGuard) -> F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.settle_writing(0, guard, work).await
    }

    /// The same, for work that writes so many bytes: it may take a second more
    /// for each [`BYTES_PER_SECOND_MIN`].
    pub(crate) async fn settle_writing<T, E, F>(
        &self,
        bytes: usize,
        guard: &ChangeGuard,
        work: impl FnOnce(Claim, ChangeGuard) -> F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let seconds = u64::try_from(bytes / BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
        let patience = self.patience.saturating_add(Duration::from_secs(seconds));
        let claim = Claim::default();
        let given_up = UntilDropped(claim.clone());
        let mut work = Box::pin(work(claim.clone(), guard.clone()));
        let late = self.late.clone();
        let guard = guard.clone();
        let mut working = tokio::spawn(async move {
            let done = match timeout(patience, work.as_mut()).await {
                Ok(done) => done,
                Err(_) => {
                    let _late = Late::new(late);
                    work.await
                }
            };
            drop(guard);
            done
        });
        let done = match timeout(patience, &mut working).await {
            Err(_) if claim.take() => return Err(unanswered(patience).into()),
            Err(_) => working.await,
            Ok(done) => done,
        };
        drop(given_up);
        done.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string()).into()))
    }
}

// === impl Claim ===

impl Claim {
    /// Whether this one comes first.
    pub(crate) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Whether the asker has given up, as long as the change has not been
    /// claimed.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

// === impl Late ===

impl Late {
    fn new(late: watch::Sender<u32>) -> Self {
        late.send_modify(|late| *late += 1);
        Self(late)
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.send_modify(|late| *late -= 1);
    }
}

impl Drop for UntilDropped {
    fn drop(&mut self) {
        self.0.take();
    }
}

impl Deployer {
    /// Waits for the change lock.
    pub(crate) async fn lock_changes(&self) -> Result<ChangeGuard, ChangeError> {
        let guard = self.inner.changes.lock().await?;
        self.is_open()?;
        Ok(guard)
    }
}

/// Waits for an answer of the data directory that changes nothing, or that does
/// no harm when it has happened later.
pub(crate) async fn answered<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answered = timeout(STORE_TIMEOUT, answer).await;
    answered.unwrap_or_else(|_| Err(unanswered(STORE_TIMEOUT)))
}

fn unanswered(patience: Duration) -> StoreError {
    let seconds = patience.as_secs();
    StoreError::Unavailable(format!("the disk has not done its work after {seconds} s"))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn impatient() -> ChangeLock {
        ChangeLock {
            patience: Duration::from_millis(20),
            ..ChangeLock::default()
        }
    }

    #[tokio::test]
    async fn what_an_asker_has_left_keeps_the_turn_and_is_not_wanted() {
        let changes = ChangeLock::default();
        let guard = changes.lock().await.unwrap();
        let (begun, begins) = oneshot::channel();
        let (go_on, waits) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let work = async move |claim: Claim, _| {
            begun.send(()).unwrap();
            waits.await.unwrap();
            tell.send((claim.is_taken(), claim.take())).unwrap();
            Ok::<_, StoreError>(())
        };
        {
            let settling = std::pin::pin!(changes.settle(&guard, work));
            tokio::select! {
                _ = settling => panic!("it waits"),
                begun = begins => begun.unwrap(),
            }
        }
        drop(guard);
        assert!(changes.changing.try_lock().is_err());
        go_on.send(()).unwrap();
        assert_eq!(told.await, Ok((true, false)));
        changes.lock().await.unwrap();
    }

    #[tokio::test]
    async fn while_something_is_late_others_are_refused() {
        let changes = impatient();
        let guard = changes.lock().await.unwrap();
        let (go_on, waits) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let work = async move |claim: Claim, _| {
            waits.await.unwrap();
            tell.send(claim.take()).unwrap();
            Ok::<_, StoreError>(())
        };
        let answered = changes.settle(&guard, work).await;
        assert_eq!(answered, Err(unanswered(changes.patience)));
        drop(guard);
        assert!(changes.lock().await.is_err());
        go_on.send(()).unwrap();
        assert_eq!(told.await, Ok(false));
        let next = async { while changes.lock().await.is_err() {} };
        timeout(STORE_TIMEOUT, next).await.unwrap();
    }

    #[tokio::test]
    async fn work_that_panics_late_is_not_late_for_ever() {
        let changes = impatient();
        let guard = changes.lock().await.unwrap();
        let (go_on, waits) = oneshot::channel::<()>();
        let work = async move |_, _| {
            waits.await.unwrap();
            panic!("a defect");
        };
        let answered: Result<(), _> = changes.settle(&guard, work).await;
        assert_eq!(answered, Err(unanswered(changes.patience)));
        drop(guard);
        // Answered once the work is late.
        assert!(changes.lock().await.is_err());
        go_on.send(()).unwrap();
        let next = async {
            loop {
                if let Ok(guard) = changes.lock().await {
                    break guard;
                }
            }
        };
        let _turn = timeout(STORE_TIMEOUT, next).await.unwrap();
        // Another change waits for this one, and is not refused.
        assert_eq!(*changes.late.borrow(), 0);
    }

    #[tokio::test]
    async fn a_change_that_writes_has_a_second_more_for_each_mebibyte() {
        let changes = impatient();
        let guard = changes.lock().await.unwrap();
        let never = async |_, _| std::future::pending::<Result<(), StoreError>>().await;
        let short = changes.settle_writing(BYTES_PER_SECOND_MIN - 1, &guard, never);
        assert_eq!(short.await, Err(unanswered(changes.patience)));
        let slow = async |_, _| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, StoreError>(())
        };
        let long = changes.settle_writing(60 * BYTES_PER_SECOND_MIN, &guard, slow);
        assert_eq!(long.await, Ok(()));
    }

    #[tokio::test]
    async fn what_has_been_claimed_is_waited_for_however_long_it_takes() {
        let changes = impatient();
        let guard = changes.lock().await.unwrap();
        let work = async |claim: Claim, _| {
            assert!(claim.take());
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, StoreError>(1)
        };
        assert_eq!(changes.settle(&guard, work).await, Ok(1));
    }
}
