//! Channels for callers that are no connections of a function: subscribers that
//! are in no hub, publishers that may wait, and operators that end all of a
//! channel's.

use std::sync::Arc;

use openline_broker::channel::Backlog;
use openline_broker::outcome::{Outcome, PublishError};
use openline_core::close::{CloseInfo, CloseReason};
use openline_core::name::ChannelName;

use crate::connection::{Connection, Subscription};
use crate::durable::Answered;
use crate::hub::{SubscribeError, Subscribing};
use crate::space::{Publishing, Space};
use crate::wakeups::Wakeups;

/// With more subscribers than this a publish is done on a thread that may wait:
/// to put a message into so many outboxes takes about a millisecond.
const SUBSCRIBERS_AT_ONCE_MAX: usize = 4_096;

/// Outboxes that count as one step of the 128 that tokio gives a task before it
/// lets others have the thread: together as many as [`SUBSCRIBERS_AT_ONCE_MAX`].
const SUBSCRIBERS_OF_A_STEP: usize = SUBSCRIBERS_AT_ONCE_MAX / 128;

impl Space {
    /// Publishes for a caller that may wait for its turn, without keeping the
    /// thread for long: however many publications the caller has, and however many
    /// subscribers the channel. The answer may wait for the disk. A caller that
    /// stops waiting may have published.
    ///
    /// # Errors
    ///
    /// When the host ends.
    pub async fn publish_in_turn(
        self: &Arc<Self>,
        name: &ChannelName,
        publishing: Publishing,
    ) -> Result<Answered, PublishError> {
        let subscribers = self.subscribers(name);
        // A caller may have many publications, and none of them has to wait: without
        // this they would all be one turn on the thread.
        for _ in 0..=subscribers.min(SUBSCRIBERS_AT_ONCE_MAX) / SUBSCRIBERS_OF_A_STEP {
            tokio::task::coop::consume_budget().await;
        }
        if subscribers <= SUBSCRIBERS_AT_ONCE_MAX {
            return Ok(self.publish(name, publishing, &mut Wakeups::default()));
        }
        let (space, name) = (Arc::clone(self), name.clone());
        let putting = move || space.publish(&name, publishing, &mut Wakeups::default());
        let put = tokio::task::spawn_blocking(putting).await;
        put.map_err(|_| PublishError::Unavailable)
    }

    /// [Publishes in turn](Self::publish_in_turn), and waits for the outcome.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish_and_wait(
        self: &Arc<Self>,
        name: &ChannelName,
        publishing: Publishing,
    ) -> Result<Outcome, PublishError> {
        let answered = self.publish_in_turn(name, publishing).await?;
        answered.wait().await
    }

    /// Subscribes a connection, which need not be in a hub, and puts what it gets
    /// first into its outbox. The publications of the backlog are in there, too;
    /// `None` if it was subscribed before.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub fn subscribe_with(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        channel: &ChannelName,
        subscribing: Subscribing<'_>,
        wakeups: &mut Wakeups,
    ) -> Result<Option<Backlog>, SubscribeError> {
        let mut membership = connection.membership.lock();
        if membership.left {
            return Err(SubscribeError::Gone);
        }
        let is_asked = subscribing.is_asked;
        let mut channels = membership.channels.iter_mut();
        if let Some(known) = channels.find(|it| it.name() == channel) {
            // What the function gives its peer, too, is not the peer's own any more.
            known.is_asked &= is_asked;
            return match subscribing.is_once {
                true => Err(SubscribeError::Repeated),
                false => Ok(None),
            };
        }
        if membership.channels.len() >= connection.limits().channels as usize {
            return Err(SubscribeError::TooMany);
        }
        let (channel, backlog) = self.subscribe(connection, channel, subscribing, wakeups)?;
        let subscription = Subscription { channel, is_asked };
        membership.channels.push(subscription);
        Ok(Some(backlog))
    }

    /// Ends the connections of all subscribers, and returns how many it has ended.
    /// Looks at all of them, so it is not for a thread that serves.
    pub fn close_all(self: &Arc<Self>, name: &ChannelName, info: &CloseInfo) -> usize {
        let subscribers = self.with(name, false, |_, state, _| {
            let subscribers = state.subscribers.values();
            let subscribers = subscribers.map(|it| Arc::clone(&it.connection));
            subscribers.collect::<Vec<_>>()
        });
        let subscribers = subscribers.unwrap_or_default();
        let ended = subscribers.iter().filter(|connection| {
            let first = connection.end(CloseReason::Operator(info.clone()));
            connection.wake();
            first
        });
        ended.count()
    }
}
