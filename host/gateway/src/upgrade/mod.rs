//! The upgrade: asks the function, checks its answer, and makes the response.
//! When hyper has written the 101, the connection begins.

mod answer;
mod first_command;
mod first_message;
mod handover;
pub(crate) mod joined;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use http::header::{HOST, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use openline_admission::admit::{self, Decision, Noted, Places};
use openline_admission::authenticate::edited;
use openline_admission::keys::Key;
use openline_admission::normalise::Normal;
use openline_admission::services::Service;
use openline_admission::sessions::Session;
use openline_authentication::Identity;
use openline_channels::connection::{AttachError, Connection, Facts, SocketOwner};
use openline_channels::hub::{Hub, SubscribeError};
use openline_channels::time;
use openline_channels::wakeups::Wakeups;
use openline_core::affinity::Affinity;
use openline_core::authentication::FirstMessageConfig;
use openline_core::event::UpgradeRequest;
use openline_core::kind::ConnectionKind;
use openline_core::name::ChannelName;
use openline_engine::alias::Accepted;

use crate::connection::wire::negotiation::{Agreement, Offers};
use crate::cookie::{self, Sticky};
use crate::dialect::{Greeting, greet};
use crate::exchange::Ready;
use crate::gateway::{Gateway, Place};
use crate::handshake::{self, Handshake};
use crate::pages;
use crate::request_id::{Asked, REQUEST_ID, RequestId};
use crate::rescue::Refusal;
use crate::reserved::Answer;
use answer::{rejected, switching};
use first_command::Spoken;
pub(crate) use handover::Handover;
use joined::{Joined, Owned};
pub(crate) use stream::{Stream, WRITE_BYTES};

/// A request that may ask its function.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) service: Arc<Service>,
    handshake: Handshake,
    extensions: Offers,
    subprotocols: Vec<String>,
    request: UpgradeRequest,
    places: Places,
    identity: Option<Identity>,
    /// Its peer says who it is after the handshake.
    proof: Option<Box<Proof>>,
    close_timeout: Duration,
    id: RequestId,
    /// The cookie for a peer that has none.
    set_cookie: Option<HeaderValue>,
}

/// How a peer says who it is after the handshake.
#[derive(Debug)]
enum Proof {
    /// By a token in its first message.
    FirstMessage(FirstMessageConfig),
    /// By the first command of its dialect.
    Command(Box<Spoken>),
}

/// Who a peer is.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// By its token, its signature or its ticket.
    pub(crate) identity: Option<Identity>,
    /// By its API key.
    pub(crate) key: Option<Arc<Key>>,
}

/// A request after the steps of admission.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are candidates, which need no allocation"
)]
pub(crate) enum Prepared {
    Candidate(Candidate),
    /// It asks for an answer and not for a connection.
    Exchange(Box<Ready>),
    /// A preflight, answered.
    Preflight(Box<Answer>),
}

/// An answer that a function has decided about.
#[derive(Debug)]
pub(crate) enum Decided<B> {
    Accepted(Response<B>),
    Rejected(Response<B>),
}

/// Decides whether a request may ask its function: by the steps of admission,
/// then by the subprotocols and the extensions that it offers. `noted` learns
/// what the log is to know.
pub(crate) async fn prepare(
    gateway: &Gateway,
    normal: &Normal,
    asked: &Asked<'_>,
    noted: &mut Noted,
) -> Result<Prepared, Refusal> {
    let services = gateway.services();
    let table = services.table();
    let Asked { id, parts, peer } = *asked;
    let request = (normal, parts);
    let admitting = admit::admit(
        services,
        &table,
        request,
        peer,
        (&id, noted),
        handshake::asked,
    );
    let (admitted, handshake) = match admitting.await? {
        Decision::Ask(admitted, Some(handshake)) => (admitted, handshake),
        Decision::Ask(admitted, None) => {
            let ready = Ready::new(gateway, &table, normal, asked, admitted);
            return Ok(Prepared::Exchange(Box::new(ready)));
        }
        Decision::Preflight(headers) => {
            tracing::debug!(request = %id, path = parts.uri.path(), "a preflight");
            return Ok(Prepared::Preflight(Box::new(pages::preflight(headers))));
        }
    };
    let identity = admitted.identity;
    let edited = edited(&admitted.edits, identity.as_ref(), parts);
    let shown = edited.as_ref().map_or(&parts.headers, |it| &it.headers);
    let mut subprotocols = handshake::subprotocols(shown)?;
    let proof = proof(&admitted.service, parts, &mut subprotocols);
    let extensions = handshake::extensions(&parts.headers)?;
    let sticky = sticky(gateway, &admitted.service, asked);
    let claim = identity
        .as_ref()
        .and_then(|identity| claim(&admitted.service, identity));
    let own = (REQUEST_ID.as_str().to_owned(), id.to_string().into_bytes());
    let request = UpgradeRequest {
        // Over HTTP/2 it is CONNECT, which means the same (RFC 8441 section 5).
        method: Method::GET.as_str().into(),
        uri: match &edited {
            Some(edited) => edited.target.clone(),
            None => target(parts).into(),
        },
        headers: headers(normal, shown).chain([own]).collect(),
        peer: peer.to_string(),
        subprotocols: subprotocols.clone(),
        route_params: admitted.params,
        tls: peer.tls().cloned(),
        claims: identity.as_ref().and_then(Identity::claims_json),
        claim,
        sticky: sticky.as_ref().map(|sticky| sticky.value.clone()),
    };
    Ok(Prepared::Candidate(Candidate {
        service: admitted.service,
        handshake,
        extensions,
        subprotocols,
        request,
        places: admitted.places,
        // One that needed no credential has nothing that could end.
        identity: identity.filter(|it| !it.claims.is_empty() || it.expires.is_some()),
        proof: proof.map(Box::new),
        close_timeout: table.config.close_timeout,
        id,
        set_cookie: sticky.and_then(|sticky| sticky.set),
    }))
}

/// How a peer says who it is after the handshake, if it does. The subprotocols are
/// then the one that the host agrees to, if there is one.
fn proof(service: &Service, parts: &Parts, subprotocols: &mut Vec<String>) -> Option<Proof> {
    if let Some(dialect) = service.trigger.dialect {
        // Centrifugo's clients offer one for Protobuf alone.
        subprotocols.clear();
        return Some(Proof::Command(Box::new(Spoken::new(dialect, parts))));
    }
    let authenticator = service.authenticator.as_ref()?;
    let first = authenticator.first_message(parts.uri.path())?;
    *subprotocols = first_message::agreed(first, subprotocols);
    Some(Proof::FirstMessage(first.clone()))
}

/// Path and query.
fn target(parts: &Parts) -> &str {
    let target = parts.uri.path_and_query();
    target.map_or("/", |target| target.as_str())
}

/// The headers of a request that a function gets: the host in its one spelling,
/// which HTTP/2 has in the target, where a function does not look for it, and
/// the others as they are.
fn headers<'a>(
    normal: &Normal,
    headers: &'a HeaderMap,
) -> impl Iterator<Item = (String, Vec<u8>)> + use<'a> {
    let host = normal
        .authority()
        .map(|it| (HOST.as_str().into(), it.to_string().into()));
    let own = headers.iter().filter(|(name, _)| *name != HOST);
    let own = own.map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
    host.into_iter().chain(own)
}

/// Who the peer is, for others: the subject of its credential.
pub(crate) fn subject(identity: &Identity) -> Option<ByteString> {
    identity.claim("sub").map(ByteString::from)
}

/// The claim that chooses the instance, if one does.
pub(crate) fn claim(service: &Service, identity: &Identity) -> Option<String> {
    match service.alias.split().affinity.as_ref()? {
        Affinity::Claim(name) => identity.claim(name),
        _ => None,
    }
}

/// The cookie that chooses the instance, if one does.
pub(crate) fn sticky(gateway: &Gateway, service: &Service, asked: &Asked<'_>) -> Option<Sticky> {
    let split = service.alias.split();
    let name = split.affinity.as_ref()?.cookie()?;
    let key = gateway.services().signing_key()?;
    let function = service.alias.function();
    let has_tls = asked.peer.tls().is_some();
    let headers = &asked.parts.headers;
    Some(cookie::sticky(headers, function, name, key, has_tls))
}

/// Asks the function and answers the request. hyper hands the stream over
/// through `upgrade`.
pub(crate) async fn upgrade<S: Handover>(
    gateway: &Arc<Gateway>,
    mut candidate: Candidate,
    upgrade: OnUpgrade,
    place: Place,
) -> Result<Decided<Full<Bytes>>, Refusal> {
    if let Some(proof) = candidate.proof.take() {
        return first_message::upgrade::<S>(gateway, (candidate, proof), upgrade, place);
    }
    let Candidate {
        service,
        handshake,
        extensions,
        subprotocols,
        request,
        places,
        identity,
        close_timeout,
        id,
        set_cookie,
        proof: _,
    } = candidate;
    let alias = &service.alias;
    let route_params = request.route_params.clone();
    let (peer, tls) = (request.peer.as_str().into(), request.tls.clone());
    let mut accepted = match alias.upgrade(request).await? {
        Ok(accepted) => accepted,
        Err(rejection) => return rejected(rejection, &alias.limits()).map(Decided::Rejected),
    };
    let limits = Arc::clone(&accepted.split.limits);
    let agreement = extensions.agree(limits.compression);
    let headers = std::mem::take(&mut accepted.acceptance.headers);
    let chosen = accepted.acceptance.subprotocol.as_deref();
    let mut headers = switching(&handshake, headers, (&subprotocols, chosen), &limits)?;
    let extension = agreement.as_ref().map(Agreement::header);
    let cookie = set_cookie.map(|cookie| (SET_COOKIE, cookie));
    headers.extend(extension.into_iter().chain(cookie));
    let facts = Facts {
        peer,
        tls,
        subprotocol: accepted.acceptance.subprotocol.take(),
        route_params,
        alias: alias.name().clone(),
        auto_responses: Arc::clone(&accepted.split.auto_responses),
        compressed: agreement.map(|agreement| Arc::new(agreement.compressed())),
        kind: ConnectionKind::WebSocket,
        dialect: None,
        user: identity.as_ref().and_then(subject),
        opened_ms: time::now().0,
    };
    let held = (places, place);
    let shown = Shown {
        identity,
        key: None,
    };
    let owned = connect(gateway, &service, (accepted, None), facts, shown, held)?;
    let connection = owned.0.owner.connection().id();
    // Boxed, here and below: this task lives as long as the connection, and
    // would otherwise keep room for values that it needs only for a moment.
    let begun = Box::pin(joined::begin::<S>(upgrade, owned, close_timeout));
    tokio::spawn(joined::serve(begun));

    let (function, trigger) = (alias.function(), &service.trigger.name);
    tracing::debug!(request = %id, %function, %trigger, %connection, "accepted");
    let mut response = Response::new(Full::default());
    *response.status_mut() = handshake.status();
    *response.headers_mut() = headers;
    Ok(Decided::Accepted(response))
}

/// Makes the connection of a peer that its function has accepted. From here on
/// messages can be sent to it, and wait in its outbox until its stream is there.
fn connect(
    gateway: &Arc<Gateway>,
    service: &Service,
    (accepted, greeting): (Accepted, Option<Greeting<'_>>),
    facts: Facts,
    shown: Shown,
    (places, place): (Places, Place),
) -> Result<Owned, Refusal> {
    let alias = &service.alias;
    let Accepted {
        acceptance,
        place: seat,
        split,
    } = accepted;
    let limits = Arc::clone(&split.limits);
    let owner = SocketOwner::new(facts, limits, Arc::clone(&service.budget));
    let connection = Arc::clone(owner.connection());
    let session = session(service, &connection, shown);
    let attached = connection.set_attachment(acceptance.attachment);
    attached.map_err(|error| unattached(error, "the attachment is too large"))?;
    // `joined` undoes this if the connection is never opened.
    let joined = Joined {
        gateway: Arc::clone(gateway),
        alias: Arc::clone(alias),
        owner,
        _places: places,
        place,
    };
    // Bind before it joins the hub, where a removal finds connections by their
    // version.
    let binding = alias.bind(Arc::clone(&connection), seat);
    let (tags, channels) = (acceptance.tags, acceptance.channels);
    let hub = alias.hub();
    hub.join(&connection);
    hub.set_tags(&connection, tags)
        .map_err(|error| unattached(error, "it has too many tags"))?;
    if !channels
        .iter()
        .all(|it| hub.terms(it).terms.subscribe.allows_function())
    {
        return Err(Refusal::Answer("it may not use one of its channels".into()));
    }
    match greeting {
        None => join(hub, &connection, channels),
        Some(greeting) => {
            let session = session.as_ref();
            greet(greeting, service, &joined.owner, session, channels)
        }
    }
    .map_err(unsubscribed)?;
    if gateway.services().is_draining() {
        connection.drain();
    }
    binding.catch_up();
    Ok((joined, binding, session))
}

/// The session of a peer that is authenticated.
pub(crate) fn session(
    service: &Service,
    connection: &Arc<Connection>,
    Shown { identity, key }: Shown,
) -> Option<Arc<Session>> {
    if let Some(key) = key {
        return Some(Session::begin_by_key(&key, connection));
    }
    let authenticator = service.authenticator.as_ref()?;
    let authenticator = (authenticator, &service.post);
    Some(Session::begin(authenticator, connection, identity?))
}

/// Why a connection cannot keep what its function has answered: the host has no
/// room, or else the answer is not valid.
pub(crate) fn unattached(error: AttachError, otherwise: &str) -> Refusal {
    match error {
        AttachError::HostFull => Refusal::Attached,
        _ => Refusal::Answer(otherwise.into()),
    }
}

/// Subscribes a connection to the channels of its function.
fn join(
    hub: &Hub,
    connection: &Arc<Connection>,
    channels: Vec<ChannelName>,
) -> Result<(), SubscribeError> {
    let mut wakeups = Wakeups::default();
    for channel in channels {
        hub.subscribe(connection, &channel, &mut wakeups)?;
    }
    Ok(())
}

pub(crate) fn unsubscribed(error: SubscribeError) -> Refusal {
    match error {
        SubscribeError::Crowded | SubscribeError::HostFull => Refusal::Full,
        _ => Refusal::Answer("it has too many channels".into()),
    }
}
