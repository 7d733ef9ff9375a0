//! The hub finds the connections of one function: by id, by channel, by tag, or
//! all.
//!
//! Its maps are sharded. A shard stays locked while messages are put into
//! outboxes, which never waits. Bounded by its connections: each is in the hub
//! once, and once in each of its `channels` and `tags`. A channel without
//! subscribers is removed.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use openline_core::event::SendOutcome;
use openline_core::message::{Compress, Message};
use openline_core::name::{ChannelName, ConnectionId, Tag};

use crate::budget::tags_cost;
use crate::connection::{AttachError, Connection};
use crate::members::Members;
use crate::publication::Publication;
use crate::tags::TagIndex;
use crate::wakeups::Wakeups;

/// The connections of one function on this node.
#[derive(Debug, Default)]
pub struct Hub {
    connections: Members,
    tags: TagIndex,
    channels: DashMap<ChannelName, HashMap<ConnectionId, Arc<Connection>>>,
}

/// Why a connection was not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// It has as many channels as it may have.
    TooMany,
    /// The channel has as many subscribers as it may have.
    Crowded,
    /// It has left.
    Gone,
}

impl Hub {
    /// Makes a connection findable until it [leaves](Hub::leave).
    pub fn join(&self, connection: &Arc<Connection>) {
        self.connections.insert(connection);
    }

    /// Forgets a connection, its subscriptions and its tags. The connection
    /// itself still knows its tags.
    pub fn leave(&self, connection: &Connection) {
        // Taken under the lock: a subscription that races with this is either
        // in the lists, or finds that the connection has left.
        let (channels, tags) = {
            let mut membership = connection.membership.lock();
            let had_left = std::mem::replace(&mut membership.left, true);
            let channels = std::mem::take(&mut membership.channels);
            let tags = if had_left {
                Vec::new()
            } else {
                membership.tags.to_vec()
            };
            (channels, tags)
        };
        for channel in channels {
            self.forget(&channel, connection.id());
        }
        self.tags.remove(connection.id(), &tags);
        self.connections.remove(connection.id());
    }

    /// Finds an open connection.
    pub fn get(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.connections.get(id)
    }

    /// Replaces a connection's tags; a repeated tag counts once.
    ///
    /// # Errors
    ///
    /// When there are more than `tags`, when the host's `attached_bytes` are
    /// used up, and when the connection has left.
    pub fn set_tags(
        &self,
        connection: &Arc<Connection>,
        tags: Vec<Tag>,
    ) -> Result<(), AttachError> {
        let most = connection.limits().tags as usize;
        let mut after: Vec<Tag> = Vec::with_capacity(tags.len().min(most));
        for tag in tags {
            if after.contains(&tag) {
                continue;
            }
            if after.len() == most {
                return Err(AttachError::TooMany);
            }
            after.push(tag);
        }
        let mut membership = connection.membership.lock();
        if membership.left {
            return Err(AttachError::Gone);
        }
        connection.charge(tags_cost(&membership.tags), tags_cost(&after))?;
        let before = std::mem::replace(&mut membership.tags, after.into());
        self.tags.replace(connection, &before, &membership.tags);
        Ok(())
    }

    /// Open connections that have a tag, in the order of their ids, after
    /// `after`, at most `limit`.
    pub fn by_tag(
        &self,
        tag: &Tag,
        after: Option<ConnectionId>,
        limit: usize,
    ) -> Vec<Arc<Connection>> {
        self.tags.page(tag, after, limit)
    }

    /// Open connections in the order of their ids, after `after`, at most
    /// `limit`.
    pub fn page(&self, after: Option<ConnectionId>, limit: usize) -> Vec<Arc<Connection>> {
        self.connections.page(after, limit)
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.count()
    }

    /// How many of them sleep. Looks at each connection.
    pub fn asleep(&self) -> usize {
        let shards = self
            .connections
            .each(|some| some.filter(|connection| connection.is_asleep()).count());
        shards.into_iter().sum()
    }

    /// All connections, as they were at some moment during the call.
    pub fn snapshot(&self) -> Vec<Arc<Connection>> {
        let shards = self
            .connections
            .each(|some| some.cloned().collect::<Vec<_>>());
        shards.into_iter().flatten().collect()
    }

    /// Subscribes a connection; a second time does nothing.
    pub fn subscribe(
        &self,
        connection: &Arc<Connection>,
        channel: ChannelName,
    ) -> Result<(), SubscribeError> {
        let mut membership = connection.membership.lock();
        if membership.left {
            return Err(SubscribeError::Gone);
        }
        if membership.channels.contains(&channel) {
            return Ok(());
        }
        let limits = connection.limits();
        if membership.channels.len() >= limits.channels as usize {
            return Err(SubscribeError::TooMany);
        }
        let mut subscribers = self.channels.entry(channel.clone()).or_default();
        if subscribers.len() >= limits.subscribers as usize {
            return Err(SubscribeError::Crowded);
        }
        subscribers.insert(connection.id(), Arc::clone(connection));
        membership.channels.push(channel);
        Ok(())
    }

    /// Ends a subscription, if there is one.
    pub fn unsubscribe(&self, connection: &Connection, channel: &ChannelName) {
        let mut membership = connection.membership.lock();
        let list = &mut membership.channels;
        if let Some(index) = list.iter().position(|other| other == channel) {
            list.swap_remove(index);
            self.forget(channel, connection.id());
        }
    }

    /// How many connections are subscribed.
    pub fn subscribers(&self, channel: &ChannelName) -> usize {
        self.channels
            .get(channel)
            .map_or(0, |subscribers| subscribers.len())
    }

    /// Puts a message into the outbox of each subscriber except `except`, and
    /// returns how many took it.
    pub fn publish(
        &self,
        channel: &ChannelName,
        (message, compress): (&Message, Compress),
        except: Option<ConnectionId>,
        wakeups: &mut Wakeups,
    ) -> u64 {
        let Some(subscribers) = self.channels.get(channel) else {
            return 0;
        };
        let publication = Publication::with(message.clone(), compress);
        deliver(subscribers.values(), &publication, except, wakeups)
    }

    /// Puts a message into the outbox of each connection except `except`, and
    /// returns how many took it.
    pub fn broadcast(
        &self,
        (message, compress): (&Message, Compress),
        except: Option<ConnectionId>,
        wakeups: &mut Wakeups,
    ) -> u64 {
        let publication = Publication::with(message.clone(), compress);
        let shards = self
            .connections
            .each(|some| deliver(some, &publication, except, wakeups));
        shards.into_iter().sum()
    }

    fn forget(&self, channel: &ChannelName, id: ConnectionId) {
        self.channels.remove_if_mut(channel, |_, subscribers| {
            subscribers.remove(&id);
            subscribers.is_empty()
        });
    }
}

fn deliver<'a>(
    connections: impl IntoIterator<Item = &'a Arc<Connection>>,
    publication: &Arc<Publication>,
    except: Option<ConnectionId>,
    wakeups: &mut Wakeups,
) -> u64 {
    let mut taken = 0;
    for connection in connections {
        if except == Some(connection.id()) {
            continue;
        }
        let outcome = connection.push_published(publication);
        if matches!(outcome, SendOutcome::Sent | SendOutcome::Queued(_)) {
            taken += 1;
        }
        // A connection that overflowed is woken, too: its owner has to end it.
        if outcome != SendOutcome::Gone {
            wakeups.add(connection);
        }
    }
    taken
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
