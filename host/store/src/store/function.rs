//! The states and durable alarms of one function.
//!
//! A removed function goes on for a while: its connections end at a bounded
//! pace, and calls in flight return. If it wrote after it was forgotten, the
//! next function of its name would find the data, so such writes are refused.
//! The writer decides, because it does one operation after the other: an
//! earlier write is forgotten with the rest, and a later one finds the mark.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use openline_core::name::{AlarmName, FunctionName};

use super::{ChannelStore, Store};
use crate::error::{SaveError, StoreError};
use crate::tables::{self, Snapshot, StoredAlarm, Tables};
use crate::writer::QUEUE_KIBIBYTES_MAX;

/// The states and durable alarms of one function. Clones share the mark that
/// says it is forgotten; another [`Store::function`] of the same name has a
/// mark of its own.
#[derive(Clone, Debug)]
pub struct FunctionStore {
    store: Store,
    function: FunctionName,
    forgotten: Arc<AtomicBool>,
}

impl FunctionStore {
    pub(super) fn new(store: Store, function: FunctionName) -> Self {
        Self {
            store,
            function,
            forgotten: Arc::default(),
        }
    }

    /// The rows of its durable channels, until it is forgotten.
    pub fn channels(&self) -> ChannelStore {
        let owner = self.function.as_str();
        ChannelStore::new(self.store.clone(), owner, self.forgotten.clone())
    }

    /// Its state for a key, if there is one; `None` once the function is
    /// forgotten.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn state(&self, key: &str) -> Result<Option<Snapshot>, StoreError> {
        let (function, key) = (self.function.clone(), key.to_owned());
        let read = self
            .store
            .read(move |transaction| tables::state(transaction, function.as_str(), &key));
        let found = read.await?;
        // Check last: the read may have found data of the next function of this
        // name.
        Ok(found.filter(|_| !self.is_forgotten()))
    }

    /// Saves its state for a key and returns the new version: 1 for the first
    /// state, and one more each time. With `expected` it saves only if the
    /// state has that version; 0 expects that there is no state.
    ///
    /// # Errors
    ///
    /// When the state has another version, when there is no room, when the
    /// store does not answer, and when the function is forgotten.
    pub async fn save_state(
        &self,
        key: &str,
        bytes: Bytes,
        expected: Option<u64>,
    ) -> Result<u64, SaveError> {
        let (function, key) = (self.function.clone(), key.to_owned());
        let kibibytes = u32::try_from(bytes.len() / 1024 + 1).unwrap_or(u32::MAX);
        // Given back when the state is written. The semaphore is never closed.
        let _room = self
            .store
            .inner
            .room
            .acquire_many(kibibytes.min(QUEUE_KIBIBYTES_MAX))
            .await;
        self.write(move |tables| tables.save_state(function.as_str(), &key, &bytes, expected))
            .await?
    }

    /// Removes its state for a key, if there is one. The next one has version
    /// 1 again.
    ///
    /// # Errors
    ///
    /// When the store does not answer, and when the function is forgotten.
    pub async fn clear_state(&self, key: &str) -> Result<(), StoreError> {
        let (function, key) = (self.function.clone(), key.to_owned());
        self.write(move |tables| tables.clear_state(function.as_str(), &key))
            .await
    }

    /// Stores an alarm, and replaces the one with the same key and name: when
    /// it is due, in milliseconds since 1970, and how often it has been tried.
    ///
    /// # Errors
    ///
    /// When there is no room, when the store does not answer, and when the
    /// function is forgotten; never a conflict.
    pub async fn keep_alarm(
        &self,
        key: &str,
        name: &AlarmName,
        due_at: u64,
        attempt: u32,
    ) -> Result<(), SaveError> {
        let alarm = StoredAlarm {
            function: self.function.clone(),
            key: key.to_owned(),
            name: name.clone(),
            due_at,
            attempt,
        };
        self.write(move |tables| tables.keep_alarm(&alarm)).await?
    }

    /// Removes an alarm, if it is there.
    ///
    /// # Errors
    ///
    /// When the store does not answer, and when the function is forgotten.
    pub async fn forget_alarm(&self, key: &str, name: &AlarmName) -> Result<(), StoreError> {
        let (function, key, name) = (self.function.clone(), key.to_owned(), name.clone());
        self.write(move |tables| tables.forget_alarm(function.as_str(), &key, name.as_str()))
            .await
    }

    /// Its alarms.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn alarms(&self) -> Result<Vec<StoredAlarm>, StoreError> {
        let function = self.function.clone();
        let read = self
            .store
            .read(move |transaction| tables::alarms_of(transaction, function.as_str()));
        let mut found = read.await?;
        if self.is_forgotten() {
            found.clear();
        }
        Ok(found)
    }

    /// Removes the function's deployment, states, alarms and rows of channels,
    /// all or none. From
    /// then on this value and its clones can store nothing.
    ///
    /// # Errors
    ///
    /// When the store does not answer; then nothing is removed.
    pub async fn forget(&self) -> Result<(), StoreError> {
        let function = self.function.clone();
        let mark = Arc::clone(&self.forgotten);
        let forgetting = self.store.write(move |tables| {
            tables.forget_function(function.as_str())?;
            // Refuse later operations in the same transaction as well.
            mark.store(true, Ordering::Release);
            Ok(())
        });
        let forgotten = forgetting.await;
        if forgotten.is_err() {
            self.forgotten.store(false, Ordering::Release);
        }
        forgotten
    }

    fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl for<'t> FnOnce(&mut Tables<'t>) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mark = Arc::clone(&self.forgotten);
        let written = self.store.write(move |tables| {
            let forgotten = mark.load(Ordering::Acquire);
            (!forgotten).then(|| work(tables)).transpose()
        });
        written.await?.ok_or(StoreError::Forgotten)
    }
}
