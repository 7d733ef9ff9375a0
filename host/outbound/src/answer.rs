//! The body of an answer, and with it the rest of a call: bounded in bytes and
//! time, also if the function never reads it.
//!
//! A function that does not read makes the other host wait, and nobody else: TCP
//! and the windows of HTTP/2 bound what has arrived meanwhile. Its silence is
//! counted only while the function waits for it. `outbound_time` runs in any case,
//! and the host's sweep takes what is overdue from functions that keep it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use openline_core::headers::strip_trailers;
use openline_core::outbound::Destination;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use crate::counters::Counters;
use crate::error::{OutboundError, Phase};
use crate::outgoing::Progress;
use crate::pipe::Pipe;
use crate::places::Place;
use crate::terms::InForce;

/// How long a connection may take to become ready for the next call after an
/// answer has ended. It has only to notice that.
const READY_TIME: Duration = Duration::from_secs(1);

/// The body of an answer.
#[derive(Debug)]
pub struct AnswerBody {
    answer: Arc<Answer>,
    ended: bool,
}

/// An answer that is not read to its end, as the host's sweep sees it.
#[derive(Debug)]
pub(crate) struct Answer {
    open: Mutex<Option<Open>>,
    until: Option<Instant>,
    counters: Arc<Counters>,
}

/// What is needed to read on.
#[derive(Debug)]
pub(crate) struct Open {
    incoming: Incoming,
    lease: Lease,
    left: u64,
    silence: Duration,
    /// When the function has begun to wait for what comes next.
    waits_since: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    until: Option<Instant>,
}

/// A connection that a call has, with the call's place. When it is dropped, the
/// call is over.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) pipe: Option<Pipe>,
    pub(crate) to: Destination,
    pub(crate) in_force: Arc<InForce>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) runtime: Handle,
    pub(crate) _place: Place,
}

// === impl Lease ===

impl Lease {
    /// The answer has come to its end.
    fn finish(mut self) {
        let Some(Pipe::One(mut one)) = self.pipe.take() else {
            return;
        };
        if one.is_ready() {
            self.in_force.pool.give(&self.to, one);
        } else if !one.is_closed() {
            let (to, in_force) = (self.to.clone(), Arc::clone(&self.in_force));
            self.runtime.spawn(async move {
                let ready = tokio::time::timeout(READY_TIME, one.ready()).await;
                if ready == Ok(true) {
                    in_force.pool.give(&to, one);
                }
            });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.progress.end();
    }
}

// === impl Open ===

impl Open {
    pub(crate) fn new(
        incoming: Incoming,
        lease: Lease,
        silence: Duration,
        until: Option<Instant>,
    ) -> Self {
        let left = lease.in_force.limits.response_bytes;
        let alarm = {
            let _guard = lease.runtime.enter();
            Box::pin(tokio::time::sleep_until(Instant::now()))
        };
        Self {
            incoming,
            lease,
            left,
            silence,
            waits_since: None,
            alarm,
            until,
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        counters: &Counters,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(context);
        let Poll::Ready(frame) = frame else {
            return self.poll_time(context).map(|error| Some(Err(error)));
        };
        self.waits_since = None;
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(Ok(mut frame)) => {
                if let Some(found) = frame.trailers_mut() {
                    strip_trailers(found);
                }
                frame
            }
            Some(Err(error)) => {
                let failure = self.lease.progress.failure();
                let error = || OutboundError::of_http(&error, Phase::Body);
                return Poll::Ready(Some(Err(failure.unwrap_or_else(error))));
            }
        };
        if let Some(data) = frame.data_ref() {
            let bytes = data.remaining();
            counters.received(bytes);
            let bytes = u64::try_from(bytes).ok();
            match bytes.and_then(|bytes| self.left.checked_sub(bytes)) {
                Some(left) => self.left = left,
                None => {
                    let most = self.lease.in_force.limits.response_bytes;
                    return Poll::Ready(Some(Err(OutboundError::ResponseBodyBytes(most))));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Ready when the time is up.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<OutboundError> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let silent = since.checked_add(self.silence);
        let due = silent.into_iter().chain(self.until).min();
        let Some(due) = due else {
            return Poll::Pending;
        };
        if self.alarm.deadline() != due {
            self.alarm.as_mut().reset(due);
        }
        ready!(self.alarm.as_mut().poll(context));
        Poll::Ready(if self.until == Some(due) {
            OutboundError::TimeUp
        } else {
            OutboundError::SilenceTimeout
        })
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn new(open: Open, counters: Arc<Counters>) -> Self {
        Self {
            until: open.until,
            open: Mutex::new(Some(open)),
            counters,
        }
    }

    /// Ends it if its time is up.
    pub(crate) fn sweep(&self) {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            let open = self.open.lock().take();
            if open.is_some() {
                self.counters.failed(&OutboundError::TimeUp);
            }
            drop(open);
        }
    }

    /// Whether it has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.open.lock().is_none()
    }
}

// === impl AnswerBody ===

impl AnswerBody {
    pub(crate) fn new(answer: Arc<Answer>) -> Self {
        Self {
            answer,
            ended: false,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let answer = Arc::clone(&self.answer);
        let mut slot = answer.open.lock();
        let Some(open) = slot.as_mut() else {
            // The sweep has ended and counted it.
            self.ended = true;
            return Poll::Ready(Some(Err(OutboundError::TimeUp)));
        };
        let frame = ready!(open.poll(context, &answer.counters));
        let over = match &frame {
            Some(Ok(_)) => return Poll::Ready(frame),
            Some(Err(error)) => {
                answer.counters.failed(error);
                slot.take()
            }
            None => {
                let open = slot.take();
                if let Some(open) = open {
                    open.lease.finish();
                }
                None
            }
        };
        drop(slot);
        drop(over);
        self.ended = true;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let open = self.answer.open.lock();
        match open.as_ref() {
            Some(open) => open.incoming.is_end_stream(),
            None => self.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let open = self.answer.open.lock();
        open.as_ref()
            .map_or_else(SizeHint::default, |open| open.incoming.size_hint())
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let open = self.answer.open.lock().take();
        if let Some(open) = open
            && open.incoming.is_end_stream()
        {
            // Nobody reads a body that has nothing.
            open.lease.finish();
        }
    }
}
