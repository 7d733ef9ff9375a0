//! The body of a request on its way to a function: counted, checked against its
//! signature, and given up when its peer stops sending.
//!
//! Bounded by `request_body_bytes`. What a peer sends within `request_timeout` may
//! be a byte; `stream_time` bounds the whole.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use openline_core::limits::FunctionLimits;
use openline_engine::{RequestBody, RequestBodyError};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, Sleep};

use crate::rescue::Refusal;

/// What was wrong with a body, for the task that answers its request.
#[derive(Clone, Debug)]
pub(super) struct Received {
    verdict: Arc<AtomicU8>,
    bytes_max: u64,
}

const TOO_LARGE: u8 = 1;
const INCOMPLETE: u8 = 2;

struct Receiving {
    body: Incoming,
    left: u64,
    received: Received,
    signed: Option<Box<Signed>>,
    patience: Duration,
    /// There while the peer is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

struct Signed {
    hash: Sha256,
    expected: [u8; 32],
}

/// The body for the function. One that is announced as too large is refused before
/// the function is asked, and before the peer sends it if it waits for
/// `100 Continue`.
pub(super) fn receive(
    body: Incoming,
    headers: &HeaderMap,
    limits: &FunctionLimits,
    patience: Duration,
    signed: Option<[u8; 32]>,
) -> Result<(RequestBody, Received), Refusal> {
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
    };
    let signed = signed.map(|expected| {
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
        patience,
        timer: None,
        is_over: false,
    };
    Ok((receiving.boxed_unsync(), received))
}

impl Received {
    /// Why the request is refused because of its body, whatever the function says.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self.verdict.load(Ordering::Relaxed) {
            TOO_LARGE => Some(Refusal::RequestBody(self.bytes_max)),
            INCOMPLETE => Some(Refusal::RequestBodyIncomplete),
            _ => None,
        }
    }

    fn is(&self, verdict: u8) {
        self.verdict.store(verdict, Ordering::Relaxed);
    }
}

impl Receiving {
    fn fail(
        &mut self,
        error: RequestBodyError,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.is_over = true;
        self.received.is(match error {
            RequestBodyError::TooLarge(_) => TOO_LARGE,
            RequestBodyError::Incomplete => INCOMPLETE,
        });
        Poll::Ready(Some(Err(error)))
    }

    /// Waits for the peer, for as long as it may take.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let due = Instant::now() + self.patience;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        timer.as_mut().poll(cx).is_ready()
    }

    /// Takes a piece in; an error if it may not go on.
    fn take(&mut self, data: &Bytes) -> Result<(), RequestBodyError> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or(RequestBodyError::TooLarge(self.received.bytes_max))?;
        if let Some(signed) = &mut self.signed {
            signed.hash.update(data);
        }
        Ok(())
    }

    /// Whether it is what was signed.
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
        if polled.is_pending() && self.is_late(cx) {
            return self.fail(RequestBodyError::Incomplete);
        }
        let frame = ready!(polled);
        self.timer = None;
        match frame {
            Some(Ok(frame)) => match frame.data_ref().map(|data| self.take(data)) {
                Some(Err(error)) => self.fail(error),
                _ => Poll::Ready(Some(Ok(frame))),
            },
            Some(Err(_)) => self.fail(RequestBodyError::Incomplete),
            None if self.is_signed() => {
                self.is_over = true;
                Poll::Ready(None)
            }
            None => self.fail(RequestBodyError::Incomplete),
        }
    }

    fn is_end_stream(&self) -> bool {
        // The end of a signed body is where it is checked.
        self.is_over || self.signed.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
