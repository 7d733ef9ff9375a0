//! Channels that are current values.
//!
//! A `latest` channel is one value: its last publication, which a new subscriber
//! gets. A subscriber that comes back needs no more than that, whatever it
//! missed.
//!
//! A keyed channel is many values, one a key. A new subscriber gets a snapshot:
//! all values, in the order of their last change, with the position after which
//! changes follow. A removed value is a change, too, so that subscribers learn
//! of it. A value that does not fit is refused, and none of the others goes: only
//! the publisher knows which one could.
//!
//! Bounded in keys and bytes by [`KeyedTerms`]; values that have reached their
//! age are listed by [`Keyed::aged`], and removed by changes like others.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use bytestring::ByteString;
use openline_core::channel::KeyedTerms;

use crate::log::Log;
use crate::moment::Moment;
use crate::position::Position;
use crate::publication::Publication;

/// What a value takes beside its publication, about: its places in two maps.
const PLACES: usize = 96;

/// The backlog of a subscriber of a `latest` channel that comes back from
/// `since`: nothing if the channel is still there, otherwise the value. `None` if
/// the value that it missed is gone.
pub fn recovered(log: &Log, since: Position) -> Option<Option<Publication>> {
    if since == log.top() {
        return Some(None);
    }
    current(log).map(Some)
}

/// The current value: the last publication, if it is kept.
pub fn current(log: &Log) -> Option<Publication> {
    log.iter().next_back().cloned()
}

/// The values of a channel, one a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyed {
    /// By the offset of the last change. Age follows the same order.
    values: BTreeMap<u64, Publication>,
    /// The same offsets by key.
    changes: HashMap<ByteString, u64>,
    bytes: usize,
}

impl Keyed {
    /// How many values there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// The bytes of all values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Publication> {
        self.values.get(self.changes.get(key)?)
    }

    /// All values, in the order of their last change.
    pub fn iter(&self) -> impl Iterator<Item = &Publication> {
        self.values.values()
    }

    /// Values whose last change is after an offset, in the order of that.
    pub fn after(&self, offset: u64) -> impl Iterator<Item = &Publication> {
        let after = (Bound::Excluded(offset), Bound::Unbounded);
        self.values.range(after).map(|(_, value)| value)
    }

    /// Takes a change, of any size: [`fits`](Self::fits) was asked before. A
    /// publication without a key changes nothing.
    pub fn apply(&mut self, publication: &Publication) {
        let Some(key) = &publication.key else { return };
        if let Some(offset) = self.changes.remove(&**key)
            && let Some(before) = self.values.remove(&offset)
        {
            self.bytes -= value_cost(before.cost());
        }
        if !publication.removed {
            self.bytes += value_cost(publication.cost());
            self.changes.insert(key.clone(), publication.offset());
            self.values
                .insert(publication.offset(), publication.clone());
        }
        if self.values.is_empty() {
            *self = Self::default();
        }
    }

    /// Whether a value of this cost fits.
    pub(crate) fn fits(&self, key: &str, cost: usize, terms: &KeyedTerms) -> Fit {
        let before = self.get(key).map(|it| value_cost(it.cost()));
        let bytes = self.bytes + value_cost(cost) - before.unwrap_or(0);
        let keys = usize::try_from(terms.keys).unwrap_or(usize::MAX);
        if before.is_none() && self.count() >= keys {
            Fit::Keys
        } else if bytes > terms.bytes {
            Fit::Bytes
        } else {
            Fit::Yes
        }
    }

    /// By how much the cost grows with a value of this cost.
    pub(crate) fn growth(&self, key: &str, cost: usize) -> usize {
        let before = self.get(key).map_or(0, |it| value_cost(it.cost()));
        value_cost(cost).saturating_sub(before)
    }

    /// The keys of values that have reached their age, the oldest first.
    pub fn aged(&self, terms: &KeyedTerms, now: Moment) -> impl Iterator<Item = &ByteString> {
        let aged =
            move |it: &&Publication| terms.time.is_some_and(|time| it.time.has_aged(time, now));
        self.iter()
            .take_while(aged)
            .filter_map(|it| it.key.as_ref())
    }

    /// When the oldest value reaches its age.
    pub fn ages_at(&self, terms: &KeyedTerms) -> Option<Moment> {
        Some(self.iter().next()?.time.plus(terms.time?))
    }

    /// What the values take.
    pub fn cost(&self) -> usize {
        self.bytes
    }
}

/// Whether a value fits, or which bound it exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    Keys,
    Bytes,
}

pub(crate) fn value_cost(publication: usize) -> usize {
    publication + PLACES
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::log::Bounds;
    use crate::position::Epoch;
    use crate::publication::tests::{channel, plain};
    use crate::publication::{Data, Parts, Tags};

    fn at(offset: u64) -> Position {
        Position::new(Epoch::from_random(3), offset)
    }

    fn change(key: &str, text: Option<&str>, offset: u64) -> Publication {
        Publication::new(Parts {
            channel: channel(),
            position: Some(at(offset)),
            id: None,
            event: None,
            key: Some(key.into()),
            removed: text.is_none(),
            data: Data::Text(text.unwrap_or_default().into()),
            tags: Tags::default(),
            sender: None,
            time: Moment(offset),
        })
    }

    #[test]
    fn one_value_is_recovered_whatever_was_missed() {
        let mut log = Log::new(at(0).epoch);
        assert_eq!(recovered(&log, at(0)), Some(None), "nothing was missed");
        assert_eq!(
            recovered(&log, Position::start(Epoch::from_random(4))),
            None
        );
        for offset in 1..=3 {
            log.append(plain("", Some(at(offset)), offset));
            log.evict(
                &Bounds {
                    count: Some(1),
                    ..Bounds::default()
                },
                Moment(0),
            );
        }
        let third = current(&log).unwrap();
        assert_eq!(third.position, Some(at(3)));
        assert_eq!(recovered(&log, at(3)), Some(None));
        for other in [at(1), at(9), Position::new(Epoch::from_random(4), 3)] {
            assert_eq!(recovered(&log, other), Some(Some(third.clone())));
        }
        log.clear();
        assert_eq!(current(&log), None);
        assert_eq!(recovered(&log, at(3)), Some(None));
        assert_eq!(recovered(&log, at(2)), None, "the value is gone");
    }

    #[test]
    fn values_at_their_bounds_and_past_them() {
        let mut keyed = Keyed::default();
        let cost = change("a", Some("1"), 1).cost();
        let terms = KeyedTerms {
            keys: 2,
            bytes: 2 * value_cost(cost),
            time: None,
        };
        let fits = |keyed: &Keyed, key, cost| keyed.fits(key, cost, &terms);
        keyed.apply(&change("a", Some("1"), 1));
        assert_eq!(fits(&keyed, "b", cost), Fit::Yes);
        keyed.apply(&change("b", Some("2"), 2));
        assert_eq!(fits(&keyed, "c", cost), Fit::Keys);
        assert_eq!(fits(&keyed, "b", cost), Fit::Yes, "it replaces a value");
        assert_eq!(fits(&keyed, "b", cost + 1), Fit::Bytes);
        keyed.apply(&change("a", None, 3));
        assert_eq!(fits(&keyed, "c", cost), Fit::Yes);
        assert_eq!(keyed.growth("b", cost), 0);
        assert_eq!(keyed.growth("c", cost), value_cost(cost));
    }

    #[test]
    fn old_values_are_listed_the_oldest_first() {
        let mut keyed = Keyed::default();
        let terms = KeyedTerms {
            time: Some(Duration::from_millis(10)),
            ..KeyedTerms::default()
        };
        assert_eq!(keyed.ages_at(&terms), None);
        for (key, offset) in [("a", 1), ("b", 2), ("a", 3)] {
            keyed.apply(&change(key, Some(""), offset));
        }
        let aged = |now| {
            keyed
                .aged(&terms, Moment(now))
                .map(|it| it.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(keyed.ages_at(&terms), Some(Moment(12)));
        assert!(aged(11).is_empty());
        assert_eq!(aged(12), ["b"]);
        assert_eq!(aged(13), ["b", "a"]);
        let endless = KeyedTerms::default();
        assert_eq!(keyed.aged(&endless, Moment(u64::MAX)).count(), 0);
    }

    proptest! {
        /// Like a map from keys to values; and a subscriber that takes a
        /// snapshot at any time, and the changes after it, has the same map.
        #[test]
        fn a_snapshot_and_the_changes_after_it_are_the_values(
            changes in vec((0..6u8, proptest::option::of(0..3usize)), 0..40),
            joined in 0..40usize,
        ) {
            let (mut keyed, mut model) = (Keyed::default(), BTreeMap::new());
            let mut subscriber: Option<BTreeMap<ByteString, Publication>> = None;
            for (number, (key, bytes)) in changes.into_iter().enumerate() {
                if number == joined {
                    let all = keyed.iter().map(|it| (it.key.clone().unwrap(), it.clone()));
                    subscriber = Some(all.collect());
                }
                let text = bytes.map(|bytes| "a".repeat(bytes));
                let offset = u64::try_from(number).unwrap() + 1;
                let change = change(&key.to_string(), text.as_deref(), offset);
                keyed.apply(&change);
                for values in [Some(&mut model), subscriber.as_mut()].into_iter().flatten() {
                    let key = change.key.clone().unwrap();
                    values.remove(&key);
                    if !change.removed {
                        values.insert(key, change.clone());
                    }
                }
                prop_assert_eq!(keyed.count(), model.len());
                for (key, value) in &model {
                    prop_assert_eq!(keyed.get(key), Some(value));
                }
                let offsets: Vec<_> = keyed.iter().map(Publication::offset).collect();
                prop_assert!(offsets.is_sorted());
                let cost: usize = model.values().map(|it| value_cost(it.cost())).sum();
                prop_assert_eq!(keyed.bytes(), cost);
            }
            if let Some(values) = subscriber {
                prop_assert_eq!(values, model);
            }
        }
    }
}
