//! How something is published.
//!
//! The checks come in this order, and the first that fails decides:
//!
//! 1. **Sizes and names**, which need no state.
//! 2. **The idempotency key.** A repeated publish gets the outcome of the first,
//!    before anything else is compared: the first has itself changed the position
//!    and the version that the later checks would find.
//! 3. **The version.** A stale publish needs no repetition, because the channel
//!    has something newer. After the next check its publisher would read the
//!    channel again and repeat it, only to be told that.
//! 4. **The expected position.** Refused with where the channel is.
//! 5. **Room.** Last, so that a publish that would not be done anyway is not
//!    refused for want of room.
//!
//! Then nothing can fail any more: the position is taken, version and key are
//! remembered, and the publication is delivered or staged. A refused or
//! suppressed publish leaves nothing behind.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::{Channel, Memory, STAGED_MAX, Staged};
use crate::idempotency::{self, IDEMPOTENCY_KEY_BYTES_MAX};
use crate::latest::{Fit, Keyed};
use crate::log::{Bounds, Log};
use crate::moment::Moment;
use crate::outcome::{Outcome, PublishError, Suppressed};
use crate::position::{OFFSET_MAX, Position};
use crate::publication::{
    Data, EVENT_BYTES_MAX, ID_BYTES_MAX, KEY_BYTES_MAX, Parts, Publication, Sender, Tags,
    USER_BYTES_MAX,
};
use crate::rows::{Change, Head, Row};
use crate::versions::{self, VERSION_EPOCH_BYTES_MAX, Version};

/// What is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// What it says. Empty if it removes a value.
    pub data: Data,
    /// The publisher's name for it.
    pub id: Option<ByteString>,
    /// What sort it is.
    pub event: Option<ByteString>,
    /// Which value it changes: on keyed channels, and only there.
    pub key: Option<ByteString>,
    /// Whether it removes the value.
    pub remove: bool,
    /// Words for filters.
    pub tags: Tags,
    /// The connection that publishes.
    pub sender: Option<Sender>,
    /// So that a repetition is not done again.
    pub idempotency_key: Option<ByteString>,
    /// So that it is dropped if it is late: of the key, on keyed channels.
    pub version: Option<Version>,
    /// Where the channel must be.
    pub expected: Option<Expected>,
}

/// What a publisher has seen, and on what its publish depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The last publication of the channel.
    Top(Position),
    /// The last change of the key; `None` if the key has no value.
    Key(Option<Position>),
}

/// How much a publish may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of data.
    pub data_bytes: usize,
    /// Bytes by which the channel may grow: what its owners have left.
    pub growth_bytes: usize,
}

/// A publish that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// What was published; `None` if it was suppressed.
    pub publication: Option<Publication>,
    /// The answer. On durable channels `local` is counted when it is settled.
    pub outcome: Outcome,
    /// For the store, as one group; empty unless the channel is durable.
    pub changes: Vec<Change>,
}

impl Room {
    /// As much as there is.
    pub const ANY: Self = Self {
        data_bytes: usize::MAX,
        growth_bytes: usize::MAX,
    };
}

impl Publish {
    /// A publish of data and nothing else.
    pub fn new(data: Data) -> Self {
        Self {
            data,
            id: None,
            event: None,
            key: None,
            remove: false,
            tags: Tags::default(),
            sender: None,
            idempotency_key: None,
            version: None,
            expected: None,
        }
    }

    /// Checks what needs no channel: sizes, names, and whether keys are used as
    /// the terms want.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooLarge`] and [`PublishError::InvalidName`].
    pub fn check(&self, is_keyed: bool, room: &Room) -> Result<(), PublishError> {
        let check = PublishError::check_bytes;
        let length = |text: &Option<ByteString>| text.as_ref().map_or(0, |it| it.len());
        check("the data", self.data.bytes(), room.data_bytes)?;
        check("the id", length(&self.id), ID_BYTES_MAX)?;
        check("the event", length(&self.event), EVENT_BYTES_MAX)?;
        check("the key", length(&self.key), KEY_BYTES_MAX)?;
        let most = IDEMPOTENCY_KEY_BYTES_MAX;
        check("the idempotency key", length(&self.idempotency_key), most)?;
        let epoch = self
            .version
            .as_ref()
            .map_or(0, |version| version.epoch.len());
        check("the epoch of the version", epoch, VERSION_EPOCH_BYTES_MAX)?;
        let user = self.sender.as_ref().and_then(|sender| sender.user.as_ref());
        check(
            "the name of the user",
            user.map_or(0, |it| it.len()),
            USER_BYTES_MAX,
        )?;
        let has_empty = [&self.id, &self.event, &self.key, &self.idempotency_key]
            .into_iter()
            .flatten()
            .any(|text| text.is_empty());
        if has_empty {
            return Err(PublishError::InvalidName(
                "an id, an event or a key is not empty",
            ));
        }
        match (is_keyed, &self.key) {
            (true, None) => Err(PublishError::InvalidName(
                "the channel has values by key, and no key is given",
            )),
            (false, Some(_)) => Err(PublishError::InvalidName(
                "the channel has no values by key, and a key is given",
            )),
            _ if self.remove && self.key.is_none() => Err(PublishError::InvalidName(
                "only a value with a key can be removed",
            )),
            _ if self.remove && self.data.bytes() > 0 => {
                Err(PublishError::InvalidName("a removal has no data"))
            }
            _ if !is_keyed && matches!(self.expected, Some(Expected::Key(_))) => Err(
                PublishError::InvalidName("the channel has no values by key"),
            ),
            _ => Ok(()),
        }
    }
}

/// A copy that outlives the publication: a text may be a part of a larger buffer,
/// which it would keep.
fn owned(text: &ByteString) -> ByteString {
    ByteString::from(&**text)
}

impl Channel {
    /// Publishes, unless a check decides otherwise. `deliver` hands the
    /// publication to the subscribers of this node, and answers how many took it;
    /// on durable channels it is not called, and the publication is staged.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]. Nothing has changed then.
    pub fn publish(
        &mut self,
        request: Publish,
        now: Moment,
        room: &Room,
        deliver: impl FnOnce(&Publication) -> u64,
    ) -> Result<Published, PublishError> {
        request.check(self.terms.keyed.is_some(), room)?;
        if let Some(outcome) = self.judge(&request, now)? {
            return Ok(Published {
                publication: None,
                outcome,
                changes: Vec::new(),
            });
        }
        let position = self.next_position()?;
        let Publish {
            idempotency_key,
            version,
            ..
        } = request;
        let parts = Parts {
            channel: self.name.clone(),
            position,
            id: request.id,
            event: request.event,
            key: request.key,
            removed: request.remove,
            data: request.data,
            tags: request.tags,
            sender: request.sender,
            time: now,
        };
        self.check_room(&parts, idempotency_key.as_ref(), version.as_ref(), room)?;
        let publication = Publication::new(parts);
        let mut outcome = Outcome::published(position, 0);
        self.used = self.used.max(now);
        if position.is_none() && idempotency_key.is_none() && version.is_none() {
            outcome.local = deliver(&publication);
            return Ok(Published {
                publication: Some(publication),
                outcome,
                changes: Vec::new(),
            });
        }
        let mut changes = Vec::new();
        let staged = self.remember(
            &publication,
            idempotency_key,
            version,
            outcome,
            &mut changes,
        );
        if self.is_durable() {
            self.stage(staged, &mut changes);
        } else {
            self.apply(&publication);
            outcome.local = deliver(&publication);
            self.delivered(staged.idempotency_key.as_ref(), outcome.local);
            self.evict(now, &mut changes);
        }
        Ok(Published {
            publication: Some(publication),
            outcome,
            changes,
        })
    }

    /// The outcome of the publish that was done with an idempotency key. On durable
    /// channels `local` is counted once it is settled; it is not stored.
    pub fn receipt(&self, key: &str, now: Moment) -> Option<Outcome> {
        let receipts = self.memory.as_ref()?.receipts.as_ref()?;
        receipts.get(key, now).copied()
    }

    /// Whether a publish is suppressed or refused because of what was published
    /// before.
    fn judge(&self, request: &Publish, now: Moment) -> Result<Option<Outcome>, PublishError> {
        let memory = self.memory.as_deref();
        let receipts = memory.and_then(|memory| memory.receipts.as_ref());
        let key = request.idempotency_key.as_ref();
        if let Some(first) = receipts.zip(key).and_then(|(it, key)| it.get(key, now)) {
            let suppressed = Some(Suppressed::Repeated);
            return Ok(Some(Outcome {
                suppressed,
                ..*first
            }));
        }
        let top = memory.and_then(Memory::next);
        let top = top.map(|next| Position::new(next.epoch, next.offset - 1));
        let top = top.or(self.position());
        let versions = memory.and_then(|memory| memory.versions.as_ref());
        if let Some((versions, version)) = versions.zip(request.version.as_ref())
            && versions.is_stale(&request.key, version)
        {
            return Ok(Some(Outcome::suppressed(top, Suppressed::Stale)));
        }
        let present = match request.expected {
            Some(Expected::Key(expected)) => {
                let keyed = memory.and_then(|memory| memory.keyed.as_ref());
                let value = keyed
                    .zip(request.key.as_ref())
                    .and_then(|(it, key)| it.get(key));
                let present = value.and_then(|value| value.position);
                (present != expected).then_some(present)
            }
            Some(Expected::Top(expected)) => (top != Some(expected)).then_some(top),
            None => None,
        };
        present.map_or(Ok(None), |present| Err(PublishError::Conflict { present }))
    }

    /// The position of the next publication, if the channel counts.
    fn next_position(&self) -> Result<Option<Position>, PublishError> {
        let next = self.memory.as_deref().and_then(Memory::next);
        let first = || {
            self.position()
                .map(|it| Position::new(it.epoch, it.offset + 1))
        };
        let next = next.or_else(first);
        if next.is_some_and(|next| next.offset > OFFSET_MAX) {
            return Err(PublishError::Full { what: "offsets" });
        }
        Ok(next)
    }

    fn check_room(
        &self,
        parts: &Parts,
        idempotency_key: Option<&ByteString>,
        version: Option<&Version>,
        room: &Room,
    ) -> Result<(), PublishError> {
        let (bounds, cost) = (self.bounds(), Publication::cost_of(parts));
        let memory = self.memory.as_deref();
        let mut growth = if memory.is_some() {
            0
        } else {
            self.first_growth(idempotency_key, version)
        };
        growth += idempotency_key.map_or(0, |key| 256 + idempotency::cost(key));
        growth += version.map_or(0, |version| 256 + versions::cost(&parts.key, version));
        if parts.position.is_some() {
            if let Some(bytes) = bounds.bytes {
                PublishError::check_bytes("the publication in the history", cost, bytes)?;
            }
            growth += self.log_growth(cost, &bounds);
        }
        if let (Some(terms), Some(key)) = (&self.terms.keyed, &parts.key)
            && !parts.removed
        {
            let keyed = memory.and_then(|memory| memory.keyed.as_ref());
            let none = Keyed::default();
            let keyed = keyed.map_or(&none, |keyed| keyed);
            let fit = keyed.fits(key, cost, terms);
            match fit {
                Fit::Keys => return Err(PublishError::Full { what: "keyed.keys" }),
                Fit::Bytes => {
                    return Err(PublishError::Full {
                        what: "keyed.bytes",
                    });
                }
                Fit::Yes => {}
            }
            let maps = 1 + usize::from(self.is_durable());
            growth += maps * keyed.growth(key, cost);
        }
        if memory.is_some_and(|memory| memory.staged.len() >= STAGED_MAX) {
            return Err(PublishError::Full {
                what: "publications that wait for the store",
            });
        }
        if growth > room.growth_bytes {
            return Err(PublishError::Full { what: "memory" });
        }
        Ok(())
    }

    /// What the first publication that is remembered makes necessary.
    fn first_growth(&self, key: Option<&ByteString>, version: Option<&Version>) -> usize {
        let is_needed = self.terms.has_positions() || key.is_some() || version.is_some();
        if is_needed {
            64 + size_of::<Memory>() + 256
        } else {
            0
        }
    }

    fn log_growth(&self, cost: usize, bounds: &Bounds) -> usize {
        let log = self
            .memory
            .as_deref()
            .and_then(|memory| memory.log.as_ref());
        let empty;
        let log = if let Some(log) = log {
            log
        } else {
            empty = Log::new(self.epoch);
            &empty
        };
        let growth = log.growth(cost, bounds);
        if !self.is_durable() {
            return growth;
        }
        // What is staged leaves the line when it comes into the log.
        let staged = self.memory.as_deref().map_or(0, |memory| {
            let is_full = memory.staged.len() == memory.staged.capacity();
            if is_full {
                memory.staged.len().max(4)
            } else {
                0
            }
        });
        growth.max(cost) + (staged + 4) * size_of::<Staged>()
    }

    /// Remembers the key and the version of a publish that is done.
    fn remember(
        &mut self,
        publication: &Publication,
        idempotency_key: Option<ByteString>,
        version: Option<Version>,
        outcome: Outcome,
        changes: &mut Vec<Change>,
    ) -> Staged {
        let is_durable = self.is_durable();
        let memory = self.memory();
        if let Some(key) = &idempotency_key {
            let receipts = memory.receipts.get_or_insert_default();
            let key = owned(key);
            let forgotten = receipts.insert(key.clone(), outcome, publication.time);
            if is_durable {
                changes.extend(forgotten.map(|key| Change::Delete(Row::Receipt(key))));
                let bytes = idempotency::encode(&outcome, publication.time);
                changes.push(Change::Put(Row::Receipt(key), bytes));
            }
        }
        let version = version.map(|version| {
            let slot = publication.key.as_ref().map(owned);
            let bytes = is_durable.then(|| version.encode());
            let versions = memory.versions.get_or_insert_default();
            let (before, forgotten) = versions.set(slot.clone(), version);
            if let Some(bytes) = bytes {
                changes.extend(forgotten.map(|slot| Change::Delete(Row::Version(slot))));
                changes.push(Change::Put(Row::Version(slot.clone()), bytes));
            }
            (slot, before)
        });
        Staged {
            publication: publication.clone(),
            idempotency_key,
            version,
        }
    }

    /// Puts a publication into the line for the store, with its rows.
    pub(super) fn stage(&mut self, staged: Staged, changes: &mut Vec<Change>) {
        let (bounds, used) = (self.bounds(), self.used);
        let memory = self.memory();
        let publication = &staged.publication;
        if let (Some(keyed), Some(key)) = (&mut memory.keyed, &publication.key) {
            keyed.apply(publication);
            let row = Row::Value(key.clone());
            changes.push(if publication.removed {
                Change::Delete(row)
            } else {
                Change::Put(row, publication.encode())
            });
        }
        if let Some(top) = publication.position {
            if bounds.count != Some(0) {
                let row = Row::Publication(top.offset);
                changes.push(Change::Put(row, publication.encode()));
            }
            changes.push(Change::Put(Row::Head, Head { top, used }.encode()));
        }
        memory.staged_bytes += publication.cost();
        memory.staged.push_back(staged);
    }

    /// Takes a publication into the log and the values. It is delivered after
    /// that: if a delivery panics, what some subscribers have is in the history,
    /// and its position is not given again. The log may exceed its bounds until it
    /// is evicted.
    pub(super) fn apply(&mut self, publication: &Publication) {
        let is_kept = self.bounds().count != Some(0);
        let memory = self.memory();
        if let Some(log) = &mut memory.log {
            if is_kept {
                log.append(publication.clone());
            } else {
                log.pass();
            }
        }
        // On durable channels the other values have it since it was staged.
        if let Some(keyed) = memory.settled.as_mut().or(memory.keyed.as_mut()) {
            keyed.apply(publication);
        }
    }

    /// Notes how many took the publication with this key.
    pub(super) fn delivered(&mut self, idempotency_key: Option<&ByteString>, local: u64) {
        let memory = self.memory.as_mut();
        let receipts = memory.and_then(|memory| memory.receipts.as_mut());
        if let (Some(receipts), Some(key)) = (receipts, idempotency_key) {
            receipts.delivered(key, local);
        }
    }

    /// Removes at most so many values that have reached their age, by publications
    /// of the channel's own; whether there are more.
    pub(super) fn remove_aged(
        &mut self,
        (now, most): (Moment, usize),
        changes: &mut Vec<Change>,
        deliver: &mut impl FnMut(&Publication) -> u64,
    ) -> bool {
        let Some(terms) = self.terms.keyed else {
            return false;
        };
        let memory = self.memory();
        let room = STAGED_MAX - memory.staged.len();
        let most = most.min(room);
        let aged: VecDeque<_> = memory.keyed.as_ref().map_or_else(VecDeque::new, |keyed| {
            keyed.aged(&terms, now).take(most + 1).cloned().collect()
        });
        let has_more = aged.len() > most && room > 0;
        for key in aged.into_iter().take(most) {
            let Ok(position) = self.next_position() else {
                return false;
            };
            let publication = Publication::new(Parts {
                channel: self.name.clone(),
                position,
                id: None,
                event: None,
                key: Some(key),
                removed: true,
                data: Data::Text(ByteString::new()),
                tags: Tags::default(),
                sender: None,
                time: now,
            });
            if self.is_durable() {
                let staged = Staged {
                    publication,
                    idempotency_key: None,
                    version: None,
                };
                self.stage(staged, changes);
            } else {
                self.apply(&publication);
                deliver(&publication);
            }
        }
        has_more
    }
}
