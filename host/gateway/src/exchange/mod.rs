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
use openline_engine::request::{Answered, Asked};
use tokio::time::Instant;

use crate::answer_body::AnswerBody;
use crate::gateway::{Gateway, Place};
use crate::held::Holding;
use crate::rescue::Refusal;

pub(crate) use outgoing::{CutOff, Written};
pub(crate) use request::Ready;

/// Has the function answer a request.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    ready: Ready,
    body: Incoming,
    place: Place,
) -> Result<Exchanged, Refusal> {
    let Ready {
        service,
        parts,
        is_https,
        values,
        places,
        body_sha256,
        set_cookie,
        caller,
    } = ready;
    let id = caller.id;
    let alias = &service.alias;
    let limits = alias.limits();
    let began = Instant::now();
    let has_end = !limits.stream_time.is_zero();
    let ends = has_end.then(|| began + limits.stream_time);
    let patience = gateway.services().table().config.request_timeout;
    let (body, received) = incoming::receive(body, &parts.headers, &limits, patience, body_sha256)?;
    let (is_head, version) = (parts.method == http::Method::HEAD, parts.version);
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
    let Answered {
        response,
        served,
        split,
    } = answered?;
    let (mut head, hold, body) = answer::checked(response, &split.limits)?;
    if let Some(cookie) = set_cookie {
        head.headers.append(SET_COOKIE, cookie);
    }
    if let Some(hold) = hold {
        let first = answer::first_bytes(body, &split.limits).await?;
        return Ok(Exchanged::Held(Box::new(Holding {
            service,
            caller,
            places,
            place,
            served: (served, split),
            hold,
            head,
            first,
            is_head,
        })));
    }
    let written = Written::new(
        body,
        (gateway, &service, id),
        (places, place),
        ends,
        (is_head, version),
    );
    let body = AnswerBody::Written(Box::new(written));
    Ok(Exchanged::Answer(Response::from_parts(head, body)))
}

/// What a function has answered.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are answers, which need no allocation"
)]
pub(crate) enum Exchanged {
    /// An answer that it writes.
    Answer(Response<AnswerBody>),
    /// An answer that it holds, with its first bytes: the call has returned.
    Held(Box<Holding>),
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
