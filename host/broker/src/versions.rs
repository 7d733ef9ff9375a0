//! Versions of what is published, which drop what comes late.
//!
//! A publisher that reads a database and publishes what it read may be overtaken
//! by another one. With the version of its row it cannot undo the newer
//! publication: a version that is not greater than the last one is dropped.
//!
//! Versions are compared within one `epoch` of the publisher, if it names one: a
//! publication of another epoch is never stale and begins that epoch. One without
//! an epoch is compared with whatever is there.
//!
//! A channel has one version, and on a keyed channel each key has its own, also
//! when its value has been removed. [`VERSIONS_MAX`] are remembered; past that the
//! one that was changed longest ago is forgotten, and its next publication taken
//! as the first.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;

use bytes::Bytes;
use bytestring::ByteString;

use crate::wire::{DecodeError, Reader, put_number, put_text};

/// How many keys have a version. As many as values at most.
pub const VERSIONS_MAX: usize = 100_000;
/// The longest epoch of a version, in bytes: a UUID or a date.
pub const VERSION_EPOCH_BYTES_MAX: usize = 64;

/// What a version takes beside its key, about: its places in two maps.
const PLACES: usize = 160;

/// The version of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Grows with each change of what is published.
    pub number: NonZeroU64,
    /// Which count of versions; empty for none.
    pub epoch: ByteString,
}

/// What a version is of: a key, or the channel.
pub type Slot = Option<ByteString>;

/// The last version of a channel and of each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    entries: HashMap<Slot, (Version, u64)>,
    /// The slots by when they were changed: the second number above.
    changed: BTreeMap<u64, Slot>,
    next: u64,
    bytes: usize,
}

impl Version {
    /// Whether a channel that has this version drops `other`.
    pub fn drops(&self, other: &Self) -> bool {
        let is_same_count = other.epoch.is_empty() || other.epoch == self.epoch;
        is_same_count && other.number <= self.number
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::new();
        put_number(&mut bytes, self.number.get());
        put_text(&mut bytes, &self.epoch);
        bytes.into()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "version");
        let number = NonZeroU64::new(reader.number()?).ok_or_else(|| reader.error())?;
        let epoch = reader.text(VERSION_EPOCH_BYTES_MAX)?;
        reader.end()?;
        Ok(Self { number, epoch })
    }
}

impl Versions {
    /// Whether a publication of this version is stale.
    pub fn is_stale(&self, slot: &Slot, version: &Version) -> bool {
        let last = self.entries.get(slot);
        last.is_some_and(|(last, _)| last.drops(version))
    }

    /// Remembers a version, and answers the one before it, and the slot that was
    /// forgotten for it.
    pub fn set(&mut self, slot: Slot, version: Version) -> (Option<Version>, Option<Slot>) {
        let before = self.remove(&slot);
        let is_full = self.entries.len() >= VERSIONS_MAX;
        let oldest = is_full.then(|| self.changed.first_key_value());
        let forgotten = oldest.flatten().map(|(_, slot)| slot.clone());
        if let Some(slot) = &forgotten {
            self.remove(slot);
        }
        let change = self.next;
        self.next += 1;
        self.bytes += cost(&slot, &version);
        self.changed.insert(change, slot.clone());
        self.entries.insert(slot, (version, change));
        (before, forgotten)
    }

    /// Forgets a version, and answers it.
    pub fn remove(&mut self, slot: &Slot) -> Option<Version> {
        let (version, change) = self.entries.remove(slot)?;
        self.changed.remove(&change);
        self.bytes -= cost(slot, &version);
        Some(version)
    }

    /// All of them, the one that was changed longest ago first.
    pub fn iter(&self) -> impl Iterator<Item = (&Slot, &Version)> {
        let slots = self.changed.values();
        slots.filter_map(|slot| Some((slot, &self.entries.get(slot)?.0)))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// What they take.
    pub fn cost(&self) -> usize {
        self.bytes
    }
}

/// What a version takes.
pub(crate) fn cost(slot: &Slot, version: &Version) -> usize {
    let key = slot.as_ref().map_or(0, |key| key.len());
    PLACES + key + version.epoch.len()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn version(number: u64, epoch: &str) -> Version {
        Version {
            number: NonZeroU64::new(number).unwrap(),
            epoch: epoch.into(),
        }
    }

    #[test]
    fn a_version_drops_what_is_not_newer() {
        for (last, next, stale) in [
            (version(2, ""), version(1, ""), true),
            (version(2, ""), version(2, ""), true),
            (version(2, ""), version(3, ""), false),
            (version(2, "a"), version(2, "a"), true),
            (version(2, "a"), version(1, "b"), false),
            (version(2, ""), version(1, "a"), false),
            (version(2, "a"), version(1, ""), true),
            (version(u64::MAX, ""), version(u64::MAX, ""), true),
        ] {
            assert_eq!(last.drops(&next), stale, "{last:?} {next:?}");
            assert_eq!(Version::decode(last.encode()), Ok(last));
        }
    }

    #[test]
    fn versions_at_their_number_and_past_it() {
        let mut versions = Versions::default();
        for number in 0..VERSIONS_MAX {
            let slot = Some(number.to_string().into());
            assert_eq!(versions.set(slot, version(2, "")), (None, None));
        }
        // It has been changed, so the next one is the oldest.
        let first = Some("0".into());
        let (before, forgotten) = versions.set(first.clone(), version(3, ""));
        assert_eq!((before, forgotten), (Some(version(2, "")), None));
        let (before, forgotten) = versions.set(None, version(1, ""));
        assert_eq!((before, forgotten), (None, Some(Some("1".into()))));
        assert_eq!(versions.count(), VERSIONS_MAX);
        assert!(versions.is_stale(&first, &version(3, "")));
        assert!(
            !versions.is_stale(&Some("1".into()), &version(1, "")),
            "it is forgotten"
        );
        let slots: Vec<_> = versions.entries.keys().cloned().collect();
        slots.iter().for_each(|slot| drop(versions.remove(slot)));
        assert_eq!((versions.cost(), versions.changed.len()), (0, 0));
    }

    proptest! {
        /// What a channel takes of one epoch only grows.
        #[test]
        fn what_is_taken_grows(numbers in vec(1..9u64, 0..20)) {
            let (mut versions, mut last) = (Versions::default(), 0);
            for number in numbers {
                let version = version(number, "a");
                let stale = versions.is_stale(&None, &version);
                prop_assert_eq!(stale, number <= last);
                if !stale {
                    versions.set(None, version);
                    last = number;
                }
            }
        }
    }
}
