//! The hub finds the connections of one function, by id, by tag, or all, and its
//! channels: the function's own and those that functions share.
//!
//! Its maps are sharded. A shard stays locked while messages are put into
//! outboxes, which never waits. Bounded by its connections: each is in the hub
//! once, and once in each of its `channels` and `tags`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openline_broker::channel::Backlog;
use openline_broker::terms::{Found, TermsTable};
use openline_core::channel::Subscription as ChannelSubscription;
use openline_core::dialect::DialectName;
use openline_core::message::{Compress, Message};
use openline_core::name::{ChannelName, ConnectionId, Tag};
use openline_dialects::centrifugo::Unsubscribed;

use crate::audience::{Belonging, Hearer};
use crate::budget::{HostBudget, tags_cost};
use crate::channel_queue::ChannelQueue;
use crate::connection::{AttachError, Connection, Membership, Subscription};
use crate::durable::Answered;
use crate::entry;
use crate::forms;
use crate::members::Members;
use crate::shared::SharedMessage;
use crate::space::{Publishing, Space};
pub use crate::subscribing::{Answer, SubscribeError, Subscribing};
use crate::tags::TagIndex;
use crate::wakeups::Wakeups;

/// The connections of one function on this node.
#[derive(Debug)]
pub struct Hub {
    connections: Members,
    tags: TagIndex,
    own: Arc<Space>,
    shared: Arc<Space>,
    queue: Arc<ChannelQueue>,
    /// Whether the function shares any channels: asked before each use of one.
    shares: AtomicBool,
}

impl Hub {
    /// A hub with these channels of its own, and those that functions share.
    pub fn new(own: Arc<Space>, shared: Arc<Space>) -> Self {
        Self {
            connections: Members::default(),
            tags: TagIndex::default(),
            own,
            shared,
            queue: Arc::default(),
            shares: AtomicBool::new(false),
        }
    }

    /// Makes a connection findable until it [leaves](Hub::leave).
    pub fn join(&self, connection: &Arc<Connection>) {
        self.connections.insert(connection);
        // It may be subscribed already, and the terms may have changed while a
        // refresh could not find it.
        if self.take_out_astray(connection) {
            connection.wake();
        }
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
        for subscription in channels {
            subscription.channel.leave(connection.id());
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

    /// Gives all of the function's channels their terms. Connections that are
    /// subscribed where their function has no such channel any more, because it
    /// shares the name now, or no longer does, are taken out and asked to come
    /// back; the others of dialects look again at what their peers may have. Looks
    /// at each channel and connection, so it is not for a thread that serves.
    pub fn refresh(&self) {
        self.own.refresh(|name| !self.terms(name).is_shared);
        for connection in self.snapshot() {
            if !self.take_out_astray(&connection) {
                if connection.facts().dialect.is_none() {
                    continue;
                }
                // Its peer may not have any more what it has asked for.
                connection.doubt();
            }
            connection.wake();
        }
    }

    /// Ends the subscriptions of a connection to channels that are no longer in
    /// the space of their names, and asks it to come back; whether there were any.
    fn take_out_astray(&self, connection: &Connection) -> bool {
        let astray: Vec<_> = {
            let membership = connection.membership.lock();
            let channels = membership.channels.iter();
            let astray =
                channels.filter(|it| it.channel.set() != Arc::as_ptr(self.space(it.name())).addr());
            astray.map(|it| it.name().clone()).collect()
        };
        for channel in &astray {
            self.unsubscribe(connection, channel);
        }
        if !astray.is_empty() {
            connection.redeploy();
        }
        !astray.is_empty()
    }

    /// What waits for the function's channel handler.
    pub fn queue(&self) -> &Arc<ChannelQueue> {
        &self.queue
    }

    /// Has these channels wake the function, and no others. To be called again
    /// when the table changes, which says where a channel belongs.
    pub fn listen(&self, subscriptions: &[ChannelSubscription]) {
        // Before its channels know it, so that the first publication is taken.
        self.queue.set_wanted(!subscriptions.is_empty());
        let subscriptions: Arc<[ChannelSubscription]> = subscriptions.into();
        let hearer = |belonging| Hearer {
            queue: Arc::clone(&self.queue),
            subscriptions: Arc::clone(&subscriptions),
            belonging,
        };
        self.own
            .change_audience(|audience| audience.set(hearer(Belonging::All)));
        // Its own table says which channels it shares.
        let own = Arc::downgrade(&self.own);
        let shares = move |name: &ChannelName| {
            let own = own.upgrade();
            own.is_some_and(|own| own.find(name).is_shared)
        };
        self.shared
            .change_audience(|audience| audience.set(hearer(Belonging::If(Box::new(shares)))));
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
        let space = self.space(channel);
        let backlog = space.subscribe_with(connection, channel, subscribing, wakeups)?;
        // The terms may have changed meanwhile, and a refresh have looked before.
        if !Arc::ptr_eq(space, self.space(channel)) && self.take_out_astray(connection) {
            wakeups.add(connection);
        }
        Ok(backlog)
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&self, connection: &Connection, channel: &ChannelName) -> bool {
        let mut membership = connection.membership.lock();
        take_out(connection.id(), &mut membership, |it| it.name() == channel)
    }

    /// Ends a subscription for the function, and tells a peer of a dialect;
    /// whether there was one.
    pub fn dismiss(
        &self,
        connection: &Arc<Connection>,
        channel: &ChannelName,
        wakeups: &mut Wakeups,
    ) -> bool {
        let is_it = |it: &Subscription| it.name() == channel;
        self.dismiss_if(connection, channel, is_it, wakeups)
    }

    /// Ends a subscription for which the peer has asked, as
    /// [`dismiss`](Self::dismiss) does. One that the function has made, perhaps
    /// meanwhile, stays.
    pub fn dismiss_asked(
        &self,
        connection: &Arc<Connection>,
        channel: &ChannelName,
        wakeups: &mut Wakeups,
    ) -> bool {
        let is_it = |it: &Subscription| it.is_asked && it.name() == channel;
        self.dismiss_if(connection, channel, is_it, wakeups)
    }

    fn dismiss_if(
        &self,
        connection: &Arc<Connection>,
        channel: &ChannelName,
        is_it: impl Fn(&Subscription) -> bool,
        wakeups: &mut Wakeups,
    ) -> bool {
        let mut membership = connection.membership.lock();
        if !take_out(connection.id(), &mut membership, is_it) {
            return false;
        }
        if let Some(dialect) = connection.facts().dialect.and_then(forms::spoken) {
            let news = dialect.unsubscribed(channel.as_str(), Unsubscribed::ByHost);
            connection.push_frame(Message::Text(news));
            wakeups.add(connection);
        }
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

/// Takes a subscription out of a connection; whether there was one.
fn take_out(
    id: ConnectionId,
    membership: &mut Membership,
    is_it: impl Fn(&Subscription) -> bool,
) -> bool {
    let list = &mut membership.channels;
    let Some(index) = list.iter().position(is_it) else {
        return false;
    };
    list.swap_remove(index).channel.leave(id);
    true
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.listen(&[]);
        self.queue.close();
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
    let mut made = [const { None::<Arc<SharedMessage>> }; DialectName::COUNT];
    wanted
        .map(|connection| {
            let form = match connection.facts().dialect {
                None => message,
                Some(dialect) => made[dialect as usize].get_or_insert_with(|| {
                    let spoken = forms::spoken_message(dialect, message.message().clone());
                    SharedMessage::with(spoken, message.compress())
                }),
            };
            u64::from(entry::push(connection, form, wakeups))
        })
        .sum()
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "reload_tests.rs"]
mod reload_tests;
