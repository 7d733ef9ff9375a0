//! Centrifugo's server API: `POST /api/METHOD`.
//!
//! `skip_history` is ignored: the terms of a channel say what it keeps.

use std::sync::Arc;

use http::Method;
use openline_admission::keys::Key;
use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::position::{Epoch, Position};
use openline_broker::publication::Data;
use openline_broker::versions::Version;
use openline_channels::reading::MEMBERS_MAX;
use openline_channels::wakeups::Wakeups;
use openline_core::close::CloseInfo;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_dialects::centrifugo::server::{
    self, Data as Body, History, NodeView, Publish, Request, RequestError, Who,
};
use openline_dialects::{Answer, HistoryLimit, PositionView, PresenceStats, Refusal};

use crate::access::{Denied, Place};
use crate::body::BodyError;
use crate::connections::{Found, close, of_user, with_members};
use crate::publish::{Fault, json, of_data, publish, tags};
use crate::reading::{PAGE_BYTES, count, list, looked, with_all};
use crate::{Call, Reply};

/// Publications of one answer.
const PAGE_MAX: usize = 1_000;

/// Channels of one answer.
const CHANNELS_MAX: usize = 10_000;

/// Answers a request.
pub(crate) async fn answer(mut call: Call<'_>) -> Reply {
    match Box::pin(answered(&mut call)).await {
        Ok(answer) => answer.into(),
        Err(reply) => reply,
    }
}

impl From<Denied> for Reply {
    fn from(denied: Denied) -> Self {
        Fault::Denied(denied).into()
    }
}

impl From<Fault> for Reply {
    /// A request without a good key gets no answer of the API, as at Centrifugo.
    fn from(fault: Fault) -> Self {
        let refused = server::refused(&fault.refusal());
        let status = match &fault {
            Fault::Denied(Denied::Missing | Denied::Invalid) => 401,
            Fault::Denied(Denied::Scope) => 403,
            Fault::Denied(Denied::Rate(_)) => 429,
            _ => 200,
        };
        let answer = Answer { status, ..refused };
        match fault.wait_s() {
            Some(wait_s) => Self::Later(answer, wait_s),
            None => answer.into(),
        }
    }
}

impl From<RequestError> for Reply {
    fn from(error: RequestError) -> Self {
        error.answer().into()
    }
}

async fn answered(call: &mut Call<'_>) -> Result<Answer, Reply> {
    let key = call.key(false)?;
    if call.parts.method != Method::POST {
        return Ok(Answer {
            status: 405,
            header: Some(("allow", "POST")),
            ..server::refused(&Refusal::BadRequest)
        });
    }
    let place = call.place(&key)?;
    let body = call.body().await;
    let body = body.map_err(|error| {
        let status = match error {
            BodyError::Large => 413,
            BodyError::Full => 503,
            BodyError::Broken => 400,
            BodyError::Late => 408,
        };
        Reply::from(Answer {
            status,
            ..server::refused(&Refusal::BadRequest)
        })
    })?;
    let method = call.path().strip_prefix("/api/").unwrap_or_default();
    let method = method.strip_suffix('/').unwrap_or(method);
    let request = Request::read(method, &body.bytes)?;
    match request {
        Request::Publish(wanted) => published(&place, &key, wanted).await,
        Request::Subscribe(channel, who) => {
            let (name, _) = place.channel(&key, Scope::Manage, &channel)?;
            each(call, &key, who, move |found| subscribe(found, &name)).await
        }
        Request::Unsubscribe(channel, who) => {
            let (name, _) = place.channel(&key, Scope::Manage, &channel)?;
            each(call, &key, who, move |found| unsubscribe(found, &name)).await
        }
        Request::Disconnect(who, code, reason) => {
            let info = CloseInfo::checked(code, reason);
            let info = info.map_err(|_| RequestError::BadRequest)?;
            each(call, &key, who, move |(_, connection)| {
                close(connection, info.clone());
            })
            .await
        }
        Request::Presence(channel) => presence(&place, &key, &channel),
        Request::PresenceStats(channel) => {
            let (name, space) = place.channel(&key, Scope::Read, &channel)?;
            let counts = space.counts(&name);
            Ok(counts.map_or_else(
                || server::refused(&Refusal::NotAvailable),
                |counts| {
                    server::presence_stats(PresenceStats {
                        connections: count(counts.connections),
                        users: count(counts.users),
                    })
                },
            ))
        }
        Request::History(asked) => history(&place, &key, &asked),
        Request::RemoveHistory(channel) => {
            let (name, space) = place.channel(&key, Scope::Manage, &channel)?;
            space.clear(&name);
            Ok(server::done())
        }
        Request::Channels(pattern) => channels(place, key, pattern).await,
        Request::Info => info(call, &place, &key),
    }
}

async fn published(place: &Place, key: &Key, wanted: Publish) -> Result<Answer, Reply> {
    let data = match wanted.data {
        Body::Json(bytes) => json(bytes),
        Body::Binary(bytes) => Data::Binary(bytes),
    };
    let mut publishing = of_data(data);
    publishing.request.tags = tags(wanted.tags)?;
    publishing.request.idempotency_key = wanted.idempotency_key.map(Into::into);
    publishing.request.version = std::num::NonZeroU64::new(wanted.version).map(|number| Version {
        number,
        epoch: wanted.version_epoch.into(),
    });
    let mut outcomes = Vec::new();
    for channel in &wanted.channels {
        let done = publish(place, key, channel, publishing.clone()).await;
        outcomes.push(done.map(|done| done.outcome.position));
    }
    if !wanted.is_broadcast
        && let Some(outcome) = outcomes.pop()
    {
        let position = outcome?;
        let epoch = position.map(|it| it.epoch.to_string()).unwrap_or_default();
        let view = position.map(|it| PositionView {
            epoch: &epoch,
            offset: it.offset,
        });
        return Ok(server::published(view));
    }
    let texts: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| {
            let outcome = outcome.map_err(|fault| fault.refusal())?;
            Ok::<_, Refusal>(outcome.map(|it| (it.epoch.to_string(), it.offset)))
        })
        .collect();
    let views = texts.iter().map(|outcome| {
        let position = outcome.as_ref()?.as_ref();
        Ok(position.map(|(epoch, offset)| PositionView {
            epoch,
            offset: *offset,
        }))
    });
    Ok(server::broadcast(views))
}

/// Does something with each connection that is meant, on a thread that may wait.
async fn each(
    call: &Call<'_>,
    key: &Arc<Key>,
    who: Who,
    act: impl Fn(&Found) + Send + 'static,
) -> Result<Answer, Reply> {
    let one = match &who.connection {
        None => None,
        Some(id) => Some(call.api.connection(key, Scope::Manage, id)?),
    };
    let functions = call.api.functions(key, Scope::Manage);
    if functions.is_empty() {
        return Err(Denied::Scope.into());
    }
    let acting = move || {
        let found = match one {
            Some(found) => found.into_iter().collect(),
            None => of_user(&functions, &who.user),
        };
        let is_theirs = |(_, connection): &&Found| {
            let user = connection.facts().user.as_deref().unwrap_or_default();
            who.user.is_empty() || user == who.user
        };
        found.iter().filter(is_theirs).for_each(act);
    };
    let acted = looked(acting).await;
    acted.map_err(|_| server::refused(&Refusal::Internal))?;
    Ok(server::done())
}

/// Its peer gets what other new subscribers get: a current value as well.
fn subscribe((function, connection): &Found, name: &ChannelName) {
    let hub = function.hub();
    let subscribed = hub.subscribe(connection, name, &mut Wakeups::default());
    if let Err(error) = subscribed {
        tracing::debug!(connection = %connection.id(), ?name, ?error, "a connection was not subscribed from outside");
    }
}

fn unsubscribe((function, connection): &Found, name: &ChannelName) {
    function
        .hub()
        .dismiss(connection, name, &mut Wakeups::default());
}

fn presence(place: &Place, key: &Key, channel: &str) -> Result<Answer, Reply> {
    let (name, space) = place.channel(key, Scope::Read, channel)?;
    let Some(members) = space.members(&name, None, MEMBERS_MAX + 1) else {
        return Ok(server::refused(&Refusal::NotAvailable));
    };
    if members.len() > MEMBERS_MAX {
        return Ok(server::refused(&Refusal::LimitExceeded));
    }
    Ok(with_members(&members, |views| {
        server::presence(views.iter().copied())
    }))
}

fn history(place: &Place, key: &Key, asked: &History) -> Result<Answer, Reply> {
    let (name, space) = place.channel(key, Scope::Read, &asked.channel)?;
    let lost = || Ok(server::refused(&Refusal::Unrecoverable));
    let since = match &asked.since {
        None => None,
        // Without an epoch, of whichever the channel has.
        Some((offset, epoch)) if epoch.is_empty() => {
            let here = space.view(&name).and_then(|view| view.position);
            here.map(|here| Position::new(here.epoch, *offset))
        }
        Some((offset, epoch)) => match epoch.parse::<Epoch>() {
            Ok(epoch) => Some(Position::new(epoch, *offset)),
            Err(_) => return lost(),
        },
    };
    let (is_asked, most) = match asked.limit {
        HistoryLimit::Position => (false, 1),
        HistoryLimit::AtMost(most) => (true, (most as usize).min(PAGE_MAX)),
        HistoryLimit::All => (true, PAGE_MAX),
    };
    let query = PageQuery {
        since: since.filter(|_| is_asked),
        reverse: asked.reverse,
    };
    let limit = PageLimit {
        count: most,
        bytes: PAGE_BYTES,
    };
    let page = match space.history(&name, query, limit) {
        Err(_) => return lost(),
        Ok(None) => return Ok(server::refused(&Refusal::NotAvailable)),
        Ok(Some(page)) => page,
    };
    let epoch = page.top.epoch.to_string();
    let end = PositionView {
        epoch: &epoch,
        offset: page.top.offset,
    };
    let shown = if is_asked {
        &page.publications[..]
    } else {
        &[]
    };
    Ok(with_all(shown, |stored| {
        server::history(end, stored.iter().map(|stored| stored.view))
    }))
}

async fn channels(place: Place, key: Arc<Key>, pattern: String) -> Result<Answer, Reply> {
    // A pattern of Centrifugo's: `*` is any text.
    let looking = move || {
        let fits = |name: &str| pattern.is_empty() || matches(&pattern, name);
        let found = list(&place, &key, None, CHANNELS_MAX, fits);
        let found = found.into_iter().filter(|view| view.subscribers > 0);
        found
            .map(|view| (view.name.as_str().to_owned(), count(view.subscribers)))
            .collect::<Vec<_>>()
    };
    let found = looked(looking).await;
    let found = found.map_err(|_| server::refused(&Refusal::Internal))?;
    let rows = found
        .iter()
        .map(|(name, clients)| (name.as_str(), *clients));
    Ok(server::channels(rows))
}

/// Whether a name fits a pattern in which `*` is any text, in a time that grows
/// with both.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn info(call: &Call<'_>, place: &Place, key: &Key) -> Result<Answer, Reply> {
    let functions = call.api.functions(key, Scope::Read);
    if functions.is_empty() {
        return Err(Denied::Scope.into());
    }
    let connections = functions.iter().map(|it| it.hub().connections()).sum();
    let channels = place.spaces().iter().map(|(space, _)| space.count()).sum();
    let view = NodeView {
        id: "openline",
        name: "openline",
        version: env!("CARGO_PKG_VERSION"),
        stats: PresenceStats {
            connections: count(connections),
            users: 0,
        },
        channels: count(channels),
        subscriptions: 0,
        uptime_s: uptime_s(),
    };
    Ok(server::info([view]))
}

/// For how long the process has answered, in seconds.
fn uptime_s() -> u32 {
    let seconds = openline_admission::authenticate::steady().as_secs();
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name) in [
            ("a*", "a"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "abc"),
            ("*", ""),
            ("a*b*c", "a-b-c"),
            ("abc", "abc"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a*", "b"),
            ("*c", "ab"),
            ("a*bc*d", "abd"),
            ("abc", "abcd"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
