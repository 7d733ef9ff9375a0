//! The hub finds the connections of one function, by id, by tag, or all, and its
//! channels: the function's own and those that functions share.
//!
//! Its maps are sharded. A shard stays locked while messages are put into
//! outboxes, which never waits. Bounded by its connections: each is in the hub
//! once, and once in each of its `channels` and `tags`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openline_broker::channel::Backlog;
use openline_broker::filter::Filter;
use openline_broker::position::Position;
use openline_broker::publication::Data;
use openline_broker::terms::{Found, TermsTable};
use openline_core::channel::Subscription;
use openline_core::message::{Compress, Message};
use openline_core::name::{ChannelName, ConnectionId, Tag};

use crate::budget::{HostBudget, tags_cost};
use crate::connection::{AttachError, Connection};
use crate::durable::Answered;
use crate::entry;
use crate::listener::Listener;
use crate::members::Members;
use crate::shared::SharedMessage;
use crate::space::{Publishing, Space};
use crate::tags::TagIndex;
use crate::wakeups::Wakeups;

/// The connections of one function on this node.
#[derive(Debug)]
pub struct Hub {
    connections: Members,
    tags: TagIndex,
    own: Arc<Space>,
    shared: Arc<Space>,
    listener: Arc<Listener>,
    /// Whether the function shares any channels: asked before each use of one.
    shares: AtomicBool,
}

/// Why a connection was not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// It has as many channels as it may have.
    TooMany,
    /// The channel has as many subscribers or members as it may have.
    Crowded,
    /// What the host's channels remember is as much as they may.
    HostFull,
    /// What it missed cannot be had, and it wants all or nothing.
    Unrecoverable,
    /// It is subscribed already.
    Repeated,
    /// It has left.
    Gone,
}

/// How to subscribe.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "it has a closure")]
pub struct Subscribing<'a> {
    /// Where the subscriber was before.
    pub since: Option<Position>,
    /// How many of the last publications it wants if it cannot recover.
    pub otherwise: usize,
    /// Whether it would rather not be subscribed than miss publications after
    /// `since`.
    pub all_or_nothing: bool,
    /// Which publications it wants.
    pub filter: Option<Filter>,
    /// Whether it is told of others that come and go.
    pub join_leave: bool,
    /// What others see of it.
    pub info: Option<Data>,
    /// Whether a second subscription is an error; otherwise it does nothing.
    pub is_once: bool,
    /// Makes the messages that it gets before anything new. By default, each
    /// publication of the backlog.
    pub answer: Option<Answer<'a>>,
}

/// Makes the messages that a subscriber gets first, of the channel's position and
/// what it missed.
pub type Answer<'a> = &'a mut dyn FnMut(&Backlog) -> Vec<Message>;

impl Hub {
    /// A hub with these channels of its own, and those that functions share.
    pub fn new(own: Arc<Space>, shared: Arc<Space>) -> Self {
        Self {
            connections: Members::default(),
            tags: TagIndex::default(),
            own,
            shared,
            listener: Arc::default(),
            shares: AtomicBool::new(false),
        }
    }

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
            channel.leave(connection.id());
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

    /// A hub without terms, which remembers nothing: for tests.
    pub fn alone() -> Self {
        let host = HostBudget::new(0, 0);
        let sweeps = Arc::default();
        let space = || Space::new(TermsTable::default(), host.channels(), &sweeps);
        Self::new(space(), space())
    }

    /// The space of a channel's name.
    pub fn space(&self, channel: &ChannelName) -> &Arc<Space> {
        if self.shares.load(Ordering::Acquire) && self.own.find(channel).is_shared {
            return &self.shared;
        }
        &self.own
    }

    /// The function's own channels.
    pub fn own(&self) -> &Arc<Space> {
        &self.own
    }

    /// The channels that functions share.
    pub fn shared(&self) -> &Arc<Space> {
        &self.shared
    }

    /// The terms of a channel.
    pub fn terms(&self, channel: &ChannelName) -> Found {
        self.own.find(channel)
    }

    /// Replaces the terms of the function's channels.
    pub fn set_table(&self, table: TermsTable) {
        self.shares.store(table.has_shared(), Ordering::Release);
        self.own.set_table(table);
    }

    /// What waits for the function's channel handler.
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// Has these channels wake the function, and no others. To be called again
    /// when the table changes, which says where a channel belongs.
    pub fn listen(&self, subscriptions: &[Subscription]) {
        let subscriptions: Arc<[Subscription]> = subscriptions.into();
        self.own.listen(&self.listener, &subscriptions, None);
        self.shared
            .listen(&self.listener, &subscriptions, Some(&self.own));
        if subscriptions.is_empty() {
            self.listener.clear();
        }
    }

    /// Subscribes a connection; a second time does nothing.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub fn subscribe(
        &self,
        connection: &Arc<Connection>,
        channel: &ChannelName,
        wakeups: &mut Wakeups,
    ) -> Result<(), SubscribeError> {
        self.subscribe_with(connection, channel, Subscribing::default(), wakeups)
            .map(|_| ())
    }

    /// Subscribes a connection, and puts what it gets first into its outbox. The
    /// publications of the backlog are in there, too; `None` if it was subscribed
    /// before.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub fn subscribe_with(
        &self,
        connection: &Arc<Connection>,
        channel: &ChannelName,
        subscribing: Subscribing<'_>,
        wakeups: &mut Wakeups,
    ) -> Result<Option<Backlog>, SubscribeError> {
        let mut membership = connection.membership.lock();
        if membership.left {
            return Err(SubscribeError::Gone);
        }
        if membership.channels.iter().any(|it| it.name() == channel) {
            return match subscribing.is_once {
                true => Err(SubscribeError::Repeated),
                false => Ok(None),
            };
        }
        if membership.channels.len() >= connection.limits().channels as usize {
            return Err(SubscribeError::TooMany);
        }
        let space = self.space(channel);
        let (entry, backlog) = space.subscribe(connection, channel, subscribing, wakeups)?;
        membership.channels.push(entry);
        Ok(Some(backlog))
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&self, connection: &Connection, channel: &ChannelName) -> bool {
        let mut membership = connection.membership.lock();
        let list = &mut membership.channels;
        let Some(index) = list.iter().position(|other| other.name() == channel) else {
            return false;
        };
        list.swap_remove(index).leave(connection.id());
        true
    }

    /// How many connections of this node are subscribed.
    pub fn subscribers(&self, channel: &ChannelName) -> usize {
        self.space(channel).subscribers(channel)
    }

    /// Publishes on a channel: puts a message into the outbox of each subscriber
    /// except those left out. The answer is there at once, except on durable
    /// channels.
    pub fn publish(
        &self,
        channel: &ChannelName,
        publishing: Publishing,
        wakeups: &mut Wakeups,
    ) -> Answered {
        self.space(channel).publish(channel, publishing, wakeups)
    }

    /// Puts a message into the outbox of each connection except `except`, and
    /// returns how many took it.
    pub fn broadcast(
        &self,
        (message, compress): (&Message, Compress),
        except: Option<ConnectionId>,
        wakeups: &mut Wakeups,
    ) -> u64 {
        let message = SharedMessage::with(message.clone(), compress);
        let shards = self
            .connections
            .each(|some| deliver(some, &message, except, wakeups));
        shards.into_iter().sum()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.listen(&[]);
        self.listener.close();
    }
}

/// Puts a shared message into the outboxes of connections, and answers how many
/// took it.
fn deliver<'a>(
    connections: impl IntoIterator<Item = &'a Arc<Connection>>,
    message: &Arc<SharedMessage>,
    except: Option<ConnectionId>,
    wakeups: &mut Wakeups,
) -> u64 {
    let wanted = connections
        .into_iter()
        .filter(|connection| except != Some(connection.id()));
    wanted
        .map(|connection| u64::from(entry::push(connection, message, wakeups)))
        .sum()
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
