//! How a durable channel gets into a store and back.
//!
//! What is written is described in [`rows`](crate::rows). A restored channel is as
//! it was after some group of changes: with all that was settled, and with what
//! was written and not settled before the process ended. No subscriber has seen
//! the latter, and no publisher was told that it failed, so it is as if it had
//! been settled in the last moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use openline_core::channel::ChannelTerms;
use openline_core::name::ChannelName;

use super::{Channel, bounds};
use crate::idempotency;
use crate::log::Log;
use crate::moment::Moment;
use crate::position::{Epoch, Position};
use crate::publication::{DecodeError, Publication};
use crate::rows::{Change, Head, Row};
use crate::versions::Version;

/// Why rows are no channel. The caller may begin a new one with a new epoch: its
/// subscribers are then told that they have missed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A row that cannot be read.
    #[error(transparent)]
    Row(#[from] DecodeError),
    /// Rows that do not belong together.
    #[error("the rows of the channel do not belong together")]
    Torn,
}

impl Channel {
    /// Takes what was staged up to a position into the history and the values,
    /// because its rows are written. `deliver` hands each publication to the
    /// subscribers, and answers how many took it. Answers changes for the store,
    /// which need not be waited for.
    pub fn settle(
        &mut self,
        upto: Position,
        now: Moment,
        mut deliver: impl FnMut(&Publication) -> u64,
    ) -> Vec<Change> {
        while let Some(memory) = &mut self.memory {
            let is_written = |publication: &Publication| {
                let position = publication.position;
                position.is_some_and(|it| it.epoch == upto.epoch && it.offset <= upto.offset)
            };
            let next = memory
                .staged
                .pop_front_if(|next| is_written(&next.publication));
            let Some(next) = next else { break };
            memory.staged_bytes -= next.publication.cost();
            if memory.staged.is_empty() {
                memory.staged = VecDeque::new();
            }
            self.apply(&next.publication);
            let local = deliver(&next.publication);
            self.delivered(next.idempotency_key.as_ref(), local);
        }
        let mut changes = Vec::new();
        self.evict(now, &mut changes);
        changes
    }

    /// Takes back all that is staged, because it could not be written: as if it
    /// had never been published. Answers how many publications that were.
    pub fn abandon(&mut self) -> usize {
        let Some(memory) = &mut self.memory else {
            return 0;
        };
        let abandoned = memory.staged.len();
        for staged in std::mem::take(&mut memory.staged).into_iter().rev() {
            if let (Some(receipts), Some(key)) = (&mut memory.receipts, &staged.idempotency_key) {
                receipts.remove(key);
            }
            if let (Some(versions), Some((slot, before))) = (&mut memory.versions, staged.version) {
                versions.remove(&slot);
                if let Some(before) = before {
                    versions.set(slot, before);
                }
            }
        }
        memory.staged_bytes = 0;
        // The store was perhaps told in what is not written. It is told again.
        memory.stored_from = 0;
        if let Some(settled) = &memory.settled {
            memory.keyed = Some(settled.clone());
        }
        abandoned
    }

    /// All rows of the channel as it is settled, as one group.
    pub fn rows(&self) -> Vec<Change> {
        let mut changes = vec![Change::Clear];
        let Some(memory) = self.memory.as_deref() else {
            return changes;
        };
        let put = |row, bytes| Change::Put(row, bytes);
        if let Some(log) = &memory.log {
            let head = Head {
                top: log.top(),
                used: self.used,
            };
            changes.push(put(Row::Head, head.encode()));
            let rows = log
                .iter()
                .map(|it| put(Row::Publication(it.offset()), it.encode()));
            changes.extend(rows);
        }
        for value in memory.shown().into_iter().flat_map(|values| values.iter()) {
            let key = value.key.clone().unwrap_or_default();
            changes.push(put(Row::Value(key), value.encode()));
        }
        for (slot, version) in memory.versions.iter().flat_map(|it| it.iter()) {
            changes.push(put(Row::Version(slot.clone()), version.encode()));
        }
        for (key, outcome, time) in memory.receipts.iter().flat_map(|it| it.iter()) {
            let bytes = idempotency::encode(outcome, time);
            changes.push(put(Row::Receipt(key.clone()), bytes));
        }
        changes
    }

    /// The channel of these rows, in any order, and changes that make the rows fit
    /// its terms. `epoch` is new and random, for a channel that has no rows, or
    /// whose terms do not fit them.
    ///
    /// # Errors
    ///
    /// When the rows are damaged.
    pub fn restore(
        name: ChannelName,
        terms: Arc<ChannelTerms>,
        epoch: Epoch,
        rows: impl IntoIterator<Item = (Row, Bytes)>,
        now: Moment,
    ) -> Result<(Self, Vec<Change>), RestoreError> {
        let rows = Rows::read(rows)?;
        let mut channel = Self::new(name, terms, epoch, now);
        let is_keyed = channel.terms.keyed.is_some();
        let fits = channel.is_durable() && (is_keyed || rows.values.is_empty());
        let Some(head) = rows.head.filter(|_| fits) else {
            let changes = if rows.is_empty() {
                Vec::new()
            } else {
                vec![Change::Clear]
            };
            return Ok((channel, changes));
        };
        rows.check(&channel.name, head.top)?;
        channel.epoch = head.top.epoch;
        let base = rows
            .publications
            .first_key_value()
            .map_or(head.top.offset, |(first, _)| first - 1);
        let mut log = Log::at(Position::new(head.top.epoch, base));
        for publication in rows.publications.into_values() {
            log.append(publication);
        }
        let memory = channel.memory();
        memory.log = Some(log);
        memory.stored_from = base + 1;
        if let (Some(keyed), Some(settled)) = (&mut memory.keyed, &mut memory.settled) {
            rows.values.values().for_each(|value| keyed.apply(value));
            settled.clone_from(keyed);
        }
        for (slot, version) in rows.versions {
            memory.versions.get_or_insert_default().set(slot, version);
        }
        for (time, key, outcome) in rows.receipts {
            memory
                .receipts
                .get_or_insert_default()
                .insert(key, outcome, time);
        }
        let mut changes = Vec::new();
        if bounds(&channel.terms).count == Some(0) && base < head.top.offset {
            changes = channel.clear();
        }
        channel.evict(now, &mut changes);
        Ok((channel, changes))
    }
}

/// Rows by their sort.
#[derive(Default)]
struct Rows {
    head: Option<Head>,
    publications: BTreeMap<u64, Publication>,
    /// By the offset of their last change.
    values: BTreeMap<u64, Publication>,
    versions: Vec<(crate::versions::Slot, Version)>,
    /// In the order of their moments.
    receipts: Vec<(Moment, bytestring::ByteString, crate::outcome::Outcome)>,
}

impl Rows {
    fn read(rows: impl IntoIterator<Item = (Row, Bytes)>) -> Result<Self, RestoreError> {
        let mut all = Self::default();
        for (row, bytes) in rows {
            match row {
                Row::Head => all.head = Some(Head::decode(bytes)?),
                Row::Publication(offset) => {
                    let publication = Publication::decode(bytes)?;
                    if publication.offset() != offset {
                        return Err(RestoreError::Torn);
                    }
                    all.publications.insert(offset, publication);
                }
                Row::Value(key) => {
                    let value = Publication::decode(bytes)?;
                    let is_other = value.key.as_ref() != Some(&key) || value.removed;
                    if is_other || all.values.insert(value.offset(), value).is_some() {
                        return Err(RestoreError::Torn);
                    }
                }
                Row::Version(slot) => all.versions.push((slot, Version::decode(bytes)?)),
                Row::Receipt(key) => {
                    let (outcome, time) = idempotency::decode(bytes)?;
                    all.receipts.push((time, key, outcome));
                }
            }
        }
        all.receipts.sort_by_key(|(time, _, _)| *time);
        Ok(all)
    }

    fn is_empty(&self) -> bool {
        self.head.is_none()
            && self.publications.is_empty()
            && self.values.is_empty()
            && self.versions.is_empty()
            && self.receipts.is_empty()
    }

    /// Whether publications and values are of this channel and this epoch, and
    /// the publications are the last ones without a gap.
    fn check(&self, channel: &ChannelName, top: Position) -> Result<(), RestoreError> {
        let mut all = self.publications.values().chain(self.values.values());
        let belongs = |it: &Publication| {
            let position = it.position;
            it.channel == *channel
                && position.is_some_and(|it| {
                    it.epoch == top.epoch && (1..=top.offset).contains(&it.offset)
                })
        };
        let offsets = || self.publications.keys().copied();
        let expected = offsets().next().unwrap_or_default()..=top.offset;
        let is_whole = self.publications.is_empty() || offsets().eq(expected);
        let is_good = is_whole && all.all(belongs);
        is_good.then_some(()).ok_or(RestoreError::Torn)
    }
}
