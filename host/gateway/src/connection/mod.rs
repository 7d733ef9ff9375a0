//! One connection: the task that owns its socket.
//!
//! A hand-written poll, because of what it decides: everything that one read
//! brought becomes one call of the function, and everything that one wake
//! finds in the outbox leaves with one flush. Bounded: one batch in the
//! function, one batch gathered meanwhile, then reading stops and TCP pushes
//! back; the outbox has its own bound; ending takes at most `close_timeout`.
//! One timer serves all that is due on a connection, and is not touched by
//! messages.

mod close;
pub(crate) mod frames;
pub(crate) mod meter;
mod pace;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use openline_cluster::connection::{Connection, Item, Next};
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_core::lifetime::{Due, Lifetime};
use openline_core::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX};
use openline_core::message::Message;
use openline_engine::binding::{Binding, Outcome};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use frames::Received;
use meter::Meter;
use pace::Pace;

/// Frames that one poll reads, at most: control frames fill no batch, and a
/// flood of them should not keep a thread.
const FRAMES_PER_POLL_MAX: usize = 1024;

/// Pings that are read while the answers to earlier ones do not leave: past
/// it nothing is read until they do. The library would gather the answers in a
/// buffer as large as a message.
const PINGS_UNANSWERED_MAX: u32 = 64;

/// What one message, or all that one wake writes, may leave behind in the
/// library's buffers, in bytes: an idle connection should cost what it did
/// before it carried a large message.
const KEPT_BYTES: usize = 4 * 1024;
/// How long a larger buffer is kept: the next large message is often near, and
/// once a second costs nothing.
const SHRINK_AFTER: Duration = Duration::from_secs(1);

/// Owns the socket from the 101 to the end.
#[derive(Debug)]
pub(crate) struct Actor<S> {
    stream: WebSocketStream<Meter<S>>,
    connection: Arc<Connection>,
    binding: Binding,
    batch: Vec<Message>,
    batch_bytes: usize,
    /// The function was told of it: it will be told of the end.
    opened: bool,
    /// Something was written that is not flushed.
    unflushed: bool,
    /// Pings that were read since all was flushed.
    pings: u32,
    /// Messages that were read.
    messages: u64,
    /// It ends for this reason once what has arrived is handled.
    leaving: Option<CloseReason>,
    /// Nothing more is read: what would come now is no stream of frames.
    deaf: bool,
    opened_at: Instant,
    lifetime: Lifetime,
    /// The timer waits for the answer to a ping, and what is due after the
    /// answer may be earlier than that.
    pinged: bool,
    pace: Option<Box<Pace>>,
    probe: Option<Box<Probe>>,
    /// When the buffers that a large message has left behind are given back.
    shrink: Option<Duration>,
    /// For the lifetime, the pace and the buffers. Looked at only when it has
    /// fired.
    timer: Option<Pin<Box<Sleep>>>,
    close_timeout: Duration,
    /// Runs once the connection is to end, so that a peer that does not read
    /// cannot keep it from ending. Made when it is needed: most connections
    /// are idle, and a timer is as large as the rest of them.
    ending: Option<Pin<Box<Sleep>>>,
}

/// The last ping that was sent.
#[derive(Debug)]
struct Probe {
    payload: Bytes,
    sent: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Actor<S> {
    /// `read` is what the peer sent behind its handshake.
    pub(crate) async fn new(
        socket: S,
        read: Bytes,
        connection: Arc<Connection>,
        binding: Binding,
        close_timeout: Duration,
    ) -> Box<Self> {
        let limits = connection.limits();
        let config = Some(frames::config(limits.message_bytes));
        let socket = Meter::new(socket, &read, limits.fragments);
        let stream = if read.is_empty() {
            WebSocketStream::from_raw_socket(socket, Role::Server, config).await
        } else {
            WebSocketStream::from_partially_read(socket, read.into(), Role::Server, config).await
        };
        Box::new(Self {
            stream,
            pace: Pace::new(connection.limits()),
            connection,
            binding,
            batch: Vec::new(),
            batch_bytes: 0,
            opened: false,
            unflushed: false,
            pings: 0,
            messages: 0,
            leaving: None,
            deaf: false,
            opened_at: Instant::now(),
            lifetime: Lifetime::default(),
            pinged: false,
            probe: None,
            shrink: None,
            timer: None,
            close_timeout,
            ending: None,
        })
    }

    /// Tells the function of the connection.
    pub(crate) async fn open(&mut self) {
        match self.binding.dispatch(Event::Open) {
            Ok(()) => self.opened = true,
            Err(outcome) => self.take_outcome(outcome),
        }
        std::future::poll_fn(|cx| {
            self.arm(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Serves until there is something to do that takes the actor apart. What
    /// follows is [`Actor::end`] or [`Actor::shrink`]: apart, because the task
    /// of an idle connection should hold no more than an open connection
    /// needs.
    pub(crate) async fn serve(&mut self) -> Step {
        std::future::poll_fn(|cx| self.poll_open(cx)).await
    }

    /// Gives the library new buffers, at a moment when the old ones are empty:
    /// by itself it never gives one back.
    pub(crate) async fn shrink(mut self: Box<Self>) -> Box<Self> {
        let socket = self.stream.into_inner();
        let config = Some(frames::config(self.connection.limits().message_bytes));
        self.stream = WebSocketStream::from_raw_socket(socket, Role::Server, config).await;
        self
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.connection.register(cx.waker());
        if let Some(outcome) = self.binding.outcome() {
            self.take_outcome(outcome);
        }
        self.hold();
        let dry = match self.poll_read(cx) {
            Reading::End(reason) if is_violation(&reason) => {
                self.refuse(reason);
                true
            }
            Reading::End(reason) => return Poll::Ready(Step::End(reason)),
            Reading::Full => false,
            Reading::Dry => true,
        };
        match self.measure(cx) {
            Some(reason) if is_violation(&reason) => self.refuse(reason),
            Some(reason) => return Poll::Ready(Step::End(reason)),
            None => {}
        }
        // Behind the reading: after a while in which this process could not
        // run, what the peer has sent in time is there to be heard.
        if self.timer.as_ref().is_some_and(|timer| timer.is_elapsed())
            && let Some(reason) = self.check_time(cx)
        {
            return Poll::Ready(Step::End(reason));
        }
        self.deliver();
        self.leave(dry);
        if let Some(reason) = self.poll_write(cx) {
            return Poll::Ready(Step::End(reason));
        }
        if dry && self.may_shrink() {
            self.shrink = None;
            return Poll::Ready(Step::Shrink);
        }
        self.poll_ending(cx).map(Step::End)
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Done => return,
            Outcome::Fault(fault) => CloseReason::Fault(fault),
            Outcome::Full => CloseReason::Overloaded,
            Outcome::BackedOff => CloseReason::BackedOff,
        };
        self.connection.end(reason);
    }

    // === time ===

    fn now(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Sets the timer to the next moment at which something is due.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let now = self.now();
        let resume = self.pace.as_mut().and_then(|pace| pace.resume(now));
        let due = self.lifetime.due(self.connection.limits());
        // Buffers that could not be given back in time are when they are empty.
        let shrink = self.shrink.filter(|shrink| *shrink > now);
        let Some(due) = due.into_iter().chain(resume).chain(shrink).min() else {
            return;
        };
        let at = self.opened_at + due;
        let timer = match &mut self.timer {
            Some(timer) => {
                timer.as_mut().reset(at);
                timer
            }
            None => self.timer.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        // It is woken for this task from now on; one that is due already
        // wakes it by hand.
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// The timer has fired: does what is due, and sets it anew.
    fn check_time(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let now = self.now();
        let hearing = !self.stream.get_mut().is_held() && !self.is_batch_full();
        match self.lifetime.check(now, hearing, self.connection.limits()) {
            Due::Nothing => {}
            Due::Ping => {
                self.pinged = true;
                // In the outbox, behind what waits: it asks for an answer from
                // who has read that. None while the kernel takes nothing: that
                // it does again is the answer, and a full outbox would overflow
                // by a ping that only the host wants.
                if !self.stream.get_mut().is_blocked() {
                    let stamp = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
                    let payload = Bytes::copy_from_slice(&stamp.to_be_bytes());
                    let _ = self.connection.ping(payload);
                }
            }
            Due::Warning => {
                let text = self.connection.limits().time_warning_message.clone();
                self.connection.push(Message::Text(text.into()));
            }
            Due::End(reason) => {
                // Nothing more is due but the end.
                self.timer = None;
                if reason.frame().is_none() {
                    return Some(reason);
                }
                match reason {
                    CloseReason::TimeUp => drop(self.leaving.get_or_insert(reason)),
                    _ => drop(self.connection.end(reason)),
                }
                return None;
            }
        }
        self.arm(cx);
        None
    }

    /// A message has made the buffers larger than they should stay.
    fn grow(&mut self, cx: &mut Context<'_>) {
        if self.shrink.is_none() {
            self.shrink = Some(self.now() + SHRINK_AFTER);
            self.arm(cx);
        }
    }

    /// Whether it is time to give the buffers back, and they are empty.
    fn may_shrink(&mut self) -> bool {
        self.shrink
            .is_some_and(|shrink| self.opened_at.elapsed() >= shrink)
            && !self.unflushed
            && !self.deaf
            && self.connection.is_open()
            && self.stream.get_mut().scan.is_between_messages()
    }

    /// Decides whether anything is taken from the socket.
    fn hold(&mut self) {
        if self.leaving.is_none() && self.connection.is_draining() {
            self.leaving = Some(CloseReason::ShuttingDown);
        }
        let waits = match &mut self.pace {
            Some(pace) => pace.resume(self.opened_at.elapsed()).is_some(),
            None => false,
        };
        let held = waits || self.leaving.is_some() || self.connection.is_paused();
        self.stream.get_mut().hold(held);
    }

    /// Takes note of what was read: the peer is alive, and how fast it sends.
    fn measure(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let meter = self.stream.get_mut();
        let progress = meter.take_progress();
        let counted = meter.scan.take_counted();
        if counted.bytes == 0 && !progress {
            return None;
        }
        if meter.scan.has_too_many_fragments() {
            return Some(CloseReason::Fragments);
        }
        let now = self.now();
        self.lifetime.hear(now);
        if std::mem::take(&mut self.pinged) {
            self.arm(cx);
        }
        let pace = self.pace.as_mut()?;
        let exceeded = self.connection.limits().rate_exceeded;
        if let Err(reason) = pace.charge(counted, now, exceeded) {
            return Some(reason);
        }
        if pace.resume(now).is_some() {
            self.arm(cx);
        }
        None
    }

    // === frames ===

    fn is_batch_full(&self) -> bool {
        self.batch.len() >= BATCH_MESSAGES_MAX || self.batch_bytes >= BATCH_BYTES_MAX
    }

    /// The peer has broken a rule: what came before is handled and answered,
    /// and nothing more is read.
    fn refuse(&mut self, reason: CloseReason) {
        self.deaf = true;
        self.leaving.get_or_insert(reason);
    }

    /// Reads all that is there, up to one batch.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Reading {
        if self.deaf {
            return Reading::Dry;
        }
        let mut frames = 0;
        while !self.is_batch_full() {
            if frames == FRAMES_PER_POLL_MAX {
                cx.waker().wake_by_ref();
                return Reading::Full;
            }
            frames += 1;
            if self.pings > PINGS_UNANSWERED_MAX && self.stream.get_mut().is_blocked() {
                return Reading::Dry;
            }
            let Poll::Ready(item) = Pin::new(&mut self.stream).poll_next(cx) else {
                return Reading::Dry;
            };
            match frames::received(item) {
                Received::Message(message) => {
                    if self.stream.get_mut().scan.is_past_fragments(self.messages) {
                        return Reading::End(CloseReason::Fragments);
                    }
                    self.messages += 1;
                    let bytes = message.bytes();
                    self.batch_bytes += bytes;
                    self.batch.push(message);
                    if bytes > KEPT_BYTES {
                        self.grow(cx);
                    }
                }
                // tungstenite has queued the pong.
                Received::Ping => {
                    self.unflushed = true;
                    self.pings += 1;
                }
                Received::Pong(payload) => self.take_pong(&payload),
                Received::Nothing => {}
                Received::End(reason) => return Reading::End(reason),
            }
        }
        Reading::Full
    }

    fn take_pong(&mut self, payload: &Bytes) {
        if let Some(probe) = self.probe.take_if(|probe| probe.payload == payload) {
            self.connection.set_round_trip(probe.sent.elapsed());
        }
    }

    /// Gives the batch to the function, when it has returned from the last.
    fn deliver(&mut self) {
        if self.batch.is_empty() || self.binding.is_busy() || !self.connection.is_open() {
            return;
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if let Err(outcome) = self.binding.dispatch(Event::Messages(batch)) {
            self.take_outcome(outcome);
        }
    }

    /// Ends a connection that is to leave, when all that has arrived is
    /// handled. `dry` says that nothing more is buffered.
    fn leave(&mut self, dry: bool) {
        if let Some(reason) = &self.leaving
            && dry
            && self.batch.is_empty()
            && !self.binding.is_busy()
        {
            self.connection.end(reason.clone());
        }
    }

    /// Writes all that waits and flushes once.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let mut written = 0;
        let ended = self.poll_write_all(cx, &mut written);
        if written > KEPT_BYTES {
            self.grow(cx);
        }
        ended
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>, written: &mut usize) -> Option<CloseReason> {
        let mut stream = Pin::new(&mut self.stream);
        loop {
            match stream.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Some(frames::reason_of(&error)),
                Poll::Pending => return None,
            }
            match self.connection.next() {
                Next::Item(item) => {
                    self.unflushed = true;
                    match &item {
                        Item::Message(message) => *written += message.bytes(),
                        Item::Ping(payload) => {
                            self.probe = Some(Box::new(Probe {
                                payload: payload.clone(),
                                sent: Instant::now(),
                            }));
                        }
                    }
                    if let Err(error) = stream.as_mut().start_send(frames::outgoing(item)) {
                        return Some(frames::reason_of(&error));
                    }
                }
                Next::End(reason) => return Some(reason),
                Next::Idle => break,
            }
        }
        if self.unflushed {
            match stream.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    // Who sent that many may have been left unread for it.
                    if std::mem::take(&mut self.pings) > PINGS_UNANSWERED_MAX {
                        cx.waker().wake_by_ref();
                    }
                }
                Poll::Ready(Err(error)) => return Some(frames::reason_of(&error)),
                Poll::Pending => {}
            }
        }
        None
    }

    /// Whether a connection that is to end has had its time to write the rest.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if self.connection.is_open() {
            return Poll::Pending;
        }
        let time = self.close_timeout;
        let timer = self
            .ending
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        // Asked first: a poll that has read much finds tokio's budget for it
        // used up, and the timer would not say that it has fired.
        if !timer.is_elapsed() && timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // What waits is given up; the reason stays.
        loop {
            match self.connection.next() {
                Next::Item(_) => {}
                Next::End(reason) => return Poll::Ready(reason),
                Next::Idle => return Poll::Ready(CloseReason::Lost),
            }
        }
    }
}

/// Whether a reason is a frame that may not be there: those before it were
/// right, and are not lost with it.
fn is_violation(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Protocol
            | CloseReason::InvalidText
            | CloseReason::MessageTooBig
            | CloseReason::Fragments
    )
}

/// What is to be done with a connection.
#[derive(Debug)]
pub(crate) enum Step {
    /// It ends for this reason.
    End(CloseReason),
    /// Its buffers are larger than they should stay.
    Shrink,
}

/// How far reading came.
enum Reading {
    /// All that is there has been read.
    Dry,
    /// There may be more.
    Full,
    End(CloseReason),
}
