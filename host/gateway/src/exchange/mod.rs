//! Requests that a function answers, as plain HTTP: from a request that admission
//! has let pass to the answer of the function.
//!
//! `request` makes what the function gets, `incoming` and `outgoing` are the bodies
//! on their ways, `gathered` is what has come before the function is asked, `answer` checks what the function answers, and `ends` is the time for
//! all of it. `watch` and `status` are for calls of gRPC. Bounded by
//! `request_body_bytes` and `stream_time` of the function; no large body is held whole.

mod answer;
mod cut_off;
mod ends;
mod gathered;
mod incoming;
mod outgoing;
mod request;
pub(crate) mod status;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use openline_admission::admit::Places;
use openline_admission::services::Service;
use openline_core::affinity::Affinity;
use openline_core::event::NoValue;
use openline_engine::ResponseBody;
use openline_engine::request::{Answered, Asked};

use self::ends::Ends;
use self::gathered::gather;
use self::incoming::{Received, Terms};
use self::watch::Watch;
use crate::answer_body::AnswerBody;
use crate::arriving::Arriving;
use crate::gateway::{Gateway, Place};
use crate::grpc::{Call, Form};
use crate::held::Holding;
use crate::rescue::Refusal;

pub(crate) use cut_off::CutOff;
pub(crate) use outgoing::Written;
pub(crate) use request::Ready;

/// Has the function answer a request.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    ready: Ready,
    body: Arriving,
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
    let call = Call::of(&parts)?;
    let ends = Ends::of(limits.stream_time, call);
    let (is_head, version) = (parts.method == http::Method::HEAD, parts.version);
    let terms = Terms {
        limits: &limits,
        patience: gateway.services().table().config.request_timeout,
        signed: body_sha256,
        call: call.map(|call| call.wire),
    };
    let (asked, received) = asked((parts, is_https), body, terms)?;
    let asking = begun(asked, &service, &received);
    let asked = ends.bound(asking).await??;
    let value_of = |affinity: &Affinity| values.of(affinity);
    let answered = ends.bound(alias.request(asked, &value_of)).await?;
    // The function has seen an error, and may have answered anything.
    if let Some(refusal) = received.refusal() {
        return Err(refusal);
    }
    let Answered {
        response,
        served,
        split,
    } = answered?;
    let (mut head, hold, mut body) = answer::checked(response, &split.limits)?;
    head.headers
        .extend(set_cookie.map(|cookie| (SET_COOKIE, cookie)));
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
    let watch = match call.map(|_| Form::of(&mut head)) {
        Some(Form::Messages) => {
            received.is_answered();
            Some(Watch::new(split.limits.message_bytes, received))
        }
        Some(Form::Whole) => {
            ends.bound(ended(&mut body)).await??;
            return Ok(Exchanged::all(head));
        }
        Some(Form::Otherwise) | None => None,
    };
    let (answerer, held) = ((gateway, &service, id), (places, place));
    let is_bodiless = is_head || has_no_body(head.status);
    let written = Written::new(body, answerer, held, ends, (is_bodiless, version), watch);
    let body = AnswerBody::Written(Box::new(written));
    Ok(Exchanged::Answer(Response::from_parts(head, body)))
}

/// Whether an answer has no body by its status. The library takes one away over
/// HTTP/1.1 only.
fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// What the function is asked, and how the body of that fares.
fn asked(
    (mut parts, is_https): (Parts, bool),
    body: Arriving,
    terms: Terms<'_>,
) -> Result<(Asked, Received), Refusal> {
    if let Some(wire) = terms.call {
        wire.make_native(&mut parts.headers);
    }
    let (body, received) = incoming::receive(body, &parts.headers, terms)?;
    let request = http::Request::from_parts(parts, body);
    let asked = Asked {
        request,
        is_https,
        // Between messages the peer of a call may be silent.
        silence: terms.call.is_none().then_some(terms.patience),
    };
    Ok((asked, received))
}

/// Waits for the beginning of the body that the function needs.
async fn begun(mut asked: Asked, service: &Service, received: &Received) -> Result<Asked, Refusal> {
    let beginning = service.alias.beginning();
    let gathered = gather(asked.request, beginning, &service.budget).await;
    let refusal = || received.refusal();
    asked.request = gathered.map_err(|_| refusal().unwrap_or(Refusal::RequestBodyIncomplete))?;
    Ok(asked)
}

/// What a function has answered.
#[derive(Debug)]
pub(crate) enum Exchanged {
    /// An answer that it writes.
    Answer(Response<AnswerBody>),
    /// An answer that it holds, with its first bytes: the call has returned.
    Held(Box<Holding>),
}

impl Exchanged {
    /// An answer whose head is all of it.
    fn all(head: http::response::Parts) -> Self {
        let none = Full::from(Bytes::new()).into();
        Self::Answer(Response::from_parts(head, none))
    }
}

/// What is wrong with an answer that has its status at its head, and is not all.
const GOES_ON: &str = "its head has grpc-status, so nothing may follow";

/// Waits until an answer ends whose head has its status. Some clients take the head
/// for all of it only if it ends the stream.
async fn ended(body: &mut ResponseBody) -> Result<(), Refusal> {
    loop {
        match body.frame().await {
            None => return Ok(()),
            Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
            Some(Ok(_)) => return Err(Refusal::Answer(GOES_ON.into())),
            Some(Err(unfinished)) => return Err(Refusal::Answer(unfinished.to_string())),
        }
    }
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
