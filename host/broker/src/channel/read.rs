//! What subscribers and readers get.

use openline_core::name::ConnectionId;

use super::Channel;
use crate::filter::Filter;
use crate::latest;
use crate::log::{self, Page, PageLimit, PageQuery, Unrecoverable};
use crate::moment::Moment;
use crate::position::Position;
use crate::publication::Publication;

/// What a subscription asks for.
#[derive(Clone, Copy, Debug)]
pub struct Subscribe<'a> {
    /// Where the subscriber was before; `None` if it is new.
    pub since: Option<Position>,
    /// The most that a recovery may have. If the subscriber has missed more than
    /// this, not counting what its filter skips, nothing is recovered. A snapshot of
    /// values is not limited: the terms bound it.
    pub limit: PageLimit,
    /// How many of the last publications the subscriber wants if it cannot
    /// recover. It then knows that others are missing.
    pub otherwise: usize,
    /// Which publications the subscriber skips, and which connection it is.
    pub filter: Option<(&'a Filter, ConnectionId)>,
}

/// What a subscriber gets before anything new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Where the channel is: what is published from now on comes after it. None
    /// on channels that do not count, or do not let their subscribers recover.
    pub position: Option<Position>,
    /// From old to new.
    pub publications: Vec<Publication>,
    /// Whether the subscriber, with these publications, has all that it missed;
    /// `None` if it is new, or the channel does not recover. Publications beside
    /// `Some(false)` are a part.
    pub recovered: Option<bool>,
    /// Whether the publications are the whole state of the channel, which
    /// replaces what the subscriber has.
    pub is_snapshot: bool,
}

impl Subscribe<'_> {
    /// A new subscriber without wishes.
    pub const NEW: Self = Self {
        since: None,
        limit: PageLimit {
            count: usize::MAX,
            bytes: usize::MAX,
        },
        otherwise: 0,
        filter: None,
    };

    /// Whether the subscriber gets a publication.
    fn wants(&self, publication: &Publication) -> bool {
        let filter = self.filter;
        filter.is_none_or(|(filter, own)| filter.accepts(publication, own))
    }
}

impl Channel {
    /// The backlog of a subscriber that joins now. The caller adds it to the
    /// subscribers under the same lock, so that it gets all that comes after and
    /// nothing twice.
    ///
    /// On `latest` channels that is the current value; a subscriber that has it
    /// already gets nothing. On keyed channels it is the values, or the changes
    /// since the subscriber's position if the history has all of them. On others
    /// it is what was missed. A filter applies to all of these; a snapshot is then
    /// that of the values that pass.
    pub fn subscribe(&mut self, subscribe: &Subscribe<'_>, now: Moment) -> Backlog {
        if !self.terms.has_positions() {
            return Backlog::default();
        }
        self.used = self.used.max(now);
        // A position is given away: from now on it is remembered.
        self.memory();
        self.evict_by_age(now);
        let recovers = self.terms.recovery;
        let since = subscribe.since.filter(|_| recovers);
        let mut backlog = if self.terms.latest {
            self.value(since)
        } else if self.terms.keyed.is_some() {
            self.values(since, subscribe)
        } else {
            self.missed(since, subscribe)
        };
        backlog.position = self.position().filter(|_| recovers);
        backlog.publications.retain(|it| subscribe.wants(it));
        backlog
    }

    fn value(&self, since: Option<Position>) -> Backlog {
        let Some(log) = self.memory.as_ref().and_then(|it| it.log.as_ref()) else {
            return Backlog::default();
        };
        let Some(since) = since else {
            let value = latest::current(log);
            return Backlog {
                is_snapshot: value.is_some(),
                publications: value.into_iter().collect(),
                ..Backlog::default()
            };
        };
        let recovered = latest::recovered(log, since);
        let is_recovered = recovered.is_some();
        let value = recovered.flatten();
        Backlog {
            is_snapshot: value.is_some(),
            publications: value.into_iter().collect(),
            recovered: Some(is_recovered),
            position: None,
        }
    }

    fn values(&self, since: Option<Position>, subscribe: &Subscribe<'_>) -> Backlog {
        let Some(memory) = &self.memory else {
            return Backlog::default();
        };
        let changes = memory.log.as_ref().zip(since);
        let missed = changes
            .and_then(|(log, since)| log.since(since, subscribe.limit, |it| subscribe.wants(it)));
        if let Some(publications) = missed {
            return Backlog {
                publications,
                recovered: Some(true),
                ..Backlog::default()
            };
        }
        let values = memory
            .shown()
            .map(|values| values.iter().cloned().collect());
        Backlog {
            publications: values.unwrap_or_default(),
            recovered: since.map(|_| true),
            is_snapshot: true,
            position: None,
        }
    }

    fn missed(&self, since: Option<Position>, subscribe: &Subscribe<'_>) -> Backlog {
        let log = self.memory.as_ref().and_then(|it| it.log.as_ref());
        let Some((log, since)) = log.zip(since) else {
            return Backlog::default();
        };
        let missed = log.since(since, subscribe.limit, |it| subscribe.wants(it));
        if let Some(publications) = missed {
            return Backlog {
                publications,
                recovered: Some(true),
                ..Backlog::default()
            };
        }
        let limit = PageLimit {
            count: subscribe.otherwise.min(subscribe.limit.count),
            ..subscribe.limit
        };
        Backlog {
            publications: log.last(limit),
            recovered: Some(false),
            ..Backlog::default()
        }
    }

    /// A page of the history. `None` on channels that keep none.
    ///
    /// # Errors
    ///
    /// When the page is to continue from a position that is not the channel's.
    pub fn history(
        &mut self,
        query: PageQuery,
        limit: PageLimit,
        now: Moment,
    ) -> Result<Option<Page>, Unrecoverable> {
        if self.bounds().count == Some(0) {
            return Ok(None);
        }
        self.used = self.used.max(now);
        self.memory();
        self.evict_by_age(now);
        let log = self.memory.as_ref().and_then(|it| it.log.as_ref());
        log.map(|log| log.page(query, limit)).transpose()
    }

    /// The values of a keyed channel, in the order of their last change, after an
    /// offset, within the limit; `None` on others. A value that changes between two
    /// pages is on the second. A page without values is the last one.
    pub fn value_page(&self, after: u64, limit: PageLimit) -> Option<Vec<Publication>> {
        self.terms.keyed.as_ref()?;
        let mut page = Vec::new();
        if let Some(shown) = self.memory.as_ref().and_then(|memory| memory.shown()) {
            log::take(shown.after(after), limit, &mut page);
        }
        Some(page)
    }

    /// The value of one key.
    pub fn value_of(&self, key: &str) -> Option<Publication> {
        let values = self.memory.as_ref()?.shown()?;
        values.get(key).cloned()
    }

    /// Evicts before something is read. The store is told with the next change.
    fn evict_by_age(&mut self, now: Moment) {
        let bounds = self.bounds();
        if let Some(log) = self.memory.as_mut().and_then(|memory| memory.log.as_mut()) {
            log.evict(&bounds, now);
        }
    }
}
