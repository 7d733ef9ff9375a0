//! A bounded map whose entries end by themselves.
//!
//! Entries are found by 128 bits of a SHA-256, so each takes the same room,
//! whatever a peer chose: about 90 bytes and its value. Finding one takes constant
//! time. The ends are sorted beside the entries, one for each.

use std::collections::{BTreeSet, HashMap};

use openline_core::authentication::UnixTime;
use ring::digest;

/// Ended entries that one call forgets at most, so that no caller holds a lock
/// for all that end at once. Each new entry forgets more than one.
const FORGOTTEN_MAX: usize = 64;

/// A hash that stands for a text. Bytes, because a `u128` would pad what has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Mark([u8; 16]);

/// A full map, and nothing in it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A map of at most `entries_max` entries.
#[derive(Debug)]
pub(crate) struct Expiring<V> {
    entries: HashMap<Mark, (V, UnixTime)>,
    ends: BTreeSet<(UnixTime, Mark)>,
    entries_max: usize,
    forgotten: Option<UnixTime>,
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
        let half = hash.as_ref().first_chunk::<16>();
        Self(*half.expect("SHA-256 has 32 bytes"))
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl<V> Expiring<V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ends: BTreeSet::new(),
            entries_max,
            forgotten: None,
        }
    }

    /// Changes how many entries there may be. If there are more, they stay, and
    /// new ones wait until there is room.
    pub(crate) fn set_max(&mut self, entries_max: usize) {
        self.entries_max = entries_max;
    }

    /// The latest end of the entries that [`forget`](Self::forget) has removed
    /// since the last call of this.
    pub(crate) fn take_forgotten(&mut self) -> Option<UnixTime> {
        self.forgotten.take()
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

    /// The entry with its end, whether that has come or not.
    pub(crate) fn known(&self, mark: Mark) -> Option<&(V, UnixTime)> {
        self.entries.get(&mark)
    }

    /// The entry, to change its value, if it has not ended.
    pub(crate) fn get_mut(&mut self, mark: Mark, now: UnixTime) -> Option<&mut V> {
        let (value, end) = self.entries.get_mut(&mark)?;
        (now < *end).then_some(value)
    }

    /// Removes the entry that has this end; one that was put in its place stays.
    pub(crate) fn remove(&mut self, mark: Mark, end: UnixTime) {
        if self.ends.remove(&(end, mark)) {
            self.entries.remove(&mark);
        }
    }

    /// Removes the entry and returns it, if it has not ended.
    pub(crate) fn take(&mut self, mark: Mark, now: UnixTime) -> Option<V> {
        let (value, end) = self.entries.remove(&mark)?;
        self.ends.remove(&(end, mark));
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
        if let Some(known) = known {
            self.ends.remove(&(known, mark));
        }
        self.ends.insert((end, mark));
        self.entries.insert(mark, (value, end));
        Ok(())
    }

    /// Forgets entries that have ended, at most [`FORGOTTEN_MAX`].
    pub(crate) fn forget(&mut self, now: UnixTime) {
        for _ in 0..FORGOTTEN_MAX {
            match self.ends.first() {
                Some((end, mark)) if *end <= now => {
                    self.forgotten = self.forgotten.max(Some(*end));
                    self.entries.remove(mark);
                    self.ends.pop_first();
                }
                _ => return,
            }
        }
    }

    /// All entries that have not ended.
    pub(crate) fn iter(&self, now: UnixTime) -> impl Iterator<Item = (Mark, &V, UnixTime)> {
        let all = self.entries.iter();
        let all = all.map(|(mark, (value, end))| (*mark, value, *end));
        all.filter(move |(_, _, end)| now < *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime(seconds)
    }

    fn mark(number: usize) -> Mark {
        Mark::of(&[&number.to_string()])
    }

    #[test]
    fn entries_end_and_make_room() {
        let mut map = Expiring::new(2);
        let [one, two, three] = [1, 2, 3].map(mark);
        assert_eq!(map.insert(one, 1, at(70), at(0)), Ok(()));
        assert_eq!(map.insert(two, 2, at(200), at(0)), Ok(()));
        assert_eq!(map.insert(three, 3, at(200), at(0)), Err(Full));
        assert_eq!(map.insert(two, 22, at(130), at(0)), Ok(()), "replaced");
        assert_eq!(map.get(two, at(199)), Some(&22), "with the later end");
        assert_eq!(map.get(one, at(69)), Some(&1));
        assert_eq!(map.get(one, at(70)), None, "it ends at its end");
        assert_eq!(map.insert(three, 3, at(300), at(69)), Err(Full));
        assert_eq!(map.insert(three, 3, at(300), at(70)), Ok(()));
        assert_eq!(map.take_forgotten(), Some(at(70)));
        assert_eq!(map.take_forgotten(), None);
        map.forget(at(199));
        assert_eq!(map.count(), 2);
        map.forget(at(1000));
        assert_eq!((map.count(), map.ends.len()), (0, 0));
        assert_eq!(map.take_forgotten(), Some(at(300)));
    }

    #[test]
    fn a_smaller_limit_removes_nothing() {
        let mut map = Expiring::new(3);
        for number in 0..3 {
            map.insert(mark(number), (), at(60 + number as u64), at(0))
                .unwrap();
        }
        map.set_max(2);
        assert_eq!(map.count(), 3);
        assert_eq!(map.insert(mark(3), (), at(99), at(60)), Err(Full));
        assert_eq!(map.insert(mark(3), (), at(99), at(61)), Ok(()));
        map.set_max(3);
        assert_eq!(map.insert(mark(4), (), at(99), at(61)), Ok(()));
        assert_eq!(map.insert(mark(5), (), at(99), at(61)), Err(Full));
    }

    #[test]
    fn a_call_forgets_a_few_and_a_full_map_still_takes_one() {
        let most = 10 * FORGOTTEN_MAX;
        let mut map = Expiring::new(most);
        for number in 0..most {
            map.insert(mark(number), (), at(60), at(0)).unwrap();
        }
        assert_eq!(map.insert(mark(most), (), at(60), at(59)), Err(Full));
        map.insert(mark(most), (), at(600), at(60)).unwrap();
        assert_eq!(map.count(), most - FORGOTTEN_MAX + 1);
        for _ in 0..9 {
            map.forget(at(60));
        }
        assert_eq!((map.count(), map.ends.len()), (1, 1));
    }

    #[test]
    fn ends_are_as_many_as_entries_whatever_is_moved_and_taken() {
        let mut map = Expiring::new(10);
        for round in 0..1000 {
            map.insert(mark(round % 5), round, at(60 + round as u64), at(0))
                .unwrap();
            if round % 3 == 0 {
                assert_eq!(map.take(mark(round % 5), at(0)), Some(round));
                assert_eq!(map.take(mark(round % 5), at(0)), None);
            }
            assert_eq!(map.count(), map.ends.len());
        }
    }

    #[test]
    fn an_entry_is_removed_by_its_own_end() {
        let mut map = Expiring::new(1);
        map.insert(mark(1), 1, at(60), at(0)).unwrap();
        map.insert(mark(1), 2, at(600), at(0)).unwrap();
        map.remove(mark(1), at(60));
        assert_eq!(map.get(mark(1), at(0)), Some(&2));
        *map.get_mut(mark(1), at(599)).unwrap() = 3;
        assert_eq!(map.get_mut(mark(1), at(600)), None);
        assert_eq!(map.get(mark(1), at(0)), Some(&3));
        map.remove(mark(1), at(600));
        assert_eq!((map.count(), map.ends.len()), (0, 0));
        assert_eq!(map.take_forgotten(), None, "it was not forgotten");
    }

    #[test]
    fn an_end_that_was_moved_is_the_end() {
        let mut map = Expiring::new(1);
        map.insert(mark(1), 1, at(60), at(0)).unwrap();
        map.insert(mark(1), 2, at(600), at(0)).unwrap();
        map.forget(at(130));
        assert_eq!(map.get(mark(1), at(130)), Some(&2));
        assert_eq!(map.take(mark(1), at(600)), None, "ended");
        assert!(map.ends.is_empty());
    }

    #[test]
    fn marks_know_where_a_text_ends() {
        assert_ne!(Mark::of(&["ab", "c"]), Mark::of(&["a", "bc"]));
        assert_ne!(Mark::of(&["a"]), Mark::of(&["a", ""]));
        assert_eq!(Mark::from_bytes(Mark::of(&["a"]).bytes()), Mark::of(&["a"]));
    }
}
