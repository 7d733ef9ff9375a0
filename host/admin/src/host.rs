//! The host itself: its facts, its present state, and the description of this
//! interface.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use openline_core::config::Listener;
use serde::Serialize;
use utoipa::ToSchema;

use crate::call::Call;
use crate::json::json;
use crate::page::State;
use crate::responses::Refused;
use openline_gateway::reserved::Answer;

/// The host.
#[derive(Serialize, ToSchema)]
struct Host {
    /// The version of the host.
    version: &'static str,
    /// Where connections are accepted: address and port. 0.0.0.0 and `[::]` stand
    /// for all addresses of the machine.
    listen: String,
    /// Whether TLS is spoken there.
    tls: bool,
    /// The address by which peers reach the host, if it knows it.
    public_url: Option<String>,
    /// Milliseconds since 1970.
    started: u64,
    /// Whether the host forgets its deployments when the process ends.
    in_memory: bool,
    /// Whether the host is ending and takes no new connections.
    draining: bool,
}

#[utoipa::path(
    get,
    path = "/v1/host",
    operation_id = "host",
    tag = "host",
    summary = "Facts about the host",
    responses(
        (status = 200, description = "The host.", body = Host),
        Refused
    )
)]
pub(crate) async fn host(call: Call) -> Answer {
    let context = call.context;
    let public_url = context.deployer.public_url();
    let host = Host {
        version: env!("CARGO_PKG_VERSION"),
        listen: context.listen.to_string(),
        tls: context.gateway.tls().is_spoken(Listener::Listen),
        public_url: public_url.map(|url| url.to_string()),
        started: context.started,
        in_memory: context.deployer.is_in_memory(),
        draining: context.gateway.services().is_draining(),
    };
    json(StatusCode::OK, &host)
}

#[utoipa::path(
    get,
    path = "/v1/state",
    operation_id = "state",
    tag = "host",
    summary = "The present state of the host",
    responses(
        (status = 200, description = "The state.", body = State),
        Refused
    )
)]
pub(crate) async fn state(call: Call) -> Answer {
    json(
        StatusCode::OK,
        &State::of(&call.context.deployer, &call.context.gateway),
    )
}

#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "openapi",
    tag = "host",
    summary = "This document",
    responses(
        (status = 200, description = "The document.", content_type = "application/json"),
        Refused
    )
)]
pub(crate) async fn openapi(call: Call) -> Answer {
    let mut answer = Answer::new(Full::from((call.context.description.text)()));
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
