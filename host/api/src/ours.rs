//! Our own requests: `/v1/…`.

use std::sync::Arc;

use bytestring::ByteString;
use http::Method;
use openline_admission::keys::Key;
use openline_broker::channel::Publish;
use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::outcome::{Scope as Reach, Suppressed};
use openline_broker::publication::{Data, Publication as Kept};
use openline_broker::versions::Version;
use openline_channels::entry::Except;
use openline_channels::forms;
use openline_channels::reading::ChannelView;
use openline_channels::space::Publishing;
use openline_core::key::Scope;
use openline_core::message::Compress;
use openline_core::name::{ChannelName, ConnectionId};
use openline_dialects::rest::{
    self, ApiError, Body, ChannelSummary, HistoryPage, ListQuery, Publication, Publications,
    Published, Route, Stored,
};
use openline_dialects::{Answer, PresenceStats, Tags};

use crate::access::{Denied, Place};
use crate::body::BodyError;
use crate::publish::{Done, Fault, position, publish, tags};
use crate::{Call, Reply, connections, poll, stream};

/// Bytes of publications on one page.
pub(crate) const PAGE_BYTES: usize = 4 << 20;

/// Why a request fails.
#[derive(Debug)]
pub(crate) enum Failed {
    Fault(Fault),
    Error(ApiError),
    Body(BodyError),
    /// The path takes other methods.
    Method(&'static str),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Denied> for Failed {
    fn from(denied: Denied) -> Self {
        Self::Fault(Fault::Denied(denied))
    }
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl From<BodyError> for Failed {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl Failed {
    pub(crate) fn reply(self) -> Reply {
        match self {
            Self::Fault(fault) => match fault.wait_s() {
                Some(wait_s) => Reply::Later(fault.ours().answer(), wait_s),
                None => fault.ours().answer().into(),
            },
            Self::Error(error) => error.answer().into(),
            Self::Body(error) => match error {
                BodyError::Large => ApiError::TooLarge.answer().into(),
                BodyError::Full => Reply::Later(ApiError::Full.answer(), 1),
                BodyError::Broken => ApiError::Malformed("it has broken off".to_owned())
                    .answer()
                    .into(),
                BodyError::Late => Answer {
                    status: 408,
                    ..ApiError::Malformed("it does not arrive in time".to_owned()).answer()
                }
                .into(),
            },
            Self::Method(allowed) => Answer {
                status: 405,
                header: Some(("allow", allowed)),
                ..ApiError::NotFound("method here").answer()
            }
            .into(),
        }
    }
}

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
    let route = route.ok_or(ApiError::NotFound("path"))?;
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
    for publication in list {
        let channels = publication.channels.clone();
        let publishing = publishing(publication);
        for channel in channels {
            let done = match &publishing {
                Ok(publishing) => publish(place, key, &channel, publishing.clone()).await,
                Err(fault) => Err(fault.clone()),
            };
            outcomes.push((channel, done.map_err(|fault| fault.ours())));
        }
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
    let looking = move || list(&place, &key, after.as_ref(), limit + 1, &query.prefix);
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

/// Channels in the order of their names that a key may read. Looks at all names.
pub(crate) fn list(
    place: &Place,
    key: &Key,
    after: Option<&ChannelName>,
    limit: usize,
    prefix: &str,
) -> Vec<ChannelView> {
    let mut found = Vec::new();
    for (space, _) in place.spaces() {
        let is_wanted = |name: &ChannelName| {
            name.as_str().starts_with(prefix)
                && place
                    .space(key, Scope::Read, name)
                    .is_ok_and(|of| Arc::ptr_eq(&of, &space))
        };
        found.extend(space.channels(after, limit, is_wanted));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found.truncate(limit);
    found
}

/// Runs what looks at much on a thread that may wait.
pub(crate) async fn looked<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failed> {
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map_err(|_| ApiError::Internal.into())
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

/// Shows publications in the words of the dialects.
pub(crate) fn with_all<T>(publications: &[Kept], show: impl FnOnce(&[Stored<'_>]) -> T) -> T {
    let owned: Vec<_> = publications.iter().map(Owned::of).collect();
    let stored = publications.iter().zip(&owned);
    let stored: Vec<_> = stored
        .map(|(publication, owned)| owned.stored(publication))
        .collect();
    show(&stored)
}

/// What a view of a publication borrows beside the publication.
#[derive(Debug)]
pub(crate) struct Owned {
    position: Option<String>,
    id: String,
    sender: Option<String>,
    tags: OwnedTags,
}

/// Tags as the dialects see them.
#[derive(Debug)]
struct OwnedTags(Vec<(ByteString, ByteString)>);

impl Tags for OwnedTags {
    fn each(&self, show: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.0 {
            show(name, value);
        }
    }
}

impl Owned {
    pub(crate) fn of(publication: &Kept) -> Self {
        let id = forms::with_view(publication, |view| view.id.to_owned());
        Self {
            position: publication.position.map(|it| it.to_string()),
            id,
            sender: publication
                .sender
                .as_ref()
                .map(|it| it.connection.to_string()),
            tags: OwnedTags(publication.tags.as_slice().to_vec()),
        }
    }

    fn stored<'a>(&'a self, publication: &'a Kept) -> Stored<'a> {
        let sender = publication.sender.as_ref().zip(self.sender.as_deref());
        let view = openline_dialects::PublicationView {
            channel: publication.channel.as_str(),
            offset: publication.position.map_or(0, |it| it.offset),
            id: &self.id,
            event: publication.event.as_deref(),
            data: forms::data_view(&publication.data),
            tags: (!self.tags.0.is_empty()).then_some(&self.tags as &dyn Tags),
            sender: sender.map(|(sender, connection)| openline_dialects::MemberView {
                connection,
                user: sender.user.as_deref().unwrap_or_default(),
                connection_info: None,
                channel_info: None,
            }),
            time_ms: publication.time.0,
        };
        Stored {
            view,
            position: self.position.as_deref(),
        }
    }
}

fn presence(call: &Call<'_>, place: &Place, key: &Key, channel: &str) -> Result<Reply, Failed> {
    let (name, space) = place.channel(key, Scope::Read, channel)?;
    let query = ListQuery::of_query(call.query())?;
    let after = query.after.as_deref().map(|text| {
        let why = "is not a connection's id";
        ConnectionId::parse(text).ok_or(ApiError::Invalid { name: "after", why })
    });
    let limit = query.limit as usize;
    let none = ApiError::NotFound("presence in this channel");
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

/// A number of a count.
pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
