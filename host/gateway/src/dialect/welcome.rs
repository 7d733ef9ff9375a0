//! The answer to a peer that is let in: who it is, and its first channels.
//!
//! It leaves before all else. What is published on these channels meanwhile
//! waits behind it in the outbox. What was missed on all of them together has the
//! room of one recovery, so that the answer is a message like others.

use std::sync::Arc;

use openline_admission::services::Service;
use openline_admission::sessions;
use openline_broker::channel::Backlog;
use openline_channels::connection::SocketOwner;
use openline_channels::forms;
use openline_channels::hub::{SubscribeError, Subscribing};
use openline_channels::time::now;
use openline_channels::wakeups::Wakeups;
use openline_core::channel::Right;
use openline_core::dialect::DialectName;
use openline_core::key::Scope;
use openline_core::message::Message;
use openline_core::name::ChannelName;
use openline_dialects::{Connect, HostSubscription, Session, Since, Welcome};

use super::commands::{position, ttl_s};
use super::peer::Peer;

/// A peer that waits for its answer.
#[derive(Debug)]
pub(crate) struct Greeting<'a> {
    /// What it speaks.
    pub(crate) spoken: &'a mut Session,
    /// What it has asked for.
    pub(crate) connect: &'a Connect,
}

/// A channel to which the peer is subscribed.
struct Joined {
    channel: ChannelName,
    since: u64,
    backlog: Backlog,
}

/// Subscribes a peer to the channels of its function and to those that it asks
/// for and may have, and answers it.
///
/// # Errors
///
/// When it cannot have a channel of its function.
pub(crate) fn greet(
    Greeting { spoken, connect }: Greeting<'_>,
    service: &Service,
    owner: &SocketOwner,
    session: Option<&Arc<sessions::Session>>,
    channels: Vec<ChannelName>,
) -> Result<(), SubscribeError> {
    let peer = Peer {
        connection: owner.connection(),
        session,
    };
    let limits = peer.connection.limits();
    let mut room = limits.message_bytes.min(limits.outbox_bytes) / 2;
    let mut joined = Vec::new();
    let asked = |channel: &ChannelName| {
        let mut asked = connect.subscriptions.iter();
        let asked = asked.find(|(name, _)| *name == channel.as_str());
        asked.and_then(|(_, since)| since.as_ref())
    };
    for channel in channels {
        let since = asked(&channel);
        let wish = (channel, since, false);
        subscribe(service, peer, wish, &mut room, &mut joined)?;
    }
    for (name, since) in &connect.subscriptions {
        let Ok(channel) = ChannelName::new(name) else {
            continue;
        };
        let found = service.alias.hub().terms(&channel);
        let right = (Right::Subscribe, Scope::Subscribe);
        let has_it = joined.iter().any(|it: &Joined| it.channel == channel);
        if !has_it && peer.may(right, &channel, &found, service) {
            // One that it cannot have is not in the answer, which says so.
            let wish = (channel, since.as_ref(), true);
            let _ = subscribe(service, peer, wish, &mut room, &mut joined);
        }
    }
    let id = peer.connection.id().to_string();
    let interval = limits.ping_interval;
    let ping_s = interval.as_secs() + u64::from(interval.subsec_nanos() > 0);
    let ttl_s = session.and_then(|session| ttl_s(session));
    let joined: Vec<_> = joined
        .iter()
        .map(|it| (it, forms::Joined::new(&it.backlog)))
        .collect();
    let views: Vec<_> = joined.iter().map(|(_, outcome)| outcome.views()).collect();
    let subscriptions = joined
        .iter()
        .zip(&views)
        .map(|((it, outcome), views)| HostSubscription {
            channel: it.channel.as_str(),
            since: it.since,
            outcome: outcome.outcome(views),
        });
    let subscriptions: Vec<_> = subscriptions.collect();
    let frame = spoken.connected(&Welcome {
        connection: &id,
        version: "",
        node: "",
        session: "",
        ping_s: u32::try_from(ping_s).unwrap_or(u32::MAX),
        pong: !limits.pong_timeout.is_zero(),
        ttl_s,
        data: None,
        subscriptions: &subscriptions,
        time_ms: now().0,
    });
    // The session has waited for nothing else.
    if let Some(frame) = frame {
        owner.push_first(Message::Text(frame));
    }
    Ok(())
}

fn subscribe(
    service: &Service,
    peer: Peer<'_>,
    (channel, since, is_asked): (ChannelName, Option<&Since>, bool),
    room: &mut usize,
    joined: &mut Vec<Joined>,
) -> Result<(), SubscribeError> {
    let hub = service.alias.hub();
    let space = hub.space(&channel);
    let dialect = peer.connection.facts().dialect;
    // The answer to all of them comes later, and before all else.
    let mut rest = |backlog: &Backlog| match dialect {
        Some(dialect) => forms::unannounced(dialect, backlog).collect(),
        None => Vec::new(),
    };
    // PushFlo's welcome has no channels.
    let is_told = dialect == Some(DialectName::Pushflo);
    let subscribing = Subscribing {
        since: since.map(|since| position(space, &channel, since)),
        backlog_bytes: Some(*room),
        answer: (!is_told).then_some(&mut rest),
        is_asked,
        ..Subscribing::default()
    };
    let mut wakeups = Wakeups::default();
    let backlog = hub.subscribe_with(peer.connection, &channel, subscribing, &mut wakeups)?;
    if let Some(backlog) = backlog {
        let bytes: usize = backlog.publications.iter().map(|it| it.data.bytes()).sum();
        *room = room.saturating_sub(bytes);
        joined.push(Joined {
            channel,
            since: since.map_or(0, |since| since.offset),
            backlog,
        });
    }
    Ok(())
}
