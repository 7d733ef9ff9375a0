//! The history of a channel.
//!
//! Offsets are counted without gaps, and the log keeps the last publications, so
//! a position is found by its distance from the top. The bounds are in count,
//! bytes and age, and the one that is reached first evicts the oldest. The count
//! goes on when nothing is kept: the position of a channel outlives its
//! publications.
//!
//! A recovery is all that was missed, in order, or nothing: a position from the
//! future, of another epoch, or with evicted publications after it, gets nothing,
//! and so does one with more after it that the subscriber wants than the caller
//! allows.

use std::collections::VecDeque;
use std::time::Duration;

use crate::moment::Moment;
use crate::position::{Epoch, Position};
use crate::publication::Publication;

/// Room that an empty or nearly empty log may keep for later, in publications.
const SPARE: usize = 16;

/// How much a log keeps. Without any bound it keeps everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Publications.
    pub count: Option<usize>,
    /// Bytes, as publications [cost](Publication::cost).
    pub bytes: Option<usize>,
    /// Age.
    pub time: Option<Duration>,
}

/// How much one answer may have. At least one publication is always allowed, or
/// a page could make no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Publications.
    pub count: usize,
    /// Bytes of data.
    pub bytes: usize,
}

/// From where a page goes, and in which direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// The page has what comes after this position, or before it in reverse.
    /// Without one it begins with the oldest, or with the newest in reverse.
    pub since: Option<Position>,
    /// From new to old.
    pub reverse: bool,
}

/// A part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order that was asked for.
    pub publications: Vec<Publication>,
    /// The last position of the channel.
    pub top: Position,
    /// Whether publications between `since` and the page were evicted. Always
    /// said, so that a page with a gap is not taken for all.
    pub has_gap: bool,
    /// Whether there is more in this direction.
    pub has_more: bool,
}

/// A position that the log cannot continue from: of another epoch, or from the
/// future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel cannot continue from this position")]
pub struct Unrecoverable {
    /// Where the channel is.
    pub top: Position,
}

/// The last publications of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    epoch: Epoch,
    top: u64,
    bytes: usize,
    ring: VecDeque<Publication>,
}

impl Log {
    /// A log before its first publication.
    pub fn new(epoch: Epoch) -> Self {
        Self::at(Position::start(epoch))
    }

    /// A log that continues a count, of which it has no publications.
    pub fn at(top: Position) -> Self {
        Self {
            epoch: top.epoch,
            top: top.offset,
            bytes: 0,
            ring: VecDeque::new(),
        }
    }

    /// The position of the last publication.
    pub fn top(&self) -> Position {
        Position::new(self.epoch, self.top)
    }

    /// How many publications are kept.
    pub fn count(&self) -> usize {
        self.ring.len()
    }

    /// The bytes of what is kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that is kept, from old to new.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Publication> {
        self.ring.iter()
    }

    /// The offset before the first publication that is kept: what follows it is
    /// there.
    fn base(&self) -> u64 {
        self.top - as_offset(self.ring.len())
    }

    /// Appends the next publication, which has the position after the top. It
    /// may exceed the bounds until [`evict`](Self::evict) is called.
    pub fn append(&mut self, publication: Publication) {
        debug_assert_eq!(
            publication.position,
            Some(Position::new(self.epoch, self.top + 1)),
            "positions are counted without gaps"
        );
        self.top += 1;
        self.bytes += publication.cost();
        self.ring.push_back(publication);
    }

    /// Counts a publication that is not kept. Nothing before it is, either.
    pub fn pass(&mut self) {
        self.top += 1;
        self.clear();
    }

    /// Evicts what exceeds the bounds, and answers the offsets that were kept
    /// before and are not any more: from, and up to but not including.
    pub fn evict(&mut self, bounds: &Bounds, now: Moment) -> std::ops::Range<u64> {
        let from = self.base() + 1;
        while let Some(oldest) = self.ring.front() {
            let exceeds = bounds.count.is_some_and(|count| self.ring.len() > count)
                || bounds.bytes.is_some_and(|bytes| self.bytes > bytes)
                || bounds
                    .time
                    .is_some_and(|time| oldest.time.has_aged(time, now));
            if !exceeds {
                break;
            }
            self.bytes -= oldest.cost();
            self.ring.pop_front();
        }
        if self.ring.capacity() > SPARE && self.ring.len() < self.ring.capacity() / 4 {
            self.ring.shrink_to(self.ring.len().max(SPARE));
        }
        if self.ring.is_empty() {
            self.ring = VecDeque::new();
        }
        from..self.base() + 1
    }

    /// When the oldest publication reaches its age.
    pub fn ages_at(&self, bounds: &Bounds) -> Option<Moment> {
        Some(self.ring.front()?.time.plus(bounds.time?))
    }

    /// Forgets all publications. The count goes on.
    pub fn clear(&mut self) {
        self.ring = VecDeque::new();
        self.bytes = 0;
    }

    /// All that was published after a position and is `wanted`, if all that was
    /// published is here and what is wanted within the limit; otherwise `None`.
    pub fn since(
        &self,
        position: Position,
        limit: PageLimit,
        wanted: impl Fn(&Publication) -> bool,
    ) -> Option<Vec<Publication>> {
        if position.epoch != self.epoch || position.offset > self.top {
            return None;
        }
        let missed = self.top - position.offset;
        let missed = usize::try_from(missed).ok()?;
        let skipped = self.ring.len().checked_sub(missed)?;
        let (mut publications, mut bytes) = (Vec::new(), 0usize);
        for publication in self.ring.range(skipped..).filter(|it| wanted(it)) {
            bytes = bytes.saturating_add(publication.data.bytes());
            if publications.len() == limit.count || bytes > limit.bytes {
                return None;
            }
            publications.push(publication.clone());
        }
        Some(publications)
    }

    /// The last publications, from old to new, within the limit.
    pub fn last(&self, limit: PageLimit) -> Vec<Publication> {
        let mut publications = Vec::new();
        take(self.ring.iter().rev(), limit, &mut publications);
        publications.reverse();
        publications
    }

    /// A page of what is kept.
    ///
    /// # Errors
    ///
    /// When `since` is a position of another epoch or from the future.
    pub fn page(&self, query: PageQuery, limit: PageLimit) -> Result<Page, Unrecoverable> {
        let top = self.top();
        let unknown = |since: &Position| since.epoch != self.epoch || since.offset > self.top;
        if query.since.as_ref().is_some_and(unknown) {
            return Err(Unrecoverable { top });
        }
        let base = self.base();
        // How many of those that are kept are before the page begins, or are in
        // it or after it in reverse.
        let index =
            |offset: u64| usize::try_from(offset.saturating_sub(base)).unwrap_or(usize::MAX);
        let mut publications = Vec::new();
        // The next one in this direction is evicted.
        let is_gone = |next: u64| (1..=base).contains(&next);
        let (has_gap, has_more) = if query.reverse {
            let before = query.since.map(|it| it.offset.saturating_sub(1));
            let all = self
                .ring
                .range(..before.map_or(self.ring.len(), index))
                .rev();
            let has_more = take(all, limit, &mut publications);
            (before.is_some_and(is_gone), has_more)
        } else {
            let begin = query.since.map_or(0, |it| index(it.offset));
            let has_more = take(self.ring.range(begin..), limit, &mut publications);
            (
                query.since.is_some_and(|it| is_gone(it.offset + 1)),
                has_more,
            )
        };
        Ok(Page {
            publications,
            top,
            has_gap,
            has_more,
        })
    }

    /// What the log takes beside itself.
    pub fn cost(&self) -> usize {
        self.bytes + self.ring.capacity() * size_of::<Publication>()
    }

    /// By how much the cost grows when a publication of this cost is appended,
    /// at most, once the bounds are kept.
    pub(crate) fn growth(&self, cost: usize, bounds: &Bounds) -> usize {
        if bounds.count == Some(0) {
            return 0;
        }
        let is_full = bounds.count.is_some_and(|count| self.ring.len() >= count);
        let oldest = self.ring.front().filter(|_| is_full);
        let freed = oldest.map_or(0, Publication::cost);
        let room = bounds
            .bytes
            .map_or(usize::MAX, |bytes| bytes.saturating_sub(self.bytes));
        // The ring doubles.
        let slots = if self.ring.len() == self.ring.capacity() {
            self.ring.len().max(4) * size_of::<Publication>()
        } else {
            0
        };
        cost.saturating_sub(freed).min(room) + slots
    }
}

/// Takes publications within a limit, and answers whether there are more.
pub(crate) fn take<'a>(
    from: impl Iterator<Item = &'a Publication>,
    limit: PageLimit,
    publications: &mut Vec<Publication>,
) -> bool {
    let mut bytes = 0usize;
    for publication in from {
        bytes = bytes.saturating_add(publication.data.bytes());
        let is_first = publications.is_empty();
        if publications.len() >= limit.count || (bytes > limit.bytes && !is_first) {
            return true;
        }
        publications.push(publication.clone());
    }
    false
}

fn as_offset(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
