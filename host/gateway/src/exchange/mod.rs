//! Requests that a function answers, as plain HTTP: from a request that admission
//! has let pass to the answer of the function.
//!
//! `request` makes what the function gets, `incoming` and `outgoing` are the bodies
//! on their ways, and `answer` checks what the function answers. Bounded by
//! `request_body_bytes` and `stream_time` of the function; no body is held whole.

mod answer;
mod incoming;
mod outgoing;
mod request;

use std::sync::Arc;

use http::Response;
use http::header::SET_COOKIE;
use hyper::body::Incoming;
use openline_admission::admit::Places;
use openline_admission::services::Service;
use openline_core::affinity::Affinity;
use openline_core::event::NoValue;
use openline_engine::request::Asked;
use tokio::time::Instant;

use crate::answer_body::AnswerBody;
use crate::gateway::{Gateway, Place};
use crate::rescue::Refusal;

pub(crate) use outgoing::{CutOff, Written};
pub(crate) use request::Ready;

/// Has the function answer a request.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    ready: Ready,
    body: Incoming,
    place: Place,
) -> Result<Response<AnswerBody>, Refusal> {
    let Ready {
        service,
        parts,
        is_https,
        values,
        places,
        body_sha256,
        set_cookie,
        id,
    } = ready;
    let alias = &service.alias;
    let limits = alias.limits();
    let began = Instant::now();
    let has_end = !limits.stream_time.is_zero();
    let ends = has_end.then(|| began + limits.stream_time);
    let patience = gateway.services().table().config.request_timeout;
    let (body, received) = incoming::receive(body, &parts.headers, &limits, patience, body_sha256)?;
    let is_head = parts.method == http::Method::HEAD;
    let asked = Asked {
        request: http::Request::from_parts(parts, body),
        is_https,
    };
    let value_of = |affinity: &Affinity| values.of(affinity);
    let answering = alias.request(asked, &value_of);
    let answered = match ends {
        Some(ends) => tokio::time::timeout_at(ends, answering)
            .await
            .map_err(|_| Refusal::StreamTime)?,
        None => answering.await,
    };
    // The function has seen an error, and may have answered anything.
    if let Some(refusal) = received.refusal() {
        return Err(refusal);
    }
    let (answered, split) = answered?;
    let (mut head, body) = answer::checked(answered, &split.limits)?;
    if let Some(cookie) = set_cookie {
        head.headers.append(SET_COOKIE, cookie);
    }
    let written = Written::new(
        body,
        (gateway, &service, id),
        (places, place),
        ends,
        is_head,
    );
    Ok(Response::from_parts(
        head,
        AnswerBody::Written(Box::new(written)),
    ))
}

/// The parts of a request that can choose an instance.
#[derive(Debug)]
pub(crate) struct Values(openline_core::event::UpgradeRequest);

impl Values {
    fn of(&self, affinity: &Affinity) -> Result<String, NoValue> {
        self.0.value_of(affinity)
    }
}

/// The places of an exchange, until its answer has ended.
#[derive(Debug)]
struct Held {
    _places: Places,
    place: Place,
}

/// Who answers a request, for the log.
type Answerer<'a> = (
    &'a Arc<Gateway>,
    &'a Arc<Service>,
    crate::request_id::RequestId,
);
