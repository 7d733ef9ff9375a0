//! One channel: all that it remembers, under its terms.
//!
//! `publish` is how something is published, `durable` how it gets into a store
//! and back, `read` what subscribers get. A caller holds a lock around each call;
//! none waits, and each takes time in what it answers, not in what is kept.
//!
//! A channel on which nothing is kept is this struct alone, and a publish on it
//! makes the publication and nothing else. The rest is allocated when it is
//! needed first.
//!
//! # Lives of a channel
//!
//! A channel has one epoch as long as it exists, until it is
//! [reset](Channel::reset). When nothing is left in it and its position has been
//! kept for its time, it [may be removed](Channel::is_removable); the caller does
//! so when it has no subscribers either. So a position ends with its channel, and
//! never while a subscriber counts on it.
//!
//! # Durable channels
//!
//! A publish on a durable channel is *staged*: it is decided, has its position
//! and its rows, and nothing shows it. When the rows are written, the caller
//! [settles](Channel::settle) it, and only then it is in the history and is
//! delivered. So no subscriber has seen what a kill takes back, and offsets are
//! never given twice. If the rows cannot be written, all that is staged is
//! [abandoned](Channel::abandon) and their publishers get `unavailable`; of the
//! groups behind the one that failed, none may be written either, because their
//! offsets follow it.
//!
//! Decisions count what is staged: a repeated key, a stale version and an
//! expected position are compared with it. Therefore a caller holds back each
//! answer of a durable channel, refusals included, until what was staged at that
//! moment ([`Channel::staged`]) is settled.

mod durable;
mod publish;
mod read;

use std::collections::VecDeque;
use std::sync::Arc;

use bytestring::ByteString;
use openline_core::channel::ChannelTerms;
use openline_core::name::{ChannelName, ConnectionId};

pub use durable::RestoreError;
pub use publish::{Expected, Publish, Published, Room};
pub use read::{Backlog, Subscribe};

use crate::idempotency::Receipts;
use crate::latest::Keyed;
use crate::log::{Bounds, Log};
use crate::moment::Moment;
use crate::outcome::PublishError;
use crate::position::{Epoch, Position};
use crate::presence::{Member, NodeId, Presence, PresenceCounts, PresenceEvent};
use crate::publication::Publication;
use crate::rows::Change;
use crate::versions::{Slot, Version, Versions};

/// Publications that wait for the store at most, for one channel.
pub const STAGED_MAX: usize = 1024;
/// Receipts, and values at most, that one call of [`Channel::expire`] removes, so
/// that no lock is held for all that end at once.
pub const EXPIRED_MAX: usize = 64;

/// What an allocation costs beside its bytes, about.
const ALLOCATION: usize = 16;

/// One channel.
#[derive(Clone, Debug)]
pub struct Channel {
    name: ChannelName,
    terms: Arc<ChannelTerms>,
    /// The epoch of its log.
    epoch: Epoch,
    /// When it was used last.
    used: Moment,
    memory: Option<Box<Memory>>,
    presence: Option<Box<Presence>>,
}

/// What a channel remembers of publications.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// What is settled. There if the terms have positions.
    log: Option<Log>,
    /// The values after all that is staged: by these a publish is decided.
    keyed: Option<Box<Keyed>>,
    /// The values that are settled, on durable channels: by these subscribers are
    /// answered.
    settled: Option<Box<Keyed>>,
    versions: Option<Box<Versions>>,
    receipts: Option<Box<Receipts>>,
    /// What waits for the store, in the order of the offsets.
    staged: VecDeque<Staged>,
    staged_bytes: usize,
    /// The first offset that the store still has, as far as it was told.
    stored_from: u64,
}

/// A publication that waits for the store, and how to take it back.
#[derive(Clone, Debug)]
struct Staged {
    publication: Publication,
    idempotency_key: Option<ByteString>,
    /// The slot whose version it set, and the one before it.
    version: Option<(Slot, Option<Version>)>,
}

/// What the time has done to a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// For the store; empty unless the channel is durable.
    pub changes: Vec<Change>,
    /// Whether there is more to do at once.
    pub has_more: bool,
}

impl Channel {
    /// A channel without a past. `epoch` is new and random.
    pub fn new(name: ChannelName, terms: Arc<ChannelTerms>, epoch: Epoch, now: Moment) -> Self {
        Self {
            name,
            terms,
            epoch,
            used: now,
            memory: None,
            presence: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Its terms.
    pub fn terms(&self) -> &Arc<ChannelTerms> {
        &self.terms
    }

    /// Where it is, if it counts: the position of the last publication that is
    /// settled.
    pub fn position(&self) -> Option<Position> {
        let has_positions = self.terms.has_positions();
        let log = self.memory.as_ref().and_then(|memory| memory.log.as_ref());
        let position = log.map_or(Position::start(self.epoch), Log::top);
        has_positions.then_some(position)
    }

    /// How many publications it keeps for readers.
    pub fn kept(&self) -> usize {
        let log = self.memory.as_ref().and_then(|memory| memory.log.as_ref());
        log.map_or(0, Log::count)
    }

    /// The position of the last publication that is staged, if one is.
    pub fn staged(&self) -> Option<Position> {
        self.memory.as_ref()?.staged.back()?.publication.position
    }

    /// Whether publications wait for a store.
    pub fn is_durable(&self) -> bool {
        self.terms.durable && self.terms.has_positions()
    }

    fn bounds(&self) -> Bounds {
        bounds(&self.terms)
    }

    /// The memory, with the log and the values that the terms want.
    fn memory(&mut self) -> &mut Memory {
        let memory = self.memory.get_or_insert_default();
        if self.terms.has_positions() && memory.log.is_none() {
            memory.log = Some(Log::new(self.epoch));
            memory.stored_from = 1;
        }
        if self.terms.keyed.is_some() && memory.keyed.is_none() {
            memory.keyed = Some(Box::default());
            memory.settled = (self.terms.durable).then(Box::default);
        }
        memory
    }

    // === presence ===

    /// A member comes. Answers what to tell subscribers: exactly one event for
    /// each connection, or for each user, as the terms want. Without presence it
    /// does nothing.
    ///
    /// # Errors
    ///
    /// See [`Presence::join`].
    pub fn join(
        &mut self,
        member: Member,
        now: Moment,
    ) -> Result<Option<PresenceEvent>, PublishError> {
        if !self.terms.presence {
            return Ok(None);
        }
        self.used = self.used.max(now);
        let told = self.terms.join_leave;
        self.presence
            .get_or_insert_default()
            .join(member, told, now)
    }

    /// A subscriber goes, member or not.
    pub fn leave(&mut self, connection: ConnectionId, now: Moment) -> Option<PresenceEvent> {
        // Its position is kept for its time from now on: the one that goes may
        // come back with it.
        self.used = self.used.max(now);
        let presence = self.presence.as_mut()?;
        let event = presence.leave(connection, self.terms.join_leave);
        if presence.is_empty() {
            self.presence = None;
        }
        event
    }

    /// Another node lives.
    pub fn touch(&mut self, node: NodeId, now: Moment) -> bool {
        self.presence
            .as_mut()
            .is_some_and(|presence| presence.touch(node, now))
    }

    /// Members in the order of their connections' ids, after one, at most
    /// `limit`.
    pub fn members(&self, after: Option<ConnectionId>, limit: usize) -> Vec<Member> {
        let presence = self.presence.as_ref();
        presence.map_or_else(Vec::new, |presence| presence.page(after, limit))
    }

    /// How many members there are.
    pub fn counts(&self) -> PresenceCounts {
        self.presence
            .as_ref()
            .map_or_else(PresenceCounts::default, |it| it.counts())
    }

    // === time and room ===

    /// Forgets what has reached its age. Values that do are removed by
    /// publications of the channel's own, which are delivered, or staged on
    /// durable channels; members of silent nodes leave. Of these, which subscribers
    /// are told of, at most `told_max` go in one call, and one at least.
    pub fn expire(
        &mut self,
        (now, told_max): (Moment, usize),
        mut deliver: impl FnMut(&Publication) -> u64,
        tell: impl FnMut(PresenceEvent),
    ) -> Expired {
        let mut expired = Expired::default();
        if let Some(presence) = self.presence.as_mut() {
            let most = told_max.clamp(1, crate::presence::EXPIRED_MAX);
            let gone = presence.expire(self.terms.join_leave, (now, most), tell);
            expired.has_more = gone == most;
            if presence.is_empty() {
                self.presence = None;
            }
        }
        if self.memory.is_none() {
            return expired;
        }
        expired.has_more |= self.forget_receipts(now, &mut expired.changes);
        let most = told_max.clamp(1, EXPIRED_MAX);
        expired.has_more |= self.remove_aged((now, most), &mut expired.changes, &mut deliver);
        self.evict(now, &mut expired.changes);
        expired
    }

    /// Forgets receipts that have reached their time; whether there are more.
    fn forget_receipts(&mut self, now: Moment, changes: &mut Vec<Change>) -> bool {
        let is_durable = self.is_durable();
        let memory = self.memory.as_mut();
        let Some(receipts) = memory.and_then(|memory| memory.receipts.as_mut()) else {
            return false;
        };
        for _ in 0..EXPIRED_MAX {
            match receipts.forget(now) {
                None => return false,
                Some(key) if is_durable => {
                    changes.push(Change::Delete(crate::rows::Row::Receipt(key)));
                }
                Some(_) => {}
            }
        }
        true
    }

    /// Evicts publications, and says so to the store, now or later.
    fn evict(&mut self, now: Moment, changes: &mut Vec<Change>) {
        let (bounds, is_durable) = (self.bounds(), self.is_durable());
        let Some(memory) = &mut self.memory else {
            return;
        };
        let Some(log) = &mut memory.log else { return };
        log.evict(&bounds, now);
        let kept_from = log.top().offset + 1 - u64::try_from(log.count()).unwrap_or(0);
        if is_durable && bounds.count != Some(0) && kept_from > memory.stored_from {
            memory.stored_from = kept_from;
            changes.push(Change::Forget { before: kept_from });
        }
    }

    /// When [`expire`](Self::expire) has something to do next, or a little
    /// earlier. Values that wait for a full line of the store are due when it is
    /// settled.
    pub fn due_at(&self) -> Option<Moment> {
        let memory = self.memory.as_deref();
        let bounds = self.bounds();
        let log = memory.and_then(|it| it.log.as_ref()?.ages_at(&bounds));
        let receipts = memory.and_then(|it| it.receipts.as_ref()?.ages_at());
        let terms = self.terms.keyed.as_ref();
        let keyed = memory.and_then(|it| it.keyed.as_ref()?.ages_at(terms?));
        let presence = self.presence.as_ref().and_then(|it| it.ages_at());
        [log, receipts, keyed, presence].into_iter().flatten().min()
    }

    /// From when on the channel is removable, if nothing happens to it before;
    /// `None` while it has content or members.
    pub fn removable_at(&self) -> Option<Moment> {
        if self.presence.is_some() {
            return None;
        }
        let Some(memory) = &self.memory else {
            return Some(self.used);
        };
        let is_empty = memory.staged.is_empty()
            && memory.log.as_ref().is_none_or(|log| log.count() == 0)
            && memory.keyed.as_ref().is_none_or(|keyed| keyed.count() == 0)
            && memory.receipts.as_ref().is_none_or(|it| it.count() == 0);
        is_empty.then(|| self.used.plus(self.terms.position_time))
    }

    /// Whether nothing is lost when the channel is forgotten: it has no content
    /// and no members, and its position has been kept for its time after the last
    /// use. Rows of a durable channel are then [cleared](Change::Clear), too.
    pub fn is_removable(&self, now: Moment) -> bool {
        self.removable_at().is_some_and(|at| at <= now)
    }

    /// Whether a durable channel may be dropped from memory, because the store
    /// has all of it.
    pub fn is_stored(&self) -> bool {
        self.is_durable() && self.presence.is_none() && self.staged().is_none()
    }

    /// The bytes that the channel takes, about. Differences between two calls are
    /// what an operation costs.
    pub fn cost(&self) -> usize {
        let memory = self.memory.as_ref().map_or(0, |memory| memory.cost());
        let presence = self.presence.as_ref().map_or(0, |presence| {
            ALLOCATION + size_of::<Presence>() + presence.cost()
        });
        size_of::<Self>() + self.name.as_str().len() + ALLOCATION + memory + presence
    }

    // === changes of its terms ===

    /// Forgets the history. Positions go on, and values of keys stay.
    pub fn clear(&mut self) -> Vec<Change> {
        let is_durable = self.is_durable();
        let Some(memory) = &mut self.memory else {
            return Vec::new();
        };
        let Some(log) = &mut memory.log else {
            return Vec::new();
        };
        log.clear();
        memory.stored_from = log.top().offset + 1;
        let change = Change::Forget {
            before: memory.stored_from,
        };
        if is_durable { vec![change] } else { Vec::new() }
    }

    /// Forgets everything except its members, and begins a new epoch. What is
    /// staged is abandoned.
    pub fn reset(&mut self, epoch: Epoch) -> Vec<Change> {
        let had_rows = self.is_durable() && self.memory.is_some();
        self.memory = None;
        self.epoch = epoch;
        if had_rows {
            vec![Change::Clear]
        } else {
            Vec::new()
        }
    }

    /// Takes new terms, after a reload. A history whose bounds shrink is evicted
    /// to them at once; the values of keys stay, even if there are more than
    /// before may be set. A channel that begins or ends to count, or to have keys,
    /// forgets everything and begins `epoch`. One that becomes durable is written
    /// as it is; one that ceases to be is deleted from the store.
    ///
    /// # Errors
    ///
    /// While something is staged: it is settled first.
    pub fn set_terms(
        &mut self,
        terms: Arc<ChannelTerms>,
        epoch: Epoch,
        now: Moment,
    ) -> Result<Vec<Change>, StillStaged> {
        if self.staged().is_some() {
            return Err(StillStaged);
        }
        let was_durable = self.is_durable();
        let is_same_kind = terms.has_positions() == self.terms.has_positions()
            && terms.keyed.is_some() == self.terms.keyed.is_some();
        let mut changes = Vec::new();
        if !is_same_kind {
            changes = self.reset(epoch);
        }
        self.terms = terms;
        if !self.terms.presence {
            self.presence = None;
        }
        if self.memory.is_none() {
            return Ok(changes);
        }
        if was_durable && self.bounds().count == Some(0) {
            changes.extend(self.clear());
        }
        match (was_durable, self.is_durable()) {
            (true, false) => {
                changes.push(Change::Clear);
                self.memory().settled = None;
            }
            (false, true) => {
                let memory = self.memory();
                memory.settled.clone_from(&memory.keyed);
                self.evict(now, &mut Vec::new());
                changes.extend(self.rows());
                return Ok(changes);
            }
            _ => {}
        }
        self.evict(now, &mut changes);
        Ok(changes)
    }
}

/// The terms cannot change while a publication waits for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("publications of the channel wait for the store")]
pub struct StillStaged;

/// How much the log of a channel keeps.
fn bounds(terms: &ChannelTerms) -> Bounds {
    match terms.history {
        Some(history) => Bounds {
            count: usize::try_from(history.count).ok(),
            bytes: Some(history.bytes),
            time: history.time,
        },
        None => Bounds {
            count: Some(usize::from(terms.latest)),
            ..Bounds::default()
        },
    }
}

impl Memory {
    /// The position of the next publication, after all that is staged.
    fn next(&self) -> Option<Position> {
        let top = self.log.as_ref()?.top();
        let staged = u64::try_from(self.staged.len()).unwrap_or(u64::MAX);
        Some(Position::new(top.epoch, top.offset + staged + 1))
    }

    /// The values that subscribers get.
    fn shown(&self) -> Option<&Keyed> {
        self.settled.as_deref().or(self.keyed.as_deref())
    }

    fn cost(&self) -> usize {
        let boxed = |cost: Option<usize>| cost.map_or(0, |cost| ALLOCATION + cost);
        let keyed =
            |it: &Option<Box<Keyed>>| boxed(it.as_ref().map(|it| size_of::<Keyed>() + it.cost()));
        let log = self.log.as_ref().map_or(0, Log::cost);
        let staged = self.staged.capacity() * size_of::<Staged>() + self.staged_bytes;
        let versions = self
            .versions
            .as_ref()
            .map(|it| size_of::<Versions>() + it.cost());
        let receipts = self
            .receipts
            .as_ref()
            .map(|it| size_of::<Receipts>() + it.cost());
        let values = keyed(&self.keyed) + keyed(&self.settled);
        ALLOCATION + size_of::<Self>() + log + staged + values + boxed(versions) + boxed(receipts)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "model_tests.rs"]
mod model_tests;

#[cfg(test)]
#[path = "publish_tests.rs"]
mod publish_tests;
