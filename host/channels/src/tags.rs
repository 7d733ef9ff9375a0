//! The connections that have a tag, in the order of their ids.
//!
//! One ordered map, behind one lock, has all pairs of tag and connection. The
//! cost of a page is to find its beginning and to copy its entries; an unused
//! tag takes nothing, and each pair takes 40 bytes. Tags are usually set once
//! in a connection's life. Bounded by the connections and their `tags`.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use openline_core::name::{ConnectionId, Tag};
use parking_lot::RwLock;

use crate::connection::Connection;

/// Connections by tag.
#[derive(Debug, Default)]
pub(crate) struct TagIndex {
    pairs: RwLock<BTreeMap<(Tag, ConnectionId), Arc<Connection>>>,
}

impl TagIndex {
    /// Replaces a connection's tags `before` by `after`.
    pub(crate) fn replace(&self, connection: &Arc<Connection>, before: &[Tag], after: &[Tag]) {
        let id = connection.id();
        let mut pairs = self.pairs.write();
        for tag in before.iter().filter(|tag| !after.contains(tag)) {
            pairs.remove(&(tag.clone(), id));
        }
        for tag in after {
            let pair = (tag.clone(), id);
            pairs.entry(pair).or_insert_with(|| Arc::clone(connection));
        }
    }

    /// Removes all tags of a connection.
    pub(crate) fn remove(&self, id: ConnectionId, before: &[Tag]) {
        if before.is_empty() {
            return;
        }
        let mut pairs = self.pairs.write();
        for tag in before {
            pairs.remove(&(tag.clone(), id));
        }
    }

    /// Open connections with a tag, after `after`, at most `limit`.
    pub(crate) fn page(
        &self,
        tag: &Tag,
        after: Option<ConnectionId>,
        limit: usize,
    ) -> Vec<Arc<Connection>> {
        let begin = match after {
            Some(id) => Bound::Excluded((tag.clone(), id)),
            None => Bound::Included((tag.clone(), ConnectionId::from_random(0))),
        };
        let end = Bound::Included((tag.clone(), ConnectionId::from_random(u128::MAX)));
        let pairs = self.pairs.read();
        let open = pairs.range((begin, end)).map(|(_, found)| found);
        let open = open.filter(|found| found.is_open());
        open.take(limit).cloned().collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.read().is_empty()
    }
}
