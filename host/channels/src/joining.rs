//! How a connection becomes a subscriber: what it gets before anything new, and
//! what the others are told.

use std::sync::Arc;

use openline_broker::channel::{Backlog, Subscribe};
use openline_broker::log::PageLimit;
use openline_broker::moment::Moment;
use openline_broker::presence::Member;
use openline_core::event::SendOutcome;
use openline_core::message::{Compress, Message};
use openline_core::name::ChannelName;

use crate::connection::Connection;
use crate::entry::{self, State, Wishes};
use crate::forms;
use crate::shared::SharedMessage;
use crate::subscribing::{Answer, SubscribeError, Subscribing};
use crate::wakeups::Wakeups;

/// Makes a connection a subscriber: reads what it missed, puts that into its
/// outbox, and tells the others, all before anything new.
pub(crate) fn join(
    name: &ChannelName,
    state: &mut State,
    (connection, subscribing): (&Arc<Connection>, Subscribing<'_>),
    now: Moment,
    wakeups: &mut Wakeups,
) -> Result<Backlog, SubscribeError> {
    let terms = Arc::clone(&state.terms);
    let mut backlog = Backlog::default();
    if terms.has_positions() {
        let limits = connection.limits();
        let filter = subscribing.filter.as_ref();
        let since = subscribing.since.or_else(|| {
            let all = subscribing.since_any;
            let top = state.channel(name, now).position()?;
            let own = all.iter().find(|it| it.epoch == top.epoch);
            // One of another channel, or of another life of this one, recovers nothing.
            own.or(all.first()).copied()
        });
        let wish = Subscribe {
            since,
            limit: PageLimit {
                count: usize::MAX,
                // All of it may have to be one message.
                bytes: (limits.message_bytes.min(limits.outbox_bytes) / 2)
                    .min(subscribing.backlog_bytes.unwrap_or(usize::MAX)),
            },
            otherwise: subscribing.otherwise,
            filter: filter.map(|filter| (filter, connection.id())),
        };
        backlog = state.channel(name, now).subscribe(&wish, now);
    }
    if subscribing.all_or_nothing && subscribing.since.is_some() && backlog.recovered != Some(true)
    {
        return Err(SubscribeError::Unrecoverable);
    }
    let mut event = None;
    if terms.presence && !subscribing.is_unseen {
        let member = Member {
            connection: connection.id(),
            user: connection.facts().user.clone(),
            info: subscribing.info,
            node: None,
        };
        let joined = state.channel(name, now).join(member, now);
        event = joined.map_err(|_| SubscribeError::Crowded)?;
    }
    if let Some(lost) = greet(name, connection, &mut backlog, subscribing.answer, wakeups) {
        backlog = lost;
    }
    let wishes = Wishes {
        filter: subscribing.filter,
        join_leave: subscribing.join_leave,
        is_unseen: subscribing.is_unseen,
    };
    state.insert(connection, wishes);
    if let Some(event) = event {
        entry::tell(&state.subscribers, name, &event, wakeups);
    }
    Ok(backlog)
}

/// Puts what a subscriber gets first into its outbox. If that does not take it,
/// the subscriber is told that it has missed something, and the backlog that it
/// has instead is answered.
fn greet(
    name: &ChannelName,
    connection: &Arc<Connection>,
    backlog: &mut Backlog,
    answer: Option<Answer<'_>>,
    wakeups: &mut Wakeups,
) -> Option<Backlog> {
    let put = |messages: Vec<Message>, wakeups: &mut Wakeups| {
        let mut all = true;
        for message in messages {
            all &= !matches!(connection.push_frame(message), SendOutcome::Dropped);
            wakeups.add(connection);
        }
        all
    };
    let Some(answer) = answer else {
        if let Some(named) = connection.facts().dialect
            && let Some(dialect) = forms::spoken(named)
        {
            let frames = forms::greeting(named, backlog, |outcome| {
                dialect.subscribed(name.as_str(), outcome)
            });
            put(frames, wakeups);
            return None;
        }
        let messages = backlog.publications.iter().map(|it| {
            let message = forms::publication(connection.facts().dialect, it);
            match backlog.position {
                Some(_) => SharedMessage::counted(message, Compress::Configured),
                None => SharedMessage::new(message),
            }
        });
        let messages: Vec<_> = messages.collect();
        if messages.is_empty() {
            return None;
        }
        let is_put = connection.push_all(messages);
        wakeups.add(connection);
        return (!is_put).then(|| lost(backlog));
    };
    if put(answer(backlog), wakeups) || backlog.publications.is_empty() {
        return None;
    }
    let lost = lost(backlog);
    put(answer(&lost), wakeups);
    Some(lost)
}

/// What a subscriber has instead of a backlog that it did not get: nothing, and it
/// is told so, even if it is new.
fn lost(backlog: &Backlog) -> Backlog {
    Backlog {
        position: backlog.position,
        recovered: Some(false),
        ..Backlog::default()
    }
}
