//! Each command of a peer, done and answered.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use futures_util::stream::FuturesUnordered;
use openline_admission::sessions::{NotRenewed, Session};
use openline_broker::channel::{Backlog, Publish};
use openline_broker::filter::Filter;
use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::outcome::{Outcome, PublishError};
use openline_broker::position::{Epoch, OFFSET_MAX, Position};
use openline_broker::publication::{Data, Sender};
use openline_broker::terms::Found;
use openline_channels::durable::Answered;
use openline_channels::forms;
use openline_channels::hub::{Hub, Subscribing};
use openline_channels::reading::MEMBERS_MAX;
use openline_channels::space::{Publishing, Space};
use openline_channels::wakeups::Wakeups;
use openline_core::channel::Right;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_dialects::{
    Action, HistoryLimit, HistoryQuery, PositionView, PresenceStats, Refusal, Reply, Since,
    Subscribe,
};

use super::peer::Peer;
use super::{Speaking, Step, calls, message_of, words};

/// Publications in one answer, at most: clients ask for the next ones.
const HISTORY_MAX: usize = 1_000;

/// The part of a token's time after which the peer is told to renew it: clients
/// ask for another one when the time is over that they were told.
const RENEWED_BEFORE: u32 = 4;
/// The most by which that is before the end.
const RENEWED_BEFORE_MAX: Duration = Duration::from_secs(30);

/// A position that no channel can continue from.
const NOWHERE: u64 = OFFSET_MAX;

impl Speaking {
    pub(super) fn act(&mut self, action: Action, peer: Peer<'_>) -> Step {
        let connection = peer.connection;
        match action {
            Action::Subscribe(reply, subscribe) => {
                let subscribed = self.subscribe(&reply, &subscribe, peer);
                self.refuse_or(&reply, subscribed, peer)
            }
            Action::Unsubscribe(reply, channel) => {
                // Without a subscription there is nothing to end, which is what the
                // peer wants.
                if let Ok(channel) = ChannelName::new(&channel) {
                    self.hub().unsubscribe(connection, &channel);
                }
                self.send(connection, reply.unsubscribed())
            }
            Action::Publish(reply, publish) => {
                let published = self.publish(&publish.channel, publish.data, peer);
                self.answer_published(reply, published, peer)
            }
            Action::Presence(reply, channel) => {
                let answered = self.presence(&reply, &channel, peer);
                self.refuse_or(&reply, answered, peer)
            }
            Action::PresenceStats(reply, channel) => {
                let answered = self.presence_stats(&reply, &channel, peer);
                self.refuse_or(&reply, answered, peer)
            }
            Action::History(reply, query) => {
                let answer = self.history(&reply, &query, peer);
                self.answer(&reply, answer, peer)
            }
            Action::Refresh(reply, token) => {
                match (refresh(&reply, &token, peer), peer.session) {
                    // A client that is told so leaves for good. After this close it
                    // comes back, and gets another token when this one is refused.
                    (Err(Refusal::TokenExpired), Some(session)) => {
                        connection.end(session.expired());
                    }
                    (answer, _) => drop(self.answer(&reply, answer, peer)),
                }
                Step::Renewed
            }
            Action::Call(reply, call) => Step::Call(calls::call(
                reply,
                call,
                connection,
                self.service.alias.commons(),
            )),
            // No channel has tokens of its own.
            Action::RefreshSubscription(reply, _) => {
                self.send(connection, reply.refused(&Refusal::NotAvailable))
            }
            Action::Message(data) => Step::Message(message_of(data)),
            Action::Send(frame) => self.send(connection, frame),
            Action::Pong => {
                self.pings.answered();
                Step::Pong
            }
            Action::Close(close) => Step::Close(words::ending(close)),
            // A session that is connected has none.
            Action::Connect(_) => Step::Done,
        }
    }

    fn hub(&self) -> &Hub {
        self.service.alias.hub()
    }

    fn answer(&self, reply: &Reply, answer: Result<ByteString, Refusal>, peer: Peer<'_>) -> Step {
        let answer = answer.unwrap_or_else(|refusal| reply.refused(&refusal));
        self.send(peer.connection, answer)
    }

    fn refuse_or(&self, reply: &Reply, done: Result<(), Refusal>, peer: Peer<'_>) -> Step {
        match done {
            Ok(()) => Step::Done,
            Err(refusal) => self.send(peer.connection, reply.refused(&refusal)),
        }
    }

    /// A channel on which the peer may do something, and its terms.
    fn channel(
        &self,
        name: &str,
        right: (Right, Scope),
        peer: Peer<'_>,
    ) -> Result<(ChannelName, Found), Refusal> {
        let channel = ChannelName::new(name).map_err(|_| Refusal::UnknownChannel)?;
        let found = self.hub().terms(&channel);
        match peer.may(right, &channel, &found, &self.service) {
            true => Ok((channel, found)),
            false => Err(Refusal::Denied),
        }
    }

    // === subscribing ===

    fn subscribe(
        &self,
        reply: &Reply,
        subscribe: &Subscribe,
        peer: Peer<'_>,
    ) -> Result<(), Refusal> {
        let right = (Right::Subscribe, Scope::Subscribe);
        let (channel, found) = self.channel(&subscribe.channel, right, peer)?;
        let filter = Filter {
            tags: subscribe.filter.as_ref().map(words::tags).transpose()?,
            ..Filter::default()
        };
        if !filter.is_allowed(&found.terms) {
            return Err(Refusal::NotAvailable);
        }
        let connection = peer.connection;
        let space = self.hub().space(&channel);
        let since = subscribe.since.as_ref();
        let dialect = connection.facts().dialect;
        let dialect = dialect.ok_or(Refusal::Internal)?;
        let mut answer = |backlog: &Backlog| {
            forms::greeting(dialect, backlog, |outcome| reply.subscribed(outcome))
        };
        let subscribing = Subscribing {
            since: since.map(|since| position(space, &channel, since)),
            all_or_nothing: subscribe.reject_unrecovered,
            filter: (!filter.is_empty()).then_some(filter),
            join_leave: subscribe.join_leave,
            is_once: true,
            is_asked: true,
            answer: Some(&mut answer),
            ..Subscribing::default()
        };
        let mut wakeups = Wakeups::default();
        let hub = self.hub();
        let subscribed = hub.subscribe_with(connection, &channel, subscribing, &mut wakeups);
        subscribed.map(drop).map_err(words::not_subscribed)
    }

    // === publishing ===

    fn publish(
        &self,
        channel: &str,
        data: bytes::Bytes,
        peer: Peer<'_>,
    ) -> Result<Answered, Refusal> {
        let (channel, _) = self.channel(channel, (Right::Publish, Scope::Publish), peer)?;
        // The session has read it as JSON.
        let data = ByteString::try_from(data).map_err(|_| Refusal::BadRequest)?;
        let sender = Sender {
            connection: peer.connection.id(),
            user: peer.connection.facts().user.clone(),
        };
        let publish = Publish {
            sender: Some(sender),
            ..Publish::new(Data::Json(data))
        };
        let mut wakeups = Wakeups::default();
        let publishing = Publishing::new(publish);
        Ok(self.hub().publish(&channel, publishing, &mut wakeups))
    }

    fn answer_published(
        &mut self,
        reply: Reply,
        published: Result<Answered, Refusal>,
        peer: Peer<'_>,
    ) -> Step {
        let answer = match published {
            Err(refusal) => reply.refused(&refusal),
            Ok(Answered::Now(outcome)) => told(&reply, &outcome),
            Ok(later) => {
                let publishing = self
                    .publishing
                    .get_or_insert_with(|| Box::new(FuturesUnordered::new()));
                publishing.push(Box::pin(async move { told(&reply, &later.wait().await) }));
                return Step::Done;
            }
        };
        self.send(peer.connection, answer)
    }

    // === reading ===

    /// A channel that the peer may read.
    fn readable(&self, name: &str, peer: Peer<'_>) -> Result<ChannelName, Refusal> {
        let right = (Right::Subscribe, Scope::Read);
        self.channel(name, right, peer).map(|(channel, _)| channel)
    }

    /// Answers before anyone else comes or goes: a peer that is told of that has a
    /// list which the news behind it continue.
    fn presence(&self, reply: &Reply, channel: &str, peer: Peer<'_>) -> Result<(), Refusal> {
        let channel = self.readable(channel, peer)?;
        let space = self.hub().space(&channel);
        let shown = space.show_presence(&channel, |channel| {
            let members = channel.map(|channel| channel.members(None, MEMBERS_MAX + 1));
            let members = members.unwrap_or_default();
            if members.len() > MEMBERS_MAX {
                return Err(Refusal::LimitExceeded);
            }
            let answer =
                forms::with_members(&members, |views| reply.presence(views.iter().copied()));
            self.send(peer.connection, answer);
            Ok(())
        });
        shown.ok_or(Refusal::NotAvailable)?
    }

    /// The same with numbers.
    fn presence_stats(&self, reply: &Reply, channel: &str, peer: Peer<'_>) -> Result<(), Refusal> {
        let channel = self.readable(channel, peer)?;
        let space = self.hub().space(&channel);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let shown = space.show_presence(&channel, |channel| {
            let counts = channel.map(|channel| channel.counts());
            let counts = counts.unwrap_or_default();
            let answer = reply.presence_stats(PresenceStats {
                connections: number(counts.connections),
                users: number(counts.users),
            });
            self.send(peer.connection, answer);
        });
        shown.ok_or(Refusal::NotAvailable)
    }

    fn history(
        &self,
        reply: &Reply,
        query: &HistoryQuery,
        peer: Peer<'_>,
    ) -> Result<ByteString, Refusal> {
        let channel = self.readable(&query.channel, peer)?;
        let space = self.hub().space(&channel);
        let count = match query.limit {
            HistoryLimit::Position => 0,
            HistoryLimit::AtMost(most) => usize::try_from(most).unwrap_or(usize::MAX),
            HistoryLimit::All => HISTORY_MAX,
        };
        let limits = peer.connection.limits();
        let limit = PageLimit {
            // A page has one at least.
            count: count.clamp(1, HISTORY_MAX),
            bytes: limits.message_bytes.min(limits.outbox_bytes) / 2,
        };
        let since = query.since.as_ref();
        let page = PageQuery {
            since: since.map(|since| position(space, &channel, since)),
            reverse: query.reverse,
        };
        let page = space.history(&channel, page, limit);
        let page = page.map_err(|_| Refusal::Unrecoverable)?;
        let page = page.ok_or(Refusal::NotAvailable)?;
        let epoch = page.top.epoch.to_string();
        let end = PositionView {
            epoch: &epoch,
            offset: page.top.offset,
        };
        let shown = &page.publications[..page.publications.len().min(count)];
        Ok(forms::with_views(shown, |views| {
            reply.history(end, views.iter().copied())
        }))
    }
}

/// The answer to a publish.
fn told(reply: &Reply, outcome: &Result<Outcome, PublishError>) -> ByteString {
    match outcome {
        Ok(_) => reply.published(),
        Err(error) => reply.refused(&words::not_published(error)),
    }
}

/// Where a peer was. Without an epoch it means the one that the channel has, as
/// with Centrifugo.
pub(super) fn position(space: &Arc<Space>, channel: &ChannelName, since: &Since) -> Position {
    let nowhere = || Position::new(Epoch::from_random(1), NOWHERE);
    if since.offset > OFFSET_MAX {
        return nowhere();
    }
    let epoch = match since.epoch.is_empty() {
        true => space.position(channel).map(|position| position.epoch),
        false => since.epoch.parse().ok(),
    };
    epoch.map_or_else(nowhere, |epoch| Position::new(epoch, since.offset))
}

/// Takes a new token.
fn refresh(reply: &Reply, token: &str, peer: Peer<'_>) -> Result<ByteString, Refusal> {
    let session = peer.session.ok_or(Refusal::NotAvailable)?;
    session.renew_by(token).map_err(|error| match error {
        NotRenewed::Never => Refusal::NotAvailable,
        NotRenewed::TooSoon => Refusal::TooManyRequests,
        NotRenewed::Denied(denied) => {
            let detail = denied.logged();
            tracing::debug!(%detail, "a token was not renewed");
            words::denied(denied.denial)
        }
    })?;
    let id = peer.connection.id().to_string();
    Ok(reply.refreshed(&id, ttl_s(session)))
}

/// After how many seconds a peer should show another token, if it can: one that was
/// let in by something else comes back with another when its time is over.
pub(super) fn ttl_s(session: &Session) -> Option<u32> {
    if !session.is_renewable() {
        return None;
    }
    let left = session.left()?;
    let before = (left / RENEWED_BEFORE).min(RENEWED_BEFORE_MAX);
    let told = u32::try_from((left - before).as_secs()).unwrap_or(u32::MAX);
    Some(told.max(1))
}
