//! Answers that functions hold: the peer of a request stays, as a connection of the
//! function like any other, without a WebSocket and without an instance.
//!
//! [`hold`] makes the connection of the head and the first bytes of a function's
//! answer ([`headers`] has what it asks for), and [`line`] is its task. What the task
//! writes goes through hyper's body ([`slot`]), or straight to the socket, which
//! hyper gives back ([`loan`]). [`poll`] waits within the request.
//!
//! Bounded like WebSockets: by the places of the ledgers, the limits of the function,
//! and its outbox. The first bytes are bounded by [`HELD_FIRST_BYTES_MAX`].

pub(crate) mod direct;
pub(crate) mod headers;
mod ids;
mod line;
pub(crate) mod loan;
mod outlet;
mod poll;
pub(crate) mod slot;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING};
use http::request::Parts as Request;
use http::response::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use openline_admission::admit::Places;
use openline_admission::services::Service;
use openline_admission::sessions::Session;
use openline_authentication::Identity;
use openline_broker::channel::Backlog;
use openline_broker::position::Position;
use openline_channels::connection::{Connection, Facts, SocketOwner};
use openline_channels::forms;
use openline_channels::hub::Subscribing;
use openline_channels::wakeups::Wakeups;
use openline_core::dialect::DialectName;
use openline_core::event::RouteParams;
use openline_core::kind::ConnectionKind;
use openline_core::limits::HELD_FIRST_BYTES_MAX;
use openline_core::message::Message;
use openline_core::name::{AliasName, ChannelName};
use openline_core::tls::TlsFacts;
use openline_dialects::sse;
use openline_engine::alias::{Split, Unseated};
use openline_engine::binding::Binding;

use crate::answer_body::{AnswerBody, Held};
use crate::connection::clock::Clock;
use crate::connection::ending::Ending;
use crate::connection::rest::Rest;
use crate::gateway::{Gateway, Place};
use crate::held::headers::Hold;
use crate::held::ids::Ids;
use crate::held::line::{Line, RETRY_MS};
use crate::held::outlet::Outlet;
use crate::held::slot::{HeldBody, Slot};
use crate::request_id::{Asked, RequestId};
use crate::rescue::Refusal;
use crate::upgrade::joined::Joined;
use crate::upgrade::{Shown, session, subject, unattached, unsubscribed};

/// Who sends a request whose answer may be held.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) id: RequestId,
    peer: Box<str>,
    tls: Option<Arc<TlsFacts>>,
    params: RouteParams,
    identity: Option<Identity>,
    /// Where the peer was, if it says so in the words of the host.
    since: Vec<Position>,
}

/// An answer that is to be held, and its request.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) service: Arc<Service>,
    pub(crate) caller: Caller,
    /// Its places in the ledgers.
    pub(crate) places: Places,
    /// Its place among the requests.
    pub(crate) place: Place,
    /// Where its function has served it, and the split that led there.
    pub(crate) served: (Unseated, Arc<Split>),
    /// What the function asks for.
    pub(crate) hold: Hold,
    /// The head of its answer, without the headers that say so.
    pub(crate) head: Parts,
    /// All that it has written.
    pub(crate) first: Bytes,
    /// The peer wants the head alone.
    pub(crate) is_head: bool,
}

/// What a connection is made of, and what its peer gets first.
struct Made {
    joined: Joined,
    binding: Binding,
    session: Option<Arc<Session>>,
    greeting: Bytes,
    ids: Ids,
}

impl Caller {
    /// Who sends a request with these parameters of the route.
    pub(crate) fn of(asked: &Asked<'_>, params: RouteParams, identity: Option<Identity>) -> Self {
        Self {
            id: asked.id,
            peer: asked.peer.to_string().into(),
            tls: asked.peer.tls().cloned(),
            params,
            identity,
            since: since(asked.parts),
        }
    }

    /// The facts of a connection; as whom the peer is authenticated, and where it was.
    fn facts(
        self,
        alias: AliasName,
        kind: ConnectionKind,
    ) -> (Facts, Option<Identity>, Vec<Position>) {
        // One that needed no credential has nothing that could end.
        let identity = self.identity;
        let identity = identity.filter(|it| !it.claims.is_empty() || it.expires.is_some());
        let facts = Facts {
            peer: self.peer,
            tls: self.tls,
            route_params: self.params,
            alias,
            kind,
            dialect: (kind == ConnectionKind::EventStream).then_some(DialectName::HeldEvents),
            user: identity.as_ref().and_then(subject),
            ..Facts::now()
        };
        (facts, identity, self.since)
    }
}

/// Holds an answer: makes a connection of it, and answers what the peer gets now. A
/// poll waits here; if this is dropped, its peer has gone. Nothing else of the
/// request may wait with it: neither an instance nor a decision that can be
/// displaced.
///
/// # Errors
///
/// When the answer is not valid, and when there is no room for what it asks for. Then
/// there was no connection.
pub(crate) async fn hold(
    gateway: &Arc<Gateway>,
    mut holding: Holding,
) -> Result<Response<AnswerBody>, Refusal> {
    let Hold { kind, time, .. } = holding.hold;
    check(kind, &holding.head, &holding.first)?;
    frame(kind, &mut holding.head);
    let (request, place) = (holding.caller.id, holding.place.clone());
    if holding.is_head {
        // There is nothing to wait for.
        let nothing = AnswerBody::Whole(Full::default());
        return Ok(Response::from_parts(holding.head, nothing));
    }
    let (head, made) = connect(gateway, holding)?;
    gateway.tally().open();
    let connection = made.joined.owner.connection();
    let (function, id) = (made.joined.alias.function(), connection.id());
    tracing::debug!(%request, %function, connection = %id, %kind, "held");
    if kind == ConnectionKind::Poll {
        let outlet = Outlet::Answer(None);
        let mut line = open(gateway, made, outlet);
        line.until = Some(time);
        return poll::answer(line, place, head).await;
    }
    // It counts as a connection from now on.
    place.upgraded();
    let slot = Slot::with(made.greeting.clone());
    let line = open(gateway, made, Outlet::Body(Arc::clone(&slot)));
    tokio::spawn(line::serve(line));
    let body = AnswerBody::Held(Held(HeldBody::new(slot)));
    Ok(Response::from_parts(head, body))
}

/// Checks what no header says.
fn check(kind: ConnectionKind, head: &Parts, first: &Bytes) -> Result<(), Refusal> {
    let status = head.status;
    let has_body = status.is_success()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
    let wrong = if !has_body {
        format!("an answer with the status {status} cannot be held: it is one of 2xx with a body")
    } else if first.len() > HELD_FIRST_BYTES_MAX {
        format!("an answer that is held begins with more than {HELD_FIRST_BYTES_MAX} bytes")
    } else if kind == ConnectionKind::Poll && !first.is_empty() {
        "a poll has no first bytes: what is there already needs no `openline-hold`".into()
    } else {
        return Ok(());
    };
    Err(Refusal::Answer(wrong))
}

/// Makes the head of the function's answer that of one which the host writes.
fn frame(kind: ConnectionKind, head: &mut Parts) {
    let headers = &mut head.headers;
    // Nobody knows how long it becomes.
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    let mut complete = |name: HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    match kind {
        ConnectionKind::EventStream => {
            complete(CONTENT_TYPE, sse::CONTENT_TYPE);
            for (name, value) in sse::HEADERS {
                complete(HeaderName::from_static(name), value);
            }
        }
        _ => complete(CACHE_CONTROL, "no-store"),
    }
}

/// Makes the connection. From here on messages can be sent to it.
fn connect(gateway: &Arc<Gateway>, holding: Holding) -> Result<(Parts, Made), Refusal> {
    let Holding {
        service,
        caller,
        places,
        place,
        served: (unseated, split),
        hold,
        head,
        first,
        is_head: _,
    } = holding;
    let alias = &service.alias;
    let (facts, identity, since) = caller.facts(alias.name().clone(), hold.kind);
    let limits = Arc::clone(&split.limits);
    let owner = SocketOwner::new(facts, limits, Arc::clone(&service.budget));
    let connection = Arc::clone(owner.connection());
    let shown = Shown {
        identity,
        key: None,
    };
    let session = session(&service, &connection, shown);
    let attached = connection.set_attachment(hold.attachment);
    attached.map_err(|error| unattached(error, "the attachment is too large"))?;
    // This undoes the join when it is dropped.
    let joined = Joined {
        gateway: Arc::clone(gateway),
        alias: Arc::clone(alias),
        owner,
        _places: places,
        place,
    };
    // Bind before it joins the hub, where a removal finds connections by their
    // version.
    let binding = alias.bind_hibernated(Arc::clone(&connection), unseated);
    let hub = alias.hub();
    hub.join(&connection);
    hub.set_tags(&connection, hold.tags)
        .map_err(|error| unattached(error, "it has too many tags"))?;
    let (greeting, ids) = match hold.kind {
        ConnectionKind::EventStream => {
            let (positions, lost) = subscribe(&joined, &hold.channels, &since)?;
            let ids = Ids::new(positions);
            (greeting(&first, &ids, lost), ids)
        }
        _ => {
            subscribe(&joined, &hold.channels, &[])?;
            (first, Ids::default())
        }
    };
    if gateway.services().is_draining() {
        connection.drain();
    }
    binding.catch_up();
    let made = Made {
        joined,
        binding,
        session,
        greeting,
        ids,
    };
    Ok((head, made))
}

/// Where the peer was, if it says so in the words of the host.
fn since(request: &Request) -> Vec<Position> {
    let header = request.headers.get("last-event-id");
    let header = header.map(HeaderValue::as_bytes);
    let query = request.uri.query().unwrap_or_default();
    Ids::read(&sse::last_ids(header, query))
}

/// Subscribes a connection. Answers where it is in those of its channels that it can
/// come back to, before all that waits for it, and whether something of what it has
/// missed `since` is lost.
fn subscribe(
    joined: &Joined,
    channels: &[ChannelName],
    since: &[Position],
) -> Result<(Vec<Position>, bool), Refusal> {
    let (hub, connection) = (joined.alias.hub(), joined.owner.connection());
    let may = |it: &ChannelName| hub.terms(it).terms.subscribe.allows_function();
    if !channels.iter().all(may) {
        return Err(Refusal::Answer("it may not use one of its channels".into()));
    }
    let mut wakeups = Wakeups::default();
    let (mut positions, mut lost) = (Vec::new(), false);
    for channel in channels {
        let mut position = None;
        let mut is_lost = false;
        let mut answer = |backlog: &Backlog| {
            is_lost = backlog.recovered == Some(false);
            let own = |it: &&Position| backlog.position.is_some_and(|top| top.epoch == it.epoch);
            let known = since.iter().find(own).filter(|_| !is_lost);
            position = known.copied().or(backlog.position);
            messages(connection, backlog)
        };
        let subscribing = Subscribing {
            since_any: since,
            answer: Some(&mut answer),
            ..Subscribing::default()
        };
        hub.subscribe_with(connection, channel, subscribing, &mut wakeups)
            .map_err(unsubscribed)?;
        positions.extend(position);
        lost |= is_lost;
    }
    // Its ids are of channels that let nobody come back any more.
    lost |= positions.is_empty() && !since.is_empty();
    Ok((positions, lost))
}

/// The publications of a backlog as the connection gets them.
fn messages(connection: &Connection, backlog: &Backlog) -> Vec<Message> {
    let dialect = connection.facts().dialect;
    let publications = backlog.publications.iter();
    publications
        .map(|it| forms::publication(dialect, it))
        .collect()
}

/// What the peer of an event stream gets before any event of the host: when to come
/// back, the first bytes of the function, and where it is.
fn greeting(first: &Bytes, ids: &Ids, lost: bool) -> Bytes {
    let mut out = Vec::with_capacity(first.len() + 128);
    out.extend_from_slice(sse::retry(RETRY_MS).as_bytes());
    out.extend_from_slice(first);
    // The next event is not part of what the function has begun.
    let ends = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"];
    if !first.is_empty() && !ends.iter().any(|end| first.ends_with(end)) {
        out.extend_from_slice(b"\n\n");
    }
    match ids.text() {
        text if lost => out.extend_from_slice(sse::lost(text).as_bytes()),
        Some(text) => out.extend_from_slice(format!("id: {text}\n\n").as_bytes()),
        None => {}
    }
    out.into()
}

/// Begins the time of a connection.
fn open(gateway: &Gateway, made: Made, outlet: Outlet) -> Box<Line> {
    let table = gateway.services().table();
    let mut clock = Clock::without_pace();
    clock.session = made.session;
    Box::new(Line {
        joined: made.joined,
        binding: made.binding,
        clock,
        rest: Rest::default(),
        ids: made.ids.are_several().then(|| Box::new(made.ids)),
        outlet,
        leaving: None,
        until: None,
        blocked: None,
        patience: 2 * table.config.request_timeout,
        awaits_progress: false,
        ending: Ending::within(table.config.close_timeout),
    })
}

#[cfg(test)]
mod tests;
