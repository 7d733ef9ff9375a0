//! Long polling: one page of what came after a position, or a wait for it.
//!
//! A poll without a position answers the position of the channel, at once; the next
//! one waits. While it waits it is subscribed, and it reads the history again
//! afterwards, so nothing is lost between two polls as long as it is kept.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use openline_admission::keys::Key;
use openline_broker::log::{Page, PageLimit, PageQuery};
use openline_broker::position::Position;
use openline_channels::hub::Subscribing;
use openline_channels::space::Space;
use openline_channels::wakeups::Wakeups;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_dialects::rest::{self, ApiError, PollQuery};

use crate::access::Place;
use crate::failed::Failed;
use crate::publish::position;
use crate::reading::{PAGE_BYTES, with_all};
use crate::stream::{ended, reader, refused};
use crate::{Call, Reply};

/// `GET /v1/channels/{channel}/poll`.
pub(crate) async fn answer(
    call: &Call<'_>,
    place: &Place,
    key: Arc<Key>,
    channel: &str,
) -> Result<Reply, Failed> {
    let (name, space) = place.channel(&key, Scope::Subscribe, channel)?;
    let query = PollQuery::of_query(call.query())?;
    let why = "is not a position";
    let wrong = ApiError::Invalid { name: "since", why };
    let since = query.since.as_deref();
    let since = since.map(|text| position(text).ok_or(wrong)).transpose()?;
    let limit = query.limit as usize;
    let reply = read(&space, &name, since, limit)?;
    if let Some(reply) = reply {
        return Ok(reply);
    }
    let _slot = call.stream_place().ok_or(ApiError::Full)?;
    let mut reader = reader(call, place);
    let mut nothing = |_: &_| Vec::new();
    let subscribing = Subscribing {
        answer: Some(&mut nothing),
        ..Subscribing::default()
    };
    let connection = reader.connection();
    let subscribed = space.subscribe_with(connection, &name, subscribing, &mut Wakeups::default());
    subscribed.map_err(refused)?;
    // What came before it was subscribed.
    let reply = read(&space, &name, since, limit)?;
    if let Some(reply) = reply {
        return Ok(reply);
    }
    let came = poll_fn(|cx| reader.poll_next(cx));
    let (over, wait) = (
        ended(key, place.clone(), name.clone(), Arc::clone(&space), call),
        tokio::time::sleep(Duration::from_secs(query.wait_s.into())),
    );
    tokio::select! {
        _ = came => {}
        () = over => {}
        () = wait => {}
    }
    let reply = read(&space, &name, since, limit)?;
    if let Some(reply) = reply {
        return Ok(reply);
    }
    let since = since.map(|it| it.to_string());
    Ok(rest::polled([], since.as_deref(), true).into())
}

/// What there is after a position; none if the poll is to wait.
fn read(
    space: &Arc<Space>,
    name: &ChannelName,
    since: Option<Position>,
    limit: usize,
) -> Result<Option<Reply>, Failed> {
    let query = PageQuery {
        since,
        reverse: since.is_none(),
    };
    let count = if since.is_none() { 1 } else { limit };
    let bytes = PAGE_BYTES;
    let page = match space.history(name, query, PageLimit { count, bytes }) {
        Err(lost) => {
            let top = lost.top.to_string();
            return Ok(Some(rest::polled([], Some(&top), false).into()));
        }
        Ok(None) => {
            return Err(ApiError::Invalid {
                name: "channel",
                why: "keeps no history, so that polls would lose publications; subscribe to its events",
            }
            .into());
        }
        Ok(Some(page)) => page,
    };
    let Page {
        publications, top, ..
    } = page;
    if since.is_none() {
        let top = top.to_string();
        return Ok(Some(rest::polled([], Some(&top), true).into()));
    }
    if page.has_gap {
        let top = top.to_string();
        return Ok(Some(rest::polled([], Some(&top), false).into()));
    }
    let Some(last) = publications.last() else {
        return Ok(None);
    };
    let last = last.position.unwrap_or(top).to_string();
    Ok(Some(with_all(&publications, |stored| {
        rest::polled(stored.iter().copied(), Some(&last), true).into()
    })))
}
