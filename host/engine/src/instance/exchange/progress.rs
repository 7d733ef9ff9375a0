//! How far an exchange is, and how long its call and its peer may take.
//!
//! A call has `handler_timeout`, not counted the time in which it waits for its peer:
//! to the head of its answer, or to its return if others wait for that. `stream_time`
//! bounds the whole. A peer may take as long as it likes while nobody waits for the
//! instance. Where others do, a slow peer is *displaced*: its body ends with an
//! error, its answer is cut off, and the function has `handler_timeout` to return.
//! So slow peers never end an instance whose function looks at what it reads and
//! writes, and cause no faults.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::WrittenBody;
use super::written::Written;
use crate::sync::{AtomicWaker, Mutex};

/// How long something lasts at most that may last for as long as it likes.
pub(crate) const NO_END: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long a plain call may wait for its peer while requests wait for seats, before
/// the peer has to send or read [`SEAT_BYTES_PER_SECOND_MIN`] for each second: a peer
/// whose network stalls for a moment stays.
const SEAT_TIME: Duration = Duration::from_secs(1);

/// The slowest average rate of such a peer: a slow mobile network manages it.
const SEAT_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

/// How much of an answer may be taken at once before its peer has read it, in bytes:
/// what the library and the kernel take before they wait. Its peer has the time to
/// read it.
const BURST_BYTES: usize = 128 * 1024;

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is no answer yet.
    Asked,
    /// The head of the answer has left, its body may follow.
    Answered,
    /// The call has returned.
    Returned,
    /// The call has failed.
    Failed,
}

/// How long an exchange may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The call, not counted the time in which it waits for its peer.
    pub(crate) handler_timeout: Duration,
    /// All of it.
    pub(crate) stream_time: Duration,
    /// How long the peer may send nothing of its body; none if that has no bound.
    pub(crate) silence: Option<Duration>,
}

/// What the peer's task and the driver know of an exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    times: Times,
    state: Mutex<State>,
    /// Locked before the state, never behind it.
    answer: Mutex<Written>,
    /// The driver, which is to learn that the peer has left.
    driver: AtomicWaker,
    /// The task that waits for the answer, and then reads it.
    reader: AtomicWaker,
    /// What reads the body of the request for the function.
    body: AtomicWaker,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// When its call began.
    begun: Option<Instant>,
    /// Others wait for the return of its call.
    is_shared: bool,
    /// Its instance is to end: its call may not wait for its peer any more.
    is_last: bool,
    /// The function waits for the request's body.
    awaits_body: bool,
    /// The function waits until more of its answer is read, or may have to.
    awaits_reader: bool,
    /// Since when it waits for its peer.
    since: Option<Instant>,
    /// How long it has waited before that.
    waited: Duration,
    /// Since when requests have waited for its seat, if they have.
    wanted: Option<Instant>,
    /// How long it has waited since then, less what the peer has earned by what it has
    /// sent and read.
    owed: Duration,
    /// How long the peer may take to read what was taken of the answer.
    burst: Duration,
    /// When the peer has left.
    forsaken: Option<Instant>,
    displaced: Option<Displaced>,
}

/// Why an exchange was taken from its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Displaced {
    /// The peer is slow, and others wait for the instance.
    Slow,
    /// The instance ends, for another version or another function.
    Ends,
}

/// What a call waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Awaits {
    /// More of the body of its request.
    Body,
    /// That more of its answer is read.
    Reader,
}

/// A plain call of an exchange. It is dropped before the store is, with which the
/// answer would end as if it were whole.
#[derive(Debug)]
pub(crate) struct InCall(Option<Arc<Exchange>>);

// === impl Exchange ===

impl Exchange {
    pub(crate) fn new(times: Times) -> Arc<Self> {
        Arc::new(Self {
            times,
            state: Mutex::new(State {
                stage: Stage::Asked,
                begun: None,
                is_shared: false,
                is_last: false,
                awaits_body: false,
                awaits_reader: false,
                since: None,
                waited: Duration::ZERO,
                wanted: None,
                owed: Duration::ZERO,
                burst: Duration::ZERO,
                forsaken: None,
                displaced: None,
            }),
            answer: Mutex::default(),
            driver: AtomicWaker::new(),
            reader: AtomicWaker::new(),
            body: AtomicWaker::new(),
        })
    }

    /// Its call begins. If it `is_shared`, others wait for its return.
    pub(crate) fn begin(&self, is_shared: bool) {
        let mut state = self.state.lock();
        state.begun.get_or_insert_with(Instant::now);
        state.is_shared = is_shared;
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

    pub(super) fn stage(&self) -> Stage {
        self.state.lock().stage
    }

    /// When its call must have returned, or its peer gone on. That moves while the
    /// function waits for its peer; the waker is woken when it comes nearer.
    pub(crate) fn due(&self, waker: &Waker) -> Instant {
        self.driver.register(waker);
        let state = self.state.lock();
        let own = self.own_due(&state);
        let forsaken = state.forsaken.map(|at| at + self.times.handler_timeout);
        let peer = self.peer_due(&state);
        let others = forsaken.into_iter().chain(peer);
        others.fold(own, Instant::min)
    }

    /// When its call must have returned if the peer stays.
    fn own_due(&self, state: &State) -> Instant {
        let times = &self.times;
        let begun = state.begun.unwrap_or_else(Instant::now);
        // The gateway ends an exchange whose time is up, and the function then
        // learns that its peer has left.
        let whole = begun + times.stream_time + times.handler_timeout;
        match state.since {
            // Nothing looks at the time of an answer that is not read, until its
            // peer is given up.
            Some(since) if state.awaits_reader => since + NO_END,
            // A peer is not silent for longer. A function that has looked for its
            // body once, and does other things, is not waiting.
            Some(since) => match times.silence {
                Some(silence) => whole.min(since + silence + times.handler_timeout),
                None => whole,
            },
            None if state.is_shared || state.stage == Stage::Asked => {
                whole.min(begun + times.handler_timeout + state.waited)
            }
            None => whole,
        }
    }

    /// When its peer is displaced, if the function still waits for it then.
    fn peer_due(&self, state: &State) -> Option<Instant> {
        let allowed = match state {
            State { is_last: true, .. } => Duration::ZERO,
            State {
                is_shared: true, ..
            } => self.times.handler_timeout,
            _ => return None,
        };
        Some(state.since? + allowed.saturating_sub(state.waited))
    }

    /// Whether the call is late; its peer is displaced if that is late instead.
    pub(crate) fn is_late(&self) -> bool {
        let state = self.state.lock();
        let due = self.peer_due(&state);
        drop(state);
        if due.is_some_and(|due| due <= Instant::now()) {
            self.displace(Displaced::Slow);
            return false;
        }
        true
    }

    /// Its instance is to end: its call is not to wait for its peer any more.
    pub(crate) fn stop_waiting(&self) {
        let mut state = self.state.lock();
        state.is_last = true;
        let waits = state.since.is_some();
        drop(state);
        if waits {
            self.displace(Displaced::Ends);
        }
    }

    /// How long its call waits for its peer beyond what the peer may take, while
    /// requests have waited for a seat since `wanted`; and when that is worth asking
    /// again.
    pub(crate) fn lateness(&self, wanted: Instant, now: Instant) -> (Option<Duration>, Instant) {
        let mut state = self.state.lock();
        if state.wanted != Some(wanted) {
            state.wanted = Some(wanted);
            state.owed = Duration::ZERO;
        }
        let waits = state.waits(now);
        let owed = state.owed + waits.unwrap_or_default().saturating_sub(state.burst);
        let left = SEAT_TIME.saturating_sub(owed);
        let is_slow = left.is_zero() && waits.is_some();
        (is_slow.then_some(owed), now + left.max(SEAT_TIME / 4))
    }

    /// Takes the function from its peer: the body of the request ends with an error,
    /// and what is written of the answer goes nowhere.
    pub(crate) fn displace(&self, why: Displaced) {
        let mut state = self.state.lock();
        if state.displaced.is_some() {
            return;
        }
        state.displaced = Some(why);
        state.forsaken.get_or_insert_with(Instant::now);
        drop(state);
        self.awaits(Awaits::Body, false);
        self.awaits(Awaits::Reader, false);
        self.close();
        self.driver.wake();
        self.reader.wake();
        self.body.wake();
    }

    /// Why its peer was displaced, if it was.
    pub(super) fn why_displaced(&self) -> Option<Displaced> {
        self.state.lock().displaced
    }

    /// Waits until its peer is displaced before there is an answer.
    pub(crate) async fn displaced(&self) -> Displaced {
        poll_fn(|cx| {
            self.reader.register(cx.waker());
            match self.why_displaced() {
                Some(why) => Poll::Ready(why),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Whether the call is to end with its instance because its peer has left, and
    /// not because it is late: then it would be a fault with its peer there as well.
    pub(crate) fn ends_forsaken(&self) -> bool {
        let state = self.state.lock();
        state.forsaken.is_some() && Instant::now() < self.own_due(&state)
    }

    /// Whether the peer has left: what its call does then is no fault for which others
    /// should be refused.
    pub(crate) fn has_left(&self) -> bool {
        self.state.lock().forsaken.is_some()
    }

    /// Whether the peer of a call has been gone for so long that the instance ends.
    pub(crate) fn is_forsaken_for_long(&self) -> bool {
        let state = self.state.lock();
        let has_left = state.forsaken.filter(|_| state.stage == Stage::Asked);
        let since = has_left.map(|at| at.elapsed());
        drop(state);
        since.is_some_and(|since| since >= self.times.handler_timeout) && self.ends_forsaken()
    }

    /// Notes whether the function waits for its peer.
    pub(super) fn awaits(&self, what: Awaits, is_so: bool) {
        let mut state = self.state.lock();
        match what {
            Awaits::Body => state.awaits_body = is_so,
            Awaits::Reader => state.awaits_reader = is_so,
        }
        let waits = (state.awaits_body || state.awaits_reader) && state.displaced.is_none();
        match (state.since, waits) {
            (None, true) => state.since = Some(Instant::now()),
            (Some(since), false) => {
                let now = Instant::now();
                state.waited += now.saturating_duration_since(since);
                let waited = state.waits(now).unwrap_or_default();
                let burst = state.burst.min(waited);
                state.burst -= burst;
                state.owed += waited - burst;
                state.since = None;
            }
            _ => return,
        }
        let (is_last, is_shared) = (state.is_last, state.is_shared);
        drop(state);
        if waits && is_last {
            self.displace(Displaced::Ends);
        } else if waits && is_shared {
            // Its time to be displaced runs.
            self.driver.wake();
        }
    }

    /// Notes that so many bytes of the request have come.
    pub(super) fn received(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.owed = state.owed.saturating_sub(time_of(bytes));
    }

    /// Notes that so many bytes of the answer go to the peer. Until it reads on, the
    /// function waits for it, if there is more and the host does not read ahead.
    pub(super) fn sent(&self, bytes: usize, has_more: bool) {
        let mut state = self.state.lock();
        let time = time_of(bytes);
        state.owed = state.owed.saturating_sub(time);
        state.burst = (state.burst + time).min(time_of(BURST_BYTES));
        let waits = has_more && !state.is_shared;
        drop(state);
        if waits {
            self.awaits(Awaits::Reader, true);
        }
    }

    /// The task that is woken when the peer is displaced, for which the function waits.
    pub(super) fn body_is_read_by(&self, waker: &Waker) {
        self.body.register(waker);
    }

    /// The body of the answer, which the peer reads from now on.
    pub(super) fn write(&self, body: WrittenBody) {
        let mut answer = self.answer.lock();
        if !answer.is_closed {
            answer.body = Some(body);
        }
    }

    /// Nobody reads any more: the function learns it when it writes.
    pub(super) fn close(&self) {
        let mut answer = self.answer.lock();
        let closed = Written {
            is_closed: true,
            ..Written::default()
        };
        let closed = std::mem::replace(&mut *answer, closed);
        drop(answer);
        drop(closed);
    }

    /// The next piece that the function writes. Only one task at a time asks: the
    /// driver while it reads ahead, and then the peer's.
    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let mut answer = self.answer.lock();
        let Some(mut body) = answer.body.take() else {
            return Poll::Ready(None);
        };
        answer.is_polled = true;
        drop(answer);
        let polled = Pin::new(&mut body).poll_frame(cx);
        let has_ended = matches!(polled, Poll::Ready(None | Some(Err(_))));
        let mut answer = self.answer.lock();
        answer.is_polled = false;
        if has_ended || answer.is_closed {
            drop(answer);
            drop(body);
        } else {
            answer.body = Some(body);
        }
        polled
    }

    /// Whether the host reads ahead of the peer.
    fn is_ahead(&self) -> bool {
        let state = self.state.lock();
        state.is_shared && state.stage == Stage::Answered
    }

    /// Reads the answer ahead of its peer, whose call others wait for. The driver
    /// calls it whenever the call pauses.
    pub(crate) fn read_ahead(&self, cx: &mut Context<'_>) {
        if !self.is_ahead() {
            return;
        }
        let mut has_more = false;
        let is_full = loop {
            if self.answer.lock().is_full() {
                break true;
            }
            match self.poll_written(cx) {
                Poll::Pending => break false,
                Poll::Ready(None) => {
                    has_more = true;
                    break false;
                }
                Poll::Ready(Some(frame)) => {
                    has_more = true;
                    self.answer.lock().put(frame);
                }
            }
        };
        self.awaits(Awaits::Reader, is_full);
        if has_more {
            self.reader.wake();
        }
    }

    /// The next piece of the answer for the peer.
    pub(super) fn read(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        self.reader.register(cx.waker());
        if !self.state.lock().is_shared {
            self.awaits(Awaits::Reader, false);
            return self.poll_written(cx);
        }
        let mut answer = self.answer.lock();
        let was_full = answer.is_full();
        if let Some(frame) = answer.take() {
            drop(answer);
            if was_full {
                self.driver.wake();
            }
            return Poll::Ready(Some(frame));
        }
        let has_more = answer.body.is_some() || answer.is_polled;
        drop(answer);
        match has_more && self.is_ahead() {
            true => Poll::Pending,
            false => self.poll_written(cx),
        }
    }

    /// Whether there is nothing more to read.
    pub(super) fn has_nothing_more(&self) -> bool {
        let has_ended = self.answer.lock().has_ended();
        has_ended && self.why_displaced().is_none()
    }

    /// What is known of the length of the answer.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.answer.lock().size_hint()
    }
}

// === impl State ===

impl State {
    /// How long the function has been waiting for its peer, if it is, since requests
    /// have waited for its seat.
    fn waits(&self, now: Instant) -> Option<Duration> {
        let wanted = self.wanted.unwrap_or(now);
        self.since
            .map(|since| now.saturating_duration_since(since.max(wanted)))
    }
}

/// How long so many bytes may take. What a peer has beyond that is not saved up.
fn time_of(bytes: usize) -> Duration {
    Duration::from_millis((bytes as u64).saturating_mul(1000) / SEAT_BYTES_PER_SECOND_MIN)
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

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
