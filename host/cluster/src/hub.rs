//! The hub: finds the connections of one function, alone, by channel or all.
//!
//! Sharded maps; a shard is locked while messages are put into outboxes, which
//! never waits. Bounded by its connections: each is in the hub once, and once
//! in each of its `channels`. A channel without subscribers is gone.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use openline_core::event::SendOutcome;
use openline_core::message::Message;
use openline_core::name::{ChannelName, ConnectionId, Tag};

use crate::connection::{AttachError, Connection};
use crate::wakeups::Wakeups;

/// The connections of one function on this node.
#[derive(Debug, Default)]
pub struct Hub {
    connections: DashMap<ConnectionId, Arc<Connection>>,
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
        self.connections
            .insert(connection.id(), Arc::clone(connection));
    }

    /// Forgets a connection and its subscriptions.
    pub fn leave(&self, connection: &Connection) {
        // Taken under its lock: a subscription that races with this either is
        // in the list or finds that there is no list any more.
        let channels = connection.subscriptions.lock().take();
        for channel in channels.into_iter().flatten() {
            self.forget(&channel, connection.id());
        }
        self.connections.remove(&connection.id());
    }

    /// Finds an open connection.
    pub fn get(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.connections.get(&id).map(|found| Arc::clone(&found))
    }

    /// Replaces a connection's tags.
    pub fn set_tags(
        &self,
        connection: &Arc<Connection>,
        tags: Vec<Tag>,
    ) -> Result<(), AttachError> {
        let _ = (connection, tags);
        Ok(())
    }

    /// Open connections that have a tag, in the order of their ids, those
    /// behind `after`, at most `limit`.
    pub fn by_tag(
        &self,
        tag: &Tag,
        after: Option<ConnectionId>,
        limit: usize,
    ) -> Vec<Arc<Connection>> {
        let _ = (tag, after, limit);
        Vec::new()
    }

    /// Open connections in the order of their ids, those behind `after`, at
    /// most `limit`.
    pub fn page(&self, after: Option<ConnectionId>, limit: usize) -> Vec<Arc<Connection>> {
        let _ = (after, limit);
        Vec::new()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// All connections, as they were at some moment during the call.
    pub fn snapshot(&self) -> Vec<Arc<Connection>> {
        self.connections
            .iter()
            .map(|entry| Arc::clone(&entry))
            .collect()
    }

    /// Subscribes a connection; again is harmless.
    pub fn subscribe(
        &self,
        connection: &Arc<Connection>,
        channel: ChannelName,
    ) -> Result<(), SubscribeError> {
        let mut subscriptions = connection.subscriptions.lock();
        let list = subscriptions.as_mut().ok_or(SubscribeError::Gone)?;
        if list.contains(&channel) {
            return Ok(());
        }
        let limits = connection.limits();
        if list.len() >= limits.channels as usize {
            return Err(SubscribeError::TooMany);
        }
        let mut subscribers = self.channels.entry(channel.clone()).or_default();
        if subscribers.len() >= limits.subscribers as usize {
            return Err(SubscribeError::Crowded);
        }
        subscribers.insert(connection.id(), Arc::clone(connection));
        list.push(channel);
        Ok(())
    }

    /// Ends a subscription, if there is one.
    pub fn unsubscribe(&self, connection: &Connection, channel: &ChannelName) {
        let mut subscriptions = connection.subscriptions.lock();
        let Some(list) = subscriptions.as_mut() else {
            return;
        };
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

    /// Puts a message into the outbox of each subscriber but `except` and says
    /// how many took it.
    pub fn publish(
        &self,
        channel: &ChannelName,
        message: &Message,
        except: Option<ConnectionId>,
        wakeups: &mut Wakeups,
    ) -> u64 {
        let Some(subscribers) = self.channels.get(channel) else {
            return 0;
        };
        deliver(subscribers.values(), message, except, wakeups)
    }

    /// Puts a message into the outbox of each connection but `except` and says
    /// how many took it.
    pub fn broadcast(
        &self,
        message: &Message,
        except: Option<ConnectionId>,
        wakeups: &mut Wakeups,
    ) -> u64 {
        self.connections
            .iter()
            .map(|entry| deliver([entry.value()], message, except, wakeups))
            .sum()
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
    message: &Message,
    except: Option<ConnectionId>,
    wakeups: &mut Wakeups,
) -> u64 {
    let mut taken = 0;
    for connection in connections {
        if except == Some(connection.id()) {
            continue;
        }
        let outcome = connection.push(message.clone());
        if matches!(outcome, SendOutcome::Sent | SendOutcome::Queued(_)) {
            taken += 1;
        }
        // Also one that overflowed: its owner has to end it.
        if outcome != SendOutcome::Gone {
            wakeups.add(connection);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use openline_core::limits::FunctionLimits;

    use super::*;
    use crate::budget::OutboxBudget;
    use crate::connection::{Facts, Item, Next};

    fn written(message: Message) -> Next {
        Next::Item(Item::Message(message))
    }

    fn limited(limits: FunctionLimits) -> Arc<Connection> {
        let budget = Arc::new(OutboxBudget::new(1 << 20));
        Arc::new(Connection::new(Facts::default(), Arc::new(limits), budget))
    }

    fn joined(hub: &Hub) -> Arc<Connection> {
        let connection = limited(FunctionLimits::default());
        hub.join(&connection);
        connection
    }

    fn name(index: usize) -> ChannelName {
        ChannelName::new(&format!("channel {index}")).unwrap()
    }

    fn text(text: &'static str) -> Message {
        Message::Text(text.into())
    }

    #[test]
    fn a_channel_reaches_its_subscribers_but_the_sender() {
        let hub = Hub::default();
        let (first, second, third) = (joined(&hub), joined(&hub), joined(&hub));
        hub.subscribe(&first, name(1)).unwrap();
        hub.subscribe(&second, name(1)).unwrap();
        hub.subscribe(&second, name(1)).unwrap();
        assert_eq!(hub.subscribers(&name(1)), 2);
        let mut wakeups = Wakeups::default();
        assert_eq!(
            hub.publish(&name(1), &text("a"), Some(first.id()), &mut wakeups),
            1
        );
        assert_eq!(hub.broadcast(&text("b"), None, &mut wakeups), 3);
        assert_eq!(first.next(), written(text("b")));
        assert_eq!(second.next(), written(text("a")));
        assert_eq!(third.next(), written(text("b")));
    }

    #[test]
    fn a_payload_is_shared_by_its_receivers() {
        let hub = Hub::default();
        let (first, second) = (joined(&hub), joined(&hub));
        let payload = bytes::Bytes::from(vec![7; 1000]);
        hub.broadcast(
            &Message::Binary(payload.clone()),
            None,
            &mut Wakeups::default(),
        );
        for connection in [first, second] {
            let Next::Item(Item::Message(Message::Binary(received))) = connection.next() else {
                panic!()
            };
            assert_eq!(received.as_ptr(), payload.as_ptr());
        }
    }

    #[test]
    fn channels_of_a_connection_at_their_limit_and_past_it() {
        let hub = Hub::default();
        let connection = limited(FunctionLimits {
            channels: 3,
            ..FunctionLimits::default()
        });
        hub.join(&connection);
        for index in 0..3 {
            hub.subscribe(&connection, name(index)).unwrap();
        }
        assert_eq!(
            hub.subscribe(&connection, name(3)),
            Err(SubscribeError::TooMany)
        );
        hub.unsubscribe(&connection, &name(0));
        assert_eq!(hub.subscribe(&connection, name(3)), Ok(()));
    }

    #[test]
    fn subscribers_of_a_channel_at_their_limit_and_past_it() {
        let hub = Hub::default();
        let connections: Vec<_> = (0..3)
            .map(|_| {
                let connection = limited(FunctionLimits {
                    subscribers: 2,
                    ..FunctionLimits::default()
                });
                hub.join(&connection);
                connection
            })
            .collect();
        assert_eq!(hub.subscribe(&connections[0], name(1)), Ok(()));
        assert_eq!(hub.subscribe(&connections[1], name(1)), Ok(()));
        assert_eq!(
            hub.subscribe(&connections[2], name(1)),
            Err(SubscribeError::Crowded)
        );
        hub.leave(&connections[0]);
        assert_eq!(hub.subscribe(&connections[2], name(1)), Ok(()));
    }

    #[test]
    fn who_leaves_leaves_nothing_behind() {
        let hub = Hub::default();
        let connection = joined(&hub);
        hub.subscribe(&connection, name(1)).unwrap();
        hub.leave(&connection);
        assert_eq!(
            hub.subscribe(&connection, name(2)),
            Err(SubscribeError::Gone)
        );
        assert!(hub.get(connection.id()).is_none());
        assert!(hub.channels.is_empty() && hub.connections.is_empty());
        assert_eq!(Arc::strong_count(&connection), 1);
    }

    #[test]
    fn a_full_outbox_hurts_nobody_else() {
        let hub = Hub::default();
        let slow = limited(FunctionLimits {
            outbox_bytes: 200,
            ..FunctionLimits::default()
        });
        hub.join(&slow);
        let fast = joined(&hub);
        let mut wakeups = Wakeups::default();
        let reached: Vec<_> = (0..4)
            .map(|_| hub.broadcast(&text("m"), None, &mut wakeups))
            .collect();
        assert_eq!(reached, [2, 2, 2, 1]);
        assert!(!slow.is_open());
        assert!(fast.is_open());
    }
}
