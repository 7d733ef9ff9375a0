//! Requests of PushFlo's server SDK, and of those that publish with `fetch`.
//!
//! Channels need not be made here: a channel is there while it has subscribers or
//! something to remember. What management adds (a name for people, a description,
//! metadata) is kept in memory, of [`MANAGED_MAX`] channels, and is gone with the
//! process. Who may subscribe, keys and the configuration say: `isPrivate` is
//! kept and has no effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use openline_admission::keys::Key;
use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::publication::Publication;
use openline_channels::space::Space;
use openline_channels::time::now;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_dialects::pushflo::is_slug;
use openline_dialects::pushflo::rest::{
    self, ChannelChange, ChannelView, HistoryQuery, Page, Publish, PublishedView, RequestError,
    Resource,
};
use openline_dialects::{Answer, Refusal};

use crate::access::{Denied, Place};
use crate::body::BodyError;
use crate::publish::{Fault, json, of_data, publish};
use crate::reading::{list, looked, with_all};
use crate::{Call, Reply};

/// Channels with facts for people, of all functions. With a description and
/// metadata of the largest size they take 9 MiB.
pub(crate) const MANAGED_MAX: usize = 1024;

/// Publications of one channel that a history is a page of.
const HISTORY_MAX: usize = 10_000;

/// Bytes of them.
const HISTORY_BYTES_MAX: usize = 16 << 20;

/// Live channels that a list is a page of.
const LISTED_MAX: usize = 10_000;

/// The channels with facts for people, by the function and the slug.
#[derive(Debug, Default)]
pub(crate) struct Managed(BTreeMap<(String, String), Facts>);

/// What people know of a channel.
#[derive(Clone, Debug, Default)]
struct Facts {
    name: Option<String>,
    description: Option<String>,
    is_private: bool,
    metadata: Option<String>,
    created_ms: u64,
    updated_ms: u64,
}

/// Why a request fails.
enum Failed {
    Fault(Fault),
    Request(RequestError),
    Body(BodyError),
    Refusal(Refusal),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Denied> for Failed {
    fn from(denied: Denied) -> Self {
        Self::Fault(denied.into())
    }
}

impl From<RequestError> for Failed {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl Failed {
    fn reply(self) -> Reply {
        match self {
            Self::Fault(fault) => {
                let answer = rest::refused(&fault.refusal());
                match fault.wait_s() {
                    Some(wait_s) => Reply::Later(answer, wait_s),
                    None => answer.into(),
                }
            }
            Self::Request(error) => error.answer().into(),
            Self::Refusal(refusal) => rest::refused(&refusal).into(),
            Self::Body(error) => {
                let answer = rest::refused(&Refusal::BadRequest);
                let status = match error {
                    BodyError::Large => 413,
                    BodyError::Full => 503,
                    BodyError::Broken => 400,
                    BodyError::Late => 408,
                };
                Answer { status, ..answer }.into()
            }
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
    let key = call.key(false)?;
    let resource = Resource::of_path(call.path());
    let resource = resource.ok_or(Failed::Refusal(Refusal::MethodNotFound))?;
    let place = call.place(&key)?;
    let method = call.parts.method.clone();
    match (resource, method) {
        (Resource::Publish, Method::POST) => published(call, &place, &key, None).await,
        (Resource::Messages(slug), Method::POST) => {
            published(call, &place, &key, Some(&slug)).await
        }
        (Resource::Messages(slug), Method::GET) => history(call, &place, &key, &slug).await,
        (Resource::Channels, Method::GET) => channels(call, place, key).await,
        (Resource::Channels, Method::POST) => change(call, &place, &key, None).await,
        (Resource::Channel(slug), Method::GET) => one(call, &place, &key, &slug),
        (Resource::Channel(slug), Method::PATCH) => change(call, &place, &key, Some(slug)).await,
        (Resource::Channel(slug), Method::DELETE) => remove(call, &place, &key, &slug),
        _ => {
            let answer = rest::refused(&Refusal::MethodNotFound);
            Ok(Answer {
                status: 405,
                ..answer
            }
            .into())
        }
    }
}

async fn body(call: &mut Call<'_>) -> Result<crate::body::Held, Failed> {
    call.body().await.map_err(Failed::Body)
}

async fn published(
    call: &mut Call<'_>,
    place: &Place,
    key: &Key,
    slug: Option<&str>,
) -> Result<Reply, Failed> {
    let body = body(call).await?;
    let read = Publish::read(&body.bytes, slug)?;
    let mut publishing = of_data(json(read.data));
    publishing.request.event = read.event.clone().map(Into::into);
    let done = publish(place, key, &read.channel, publishing).await?;
    let name = key.name().to_string();
    let view = PublishedView {
        id: &done.id,
        channel: done.channel.as_str(),
        event: read.event.as_deref(),
        client: &name,
        delivered: done.outcome.local,
        time_ms: now().0,
    };
    Ok(view.answer().into())
}

async fn history(call: &Call<'_>, place: &Place, key: &Key, slug: &str) -> Result<Reply, Failed> {
    let (name, space) = place.channel(key, Scope::Read, slug)?;
    let query = HistoryQuery::of_query(call.query())?;
    let asked = query.clone();
    let looking = move || kept(&space, &name, &asked);
    let found = looked(looking).await;
    let found = found.map_err(|_| Failed::Refusal(Refusal::Internal))?;
    let total = found.len() as u64;
    let size = query.page.size as usize;
    let skipped = (query.page.number as usize - 1).saturating_mul(size);
    let page: Vec<_> = found.into_iter().skip(skipped).take(size).collect();
    Ok(with_all(&page, |stored| {
        let views = stored.iter().map(|stored| stored.view);
        rest::history(query.page, total, views).into()
    }))
}

/// The publications that a query means, the newest first.
fn kept(space: &Arc<Space>, name: &ChannelName, query: &HistoryQuery) -> Vec<Publication> {
    let all = PageQuery {
        since: None,
        reverse: true,
    };
    let limit = PageLimit {
        count: HISTORY_MAX,
        bytes: HISTORY_BYTES_MAX,
    };
    let page = space.history(name, all, limit).ok().flatten();
    let mut found = page.map_or_else(Vec::new, |page| page.publications);
    found.retain(|publication| {
        let event = publication.event.as_deref().unwrap_or("message");
        let time = publication.time.0;
        query.event.as_deref().is_none_or(|asked| asked == event)
            && query.after_ms.is_none_or(|after| time > after)
            && query.before_ms.is_none_or(|before| time < before)
    });
    found
}

/// The name of a function, as facts have it.
fn owner(place: &Place) -> String {
    let name = place.function.as_ref().map(|it| it.name().to_string());
    name.unwrap_or_default()
}

async fn channels(call: &Call<'_>, place: Place, key: Arc<Key>) -> Result<Reply, Failed> {
    let page = Page::of_query(call.query())?;
    let owner = owner(&place);
    let managed: Vec<_> = {
        let managed = call.api.managed.lock();
        let own = managed.0.iter().filter(|((of, _), _)| *of == owner);
        own.map(|((_, slug), facts)| (slug.clone(), facts.clone()))
            .collect()
    };
    let looking = move || {
        let live = list(&place, &key, None, LISTED_MAX, is_slug).into_iter();
        let mut all: BTreeMap<String, (Facts, u64)> = live
            .map(|view| {
                let slug = view.name.as_str().to_owned();
                (slug, (Facts::default(), view.kept as u64))
            })
            .collect();
        for (slug, facts) in managed {
            if place.channel(&key, Scope::Read, &slug).is_ok() {
                all.entry(slug).or_default().0 = facts;
            }
        }
        all
    };
    let all = looked(looking).await;
    let all = all.map_err(|_| Failed::Refusal(Refusal::Internal))?;
    let size = page.size as usize;
    let skipped = (page.number as usize - 1).saturating_mul(size);
    let views = all
        .iter()
        .skip(skipped)
        .take(size)
        .map(|(slug, (facts, kept))| view(slug, facts, *kept));
    Ok(rest::channels(page, all.len() as u64, views).into())
}

fn view<'a>(slug: &'a str, facts: &'a Facts, kept: u64) -> ChannelView<'a> {
    ChannelView {
        slug,
        name: facts.name.as_deref().unwrap_or(slug),
        description: facts.description.as_deref(),
        is_private: facts.is_private,
        metadata: facts.metadata.as_deref(),
        messages: kept,
        created_ms: facts.created_ms,
        updated_ms: facts.updated_ms,
    }
}

fn one(call: &Call<'_>, place: &Place, key: &Key, slug: &str) -> Result<Reply, Failed> {
    let (name, space) = place.channel(key, Scope::Read, slug)?;
    let live = space.view(&name);
    let managed = call.api.managed.lock();
    let facts = managed.0.get(&(owner(place), slug.to_owned())).cloned();
    drop(managed);
    if live.is_none() && facts.is_none() {
        return Err(Failed::Refusal(Refusal::UnknownChannel));
    }
    let kept = live.map_or(0, |live| live.kept as u64);
    Ok(view(slug, &facts.unwrap_or_default(), kept)
        .answer(false)
        .into())
}

async fn change(
    call: &mut Call<'_>,
    place: &Place,
    key: &Key,
    slug: Option<String>,
) -> Result<Reply, Failed> {
    if !key.terms().scopes.has(Scope::Manage) {
        return Err(Denied::Scope.into());
    }
    let body = body(call).await?;
    let makes = slug.is_none();
    let change = ChannelChange::read(&body.bytes, makes)?;
    let slug = slug.or(change.slug).ok_or(RequestError::Part("slug"))?;
    if !is_slug(&slug) {
        return Err(RequestError::Part("slug").into());
    }
    let (name, space) = place.channel(key, Scope::Manage, &slug)?;
    let kept = space.view(&name).map(|it| it.kept as u64);
    let place = (owner(place), slug.clone());
    let mut managed = call.api.managed.lock();
    let known = managed.0.get(&place).cloned();
    match (&known, makes) {
        (Some(_), true) => return Err(Failed::Refusal(Refusal::AlreadySubscribed)),
        (None, false) if kept.is_none() => {
            return Err(Failed::Refusal(Refusal::UnknownChannel));
        }
        (None, _) if managed.0.len() >= MANAGED_MAX => {
            return Err(Failed::Refusal(Refusal::LimitExceeded));
        }
        _ => {}
    }
    let mut facts = known.unwrap_or_default();
    let now = now().0;
    if facts.created_ms == 0 {
        facts.created_ms = now;
    }
    facts.updated_ms = now;
    facts.name = change.name.or(facts.name);
    facts.description = change.description.unwrap_or(facts.description);
    facts.is_private = change.is_private.unwrap_or(facts.is_private);
    facts.metadata = change.metadata.unwrap_or(facts.metadata);
    managed.0.insert(place, facts.clone());
    drop(managed);
    Ok(view(&slug, &facts, kept.unwrap_or(0)).answer(makes).into())
}

fn remove(call: &Call<'_>, place: &Place, key: &Key, slug: &str) -> Result<Reply, Failed> {
    let (name, space) = place.channel(key, Scope::Manage, slug)?;
    let cleared = space.clear(&name);
    let mut managed = call.api.managed.lock();
    let known = managed.0.remove(&(owner(place), slug.to_owned()));
    match cleared || known.is_some() {
        true => Ok(rest::deleted().into()),
        false => Err(Failed::Refusal(Refusal::UnknownChannel)),
    }
}
