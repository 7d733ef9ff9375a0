//! The rows of durable channels: those of one function, or those that functions
//! share.
//!
//! A store in memory keeps them as it keeps states and alarms: until it is
//! dropped. A function that is forgotten loses its rows with its states, and
//! what still runs of it can write none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openline_core::name::ChannelName;
use tokio::sync::oneshot;

use super::Store;
use crate::error::{GroupError, LineError, StoreError};
use crate::line::{Attempt, Group, Place, bytes_of, only_delete};
use crate::rows::{self, RowChange, StoredRow};

/// The rows of the durable channels of one owner. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChannelStore {
    store: Store,
    owner: Arc<str>,
    forgotten: Arc<AtomicBool>,
}

impl ChannelStore {
    pub(super) fn new(store: Store, owner: &str, forgotten: Arc<AtomicBool>) -> Self {
        Self {
            store,
            owner: owner.into(),
            forgotten,
        }
    }

    /// A place in the line for a group of about so many bytes. A caller that
    /// takes it before it decides about a publication has nothing to take back
    /// when there is none. Never waits.
    ///
    /// # Errors
    ///
    /// When too much waits, or nothing can be written.
    pub fn reserve(&self, bytes: u64) -> Result<Place, LineError> {
        self.store.inner.line().place(&self.owner, bytes, false)
    }

    /// Puts a group into the line. Never waits, so it may be called under a lock;
    /// calls for one channel must be in order. All changes are written or none,
    /// and all groups of an attempt in their order, up to the first that fails.
    ///
    /// `done` is called once, after the group is on the disk or has failed, on
    /// the thread that writes: it must be cheap, and all writes wait for it. It
    /// may call this function, but it must not wait for the store. It is not
    /// called if this returns an error, and it may not be called if the process
    /// ends.
    ///
    /// After [`GroupError::Unavailable`] the group may be there nevertheless. The
    /// first group of the next attempt must therefore clear the channel and write
    /// all its rows.
    ///
    /// # Errors
    ///
    /// When the group is not accepted. The attempt has then failed, and what
    /// waits of it fails, too, so that no group is missing between others.
    pub fn write(
        &self,
        channel: &ChannelName,
        attempt: &Attempt,
        group: Vec<RowChange>,
        done: impl FnOnce(Result<(), GroupError>) + Send + 'static,
    ) -> Result<(), LineError> {
        let line = self.store.inner.line();
        let place = line.place(&self.owner, bytes_of(&group), only_delete(&group));
        let place = place.inspect_err(|_| attempt.fail())?;
        self.write_at(place, channel, attempt, group, done)
    }

    /// The same for a group that has its place.
    ///
    /// # Errors
    ///
    /// When the attempt has failed, or nothing can be written.
    pub fn write_at(
        &self,
        mut place: Place,
        channel: &ChannelName,
        attempt: &Attempt,
        group: Vec<RowChange>,
        done: impl FnOnce(Result<(), GroupError>) + Send + 'static,
    ) -> Result<(), LineError> {
        debug_assert_eq!(*place.owner(), self.owner, "the place of another owner");
        if attempt.has_failed() {
            return Err(LineError::Failed);
        }
        let queue = self.store.inner.queue.as_ref().ok_or(LineError::Closed)?;
        place.resize(bytes_of(&group));
        let group = Group {
            owner: self.owner.clone(),
            channel: channel.clone(),
            attempt: attempt.clone(),
            changes: group,
            forgotten: self.forgotten.clone(),
            done: Box::new(done),
            place,
        };
        let pushed = self.store.inner.line().push(group, queue);
        pushed.inspect_err(|_| attempt.fail())
    }

    /// All rows of a channel, by name, as they are after each group that was
    /// accepted before this is called.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn rows(&self, channel: &ChannelName) -> Result<Vec<StoredRow>, StoreError> {
        self.pass(channel, Vec::new()).await?;
        let (owner, channel) = (self.owner.clone(), channel.clone());
        let read = self
            .store
            .read(move |transaction| rows::all(transaction, &owner, channel.as_str()));
        let mut found = read.await?;
        if self.is_forgotten() {
            found.clear();
        }
        Ok(found)
    }

    /// The names of at most `limit` channels that have rows, in order, after one
    /// of them or from the first. What waits is not among them.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or has a name that is none.
    pub async fn channels(
        &self,
        after: Option<ChannelName>,
        limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError> {
        let owner = self.owner.clone();
        let read = self.store.read(move |transaction| {
            let after = after.as_ref().map(ChannelName::as_str);
            rows::channels(transaction, &owner, after, limit)
        });
        let mut found = read.await?;
        if self.is_forgotten() {
            found.clear();
        }
        Ok(found)
    }

    /// Deletes all rows of a channel that nothing holds any more, behind what
    /// waits.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn remove(&self, channel: &ChannelName) -> Result<(), StoreError> {
        self.pass(channel, vec![RowChange::Clear]).await
    }

    fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Waits for what is in the line, and makes these changes behind it.
    async fn pass(&self, channel: &ChannelName, group: Vec<RowChange>) -> Result<(), StoreError> {
        let is_barrier = group.is_empty();
        if is_barrier && !self.store.inner.line().has(&self.owner) {
            return Ok(());
        }
        let answer = loop {
            let (done, told) = oneshot::channel();
            let pushed = self.write(channel, &Attempt::new(), group.clone(), |answer| {
                // The caller may have gone.
                let _ = done.send(answer);
            });
            match pushed {
                Ok(()) => break told.await,
                // A transaction takes groups as well.
                Err(LineError::Full) => self.store.written().await?,
                Err(_) => return Err(self.store.inner.shared.unavailable()),
            }
        };
        match answer {
            // Whatever became of them, those before it have an outcome.
            Ok(_) if is_barrier => Ok(()),
            Ok(Err(GroupError::Unavailable(error))) => Err(error),
            Ok(_) => Ok(()),
            Err(_) => Err(self.store.inner.shared.unavailable()),
        }
    }
}
