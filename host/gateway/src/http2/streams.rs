//! What the streams of one TCP connection are doing: whether there is one, how
//! long an answer has waited for its peer to read it, and how many requests the
//! peer has cancelled.
//!
//! The TCP connection gives its place in `requests` back as soon as all of its
//! streams are WebSockets, which the ledgers count. It takes one again when the
//! last stream has ended; a request that comes before that has its own.
//!
//! Bounded by `http2_streams`: an entry for each answer on its way.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::stops::Stop;
use super::{CANCELLED_MAX, FRAME_BYTES};
use crate::answer_body::AnswerBody;
use crate::exchange::CutOff;
use crate::gateway::{Held, Permit, Place};

/// The streams of one TCP connection.
#[derive(Debug)]
pub(crate) struct Streams {
    permit: Arc<Permit>,
    state: Mutex<State>,
    cancelled: Notify,
}

/// Its lock is taken before that of the places.
#[derive(Debug)]
struct State {
    /// Requests that are being answered, and WebSockets.
    active: usize,
    /// How many of them are WebSockets.
    upgraded: usize,
    /// When there was last one, or the peer was told that there may be no more.
    since: Instant,
    /// Answers that are not sent, by number.
    unread: BTreeMap<u64, Unread>,
    number: u64,
    /// Requests that were cancelled, less those that were not; not below 0.
    cancelled: usize,
}

/// An answer that is not sent.
#[derive(Debug)]
struct Unread {
    since: Instant,
    stop: Option<Arc<Stop>>,
}

/// A request, from its head to its answer; or to the end of its WebSocket.
#[derive(Debug)]
pub(crate) struct Active {
    streams: Arc<Streams>,
    is_answered: AtomicBool,
    /// Changes while the state of the streams is locked.
    is_upgraded: AtomicBool,
}

/// The body of an answer, until the library has sent it or given it up. It
/// comes in pieces, because the library keeps a piece whole once there is room
/// for its first byte.
#[derive(Debug)]
pub(crate) struct Tracked {
    body: AnswerBody,
    /// What of it was begun and is left.
    rest: Bytes,
    streams: Arc<Streams>,
    number: u64,
    stop: Option<Arc<Stop>>,
    /// For an answer that comes bit by bit: its stream, and its place.
    held: Option<(Arc<Active>, Option<Place>)>,
}

impl Streams {
    pub(super) fn new(permit: Arc<Permit>) -> Arc<Self> {
        Arc::new(Self {
            permit,
            state: Mutex::new(State {
                active: 0,
                upgraded: 0,
                since: Instant::now(),
                unread: BTreeMap::new(),
                number: 0,
                cancelled: 0,
            }),
            cancelled: Notify::new(),
        })
    }

    /// A request has come.
    pub(super) fn begin(this: &Arc<Self>) -> Active {
        let mut state = this.state.lock();
        state.active += 1;
        if state.active == 1 {
            this.permit.slot().begin();
        }
        drop(state);
        Active {
            streams: Arc::clone(this),
            is_answered: AtomicBool::new(false),
            is_upgraded: AtomicBool::new(false),
        }
    }

    /// Keeps or returns the TCP connection's place, after a change.
    fn settle(&self, state: &State) {
        if state.active == 0 {
            self.permit.return_to();
        } else if state.active == state.upgraded {
            self.permit.slot().step_aside();
        }
    }

    /// Waits until there has been no stream for so long.
    pub(super) async fn idle(&self, patience: Duration) {
        loop {
            let next = {
                let state = self.state.lock();
                match state.active {
                    0 => state.since + patience,
                    _ => Instant::now() + patience,
                }
            };
            if next <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// Begins the time without a stream anew: the peer has to answer.
    pub(super) fn restart(&self) {
        self.state.lock().since = Instant::now();
    }

    /// Ends streams whose answers are too old to be read, and returns where that is
    /// not possible.
    pub(super) async fn stop_unread(&self, patience: Duration) {
        loop {
            if !self.stop_old(2 * patience) {
                return;
            }
            tokio::time::sleep(patience).await;
        }
    }

    /// Ends those that have waited for so long; `false` if one cannot be ended.
    fn stop_old(&self, time: Duration) -> bool {
        let state = self.state.lock();
        let mut old = state.unread.iter();
        old.all(|(number, unread)| {
            if unread.since.elapsed() < time {
                return true;
            }
            let stop = unread.stop.as_ref();
            tracing::debug!(number, "a peer does not read an answer");
            stop.map(|stop| stop.stop()).is_some()
        })
    }

    /// Waits until the peer has cancelled too many requests.
    pub(super) async fn cancelled(&self) {
        self.cancelled.notified().await;
    }
}

impl Active {
    pub(super) fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    /// The request is answered, or has become a WebSocket.
    pub(super) fn answered(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }
}

impl Held for Active {
    fn upgraded(&self) {
        let mut state = self.streams.state.lock();
        if !self.is_upgraded.swap(true, Ordering::Relaxed) {
            state.upgraded += 1;
            self.streams.settle(&state);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut state = self.streams.state.lock();
        state.active -= 1;
        if *self.is_upgraded.get_mut() {
            state.upgraded -= 1;
        }
        if state.active == 0 {
            state.since = Instant::now();
        }
        self.streams.settle(&state);
        state.cancelled = match *self.is_answered.get_mut() {
            true => state.cancelled.saturating_sub(1),
            false => state.cancelled + 1,
        };
        if state.cancelled > CANCELLED_MAX {
            self.streams.cancelled.notify_one();
        }
    }
}

// === impl Tracked ===

impl Tracked {
    pub(super) fn new(
        body: impl Into<AnswerBody>,
        streams: &Arc<Streams>,
        held: Option<(Arc<Active>, Option<Place>)>,
    ) -> Self {
        let mut state = streams.state.lock();
        state.number += 1;
        let number = state.number;
        let stop = Stop::of_this_stream();
        state.unread.insert(number, Unread::now(stop.as_ref()));
        drop(state);
        Self {
            body: body.into(),
            rest: Bytes::new(),
            streams: Arc::clone(streams),
            number,
            stop,
            held,
        }
    }
}

impl Unread {
    fn now(stop: Option<&Arc<Stop>>) -> Self {
        Self {
            since: Instant::now(),
            stop: stop.cloned(),
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.streams.state.lock().unread.remove(&self.number);
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if self.rest.is_empty() {
            // A whole one is one piece.
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            if self.held.is_some() {
                let mut state = self.streams.state.lock();
                match &polled {
                    Poll::Pending => state.unread.remove(&self.number),
                    Poll::Ready(_) => {
                        let unread = Unread::now(self.stop.as_ref());
                        state.unread.insert(self.number, unread)
                    }
                };
            }
            match ready!(polled) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let most = self.rest.len().min(FRAME_BYTES);
        let piece = self.rest.split_to(most);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        match self.body.size_hint().exact() {
            Some(body) => SizeHint::with_exact(rest + body),
            None => SizeHint::new(),
        }
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
