//! One exchange of HTTP: a request, and the answer of a function.
//!
//! The driver of an instance makes the call, and the task of the peer moves the
//! bodies. They share an [`Exchange`], which says how far it is: so the call has
//! time while its peer sends, it learns when its peer has left, and an answer whose
//! call has failed in the middle does not look whole.
//!
//! Bounded by the seats of the instances: each has one exchange at a time, in an
//! instance of a plain handler one in all. Of a body, what is between the two is
//! what `wasi:http` keeps: a few pieces.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use openline_core::fault::Fault;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::sync::{AtomicWaker, Mutex};

/// The body of a request, on its way to a function.
pub type RequestBody = UnsyncBoxBody<Bytes, RequestBodyError>;

/// The body of an answer, as the instance writes it.
pub(crate) type WrittenBody = UnsyncBoxBody<Bytes, String>;

/// Why the body of a request ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestBodyError {
    /// It is larger than it may be, in bytes.
    #[error("the body of the request has more than {0} bytes")]
    TooLarge(u64),
    /// The peer has left, or does not send what it announced.
    #[error("the body of the request ends too early")]
    Incomplete,
    /// It is not in the form that it is said to have.
    #[error("the body of the request is not in the form that it is said to have")]
    Malformed,
}

/// The body of an answer is not whole: the function failed while it wrote it, or
/// did not write what it announced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the function has not finished its answer: {0}")]
pub struct Unfinished(String);

/// A request for an instance.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) request: http::Request<RequestBody>,
    /// Whether the peer reaches the host by HTTPS.
    pub(crate) is_https: bool,
    pub(crate) exchange: Arc<Exchange>,
}

/// How a request went.
#[derive(Debug)]
pub(crate) enum RequestOutcome {
    Answered(http::Response<ResponseBody>),
    /// The function's answer breaks the contract; the text says how.
    Invalid(String),
    Fault(Fault),
    /// The host has no room for the instance.
    Full,
    /// The instance ended before it began; ask another one.
    Returned(Box<Request>),
}

/// Where the outcome goes, once: the answer from within a call, or else what
/// became of the call.
#[derive(Clone, Debug)]
pub(crate) struct RequestReply(Arc<Mutex<Option<oneshot::Sender<RequestOutcome>>>>);

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no answer yet.
    Asked,
    /// The head of the answer has left, its body may follow.
    Answered,
    /// The call has returned.
    Returned,
    /// The call has failed.
    Failed,
}

/// What the peer's task and the driver know of an exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The instance has events of other peers, which wait for a plain call.
    is_shared: bool,
    handler_timeout: Duration,
    stream_time: Duration,
    state: Mutex<State>,
    /// The driver, which is to learn that the peer has left.
    driver: AtomicWaker,
    /// The task that reads the answer, which is to learn that the call has ended.
    reader: AtomicWaker,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// When its call began.
    begun: Option<Instant>,
    /// Since when the function waits for the request's body.
    awaits: Option<Instant>,
    /// How long it has waited before that.
    awaited: Duration,
    /// When the peer has left.
    forsaken: Option<Instant>,
}

/// A plain call of an exchange. It is dropped before the store is, with which the
/// answer would end as if it were whole.
#[derive(Debug)]
pub(crate) struct InCall(Option<Arc<Exchange>>);

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
    body: WrittenBody,
    exchange: Arc<Exchange>,
    /// What it announces and has not had yet, in bytes.
    left: Option<u64>,
    /// It announces nothing: nobody reads to its end.
    is_empty: bool,
    /// Of an asynchronous call, which has returned: its place in the instance.
    seat: Option<Box<dyn Streams>>,
    is_over: bool,
}

/// A place in an instance whose call has returned, and whose answer still comes;
/// dropped at the end of that.
pub(crate) trait Streams: std::fmt::Debug + Send {
    /// Whether the instance has failed: what it was still writing is not whole.
    fn has_failed(&self) -> bool;
}

// === impl RequestReply ===

impl RequestReply {
    pub(crate) fn new(sender: oneshot::Sender<RequestOutcome>) -> Self {
        Self(Arc::new(Mutex::new(Some(sender))))
    }

    /// Gives the outcome, unless there was one. Nobody may wait for it any more.
    pub(crate) fn give(&self, outcome: RequestOutcome) {
        let sender = self.0.lock().take();
        if let Some(sender) = sender {
            let _ = sender.send(outcome);
        }
    }

    /// Whether nobody waits for an outcome.
    pub(crate) fn is_closed(&self) -> bool {
        let sender = self.0.lock();
        sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

// === impl Exchange ===

impl Exchange {
    pub(crate) fn new(
        is_shared: bool,
        handler_timeout: Duration,
        stream_time: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            is_shared,
            handler_timeout,
            stream_time,
            state: Mutex::new(State {
                stage: Stage::Asked,
                begun: None,
                awaits: None,
                awaited: Duration::ZERO,
                forsaken: None,
            }),
            driver: AtomicWaker::new(),
            reader: AtomicWaker::new(),
        })
    }

    /// Its call begins.
    pub(crate) fn begin(&self) {
        self.state.lock().begun.get_or_insert_with(Instant::now);
    }

    /// Whether its call has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.state.lock().begun.is_some()
    }

    /// The head of the answer leaves.
    pub(crate) fn answer(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Asked {
            state.stage = Stage::Answered;
        }
    }

    /// Notes how the call ends: unless it returns, an answer that has begun is not
    /// whole.
    pub(crate) fn call(self: &Arc<Self>) -> InCall {
        InCall(Some(Arc::clone(self)))
    }

    fn settle(&self, stage: Stage) {
        self.state.lock().stage = stage;
        self.reader.wake();
    }

    /// The peer has left, or has the whole answer: the call has `handler_timeout` more.
    pub(crate) fn forsake(&self) {
        self.state.lock().forsaken.get_or_insert_with(Instant::now);
        self.driver.wake();
    }

    fn stage(&self) -> Stage {
        self.state.lock().stage
    }

    /// When its call must have returned; that moves while the function waits for
    /// its peer. The waker is woken when the peer leaves.
    pub(crate) fn due(&self, waker: &Waker) -> Instant {
        self.driver.register(waker);
        let state = self.state.lock();
        let begun = state.begun.unwrap_or_else(Instant::now);
        if self.is_shared {
            return begun + self.handler_timeout;
        }
        let due = self.own_due(begun, &state);
        let forsaken = state.forsaken.map(|at| at + self.handler_timeout);
        forsaken.map_or(due, |forsaken| due.min(forsaken))
    }

    /// When its call must have returned if the peer stays.
    fn own_due(&self, begun: Instant, state: &State) -> Instant {
        // The gateway ends an exchange whose time is up, and the function then
        // learns that its peer has left.
        let whole = begun + self.stream_time + self.handler_timeout;
        match (state.stage, state.awaits) {
            (Stage::Asked, None) => whole.min(begun + self.handler_timeout + state.awaited),
            // What arrives wakes the call, and then this is asked again.
            _ => whole,
        }
    }

    /// Whether the call is to end with its instance because its peer has left, and
    /// not because it is late: then it would be a fault with its peer there as well.
    pub(crate) fn ends_forsaken(&self) -> bool {
        let state = self.state.lock();
        let begun = state.begun.unwrap_or_else(Instant::now);
        let has_time = Instant::now() < self.own_due(begun, &state);
        !self.is_shared && state.forsaken.is_some() && has_time
    }

    /// Whether a call that others wait for is late while it waits for its peer's
    /// request. Any peer can cause that: it must not look like a fault, with which
    /// the function would be given nothing for a time.
    pub(crate) fn awaits_peer(&self) -> bool {
        let state = self.state.lock();
        self.is_shared && state.stage == Stage::Asked && state.awaits.is_some()
    }

    fn note(&self, is_pending: bool) {
        let mut state = self.state.lock();
        if is_pending {
            state.awaits.get_or_insert_with(Instant::now);
        } else if let Some(since) = state.awaits.take() {
            state.awaited += since.elapsed();
        }
    }
}

// === impl InCall ===

impl InCall {
    /// The call has returned.
    pub(crate) fn returned(mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.settle(Stage::Returned);
        }
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.settle(Stage::Failed);
        }
    }
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
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.exchange.note(polled.is_pending());
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
        self.exchange.note(false);
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
        response.map(|body| Self {
            body,
            exchange,
            left: length,
            is_empty: length == Some(0),
            seat,
            is_over: false,
        })
    }

    /// Whether its peer has all of it, as far as it was announced. What reads an
    /// announced body does not look for its end.
    pub fn is_whole(&self) -> bool {
        self.left == Some(0) || self.is_end_stream()
    }

    fn has_failed(&self) -> bool {
        let seat = self.seat.as_ref();
        self.exchange.stage() == Stage::Failed || seat.is_some_and(|seat| seat.has_failed())
    }

    fn unfinished(&mut self, why: String) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        self.is_over = true;
        self.seat = None;
        Poll::Ready(Some(Err(Unfinished(why))))
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
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            self.exchange.reader.register(cx.waker());
            // What a plain call has not written when it returns never comes.
            if self.seat.is_none() && self.exchange.stage() != Stage::Asked {
                let has_ended = matches!(self.exchange.stage(), Stage::Returned | Stage::Failed);
                if has_ended {
                    polled = Pin::new(&mut self.body).poll_frame(cx);
                    if polled.is_pending() {
                        return self.unfinished("its call has returned".into());
                    }
                }
            }
        }
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(left), Some(data)) = (self.left, frame.data_ref()) {
                    // The rest would be read as the next answer, or be an error of
                    // HTTP/2 without the function's name.
                    let Some(left) = left.checked_sub(data.len() as u64) else {
                        return self.unfinished("it has more bytes than it announces".into());
                    };
                    self.left = Some(left);
                }
                if frame.is_trailers() {
                    self.is_over = true;
                    self.seat = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(why))) => self.unfinished(why),
            Poll::Ready(None) if self.has_failed() => self.unfinished("its call has failed".into()),
            Poll::Ready(None) => {
                self.is_over = true;
                self.seat = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.is_empty || self.body.is_end_stream() && !self.has_failed()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None => self.body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // Nobody waits for a call that goes on behind its answer, either.
        if !self.is_whole() || self.exchange.stage() == Stage::Answered {
            self.exchange.forsake();
        }
    }
}

impl std::fmt::Debug for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Awaited").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};

    use super::*;

    const TIME: Duration = Duration::from_secs(10);
    const STREAM_TIME: Duration = Duration::from_secs(1000);

    fn begun(handler_timeout: Duration) -> Arc<Exchange> {
        let exchange = Exchange::new(false, handler_timeout, STREAM_TIME);
        exchange.begin();
        exchange
    }

    fn due(exchange: &Exchange) -> Duration {
        exchange.due(Waker::noop()) - Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_late_is_late_whether_its_peer_has_left_or_not() {
        let exchange = begun(TIME);
        assert!(!exchange.ends_forsaken(), "the peer is there");
        tokio::time::advance(TIME / 2).await;
        exchange.forsake();
        assert!(exchange.ends_forsaken(), "it has time");
        tokio::time::advance(TIME / 2).await;
        assert_eq!(due(&exchange), Duration::ZERO);
        assert!(!exchange.ends_forsaken(), "it has had its time");
        let exchange = begun(TIME);
        exchange.answer();
        exchange.forsake();
        tokio::time::advance(TIME).await;
        assert_eq!(due(&exchange), Duration::ZERO);
        assert!(exchange.ends_forsaken(), "it had stream_time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_behind_its_whole_answer_has_handler_timeout() {
        let exchange = begun(TIME);
        exchange.answer();
        assert_eq!(due(&exchange), STREAM_TIME + TIME);
        let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut answer =
            ResponseBody::new(http::Response::new(empty), Arc::clone(&exchange), None).into_body();
        assert!(answer.frame().await.is_none() && answer.is_whole());
        drop(answer);
        assert_eq!(due(&exchange), TIME);
    }
}
