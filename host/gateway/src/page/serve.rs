//! Answers requests below `/.openline/`, to those who may see the page.
//!
//! By default these are peers on this machine that also address it as such. A
//! page of another site that has its name point at 127.0.0.1, and a proxy on
//! this machine that passes requests of others on, name another host.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use openline_core::config::PageAccess;
use openline_engine::HandlerKind;

use super::development::{self, DEVELOPMENT_PATH};
use super::state::State;
use super::{
    FunctionEntry, HEADERS, HandlerForm, INDEX_PATH, LISTING_PATH, LIVE_PATH, Listing, READY_PATH,
    STATE_PATH, asset,
};
use crate::gateway::{Gateway, Service};
use crate::rescue::{Answer, Refusal};

/// Where the page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The listener of the connections.
    Main,
    /// The listener of the admin interface, where the page can do more.
    Admin,
}

/// Whether a path is the host's own.
pub(crate) fn is_below(path: &str) -> bool {
    path.starts_with(INDEX_PATH) || path == INDEX_PATH.trim_end_matches('/')
}

/// The response to a request below [`INDEX_PATH`]. Who may not see the page is
/// told that it is not there.
pub(crate) fn answer(
    gateway: &Gateway,
    parts: &Parts,
    peer: SocketAddr,
) -> Result<Answer, Refusal> {
    if let Some(answer) = probe(gateway, parts.uri.path()) {
        return Ok(answer);
    }
    let allowed = match gateway.table().config.page {
        PageAccess::Everyone => true,
        PageAccess::Off => false,
        PageAccess::Loopback => {
            peer.ip().to_canonical().is_loopback() && names_loopback(&parts.headers)
        }
    };
    if !allowed {
        return Err(Refusal::NotFound);
    }
    content(gateway, parts, Place::Main)
}

/// The response to a request of somebody who may see the page.
pub(crate) fn content(gateway: &Gateway, parts: &Parts, place: Place) -> Result<Answer, Refusal> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Refusal::MethodNotAllowed);
    }
    let path = parts.uri.path();
    if path == INDEX_PATH.trim_end_matches('/') {
        let mut response = response("text/plain; charset=utf-8", Bytes::new());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response
            .headers_mut()
            .insert(LOCATION, HeaderValue::from_static(INDEX_PATH));
        return Ok(response);
    }
    if path == LISTING_PATH {
        let listing = listing(gateway, place);
        let body = serde_json::to_vec(&listing).expect("a listing has only strings and numbers");
        return Ok(response("application/json", body.into()));
    }
    if path == STATE_PATH {
        let body =
            serde_json::to_vec(&State::of(gateway)).expect("a state has only strings and numbers");
        return Ok(response("application/json", body.into()));
    }
    let developed = gateway.development();
    if let Some(development) = developed.filter(|_| path == DEVELOPMENT_PATH) {
        return Ok(response("application/json", development.json().into()));
    }
    let asset = developed
        .and_then(|_| development::asset(path))
        .or_else(|| asset(path))
        .ok_or(Refusal::NotFound)?;
    Ok(response(
        asset.content_type,
        Bytes::from_static(asset.body.as_bytes()),
    ))
}

/// What load balancers and orchestrators ask, of whoever they are: whether the
/// process lives, and whether it should get new connections. Waits for nothing
/// and takes no lock: the thread that answers probes calls it while all others
/// hang.
pub(crate) fn probe(gateway: &Gateway, path: &str) -> Option<Answer> {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let (status, text) = match (path, gateway.hung()) {
        (LIVE_PATH | READY_PATH, Some(hung)) => {
            let seconds = hung.as_secs();
            let text = format!("hung: the host has made no progress for {seconds} s\n");
            (unavailable, Bytes::from(text))
        }
        (LIVE_PATH, None) => (StatusCode::OK, Bytes::from_static(b"live\n")),
        (READY_PATH, None) if gateway.is_draining() => {
            (unavailable, Bytes::from_static(b"draining\n"))
        }
        (READY_PATH, None) => (StatusCode::OK, Bytes::from_static(b"ready\n")),
        _ => return None,
    };
    let mut response = response("text/plain; charset=utf-8", text);
    *response.status_mut() = status;
    Some(response)
}

fn response(content_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

fn listing(gateway: &Gateway, place: Place) -> Listing {
    let entry = |service: &Arc<Service>| {
        let (route, alias) = (&service.route, &service.alias);
        let split = alias.split();
        let first = split.shares.first();
        let handler = first.map_or(HandlerKind::Plain, |(version, _)| version.handler());
        FunctionEntry {
            name: alias.function().to_string(),
            route: route.to_string(),
            handler: match handler {
                HandlerKind::Plain => HandlerForm::Plain,
                HandlerKind::Async => HandlerForm::Async,
            },
            parameters: route.parameters().to_vec(),
            connections: u64::try_from(alias.hub().connections()).unwrap_or(u64::MAX),
            instances: alias.commons().instances().into(),
        }
    };
    Listing {
        version: env!("CARGO_PKG_VERSION"),
        admin: place == Place::Admin,
        functions: gateway.table().services.iter().map(entry).collect(),
    }
}

/// Whether a request is addressed to this machine by name or number, and not
/// passed on by a proxy.
pub(crate) fn names_loopback(headers: &HeaderMap) -> bool {
    if headers.contains_key("forwarded") || headers.contains_key("x-forwarded-for") {
        return false;
    }
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    // RFC 3986 section 3.2.2: only an address of version 6 has brackets, and
    // colons within them.
    if let Some((number, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return number
            .parse::<IpAddr>()
            .is_ok_and(|number| number.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    let number = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || number.is_ok_and(|number| number.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        names_loopback(&headers)
    }

    #[test]
    fn only_this_machine_by_its_own_names() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(names(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8080",
            "10.0.0.1",
            "",
            "[::2]:80",
        ] {
            assert!(!names(host), "{host}");
        }
        assert!(!names_loopback(&HeaderMap::new()));
    }

    #[test]
    fn the_prefix_is_a_whole_segment() {
        assert!(is_below("/.openline") && is_below("/.openline/") && is_below("/.openline/x"));
        assert!(!is_below("/.openliner") && !is_below("/") && !is_below("/x/.openline/"));
    }
}
