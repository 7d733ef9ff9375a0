//! A stand-in for the store's rows of channels: a disk that is a list, and a line
//! of groups that a thread of the model writes when it likes, or fails to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use openline_core::name::ChannelName;
use parking_lot::Mutex;

use crate::StoreError;

/// Groups of one channel that build on each other.
#[derive(Clone, Debug, Default)]
pub struct Attempt(Arc<AtomicBool>);

/// Why a group is not on the disk.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There is no room.
    #[error("full")]
    Full,
    /// Others need the room.
    #[error("share")]
    Share,
    /// A group before it has failed.
    #[error("behind")]
    Behind,
}

/// A change of one channel's rows.
#[derive(Clone, Debug)]
pub enum RowChange {
    /// Writes a row.
    Put(Box<[u8]>, Bytes),
    /// Deletes one.
    Delete(Box<[u8]>),
    /// Deletes some.
    DeleteRange(Box<[u8]>, Box<[u8]>),
    /// Deletes all.
    Clear,
}

/// A place in the line. There is always one.
#[derive(Debug)]
pub struct Place;

/// The line never refuses.
#[derive(Debug)]
pub struct LineError;

type Done = Box<dyn FnOnce(Result<(), GroupError>) + Send>;

struct Group {
    attempt: Attempt,
    changes: Vec<RowChange>,
    done: Done,
}

/// The rows of channels. Its lock is no step of a thread: the shipped line's is
/// part of another package.
#[derive(Clone, Default)]
pub struct ChannelStore(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    line: VecDeque<Group>,
    /// Names of the rows that are on the disk, in the order of their writes.
    disk: Vec<Box<[u8]>>,
}

impl Attempt {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl PartialEq for Attempt {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for ChannelStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelStore").finish_non_exhaustive()
    }
}

#[expect(clippy::unused_self, reason = "the store's interface")]
impl ChannelStore {
    pub(crate) fn reserve(&self, _bytes: u64) -> Result<Place, LineError> {
        Ok(Place)
    }

    pub(crate) fn write_at(
        &self,
        _place: Place,
        name: &ChannelName,
        attempt: &Attempt,
        changes: Vec<RowChange>,
        done: impl FnOnce(Result<(), GroupError>) + Send + 'static,
    ) -> Result<(), LineError> {
        self.write(name, attempt, changes, done)
    }

    pub(crate) fn write(
        &self,
        _name: &ChannelName,
        attempt: &Attempt,
        changes: Vec<RowChange>,
        done: impl FnOnce(Result<(), GroupError>) + Send + 'static,
    ) -> Result<(), LineError> {
        self.0.lock().line.push_back(Group {
            attempt: attempt.clone(),
            changes,
            done: Box::new(done),
        });
        Ok(())
    }

    #[expect(clippy::unused_async, reason = "the store's interface")]
    pub(crate) async fn channels(
        &self,
        _after: Option<ChannelName>,
        _limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError> {
        Ok(Vec::new())
    }

    #[expect(clippy::unused_async, reason = "the store's interface")]
    pub(crate) async fn rows(
        &self,
        _name: &ChannelName,
    ) -> Result<Vec<(Box<[u8]>, Bytes)>, StoreError> {
        Ok(Vec::new())
    }

    /// Whether a group waits.
    pub fn has_groups(&self) -> bool {
        !self.0.lock().line.is_empty()
    }

    /// Writes the first group, or fails to; those behind one that failed are not
    /// written. Whether there was one.
    pub fn write_next(&self, fails: bool) -> bool {
        let (group, written) = {
            let mut stored = self.0.lock();
            let Some(group) = stored.line.pop_front() else {
                return false;
            };
            let attempt = &group.attempt.0;
            let written = match fails {
                _ if attempt.load(Ordering::Relaxed) => Err(GroupError::Behind),
                true => Err(GroupError::Behind),
                false => Ok(()),
            };
            attempt.fetch_or(written.is_err(), Ordering::Relaxed);
            if written.is_ok() {
                for change in &group.changes {
                    match change {
                        RowChange::Put(name, _) => stored.disk.push(name.clone()),
                        RowChange::Clear => stored.disk.clear(),
                        RowChange::Delete(_) | RowChange::DeleteRange(..) => {}
                    }
                }
            }
            (group, written)
        };
        (group.done)(written);
        true
    }

    /// Whether a row is on the disk.
    pub fn has(&self, row: &[u8]) -> bool {
        self.0.lock().disk.iter().any(|name| **name == *row)
    }
}
