//! A bounded map whose entries end by themselves.
//!
//! Entries are found by 128 bits of a SHA-256, so each takes the same room,
//! whatever a peer chose. Finding one, adding one and forgetting one that has
//! ended take constant time: the ends are gathered by the minute.

use std::collections::{BTreeMap, HashMap};

use openline_core::authentication::UnixTime;
use ring::digest;

/// Seconds whose ends are gathered.
const SLOT: u64 = 60;
/// Ended entries that one call forgets at most, so that no caller holds a lock
/// for those of a whole minute. Each new entry forgets more than one.
const FORGOTTEN_MAX: usize = 64;

/// A hash that stands for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Mark(u128);

/// A full map, and nothing in it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A map of at most `entries_max` entries.
#[derive(Debug)]
pub(crate) struct Expiring<V> {
    entries: HashMap<Mark, (V, UnixTime)>,
    /// The entries by the minute in which they end. A mark may be in several
    /// minutes if its end was moved.
    ends: BTreeMap<u64, Vec<Mark>>,
    entries_max: usize,
}

impl Mark {
    /// The mark of several texts: lengths are hashed with them, so no other
    /// division of the same letters has it.
    pub(crate) fn of(texts: &[&str]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for text in texts {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        let hash = context.finish();
        let half = hash
            .as_ref()
            .first_chunk::<16>()
            .expect("SHA-256 has 32 bytes");
        Self(u128::from_be_bytes(*half))
    }

    pub(crate) fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u128 {
        self.0
    }
}

impl<V> Expiring<V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ends: BTreeMap::new(),
            entries_max,
        }
    }

    /// How many entries there are, some ended ones included.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// The entry, if it has not ended.
    pub(crate) fn get(&self, mark: Mark, now: UnixTime) -> Option<&V> {
        let (value, end) = self.entries.get(&mark)?;
        (now < *end).then_some(value)
    }

    /// Removes the entry and returns it, if it has not ended.
    pub(crate) fn take(&mut self, mark: Mark, now: UnixTime) -> Option<V> {
        let (value, end) = self.entries.remove(&mark)?;
        (now < end).then_some(value)
    }

    /// Adds an entry, or replaces its value. An end is only moved to later.
    pub(crate) fn insert(
        &mut self,
        mark: Mark,
        value: V,
        end: UnixTime,
        now: UnixTime,
    ) -> Result<(), Full> {
        self.forget(now);
        let known = self.entries.get(&mark).map(|(_, end)| *end);
        if known.is_none() && self.entries.len() >= self.entries_max {
            return Err(Full);
        }
        let end = known.map_or(end, |known| known.max(end));
        self.entries.insert(mark, (value, end));
        if known.is_none_or(|known| known.0 / SLOT != end.0 / SLOT) {
            self.ends.entry(end.0 / SLOT).or_default().push(mark);
        }
        Ok(())
    }

    /// Forgets entries whose minute is over, at most [`FORGOTTEN_MAX`].
    pub(crate) fn forget(&mut self, now: UnixTime) {
        let mut left = FORGOTTEN_MAX;
        while left > 0
            && let Some(mut slot) = self.ends.first_entry()
            && *slot.key() < now.0 / SLOT
        {
            while left > 0
                && let Some(mark) = slot.get_mut().pop()
            {
                left -= 1;
                if self.entries.get(&mark).is_some_and(|(_, end)| *end <= now) {
                    self.entries.remove(&mark);
                }
            }
            if slot.get().is_empty() {
                slot.remove();
            }
        }
    }

    /// All entries that have not ended.
    pub(crate) fn iter(&self, now: UnixTime) -> impl Iterator<Item = (Mark, &V, UnixTime)> {
        let all = self
            .entries
            .iter()
            .map(|(mark, (value, end))| (*mark, value, *end));
        all.filter(move |(_, _, end)| now < *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime(seconds)
    }

    #[test]
    fn entries_end_and_make_room() {
        let mut map = Expiring::new(2);
        let [one, two, three] = ["one", "two", "three"].map(|it| Mark::of(&[it]));
        assert_eq!(map.insert(one, 1, at(70), at(0)), Ok(()));
        assert_eq!(map.insert(two, 2, at(200), at(0)), Ok(()));
        assert_eq!(map.insert(three, 3, at(200), at(0)), Err(Full));
        assert_eq!(map.insert(two, 22, at(130), at(0)), Ok(()), "replaced");
        assert_eq!(map.get(two, at(199)), Some(&22), "with the later end");
        assert_eq!(map.get(one, at(69)), Some(&1));
        assert_eq!(map.get(one, at(70)), None, "it ends at its end");
        assert_eq!(map.insert(three, 3, at(200), at(119)), Err(Full));
        assert_eq!(map.insert(three, 3, at(200), at(120)), Ok(()));
        map.forget(at(230));
        assert_eq!(map.count(), 2, "their minute is not over");
        map.forget(at(1000));
        assert_eq!((map.count(), map.ends.len()), (0, 0));
    }

    #[test]
    fn a_call_forgets_a_few_and_a_full_map_still_takes_one() {
        let most = 10 * FORGOTTEN_MAX;
        let mark = |number: usize| Mark::from_bits(number as u128);
        let mut map = Expiring::new(most);
        for number in 0..most {
            map.insert(mark(number), (), at(59), at(0)).unwrap();
        }
        assert_eq!(map.insert(mark(most), (), at(59), at(0)), Err(Full));
        map.insert(mark(most), (), at(600), at(60)).unwrap();
        assert_eq!(map.count(), most - FORGOTTEN_MAX + 1);
        for _ in 0..9 {
            map.forget(at(60));
        }
        assert_eq!((map.count(), map.ends.len()), (1, 1));
    }

    #[test]
    fn an_end_that_was_moved_is_the_end() {
        let mut map = Expiring::new(1);
        let one = Mark::of(&["one"]);
        map.insert(one, 1, at(60), at(0)).unwrap();
        map.insert(one, 2, at(600), at(0)).unwrap();
        map.forget(at(130));
        assert_eq!(map.get(one, at(130)), Some(&2));
        assert_eq!(map.take(one, at(130)), Some(2));
        assert_eq!(map.take(one, at(130)), None);
        map.forget(at(1000));
        assert!(map.ends.is_empty());
    }

    #[test]
    fn marks_know_where_a_text_ends() {
        assert_ne!(Mark::of(&["ab", "c"]), Mark::of(&["a", "bc"]));
        assert_ne!(Mark::of(&["a"]), Mark::of(&["a", ""]));
        assert_eq!(Mark::from_bits(Mark::of(&["a"]).bits()), Mark::of(&["a"]));
    }
}
