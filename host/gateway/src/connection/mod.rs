//! One connection: the task that owns its socket.
//!
//! A hand-written poll, because of what it decides: everything that one read
//! brought becomes one call of the function, and everything that one wake
//! finds in the outbox leaves with one flush. Bounded: one batch in the
//! function, one batch gathered meanwhile, then reading stops and TCP pushes
//! back; the outbox has its own bound; ending takes at most `close_timeout`.
//! One timer serves all that is due on a connection, and is not touched by
//! messages. A connection on which nothing has happened for a while sleeps: see
//! `wire`.

mod close;
pub(crate) mod frames;
pub(crate) mod meter;
mod pace;
mod time;
mod wire;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Sink;
use openline_channels::connection::{Connection, Flags, Item, Next};
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_core::lifetime::Lifetime;
use openline_core::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX};
use openline_core::message::Message;
use openline_engine::binding::{Binding, Outcome};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::Error;

use frames::Received;
use meter::Meter;
use pace::Pace;
pub(crate) use wire::Socket;
use wire::Wire;

/// Frames that one poll reads, at most: control frames fill no batch, and a
/// flood of them should not keep a thread.
const FRAMES_PER_POLL_MAX: usize = 1024;

/// Pings that are read while the answers to earlier ones do not leave: past
/// it nothing is read until they do. The library would gather the answers in a
/// buffer as large as a message.
const PINGS_UNANSWERED_MAX: u32 = 64;

/// Messages that the host answers by itself are read while the answers to
/// earlier ones are not written: past it reading stops until they are, so that
/// the outbox of a peer that does not read is not filled by the host.
const ANSWERS_UNWRITTEN_MAX: u32 = 64;

/// Messages of a batch that room is made for before they have come.
const BATCH_EXPECTED_MAX: usize = 64;

/// What one message, or all that one wake writes, may leave behind in the
/// library's buffers, in bytes: a busy connection should cost what it did
/// before it carried a large message.
const KEPT_BYTES: usize = 4 * 1024;

/// Owns the socket from the 101 to the end.
#[derive(Debug)]
pub(crate) struct Actor<S> {
    wire: Wire<S>,
    connection: Arc<Connection>,
    binding: Binding,
    batch: Vec<Message>,
    batch_bytes: usize,
    /// Messages of the last batch: the next has often as many.
    batch_expected: usize,
    /// Something was written that is not flushed.
    unflushed: bool,
    /// Pings that were read since all was flushed.
    pings: u32,
    /// Messages that the host has answered by itself since all was flushed.
    answers: u32,
    /// The last event was an alarm: messages that wait are next.
    rang: bool,
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
    /// The system watches for the peer, because nothing is read.
    watched: bool,
    pace: Option<Box<Pace>>,
    probe: Option<Box<Probe>>,
    /// When to look whether it should sleep; none while it does.
    rest: Option<Duration>,
    /// Something was read or written since that was last looked at.
    active: bool,
    /// A message has made the library's buffers larger than they should stay.
    large: bool,
    /// It should sleep as soon as the buffers are empty.
    tired: bool,
    /// When the connection's next alarm is due.
    alarm: Option<Instant>,
    /// For the lifetime, the pace, the sleep and the alarms. Looked at only
    /// when it has fired.
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

impl<S: Socket> Actor<S> {
    /// `read` is what the peer sent behind its handshake.
    pub(crate) async fn new(
        socket: S,
        read: Bytes,
        connection: Arc<Connection>,
        binding: Binding,
        close_timeout: Duration,
    ) -> Box<Self> {
        let limits = connection.limits();
        let socket = Meter::new(socket, &read, limits.fragments);
        let wire = Wire::new(socket, read.into(), limits.message_bytes).await;
        Box::new(Self {
            wire,
            pace: Pace::new(connection.limits()),
            connection,
            binding,
            batch: Vec::new(),
            batch_bytes: 0,
            batch_expected: 1,
            unflushed: false,
            pings: 0,
            answers: 0,
            rang: false,
            messages: 0,
            leaving: None,
            deaf: false,
            opened_at: Instant::now(),
            lifetime: Lifetime::default(),
            pinged: false,
            watched: false,
            probe: None,
            rest: Some(time::REST_AFTER),
            active: false,
            large: false,
            tired: false,
            alarm: None,
            timer: None,
            close_timeout,
            ending: None,
        })
    }

    /// Tells the function of the connection.
    pub(crate) async fn open(&mut self) {
        if let Err(outcome) = self.binding.dispatch(Event::Open) {
            self.take_outcome(outcome);
        }
        std::future::poll_fn(|cx| {
            self.arm(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Serves until it is to end. What follows is [`Actor::end`]: apart,
    /// because the task of an idle connection should hold no more than an open
    /// connection needs.
    pub(crate) async fn serve(&mut self) -> CloseReason {
        std::future::poll_fn(|cx| self.poll_open(cx)).await
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.connection.register(cx.waker());
        let seen = self.connection.flags();
        if let Some(outcome) = self.binding.outcome() {
            self.take_outcome(outcome);
        }
        if self.connection.is_terminated() {
            return Poll::Ready(CloseReason::Terminated);
        }
        self.hold();
        let dry = match self.poll_read(cx) {
            Reading::End(reason) if is_violation(&reason) => {
                self.refuse(reason);
                true
            }
            Reading::End(reason) => return Poll::Ready(reason),
            Reading::Full => false,
            Reading::Dry => true,
        };
        match self.measure(cx) {
            Some(reason) if is_violation(&reason) => self.refuse(reason),
            Some(reason) => return Poll::Ready(reason),
            None => {}
        }
        if self.connection.take_alarm_set() {
            self.note_alarm(cx);
        }
        // Behind the reading: after a while in which this process could not
        // run, what the peer has sent in time is there to be heard.
        if self.timer.as_ref().is_some_and(|timer| timer.is_elapsed())
            && let Some(reason) = self.check_time(cx)
        {
            return Poll::Ready(reason);
        }
        // Reading has stopped for the answers to pings, and there may be more
        // in the library's buffers.
        let stuck = self.pings > PINGS_UNANSWERED_MAX;
        self.deliver(cx, dry, seen);
        self.leave(dry);
        if let Some(reason) = self.poll_write(cx) {
            return Poll::Ready(reason);
        }
        self.sleep_or_wake(cx, dry && !stuck);
        self.poll_ending(cx)
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
            if self.pings > PINGS_UNANSWERED_MAX && self.wire.meter().is_blocked() {
                return Reading::Dry;
            }
            // Who has written them reads on.
            if self.answers > ANSWERS_UNWRITTEN_MAX {
                return Reading::Full;
            }
            let Poll::Ready(item) = self.wire.poll_frame(cx) else {
                return Reading::Dry;
            };
            match frames::received(item) {
                Received::Message(message) => {
                    if self.wire.meter().scan.is_past_fragments(self.messages) {
                        return Reading::End(CloseReason::Fragments);
                    }
                    self.messages += 1;
                    self.large |= message.bytes() > KEPT_BYTES;
                    if self.connection.answer(&message) {
                        self.answers += 1;
                        continue;
                    }
                    self.batch_bytes += message.bytes();
                    if self.batch.capacity() == 0 {
                        self.batch.reserve_exact(self.batch_expected);
                    }
                    self.batch.push(message);
                }
                // tungstenite has queued the pong.
                Received::Ping => {
                    self.unflushed = true;
                    self.pings += 1;
                }
                Received::Pong(payload) => self.take_pong(&payload),
                Received::Nothing => {}
                Received::BadClose => {
                    self.wire.reopen(cx);
                    return Reading::End(CloseReason::Protocol);
                }
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

    /// Gives the function what is next, when it has returned from the last: an
    /// alarm that is due, or the batch. An alarm goes before messages that
    /// wait, messages before a second alarm: neither can keep the other from
    /// its turn. `dry` says that nothing more is buffered, `seen` what this
    /// poll has looked at.
    fn deliver(&mut self, cx: &mut Context<'_>, dry: bool, seen: Flags) {
        let messages = !self.batch.is_empty();
        let alarm = self.is_alarm_due() && !(messages && self.rang);
        if !(messages || alarm) || self.binding.is_busy() || !self.connection.is_open() {
            return;
        }
        let event = match if alarm { self.take_alarm(cx) } else { None } {
            Some(name) => Event::Alarm(name),
            // It was taken back, or moved.
            None if !messages => return,
            None => {
                self.batch_bytes = 0;
                self.batch_expected = self.batch.len().min(BATCH_EXPECTED_MAX);
                Event::Messages(std::mem::take(&mut self.batch))
            }
        };
        self.rang = matches!(event, Event::Alarm(_));
        // Most calls return at once, in this task. What they do to this very
        // connection is looked at below, and need not wake it.
        let binding = &mut self.binding;
        let dispatched = (self.connection).hushed(cx.waker(), seen, || binding.dispatch(event));
        let outcome = dispatched.err().or_else(|| self.binding.outcome());
        let Some(outcome) = outcome else { return };
        self.take_outcome(outcome);
        // There is no return of the function to come that would wake it.
        if !dry || !self.batch.is_empty() || self.is_alarm_due() {
            cx.waker().wake_by_ref();
        }
    }

    /// Ends a connection that is to leave, when all that has arrived is
    /// handled. `dry` says that nothing more is buffered. An event that waits
    /// for the end of a back-off is handled behind the peer's back: it may wait
    /// for long, and a socket is not held for it.
    fn leave(&mut self, dry: bool) {
        let Some(reason) = &self.leaving else { return };
        let handled = dry && self.batch.is_empty() && !self.binding.is_busy();
        if handled || self.binding.is_delayed() {
            self.connection.end(reason.clone());
        }
    }

    /// Writes all that waits and flushes once.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        if self.wire.is_asleep() && self.connection.is_idle() {
            return None;
        }
        let mut written = 0;
        let ended = self.poll_write_all(cx, &mut written);
        self.active |= written > 0;
        self.large |= written > KEPT_BYTES;
        ended
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>, written: &mut usize) -> Option<CloseReason> {
        let leaving = self.leaving.as_ref();
        let mut stream = Pin::new(self.wire.wake(cx));
        loop {
            match stream.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Some(unwritten(leaving, &error)),
                Poll::Pending => return None,
            }
            match self.connection.next() {
                Next::Item(item) => {
                    self.unflushed = true;
                    match &item {
                        Item::Message(message) => *written += message.bytes().max(1),
                        Item::Ping(payload) => {
                            self.probe = Some(Box::new(Probe {
                                payload: payload.clone(),
                                sent: Instant::now(),
                            }));
                        }
                    }
                    if let Err(error) = stream.as_mut().start_send(frames::outgoing(item)) {
                        return Some(unwritten(leaving, &error));
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
                Poll::Ready(Err(error)) => return Some(unwritten(leaving, &error)),
                Poll::Pending => {}
            }
        }
        // Also when the outbox has dropped the answers.
        if !self.unflushed && std::mem::take(&mut self.answers) > ANSWERS_UNWRITTEN_MAX {
            cx.waker().wake_by_ref();
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

/// Why a connection ends that cannot be written to: by the violation that it
/// leaves for, if there was one. The library writes no more after some, and
/// says so with an error.
fn unwritten(leaving: Option<&CloseReason>, error: &Error) -> CloseReason {
    match leaving {
        Some(reason) if is_violation(reason) => reason.clone(),
        _ => frames::reason_of(error),
    }
}

/// How far reading came.
enum Reading {
    /// All that is there has been read.
    Dry,
    /// There may be more.
    Full,
    End(CloseReason),
}
