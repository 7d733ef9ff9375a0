//! The body of a call: counted, bounded, and ended with the call.
//!
//! It also knows whose turn it is. As long as the function has more to send and has
//! not done so, the other host cannot be late with its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use openline_core::headers::strip_trailers;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::counters::Counters;
use crate::error::OutboundError;

/// An error of the body that a function sends.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a call, as it comes from a function.
pub type CallBody = UnsyncBoxBody<Bytes, BodyError>;

/// The same on its way out.
#[derive(Debug)]
pub(crate) struct OutgoingBody {
    /// `None` when it has ended.
    inner: Option<CallBody>,
    left: u64,
    most: u64,
    progress: Arc<Progress>,
    counters: Arc<Counters>,
}

/// How far the body of a call is.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct State {
    /// When the other host has last taken something.
    taken: Instant,
    /// Whether the function has to go on.
    waits_for_function: bool,
    /// Whether nobody needs the rest.
    is_over: bool,
    /// Why the body has not come to its end.
    failure: Option<OutboundError>,
}

/// The rest of a body is not sent.
#[derive(Debug, thiserror::Error)]
#[error("the body of the call ends early")]
struct EndsEarly;

// === impl Progress ===

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            taken: Instant::now(),
            waits_for_function: false,
            is_over: false,
            failure: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            waker: AtomicWaker::new(),
        })
    }

    /// When the other host is late with its answer; `None` while it waits for the
    /// function.
    pub(crate) fn due(&self, timeout: Duration) -> Option<Instant> {
        let state = self.state.lock();
        let due = state.taken.checked_add(timeout);
        due.filter(|_| !state.waits_for_function)
    }

    /// Why the body has not come to its end.
    pub(crate) fn failure(&self) -> Option<OutboundError> {
        self.state.lock().failure.clone()
    }

    /// Ends the body: the call is over.
    pub(crate) fn end(&self) {
        self.state.lock().is_over = true;
        self.waker.wake();
    }
}

// === impl OutgoingBody ===

impl OutgoingBody {
    pub(crate) fn new(
        inner: CallBody,
        most: u64,
        progress: Arc<Progress>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            inner: Some(inner),
            left: most,
            most,
            progress,
            counters,
        }
    }

    fn fail(&mut self, failure: OutboundError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.inner = None;
        let mut state = self.progress.state.lock();
        state.waits_for_function = false;
        state.failure.get_or_insert(failure);
        Poll::Ready(Some(Err(Box::new(EndsEarly))))
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.progress.waker.register(context.waker());
        if self.progress.state.lock().is_over {
            self.inner = None;
            return Poll::Ready(Some(Err(Box::new(EndsEarly))));
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(inner).poll_frame(context);
        {
            let mut state = self.progress.state.lock();
            state.taken = Instant::now();
            state.waits_for_function = frame.is_pending();
        }
        match frame {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.inner = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "a function has not finished the body of its call");
                self.fail(OutboundError::RequestBody)
            }
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(found) = frame.trailers_mut() {
                    strip_trailers(found);
                }
                if let Some(data) = frame.data_ref() {
                    let bytes = data.remaining();
                    let left = u64::try_from(bytes).ok();
                    let left = left.and_then(|bytes| self.left.checked_sub(bytes));
                    let Some(left) = left else {
                        let most = self.most;
                        return self.fail(OutboundError::RequestBodyBytes(most));
                    };
                    self.left = left;
                    self.counters.sent(bytes);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
