//! The host itself: what it is, what it holds at the moment, and the
//! description of this interface.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use serde::Serialize;

use crate::OPENAPI;
use crate::page::State;
use crate::serve::{Call, json};
use openline_gateway::reserved::Answer;

#[derive(Serialize)]
struct Host {
    version: &'static str,
    /// Where connections are accepted: address and port.
    listen: String,
    /// Milliseconds since 1970.
    started: u64,
    /// What is deployed is forgotten when the process ends.
    in_memory: bool,
    /// It takes no new connections and is about to end.
    draining: bool,
}

pub(crate) fn host(call: &Call<'_>) -> Answer {
    let context = call.context;
    let host = Host {
        version: env!("CARGO_PKG_VERSION"),
        listen: context.listen.to_string(),
        started: context.started,
        in_memory: context.deployer.is_in_memory(),
        draining: context.gateway.services().is_draining(),
    };
    json(StatusCode::OK, &host)
}

pub(crate) fn state(call: &Call<'_>) -> Answer {
    json(
        StatusCode::OK,
        &State::of(&call.context.deployer, &call.context.gateway),
    )
}

pub(crate) fn openapi() -> Answer {
    let mut answer = Answer::new(Full::from(OPENAPI));
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
