//! Admission: whether a request may ask a function. [`admit`] is the one
//! ordered list of its steps; each sees only what the steps before it have let
//! through. Only a rule of the firewall that names a function has guest code run.
//!
//! Whether an instance has room shows only when the function is asked.

use std::fmt::Display;
use std::sync::Arc;

use http::HeaderMap;
use http::header::ORIGIN;
use http::request::Parts;
use openline_authentication::{Denial, Denied, Identity, Spending};
use openline_core::config::{Listener, PublicUrl};
use openline_core::dialect::DialectName;
use openline_core::event::RouteParams;
use openline_core::headers::is_reserved;
use openline_core::limits::{FunctionLimits, REQUEST_HEADERS_MAX};
use openline_core::trigger::{Authority, Cors, Found, Origin, OriginPattern, Scheme, Trigger};
use openline_firewall::request::Claims;

use crate::cors;
use crate::firewall::{Check, Chosen, Edits, Next, Seen, Stopped, Told};
use crate::inspectors::Undecided;
use crate::ledger::{Bounds, Entered};
use crate::normalise::{Normal, asked_method};
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::services::{Service, Services, Table};

/// A request that leads to a function.
#[derive(Debug)]
struct Routed {
    service: Arc<Service>,
    /// The rules by which the host answers it, if it is a preflight.
    preflight: Option<Cors>,
    /// The limits that it is checked against.
    limits: Arc<FunctionLimits>,
    params: RouteParams,
}

/// What a request asks its function for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// A connection.
    Connection,
    /// An answer, as plain HTTP.
    Answer,
}

/// What a request asks for, after the steps that decide about it.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all ask for a connection, and need no allocation"
)]
enum Wish<H> {
    Connection(Proven<H>),
    /// Whether pages may ask: these headers say so.
    Preflight(HeaderMap),
}

/// A request after the step of authentication.
struct Proven<H> {
    asks: Asks,
    handshake: H,
    places: Places,
    identity: Option<Identity>,
    /// Its nonce or its ticket, which it gets back if the steps after refuse it.
    spending: Spending,
}

/// What the log is to know about a request, whatever becomes of it.
#[derive(Debug, Default)]
pub struct Noted {
    /// Which service it leads to.
    pub led: Option<Arc<Service>>,
    /// What firewalls did.
    pub firewall: Seen,
}

/// What becomes of a request that is not refused.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all ask, and need no allocation"
)]
pub enum Decision<H> {
    /// It may ask its function, by this handshake.
    Ask(Admitted, H),
    /// It is a preflight, and these are the headers of the host's answer.
    Preflight(HeaderMap),
}

/// A request that may ask its function.
#[derive(Debug)]
pub struct Admitted {
    /// The trigger that it came by, and the alias that this leads to.
    pub service: Arc<Service>,
    /// The parameters of the route with their values, decoded.
    pub params: RouteParams,
    /// The peer's identity, if the trigger authenticates.
    pub identity: Option<Identity>,
    /// Its places.
    pub places: Places,
    /// What firewalls change about its headers.
    pub edits: Edits,
}

/// A connection's places in the ledgers of the host and of its function.
/// Dropping them gives them back.
#[derive(Debug)]
pub struct Places {
    _host: Entered,
    _function: Entered,
}

/// Decides about a [normalised](crate::normalise) request, step by step.
/// `handshake` checks what the protocol demands that the request asks for;
/// `noted` learns what the log is to know, whatever happens then, and `id` is how
/// the log names the request. It waits for the functions that rules of the
/// firewall ask, and for nothing else.
///
/// The firewall decides early, so that it also closes out peers that ask for no
/// connection, or for a path that leads nowhere. At the first rule about claims
/// it stops, and continues after authentication.
///
/// A preflight ends at the step of origins, and meets no rule from the first one
/// about claims on. It bears no credentials, and a page could not read a refusal
/// of it by a later step, which the request that it announces gets anyway. It
/// costs what a refusal costs, so it is not counted, either.
///
/// # Errors
///
/// The refusal of the first step that refuses; then no place is taken.
pub async fn admit<H, E: From<Refusal> + From<Denied>>(
    services: &Services,
    table: &Table,
    request: (&Normal, &Parts),
    peer: &Peer,
    (id, noted): (&(dyn Display + Sync), &mut Noted),
    handshake: impl FnOnce(&Parts, &Service) -> Result<(Asks, H), E>,
) -> Result<Decision<H>, E> {
    let (normal, parts) = request;
    let told = |led| Told {
        inspectors: &table.inspectors,
        normal,
        peer,
        id,
        led,
    };
    // Route: the trigger that the request leads to. Limits: the size of its head.
    let routed = reserved(parts).and_then(|()| {
        let routed = route(table, normal, parts, &mut noted.led)?;
        limits(parts, &routed.limits)?;
        Ok(routed)
    });
    let routed = match routed {
        Ok(routed) => routed,
        // The host's firewall decides about it, too: it counts such requests, and
        // a peer that it drops learns nothing by them.
        Err(refusal) => {
            let chosen = table.firewalls.choose(None);
            let mut check = check(services, table, chosen.as_ref(), request, peer);
            let told = told(None);
            check.run(Claims::Absent, told, &mut noted.firewall).await?;
            return Err(refusal.into());
        }
    };
    // Firewall: what the operator's rules say, up to the first about claims.
    let chosen = table.firewalls.choose(routed.service.firewall);
    let mut check = check(services, table, chosen.as_ref(), request, peer);
    let service = &*routed.service;
    let told = told(Some((&service.trigger.name, service.alias.function())));
    let seen = &mut noted.firewall;
    let first = check.run(Claims::Pending, told, seen).await?;
    let proven = match prove(services, table, &routed, request, peer, handshake)? {
        Wish::Connection(proven) => proven,
        Wish::Preflight(headers) => return Ok(Decision::Preflight(headers)),
    };
    // The rest of the firewall, from the first rule about claims.
    let edits = match first {
        Next::Passed(edits) => edits,
        Next::Authenticate
            if proven.asks == Asks::Connection
                && awaits_token(&routed.service, parts, proven.identity.as_ref()) =>
        {
            let failed = Stopped::Failed(Box::new(Undecided::FirstMessage));
            return Err(Refusal::Firewall(failed).into());
        }
        Next::Authenticate => {
            let claims = claims(proven.identity.as_ref());
            match check.run(claims, told, seen).await? {
                Next::Passed(edits) => edits,
                // Never: the rules have the claims now.
                Next::Authenticate => {
                    let failed = Stopped::Failed(Box::new(Undecided::Host));
                    return Err(Refusal::Firewall(failed).into());
                }
            }
        }
    };
    proven.spending.commit();
    let admitted = Admitted {
        service: routed.service,
        params: routed.params,
        identity: proven.identity,
        places: proven.places,
        edits,
    };
    Ok(Decision::Ask(admitted, proven.handshake))
}

/// Whether the host's firewall lets a request pass that is for no function: one
/// of the host's own interfaces for strangers answers it. Rules that ask
/// functions or change headers are for requests of functions; the first are
/// asked, and changes have no effect.
///
/// # Errors
///
/// When a rule refuses it.
pub async fn pass<E: From<Refusal>>(
    services: &Services,
    table: &Table,
    request: (&Normal, &Parts),
    peer: &Peer,
    (id, noted): (&(dyn Display + Sync), &mut Noted),
) -> Result<(), E> {
    let chosen = table.firewalls.choose(None);
    let mut check = check(services, table, chosen.as_ref(), request, peer);
    let told = Told {
        inspectors: &table.inspectors,
        normal: request.0,
        peer,
        id,
        led: None,
    };
    check.run(Claims::Absent, told, &mut noted.firewall).await?;
    Ok(())
}

/// The steps from the handshake to authentication; for a preflight, to origins.
fn prove<H, E: From<Refusal> + From<Denied>>(
    services: &Services,
    table: &Table,
    routed: &Routed,
    (normal, parts): (&Normal, &Parts),
    peer: &Peer,
    handshake: impl FnOnce(&Parts, &Service) -> Result<(Asks, H), E>,
) -> Result<Wish<H>, E> {
    let trigger = &routed.service.trigger;
    if let Some(cors) = &routed.preflight {
        reach(table, trigger, peer)?;
        let headers = cors::allow(cors, &parts.headers)?;
        return Ok(Wish::Preflight(headers));
    }
    // Handshake, by the gateway: what the request asks for, and whether validly.
    let (asks, handshake) = handshake(parts, &routed.service)?;
    // Peers: whether those on the internet may use the trigger.
    reach(table, trigger, peer)?;
    // Origin: whether the page that asks may.
    origin((services, table), trigger, asks, (normal, parts), peer)?;
    // Rates, and capacity. Before authentication, which takes milliseconds with
    // some keys, and uses up a nonce or a ticket.
    let places = places(services, table, routed, peer)?;
    // Authentication: the identity of the peer.
    let (identity, spending) = authenticate(&routed.service, asks, parts)?;
    Ok(Wish::Connection(Proven {
        asks,
        handshake,
        places,
        identity,
        spending,
    }))
}

/// Whether the peer authenticates only after the handshake.
fn awaits_token(service: &Service, parts: &Parts, identity: Option<&Identity>) -> bool {
    let Some(authenticator) = &service.authenticator else {
        return false;
    };
    let is_unproven = identity.is_none_or(|identity| identity.claims.is_empty());
    authenticator.first_message(parts.uri.path()).is_some()
        || (brings_token(service) && is_unproven)
}

/// Whether peers may show a token in the first command of the trigger's dialect.
fn brings_token(service: &Service) -> bool {
    service.trigger.dialect == Some(DialectName::Centrifugo)
}

/// The claims of a request, for rules. One that needed no credential has none.
fn claims(identity: Option<&Identity>) -> Claims<'_> {
    let claims = identity.map(|identity| &identity.claims);
    let claims = claims.filter(|claims| !claims.is_empty());
    claims.map_or(Claims::Absent, Claims::Verified)
}

/// Begins the step of the firewall.
fn check<'a>(
    services: &Services,
    table: &Table,
    chosen: Option<&'a Chosen>,
    request: (&'a Normal, &'a Parts),
    peer: &'a Peer,
) -> Check<'a> {
    let scheme = if is_https(table, peer) {
        "https"
    } else {
        "http"
    };
    let words = (asked_method(request.1).as_str(), scheme);
    Check::new(chosen, request, words, peer, services.uptime())
}

/// Whether a peer reaches the host by HTTPS: without TLS here, a proxy may have it.
pub fn is_https(table: &Table, peer: &Peer) -> bool {
    let url = table.config.public_url.as_ref();
    peer.tls().is_some() || (!peer.hops().is_empty() && url.is_some_and(PublicUrl::is_https))
}

/// Finds where a request leads.
fn route(
    table: &Table,
    normal: &Normal,
    parts: &Parts,
    led: &mut Option<Arc<Service>>,
) -> Result<Routed, Refusal> {
    let method = asked_method(parts);
    let path = parts.uri.path();
    let find = |method: &str| table.triggers.find(normal.host(), path, method);
    let (service, params, preflight) = match find(method.as_str()) {
        Found::Target(service, params) => (service, params, None),
        Found::Methods(methods) => {
            // The trigger of the method that a preflight asks about answers it.
            let Some(Found::Target(service, params)) = cors::preflight(parts).map(find) else {
                return Err(Refusal::Method(methods));
            };
            let cors = service.trigger.cors.clone();
            (service, params, Some(cors.ok_or(Refusal::Method(methods))?))
        }
        Found::Nothing => return Err(Refusal::NotFound),
    };
    *led = Some(Arc::clone(service));
    Ok(Routed {
        service: Arc::clone(service),
        preflight,
        limits: service.alias.limits(),
        params: params.map_err(Refusal::Parameter)?,
    })
}

/// Checks that a trigger which is not for the internet is asked from a private
/// network.
fn reach(table: &Table, trigger: &Trigger, peer: &Peer) -> Result<(), Refusal> {
    let private = || {
        let ip = peer.ip();
        let mut networks = table.config.private_networks.iter();
        // A peer that its hop has not named may be anywhere.
        !peer.is_unnamed() && networks.any(|network| network.contains(&ip))
    };
    if trigger.internet || private() {
        Ok(())
    } else {
        Err(Refusal::Internet)
    }
}

/// Checks that a web page which asks is of the host that it asks, of the admin
/// interface, or of one of the trigger's origins; for an answer, it may also be one
/// that may read it. Browsers do not name the page of a plain request to its own
/// host, so `origin_required` is for connections.
fn origin(
    (services, table): (&Services, &Table),
    trigger: &Trigger,
    asks: Asks,
    (normal, parts): (&Normal, &Parts),
    peer: &Peer,
) -> Result<(), Refusal> {
    let mut named = parts.headers.get_all(ORIGIN).iter();
    let origin = match (named.next(), named.next()) {
        (None, _) if trigger.origin_required && asks == Asks::Connection => {
            return Err(Refusal::NoOrigin);
        }
        (None, _) => return Ok(()),
        (Some(origin), None) => origin.to_str().ok().and_then(Origin::parse),
        (Some(_), Some(_)) => None,
    };
    if trigger.origins.contains(&OriginPattern::Any) {
        return Ok(());
    }
    let reads = |cors: &Cors| asks == Asks::Answer && cors::may_read(cors, &parts.headers);
    if trigger.cors.as_ref().is_some_and(reads) {
        return Ok(());
    }
    let origin = origin.ok_or(Refusal::Origin)?;
    let own = |asked: &Authority| match &origin {
        Origin::Site(site) => {
            let page = services.page();
            let scheme = match table.config.has_tls(Listener::Admin) {
                true => Scheme::Https,
                false => Scheme::Http,
            };
            // Without TLS here, a proxy may have had it.
            let own = peer.tls().map(|_| Scheme::Https);
            site.is_of(asked, own) || page.is_some_and(|page| site.is_beside(asked, page, scheme))
        }
        Origin::Null => false,
    };
    let mut listed = trigger.origins.iter();
    if normal.authority().is_some_and(own) || listed.any(|it| it.matches(&origin)) {
        Ok(())
    } else {
        Err(Refusal::Origin)
    }
}

/// Authenticates the request. A trigger that authenticates, but has no
/// authenticator, refuses all.
fn authenticate(
    service: &Service,
    asks: Asks,
    parts: &Parts,
) -> Result<(Option<Identity>, Spending), Denied> {
    match &service.authenticator {
        Some(authenticator) if asks == Asks::Answer => {
            let (identity, spending) = authenticator.authenticate_request(parts)?;
            Ok((Some(identity), spending))
        }
        Some(authenticator) => {
            let authenticated = authenticator.authenticate(parts);
            if let Err(denied) = &authenticated
                && denied.denial == Denial::TokenMissing
                && brings_token(service)
                && let Some(unproven) = authenticator.unproven()
            {
                return Ok((Some(unproven?), Spending::nothing()));
            }
            let (identity, spending) = authenticated?;
            Ok((Some(identity), spending))
        }
        None if service.trigger.authenticates() => Err(Denied {
            denial: Denial::KeysUnavailable,
            detail: "the trigger has no authenticator".into(),
        }),
        None => Ok((None, Spending::nothing())),
    }
}

/// Takes a peer's places, of the host and then of the function; in each, rates
/// are checked before numbers.
fn places(
    services: &Services,
    table: &Table,
    routed: &Routed,
    peer: &Peer,
) -> Result<Places, Refusal> {
    if services.is_draining() {
        return Err(Refusal::Draining);
    }
    let host = services
        .ledger()
        .enter(peer.ip(), Bounds::from(&table.config))
        .map_err(Refusal::HostReached)?;
    let function = routed
        .service
        .ledger
        .enter(peer.ip(), Bounds::from(&*routed.limits))
        .map_err(Refusal::Reached)?;
    Ok(Places {
        _host: host,
        _function: function,
    })
}

/// Checks a request's head against the limits of its function.
///
/// # Errors
///
/// When the request's path or headers are larger than the function allows.
pub fn limits(parts: &Parts, limits: &FunctionLimits) -> Result<(), Refusal> {
    let uri = parts
        .uri
        .path_and_query()
        .map_or(0, |uri| uri.as_str().len());
    if uri > limits.request_uri_bytes {
        return Err(Refusal::UriTooLong(limits.request_uri_bytes));
    }
    if parts.headers.len() > REQUEST_HEADERS_MAX {
        return Err(Refusal::TooManyHeaders);
    }
    let headers: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers > limits.request_header_bytes {
        return Err(Refusal::HeadersTooLarge(limits.request_header_bytes));
    }
    Ok(())
}

fn reserved(parts: &Parts) -> Result<(), Refusal> {
    if parts.headers.keys().any(is_reserved) {
        return Err(Refusal::ReservedHeader);
    }
    Ok(())
}
