//! Admission: whether a request may ask a function. It has two steps, with the
//! handshake between them, and neither runs guest code.
//!
//! [`route`] finds the function and checks the request against its limits;
//! [`admit`] takes places among the connections of the host and of the
//! function. Whether an instance has room shows only when the function is
//! asked.

use std::sync::Arc;

use http::request::Parts;
use openline_core::event::RouteParams;
use openline_core::limits::{FunctionLimits, REQUEST_HEADERS_MAX};

use crate::ledger::{Bounds, Entered};
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::services::{Service, Services, Table};

/// A request that leads to a function and is within its limits.
#[derive(Debug)]
pub struct Routed {
    /// The service that its path leads to.
    pub service: Arc<Service>,
    /// The limits that it was checked against.
    pub limits: Arc<FunctionLimits>,
    /// The parameters of the route with their values, decoded.
    pub params: RouteParams,
}

/// A connection's places in the ledgers of the host and of its function.
/// Dropping them gives them back.
#[derive(Debug)]
pub struct Places {
    _host: Entered,
    _function: Entered,
}

/// Finds where a request leads.
///
/// # Errors
///
/// When no route matches, or the request breaks a limit of the function.
pub fn route(table: &Table, parts: &Parts) -> Result<Routed, Refusal> {
    reserved(parts)?;
    let (service, params) = table
        .routes
        .find(parts.uri.path())
        .ok_or(Refusal::NotFound)?;
    let function = service.alias.limits();
    limits(parts, &function)?;
    Ok(Routed {
        service: Arc::clone(service),
        limits: function,
        params: params.map_err(|_| Refusal::Path)?,
    })
}

/// Takes a peer's places, of the host and then of the function; in each, rates
/// are checked before numbers. It is asynchronous because later checks (fetched
/// keys, counters shared by several hosts) will have to wait.
///
/// # Errors
///
/// When the host drains, or a limit is reached; then nothing is taken.
pub async fn admit(
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
    if parts
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("openline-"))
    {
        return Err(Refusal::ReservedHeader);
    }
    Ok(())
}
