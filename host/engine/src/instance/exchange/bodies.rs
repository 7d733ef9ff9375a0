//! What a function reads of a request, and what the peer gets of the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

use super::progress::{Awaits, Displaced, Exchange, Stage};
use super::{RequestBody, RequestBodyError, Streams, Unfinished, WrittenBody};

/// The body of a request, which notes when the function waits for it.
pub(crate) struct Awaited {
    body: RequestBody,
    exchange: Arc<Exchange>,
}

/// The body of an answer, as it comes from an instance.
///
/// Dropping it before its end tells the function that its peer has left.
#[derive(Debug)]
pub struct ResponseBody {
    exchange: Arc<Exchange>,
    /// What it announces and has not had yet, in bytes.
    left: Option<u64>,
    /// It announces a length of 0, so nothing reads to its end.
    is_empty: bool,
    /// Of an asynchronous call, which has returned: its place in the instance.
    seat: Option<Box<dyn Streams>>,
    is_over: bool,
}

// === impl Awaited ===

impl Awaited {
    pub(crate) fn new(body: RequestBody, exchange: Arc<Exchange>) -> Self {
        Self { body, exchange }
    }
}

impl Body for Awaited {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        // Also what has come: the peer is told that it came too late.
        let slow = || Poll::Ready(Some(Err(RequestBodyError::Slow)));
        if self.exchange.why_displaced().is_some() {
            return slow();
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {
                self.exchange.body_is_read_by(cx.waker());
                self.exchange.awaits(Awaits::Body, true);
                if self.exchange.why_displaced().is_some() {
                    return slow();
                }
            }
            Poll::Ready(frame) => {
                self.exchange.awaits(Awaits::Body, false);
                let frame = frame.as_ref().and_then(|frame| frame.as_ref().ok());
                if let Some(data) = frame.and_then(Frame::data_ref) {
                    self.exchange.received(data.len());
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.exchange.awaits(Awaits::Body, false);
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(crate) fn new(
        response: http::Response<WrittenBody>,
        exchange: Arc<Exchange>,
        seat: Option<Box<dyn Streams>>,
    ) -> http::Response<Self> {
        let length = response.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        response.map(|body| {
            exchange.write(body);
            Self {
                exchange,
                left: length,
                is_empty: length == Some(0),
                seat,
                is_over: false,
            }
        })
    }

    /// Whether the peer has all of it. A body with a `content-length` is whole when so
    /// many bytes have left, because its reader does not wait for the end.
    pub fn is_whole(&self) -> bool {
        self.left == Some(0) || self.is_end_stream()
    }

    /// Whether it ends early because its peer is slow.
    pub fn is_slow(&self) -> bool {
        self.exchange.why_displaced() == Some(Displaced::Slow)
    }

    fn has_failed(&self) -> bool {
        let seat = self.seat.as_ref();
        self.exchange.stage() == Stage::Failed || seat.is_some_and(|seat| seat.has_failed())
    }

    fn unfinished(&mut self, why: Unfinished) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        self.end();
        Poll::Ready(Some(Err(why)))
    }

    fn end(&mut self) {
        self.is_over = true;
        self.exchange.close();
        self.seat = None;
    }

    fn polled(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let polled = self.exchange.read(cx);
        // What a plain call has not written when it returns never comes.
        let has_ended = || {
            let stage = self.exchange.stage();
            self.seat.is_none() && matches!(stage, Stage::Returned | Stage::Failed)
        };
        if !polled.is_pending() || !has_ended() {
            return polled;
        }
        match self.exchange.read(cx) {
            Poll::Pending => Poll::Ready(Some(Err("its call has returned".into()))),
            polled => polled,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Unfinished;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = self.polled(cx);
        if polled.is_ready()
            && let Some(why) = self.exchange.why_displaced()
        {
            return self.unfinished(why.into());
        }
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    if let Some(left) = self.left {
                        // The rest would be read as the next answer, or be an error of
                        // HTTP/2 without the function's name.
                        let Some(left) = left.checked_sub(data.len() as u64) else {
                            let why = "it has more bytes than it announces".to_owned();
                            return self.unfinished(Unfinished::Function(why));
                        };
                        self.left = Some(left);
                    }
                    let has_more = self.left != Some(0);
                    self.exchange.sent(data.len(), has_more);
                }
                if frame.is_trailers() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(why))) => self.unfinished(Unfinished::Function(why)),
            Poll::Ready(None) if self.has_failed() => {
                let why = "its call has failed".to_owned();
                self.unfinished(Unfinished::Function(why))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.is_empty || self.exchange.has_nothing_more() && !self.has_failed()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None => self.exchange.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let is_whole = self.is_whole();
        self.exchange.close();
        // Nobody waits for a call that goes on behind its answer, either.
        if !is_whole || self.exchange.stage() == Stage::Answered {
            self.exchange.forsake();
        }
    }
}

impl From<Displaced> for Unfinished {
    fn from(why: Displaced) -> Self {
        match why {
            Displaced::Slow => Self::Slow,
            Displaced::Ends => Self::Function("its instance ends for another".into()),
        }
    }
}

impl std::fmt::Debug for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Awaited").finish_non_exhaustive()
    }
}
