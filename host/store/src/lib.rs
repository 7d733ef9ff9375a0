//! The data directory: a placeholder that keeps states and alarms in memory.

#![allow(missing_docs, clippy::unused_async, reason = "a placeholder")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use openline_core::name::{AlarmName, FunctionName};
use parking_lot::Mutex;

#[derive(Clone, Debug, Default)]
pub struct Store {
    states: Arc<Mutex<BTreeMap<(FunctionName, String), Snapshot>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub version: u64,
    pub bytes: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAlarm {
    pub function: FunctionName,
    pub key: String,
    pub name: AlarmName,
    pub due_at: u64,
    pub attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    #[error("conflict {0}")]
    Conflict(u64),
    #[error("full")]
    Full,
    #[error("unavailable")]
    Unavailable,
}

#[derive(Debug, thiserror::Error)]
#[error("store")]
pub struct StoreError;

impl Store {
    pub fn memory(_stored_bytes_max: u64) -> Self {
        Self::default()
    }

    pub async fn state(
        &self,
        function: &FunctionName,
        key: &str,
    ) -> Result<Option<Snapshot>, StoreError> {
        Ok(self
            .states
            .lock()
            .get(&(function.clone(), key.into()))
            .cloned())
    }

    pub async fn save_state(
        &self,
        function: &FunctionName,
        key: &str,
        bytes: Bytes,
        expected: Option<u64>,
    ) -> Result<u64, SaveError> {
        let mut states = self.states.lock();
        let before = states
            .get(&(function.clone(), key.to_owned()))
            .map_or(0, |snapshot| snapshot.version);
        if expected.is_some_and(|expected| expected != before) {
            return Err(SaveError::Conflict(before));
        }
        let version = before + 1;
        states.insert((function.clone(), key.into()), Snapshot { version, bytes });
        Ok(version)
    }

    pub async fn clear_state(&self, function: &FunctionName, key: &str) -> Result<(), StoreError> {
        self.states.lock().remove(&(function.clone(), key.into()));
        Ok(())
    }

    pub async fn keep_alarm(&self, _alarm: StoredAlarm) -> Result<(), SaveError> {
        Ok(())
    }

    pub async fn forget_alarm(
        &self,
        _function: &FunctionName,
        _key: &str,
        _name: &AlarmName,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}
