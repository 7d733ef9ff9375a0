//! The line of the groups of rows that wait for the writer: bounded, first in,
//! first out, and never waited for.
//!
//! A channel's groups build on each other, so when one fails, none behind it may
//! be written. An [`Attempt`] says which groups belong together. It fails once and
//! for ever, and the writer looks at it before each group, in their order, so no
//! group can overtake the failure of one before it.
//!
//! Bounds: [`LINE_GROUPS_MAX`] and [`LINE_BYTES_MAX`], of which an owner takes no
//! more than it leaves free. What deletes only may go as far past them again.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openline_core::name::ChannelName;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::error::{GroupError, LineError};
use crate::rows::RowChange;
use crate::tables::ENTRY_BYTES;
use crate::writer::Message;

/// Groups that wait for the writer or are being written.
pub const LINE_GROUPS_MAX: usize = 8192;
/// The bytes of those groups, with [`ENTRY_BYTES`] for each change.
pub const LINE_BYTES_MAX: u64 = 64 << 20;

/// Groups of one channel that build on each other. Once one of them has failed,
/// no later one is written. The caller begins another attempt when it makes or
/// restores a channel, and when it has abandoned what failed. Clones are the same
/// attempt, and two are equal if they are the same.
#[derive(Clone, Debug, Default)]
pub struct Attempt(Arc<AtomicBool>);

/// What is called once a group is on the disk, or has failed.
pub(crate) type Done = Box<dyn FnOnce(Result<(), GroupError>) + Send>;

/// Changes that are written completely or not at all.
pub(crate) struct Group {
    pub(crate) owner: Arc<str>,
    pub(crate) channel: ChannelName,
    pub(crate) attempt: Attempt,
    pub(crate) changes: Vec<RowChange>,
    pub(crate) forgotten: Arc<AtomicBool>,
    pub(crate) done: Done,
    pub(crate) place: Place,
}

/// A place in the line, which its group takes until it is written. Dropping it
/// gives it back.
#[derive(Debug)]
pub struct Place {
    line: Arc<Line>,
    owner: Arc<str>,
    bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    groups: VecDeque<Group>,
    /// Those that have something in the line.
    owners: HashMap<Arc<str>, Taken>,
    all: Taken,
    /// Whether the writer was told, and has not looked since.
    is_told: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    groups: usize,
    bytes: u64,
}

/// How much changes count in the line.
pub(crate) fn bytes_of(changes: &[RowChange]) -> u64 {
    let bytes = |change: &RowChange| match change {
        RowChange::Put(name, bytes) => name.len() + bytes.len(),
        RowChange::Delete(name) => name.len(),
        RowChange::DeleteRange(from, to) => from.len() + to.len(),
        RowChange::Clear => 0,
    };
    let bytes = changes.iter().map(|it| ENTRY_BYTES + bytes(it) as u64);
    bytes.fold(0, u64::saturating_add)
}

/// Whether changes write nothing.
pub(crate) fn only_delete(changes: &[RowChange]) -> bool {
    !changes.iter().any(|it| matches!(it, RowChange::Put(..)))
}

// === impl Attempt ===

impl Attempt {
    /// One in which nothing has failed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a group has failed, so that no later one is written.
    pub fn has_failed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn fail(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl PartialEq for Attempt {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Attempt {}

// === impl Group ===

impl Group {
    /// Tells the caller, after the place is free again.
    pub(crate) fn answer(self, answer: Result<(), GroupError>) {
        let Self { done, place, .. } = self;
        drop(place);
        // The writer must outlive what others have written.
        if catch_unwind(AssertUnwindSafe(|| done(answer))).is_err() {
            tracing::error!("what follows a write of a channel has panicked");
        }
    }
}

// === impl Line ===

impl Line {
    /// A place for a group of this size. One group of each owner always fits.
    pub(crate) fn place(
        self: &Arc<Self>,
        owner: &Arc<str>,
        bytes: u64,
        only_deletes: bool,
    ) -> Result<Place, LineError> {
        let times = if only_deletes { 2 } else { 1 };
        let mut waiting = self.0.lock();
        let own = waiting.owners.get(owner).copied().unwrap_or_default();
        let all = waiting.all;
        let has_groups = all.groups + own.groups + 2 <= times * LINE_GROUPS_MAX;
        let both = all.bytes.saturating_add(own.bytes);
        let both = both.saturating_add(bytes.saturating_mul(2));
        let has_bytes = both <= times as u64 * LINE_BYTES_MAX;
        if own.groups > 0 && !(has_groups && has_bytes) {
            return Err(LineError::Full);
        }
        waiting.take(owner, 1, bytes);
        Ok(Place {
            line: self.clone(),
            owner: owner.clone(),
            bytes,
        })
    }

    /// Puts a group at the end. Never waits.
    pub(crate) fn push(
        &self,
        group: Group,
        queue: &mpsc::Sender<Message>,
    ) -> Result<(), LineError> {
        // The writer ends only after the last sender, but may never have begun.
        if queue.is_closed() {
            return Err(LineError::Closed);
        }
        let mut waiting = self.0.lock();
        waiting.groups.push_back(group);
        if !waiting.is_told {
            // If the queue is full, the writer looks here after it has taken
            // what is in it.
            waiting.is_told = queue.try_send(Message::Rows).is_ok();
        }
        Ok(())
    }

    /// Takes the first groups: at most so many, and one more than fits into
    /// `bytes_max`.
    pub(crate) fn pop(&self, groups_max: usize, bytes_max: u64) -> Vec<Group> {
        let mut waiting = self.0.lock();
        waiting.is_told = false;
        let (mut groups, mut bytes) = (Vec::new(), 0_u64);
        while groups.len() < groups_max
            && bytes < bytes_max
            && let Some(group) = waiting.groups.pop_front()
        {
            bytes = bytes.saturating_add(group.place.bytes);
            groups.push(group);
        }
        groups
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().groups.is_empty()
    }

    /// Whether groups of an owner wait, or are being written.
    pub(crate) fn has(&self, owner: &str) -> bool {
        self.0.lock().owners.contains_key(owner)
    }
}

// === impl Waiting ===

impl Waiting {
    fn take(&mut self, owner: &Arc<str>, groups: usize, bytes: u64) {
        let own = self.owners.entry(owner.clone()).or_default();
        for taken in [own, &mut self.all] {
            taken.groups += groups;
            taken.bytes = taken.bytes.saturating_add(bytes);
        }
    }

    fn give_back(&mut self, owner: &str, groups: usize, bytes: u64) {
        let own = self.owners.get_mut(owner);
        for taken in own.into_iter().chain([&mut self.all]) {
            taken.groups = taken.groups.saturating_sub(groups);
            taken.bytes = taken.bytes.saturating_sub(bytes);
        }
        if self.owners.get(owner).is_some_and(|it| it.groups == 0) {
            self.owners.remove(owner);
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}

// === impl Place ===

impl Place {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn owner(&self) -> &Arc<str> {
        &self.owner
    }

    /// Counts what the group really has.
    pub(crate) fn resize(&mut self, bytes: u64) {
        let mut waiting = self.line.0.lock();
        waiting.give_back(&self.owner, 0, self.bytes);
        waiting.take(&self.owner, 0, bytes);
        self.bytes = bytes;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.0.lock().give_back(&self.owner, 1, self.bytes);
    }
}
