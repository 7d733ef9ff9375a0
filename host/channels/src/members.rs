//! The connections of a hub, in the order of their ids.
//!
//! They are in shards of ordered maps. A shard has all ids that begin with the
//! same bits, so the shards are in order, too. The cost of a page is to find
//! its beginning and to copy its entries, however many connections there are; a
//! lookup searches one small map. Ids are random, so the shards have about the
//! same size.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use openline_core::name::ConnectionId;
use parking_lot::RwLock;

use crate::connection::Connection;

/// Far more than a machine has threads, so two threads seldom meet in one
/// shard. An empty shard has 32 bytes.
const SHARDS: usize = 64;

type Shard = BTreeMap<ConnectionId, Arc<Connection>>;

/// Connections by id.
#[derive(Debug)]
pub(crate) struct Members {
    shards: Box<[RwLock<Shard>]>,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }
}

impl Members {
    pub(crate) fn insert(&self, connection: &Arc<Connection>) {
        let id = connection.id();
        let mut shard = self.shards[index(id)].write();
        shard.insert(id, Arc::clone(connection));
    }

    pub(crate) fn remove(&self, id: ConnectionId) {
        // Drop it without the lock.
        let removed = self.shards[index(id)].write().remove(&id);
        drop(removed);
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.shards[index(id)].read().get(&id).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Calls `with` with the connections of one shard after the other, while
    /// the shard is locked.
    pub(crate) fn each<T>(
        &self,
        mut with: impl FnMut(&mut dyn Iterator<Item = &Arc<Connection>>) -> T,
    ) -> Vec<T> {
        let shards = self.shards.iter();
        shards
            .map(|shard| with(&mut shard.read().values()))
            .collect()
    }

    /// Open connections after `after`, at most `limit`.
    pub(crate) fn page(&self, after: Option<ConnectionId>, limit: usize) -> Vec<Arc<Connection>> {
        let mut page = Vec::new();
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        for shard in &self.shards[after.map_or(0, index)..] {
            let shard = shard.read();
            // In the shards after the first one, all ids come after `after`.
            let found = shard
                .range((behind, Bound::Unbounded))
                .map(|(_, found)| found);
            let open = found.filter(|found| found.is_open());
            page.extend(open.take(limit - page.len()).cloned());
            if page.len() == limit {
                break;
            }
        }
        page
    }
}

fn index(id: ConnectionId) -> usize {
    usize::from(id.first_byte()) / (256 / SHARDS)
}
