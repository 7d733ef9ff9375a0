//! The body of a request on its way to a function: counted, checked against its
//! signature, and given up when its peer stops sending.
//!
//! Bounded by `request_body_bytes`. What a peer sends within `request_timeout` may
//! be a byte; `stream_time` bounds the whole. The body of a call of gRPC is a stream
//! of messages: each is bounded by `message_bytes`, and between them the peer may be
//! silent for as long as it likes. They may be any number once the function has
//! answered in gRPC, too; before that only the peer says that it is a call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use openline_core::headers::strip_trailers;
use openline_core::limits::FunctionLimits;
use openline_engine::{RequestBody, RequestBodyError};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, Sleep};

use crate::arriving::Arriving;
use crate::grpc::{Base64, Framing, GrpcRefusal, Violation, Wire};
use crate::rescue::Refusal;

/// What was wrong with a body, for the task that answers its request.
#[derive(Clone, Debug)]
pub(super) struct Received {
    verdict: Arc<Verdict>,
    bytes_max: u64,
    message_bytes_max: u64,
}

#[derive(Debug, Default)]
struct Verdict {
    word: AtomicU8,
    /// The function has answered a call as one.
    is_answered: AtomicBool,
    /// The task that is to learn it.
    waker: AtomicWaker,
}

const TOO_LARGE: u8 = 1;
const INCOMPLETE: u8 = 2;
const MESSAGE_TOO_LARGE: u8 = 3;
const MALFORMED: u8 = 4;

/// How a body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) limits: &'a FunctionLimits,
    /// How long the peer may be silent.
    pub(super) patience: Duration,
    /// What it must hash to.
    pub(super) signed: Option<[u8; 32]>,
    /// There if it is the body of a call of gRPC.
    pub(super) call: Option<Wire>,
}

struct Receiving {
    body: Arriving,
    left: u64,
    received: Received,
    signed: Option<Box<Signed>>,
    /// There for a call that comes in base64.
    base64: Option<Base64>,
    /// There for a call of gRPC.
    framing: Option<Framing>,
    patience: Duration,
    /// There while the peer is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

/// What is wrong, for the task that answers, and for the function.
type Failure = (u8, RequestBodyError);

const BROKEN_OFF: Failure = (INCOMPLETE, RequestBodyError::Incomplete);
const MALFORMED_CALL: Failure = (MALFORMED, RequestBodyError::Malformed);

fn failure(violation: Violation) -> Failure {
    match violation {
        Violation::TooLarge(bytes) => (MESSAGE_TOO_LARGE, RequestBodyError::TooLarge(bytes)),
        Violation::Flag(_) => MALFORMED_CALL,
        Violation::Truncated => BROKEN_OFF,
    }
}

struct Signed {
    hash: Sha256,
    expected: [u8; 32],
}

/// The body for the function. One that is announced as too large is refused before
/// the function is asked, and before the peer sends it if it waits for
/// `100 Continue`.
pub(super) fn receive(
    body: Arriving,
    headers: &HeaderMap,
    terms: Terms<'_>,
) -> Result<(RequestBody, Received), Refusal> {
    let limits = terms.limits;
    let bytes_max = limits.request_body_bytes as u64;
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let least = announced.unwrap_or(0).max(body.size_hint().lower());
    if least > bytes_max {
        return Err(Refusal::RequestBody(bytes_max));
    }
    let received = Received {
        verdict: Arc::default(),
        bytes_max,
        message_bytes_max: limits.message_bytes as u64,
    };
    let signed = terms.signed.map(|expected| {
        Box::new(Signed {
            hash: Sha256::new(),
            expected,
        })
    });
    let receiving = Receiving {
        body,
        left: bytes_max,
        received: received.clone(),
        signed,
        base64: (terms.call == Some(Wire::WebText)).then(Base64::default),
        framing: terms.call.map(|_| Framing::new(limits.message_bytes)),
        patience: terms.patience,
        timer: None,
        is_over: false,
    };
    Ok((receiving.boxed_unsync(), received))
}

impl Received {
    /// Why the request is refused because of its body, whatever the function says.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self.verdict.word.load(Ordering::Acquire) {
            TOO_LARGE => Some(Refusal::RequestBody(self.bytes_max)),
            INCOMPLETE => Some(Refusal::RequestBodyIncomplete),
            MESSAGE_TOO_LARGE => Some(GrpcRefusal::Message(self.message_bytes_max).into()),
            MALFORMED => Some(GrpcRefusal::Framing.into()),
            _ => None,
        }
    }

    /// The same; the task is woken if there is one later.
    pub(super) fn refusal_or_wake(&self, cx: &Context<'_>) -> Option<Refusal> {
        self.verdict.waker.register(cx.waker());
        self.refusal()
    }

    /// The function has answered a call as one: it speaks gRPC, so that its messages
    /// may be any number from now on.
    pub(super) fn is_answered(&self) {
        self.verdict.is_answered.store(true, Ordering::Release);
    }

    fn is(&self, word: u8) {
        self.verdict.word.store(word, Ordering::Release);
        self.verdict.waker.wake();
    }
}

impl Receiving {
    fn fail(
        &mut self,
        (word, error): Failure,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.is_over = true;
        self.received.is(word);
        Poll::Ready(Some(Err(error)))
    }

    /// Whether the peer may take its time.
    fn is_at_rest(&self) -> bool {
        self.framing.as_ref().is_some_and(Framing::is_between)
    }

    /// Waits for the peer, for as long as it may take.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let due = Instant::now() + self.patience;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        timer.as_mut().poll(cx).is_ready()
    }

    /// Takes a piece in: what the function gets, or an error if it may not go on.
    fn take(&mut self, mut data: Bytes) -> Result<Bytes, Failure> {
        if !self.received.verdict.is_answered.load(Ordering::Acquire) {
            let left = self.left.checked_sub(data.len() as u64);
            let bytes_max = self.received.bytes_max;
            self.left = left.ok_or((TOO_LARGE, RequestBodyError::TooLarge(bytes_max)))?;
        }
        if let Some(signed) = &mut self.signed {
            signed.hash.update(&data);
        }
        if let Some(base64) = &mut self.base64 {
            data = base64.take(&data).ok_or(MALFORMED_CALL)?;
        }
        if let Some(framing) = &mut self.framing {
            framing
                .take(&data)
                .map_err(|(_, violation)| failure(violation))?;
        }
        Ok(data)
    }

    /// Whether it is whole, and what was signed.
    fn is_whole(&mut self) -> bool {
        let is_between = self.framing.as_ref().is_none_or(Framing::is_between);
        let is_decoded = self.base64.as_ref().is_none_or(Base64::is_whole);
        is_between && is_decoded && self.is_signed()
    }

    fn is_signed(&mut self) -> bool {
        self.signed.take().is_none_or(|signed| {
            let Signed { hash, expected } = *signed;
            hash.finalize()[..] == expected
        })
    }
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() && !self.is_at_rest() && self.is_late(cx) {
            return self.fail(BROKEN_OFF);
        }
        let frame = ready!(polled);
        self.timer = None;
        match frame {
            Some(Ok(frame)) => match frame.into_data().map(|data| self.take(data)) {
                Ok(Ok(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Err(error)) => self.fail(error),
                Err(mut frame) => {
                    if let Some(found) = frame.trailers_mut() {
                        strip_trailers(found);
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
            },
            Some(Err(_)) => self.fail(BROKEN_OFF),
            None if self.is_whole() => {
                self.is_over = true;
                Poll::Ready(None)
            }
            None => self.fail(BROKEN_OFF),
        }
    }

    fn is_end_stream(&self) -> bool {
        // The end of a signed body, and of messages, is where it is checked.
        let is_checked = self.signed.is_some() || self.framing.is_some();
        self.is_over || !is_checked && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Base64 is longer than what it says.
        match self.base64 {
            Some(_) => SizeHint::new(),
            None => self.body.size_hint(),
        }
    }
}
