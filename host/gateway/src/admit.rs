//! Admission: one ordered pipeline that decides whether a request may ask a
//! function. Nothing of it runs guest code.
//!
//! Limits of the request, then the route, then the handshake, then whether the
//! host takes connections at all. Whether an instance has room is decided when
//! the function is asked.

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use openline_core::event::UpgradeRequest;
use openline_core::limits::FunctionLimits;
use openline_engine::function::Function;

use crate::gateway::Gateway;
use crate::handshake::{self, Handshake};
use crate::rescue::Refusal;

/// A request that may ask its function.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) function: Arc<Function>,
    pub(crate) handshake: Handshake,
    pub(crate) request: UpgradeRequest,
}

pub(crate) fn admit(
    gateway: &Gateway,
    parts: &Parts,
    peer: SocketAddr,
) -> Result<Admission, Refusal> {
    reserved(parts)?;
    let (function, params) = gateway
        .routes
        .find(parts.uri.path())
        .ok_or(Refusal::NotFound)?;
    limits(parts, function.limits())?;
    let route_params = params.map_err(|_| Refusal::Path)?;
    if !handshake::is_wanted(&parts.headers) {
        return Err(Refusal::UpgradeRequired);
    }
    let handshake = handshake::check(parts)?;
    if gateway.is_draining() {
        return Err(Refusal::Draining);
    }
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
        subprotocols: handshake.subprotocols.clone(),
        route_params,
    };
    Ok(Admission {
        function: Arc::clone(function),
        handshake,
        request,
    })
}

fn limits(parts: &Parts, limits: &FunctionLimits) -> Result<(), Refusal> {
    let uri = parts
        .uri
        .path_and_query()
        .map_or(0, |uri| uri.as_str().len());
    if uri > limits.request_uri_bytes {
        return Err(Refusal::UriTooLong(limits.request_uri_bytes));
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
