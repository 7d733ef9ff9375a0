//! Our own requests: `/v1/…`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytestring::ByteString;
use http::Method;
use openline_admission::keys::Key;
use openline_broker::channel::Publish;
use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::outcome::{Scope as Reach, Suppressed};
use openline_broker::publication::Data;
use openline_broker::versions::Version;
use openline_channels::entry::Except;
use openline_channels::space::Publishing;
use openline_core::key::Scope;
use openline_core::message::Compress;
use openline_core::name::{ChannelName, ConnectionId};
use openline_dialects::PresenceStats;
use openline_dialects::rest::{
    self, ApiError, Body, ChannelSummary, HistoryPage, ListQuery, Missing, Publication,
    Publications, Published, Route,
};

use crate::access::{Denied, Place};
use crate::failed::Failed;
use crate::publish::{Begun, Done, Fault, begin, position, tags};
use crate::reading::{PAGE_BYTES, count, list, looked, with_all};
use crate::{Call, Reply, connections, poll, stream};

/// Publications of one request that wait for the disk at a time, as of a
/// connection of a dialect.
const UNDER_WAY_MAX: usize = 64;

/// Answers a request.
pub(crate) async fn answer(mut call: Call<'_>) -> Reply {
    match Box::pin(answered(&mut call)).await {
        Ok(reply) => reply,
        Err(failed) => failed.reply(),
    }
}

async fn answered(call: &mut Call<'_>) -> Result<Reply, Failed> {
    let route = Route::of_path(call.path());
    let is_read = matches!(route, Some(Route::Events(_) | Route::Poll(_)));
    // Whoever has no key learns nothing about paths.
    let key = call.key(is_read)?;
    let route = route.ok_or(ApiError::NotFound(Missing::Path))?;
    check_method(&route, &call.parts.method)?;
    let place = call.place(&key)?;
    match route {
        Route::Publish => publish_all(call, &place, &key).await,
        Route::Channels => channels(call, place, key).await,
        Route::History(channel) => history(call, &place, &key, &channel),
        Route::Presence(channel) => presence(call, &place, &key, &channel),
        Route::Events(channel) => stream::answer(call, &place, key, &channel),
        Route::Poll(channel) => poll::answer(call, &place, key, &channel).await,
        Route::Connections => connections::list(call, key).await,
        Route::Connection(id) => connections::one(call, &key, &id),
        Route::Messages(id) => connections::send(call, &key, &id).await,
    }
}

fn check_method(route: &Route, method: &Method) -> Result<(), Failed> {
    let (fits, allowed) = match route {
        Route::Publish | Route::Messages(_) => (method == Method::POST, "POST"),
        Route::Connection(_) => (
            method == Method::GET || method == Method::DELETE,
            "GET, DELETE",
        ),
        _ => (method == Method::GET, "GET"),
    };
    fits.then_some(()).ok_or(Failed::Method(allowed))
}

async fn publish_all(call: &mut Call<'_>, place: &Place, key: &Key) -> Result<Reply, Failed> {
    // A key that may publish nowhere need not send its body.
    if !key.terms().scopes.has(Scope::Publish) {
        return Err(Denied::Scope.into());
    }
    let body = call.body().await?;
    let Publications { list, is_batch } = Publications::read(&body.bytes)?;
    let is_one = !is_batch && list.iter().all(|it| !it.is_broadcast);
    let mut outcomes: Vec<(String, Result<Done, ApiError>)> = Vec::new();
    // Those that wait for the disk wait together, or each would wait for a write
    // of its own.
    let mut under_way = VecDeque::new();
    for publication in list {
        let channels = publication.channels.clone();
        let publishing = publishing(publication);
        for channel in channels {
            let begun = match &publishing {
                Ok(publishing) => begin(place, key, &channel, publishing.clone()).await,
                Err(fault) => Err(fault.clone()),
            };
            under_way.push_back((channel, begun));
            if under_way.len() == UNDER_WAY_MAX
                && let Some(first) = under_way.pop_front()
            {
                outcomes.push(ended(first).await);
            }
        }
    }
    for each in under_way {
        outcomes.push(ended(each).await);
    }
    let positions: Vec<_> = outcomes
        .iter()
        .map(|(_, done)| done.as_ref().ok().and_then(Done::position))
        .collect();
    let mut views = outcomes
        .iter()
        .zip(&positions)
        .map(|((channel, done), position)| {
            let view = done
                .as_ref()
                .map(|done| published(done, position.as_deref()));
            (channel.as_str(), view)
        });
    if is_one && let Some((_, view)) = views.next() {
        return Ok(rest::published(view).into());
    }
    Ok(rest::batch(views).into())
}

/// What became of a publication of the batch.
async fn ended(
    (channel, begun): (String, Result<Begun, Fault>),
) -> (String, Result<Done, ApiError>) {
    let done = match begun {
        Ok(begun) => begun.end().await,
        Err(fault) => Err(fault),
    };
    (channel, done.map_err(|fault| fault.ours()))
}

fn published<'a>(done: &'a Done, position: Option<&'a str>) -> Published<'a> {
    Published {
        channel: done.channel.as_str(),
        id: &done.id,
        position,
        delivered: done.outcome.local,
        scope: match done.outcome.scope {
            Reach::Everywhere => rest::Scope::Everywhere,
            Reach::Local => rest::Scope::Local,
        },
        suppressed: done.outcome.suppressed.map(|why| match why {
            Suppressed::Repeated => rest::Suppressed::Repeated,
            Suppressed::Stale => rest::Suppressed::Stale,
        }),
    }
}

/// What our own request wants.
fn publishing(read: Publication) -> Result<Publishing, Fault> {
    let invalid = |why| Fault::Refused(openline_broker::outcome::PublishError::InvalidName(why));
    let remove = read.body.is_none();
    let data = match read.body {
        None => Data::Text(ByteString::new()),
        Some(Body::Json(bytes)) => crate::publish::json(bytes),
        Some(Body::Text(text)) => Data::Text(text.into()),
        Some(Body::Binary(bytes)) => Data::Binary(bytes),
    };
    let some = |text: Option<String>| text.map(ByteString::from);
    let version = read.version.map(|version| {
        let number = version.number.try_into();
        let number = number.map_err(|_| invalid("`version` is 0"))?;
        let epoch = version.epoch.into();
        Ok::<_, Fault>(Version { number, epoch })
    });
    let expected = read.expect.as_deref().map(|text| {
        let wrong = invalid("`expect` is not a position");
        let position = position(text).ok_or(wrong)?;
        Ok::<_, Fault>(match read.key {
            Some(_) => openline_broker::channel::Expected::Key(Some(position)),
            None => openline_broker::channel::Expected::Top(position),
        })
    });
    let request = Publish {
        event: some(read.event),
        key: some(read.key.clone()),
        remove,
        tags: tags(read.tags)?,
        idempotency_key: some(read.idempotency_key),
        version: version.transpose()?,
        expected: expected.transpose()?,
        ..Publish::new(data)
    };
    let skipped = read.skip_connection.as_deref().map(|text| {
        let wrong = invalid("`skip_connection` is not a connection's id");
        ConnectionId::parse(text).ok_or(wrong)
    });
    Ok(Publishing {
        request,
        compress: Compress::Configured,
        except: Except {
            connection: skipped.transpose()?,
            user: some(read.skip_user),
            queue: None,
        },
    })
}

async fn channels(call: &Call<'_>, place: Place, key: Arc<Key>) -> Result<Reply, Failed> {
    let query = ListQuery::of_query(call.query())?;
    let after = query.after.as_deref().map(|after| {
        let why = "is not a channel's name";
        ChannelName::new(after).map_err(|_| ApiError::Invalid { name: "after", why })
    });
    let after = after.transpose()?;
    let limit = query.limit as usize;
    let looking = move || {
        let fits = |name: &str| name.starts_with(&query.prefix);
        list(&place, &key, after.as_ref(), limit + 1, fits)
    };
    let mut found = looked(looking).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let positions: Vec<_> = found
        .iter()
        .map(|view| view.position.map(|it| it.to_string()))
        .collect();
    let rows = found
        .iter()
        .zip(&positions)
        .map(|(view, position)| ChannelSummary {
            channel: view.name.as_str(),
            subscribers: view.subscribers as u64,
            kept: view.kept as u64,
            position: position.as_deref(),
        });
    let next = found.last().filter(|_| more).map(|view| view.name.as_str());
    Ok(rest::channels(rows, next).into())
}

fn history(call: &Call<'_>, place: &Place, key: &Key, channel: &str) -> Result<Reply, Failed> {
    let (name, space) = place.channel(key, Scope::Read, channel)?;
    let asked = HistoryPage::of_query(call.query())?;
    let since = asked.since.as_deref().map(|text| {
        let why = "is not a position";
        position(text).ok_or(ApiError::Invalid { name: "since", why })
    });
    let query = PageQuery {
        since: since.transpose()?,
        reverse: asked.reverse,
    };
    let limit = PageLimit {
        count: asked.limit as usize,
        bytes: PAGE_BYTES,
    };
    let page = space.history(&name, query, limit);
    let page = page.map_err(|_| ApiError::Unrecoverable)?;
    let Some(page) = page else {
        return Ok(rest::history([], None).into());
    };
    let last = page.publications.last().and_then(|it| it.position);
    let end = last.unwrap_or(page.top).to_string();
    Ok(with_all(&page.publications, |stored| {
        rest::history(stored.iter().copied(), Some(&end)).into()
    }))
}

fn presence(call: &Call<'_>, place: &Place, key: &Key, channel: &str) -> Result<Reply, Failed> {
    let (name, space) = place.channel(key, Scope::Read, channel)?;
    let query = ListQuery::of_query(call.query())?;
    let after = query.after.as_deref().map(|text| {
        let why = "is not a connection's id";
        ConnectionId::parse(text).ok_or(ApiError::Invalid { name: "after", why })
    });
    let limit = query.limit as usize;
    let none = ApiError::NotFound(Missing::Presence);
    let members = space.members(&name, after.transpose()?, limit + 1);
    let mut members = members.ok_or(none)?;
    let counts = space.counts(&name).unwrap_or_default();
    let more = members.len() > limit;
    members.truncate(limit);
    let next = members.last().filter(|_| more);
    let next = next.map(|member| member.connection.to_string());
    let stats = PresenceStats {
        connections: count(counts.connections),
        users: count(counts.users),
    };
    Ok(connections::with_members(&members, |views| {
        rest::presence(stats, views.iter().copied(), next.as_deref()).into()
    }))
}
