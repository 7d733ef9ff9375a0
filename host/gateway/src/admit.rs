//! Admission: one ordered pipeline that decides whether a request may ask a
//! function. Nothing of it runs guest code.
//!
//! The route, then limits of the request, then the handshake, then whether the
//! host and the function take one more connection of this peer, then what the
//! request offers. Whether an
//! instance has room is decided when the function is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use openline_core::event::UpgradeRequest;
use openline_core::limits::{FunctionLimits, REQUEST_HEADERS_MAX};

use crate::gateway::{Gateway, Service, Table};
use crate::handshake::{self, Handshake};
use crate::ledger::{Bounds, Entered};
use crate::rescue::Refusal;

/// A request that may ask its function.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) service: Arc<Service>,
    pub(crate) handshake: Handshake,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) request: UpgradeRequest,
    pub(crate) places: Places,
    pub(crate) close_timeout: Duration,
}

/// A connection's places among those of the host and of its function.
#[derive(Debug)]
pub(crate) struct Places {
    _host: Entered,
    _function: Entered,
}

pub(crate) fn admit(
    gateway: &Gateway,
    table: &Table,
    parts: &Parts,
    peer: SocketAddr,
) -> Result<Admission, Refusal> {
    reserved(parts)?;
    let (service, params) = table
        .routes
        .find(parts.uri.path())
        .ok_or(Refusal::NotFound)?;
    let function = service.alias.limits();
    limits(parts, &function)?;
    let route_params = params.map_err(|_| Refusal::Path)?;
    if !handshake::is_wanted(&parts.headers) {
        return Err(Refusal::UpgradeRequired);
    }
    let handshake = handshake::check(parts)?;
    if gateway.is_draining() {
        return Err(Refusal::Draining);
    }
    let places = places(gateway, table, service, &function, peer)?;
    let subprotocols = handshake::subprotocols(&parts.headers)?;
    let headers = parts.headers.iter();
    let request = UpgradeRequest {
        method: parts.method.as_str().into(),
        uri: parts
            .uri
            .path_and_query()
            .map_or("/", |uri| uri.as_str())
            .into(),
        headers: headers
            .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()))
            .collect(),
        peer: peer.to_string(),
        subprotocols: subprotocols.clone(),
        route_params,
    };
    Ok(Admission {
        service: Arc::clone(service),
        handshake,
        subprotocols,
        request,
        places,
        close_timeout: table.config.close_timeout,
    })
}

/// Rates first, then numbers, of the host and then of the function.
fn places(
    gateway: &Gateway,
    table: &Table,
    service: &Service,
    limits: &FunctionLimits,
    peer: SocketAddr,
) -> Result<Places, Refusal> {
    let host = gateway
        .ledger
        .enter(peer.ip(), Bounds::from(&table.config))
        .map_err(Refusal::HostReached)?;
    let function = service
        .ledger
        .enter(peer.ip(), Bounds::from(limits))
        .map_err(Refusal::Reached)?;
    Ok(Places {
        _host: host,
        _function: function,
    })
}

pub(crate) fn limits(parts: &Parts, limits: &FunctionLimits) -> Result<(), Refusal> {
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
    if parts
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("openline-"))
    {
        return Err(Refusal::ReservedHeader);
    }
    Ok(())
}
