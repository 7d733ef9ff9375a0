//! One connection: the task that owns its socket.
//!
//! A hand-written poll, because of what it decides: everything that one read
//! brought becomes one call of the function, and everything that one wake
//! finds in the outbox leaves with one flush. Bounded: one batch in the
//! function, one batch gathered meanwhile, then reading stops and TCP pushes
//! back; the outbox has its own bound; ending takes at most `close_timeout`.
//! One timer serves all that is due on a connection, and is not touched by
//! messages. A connection on which nothing has happened for a while sleeps: see
//! [`rest`]. Only [`wire`] knows the library that reads and writes frames.

mod close;
mod pace;
mod read;
mod rest;
mod time;
pub(crate) mod wire;
mod write;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use openline_channels::connection::{Connection, Flags};
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_engine::binding::{Binding, Outcome};

use close::Ending;
use read::{Inbox, PINGS_UNANSWERED_MAX, Reading};
use rest::Rest;
use time::Clock;
pub(crate) use wire::Socket;
use wire::Wire;
use write::{Probe, Unflushed};

/// Owns the socket from the 101 to the end.
#[derive(Debug)]
pub(crate) struct Actor<S> {
    wire: Wire<S>,
    connection: Arc<Connection>,
    binding: Binding,
    inbox: Inbox,
    unflushed: Unflushed,
    course: Course,
    given: Given,
    clock: Clock,
    rest: Rest,
    probe: Option<Box<Probe>>,
    ending: Ending,
}

/// Whether the connection goes on.
#[derive(Debug)]
enum Course {
    Stays,
    /// It ends for this reason once what has arrived is handled.
    Leaves(CloseReason),
    /// The same, and nothing more is read: what would come now is no stream of
    /// frames.
    Refuses(CloseReason),
}

/// What the function was given last. The other one is next, where both wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Messages,
    Alarm,
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
        let wire = Wire::new(socket, read, limits).await;
        Box::new(Self {
            wire,
            clock: Clock::new(limits),
            connection,
            binding,
            inbox: Inbox::default(),
            unflushed: Unflushed::default(),
            course: Course::Stays,
            given: Given::Messages,
            rest: Rest::default(),
            probe: None,
            ending: Ending::within(close_timeout),
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
        self.regulate_reading();
        let dry = match self.poll_read(cx) {
            Reading::End(reason) if read::is_violation(&reason) => {
                self.course.refuse(reason);
                true
            }
            Reading::End(reason) => return Poll::Ready(reason),
            Reading::Full => false,
            Reading::Dry => true,
        };
        match self.measure(cx) {
            Some(reason) if read::is_violation(&reason) => self.course.refuse(reason),
            Some(reason) => return Poll::Ready(reason),
            None => {}
        }
        if self.connection.take_alarm_set() {
            self.note_alarm(cx);
        }
        // Behind the reading: after a while in which this process could not
        // run, what the peer has sent in time is there to be heard.
        if self.clock.has_fired()
            && let Some(reason) = self.check_time(cx)
        {
            return Poll::Ready(reason);
        }
        // Reading has stopped for the answers to pings, and there may be more
        // in the library's buffers.
        let stuck = self.unflushed.pings > PINGS_UNANSWERED_MAX;
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

    /// Gives the function what is next, when it has returned from the last: an
    /// alarm that is due, or the batch. An alarm goes before messages that
    /// wait, messages before a second alarm: neither can keep the other from
    /// its turn. `dry` says that nothing more is buffered, `seen` what this
    /// poll has looked at.
    fn deliver(&mut self, cx: &mut Context<'_>, dry: bool, seen: Flags) {
        let messages = !self.inbox.is_empty();
        let alarm = self.is_alarm_due() && !(messages && self.given == Given::Alarm);
        if !(messages || alarm) || self.binding.is_busy() || !self.connection.is_open() {
            return;
        }
        let event = match if alarm { self.take_alarm(cx) } else { None } {
            Some(name) => Event::Alarm(name),
            // It was taken back, or moved.
            None if !messages => return,
            None => Event::Messages(self.inbox.take()),
        };
        self.given = match event {
            Event::Alarm(_) => Given::Alarm,
            _ => Given::Messages,
        };
        // Most calls return at once, in this task. What they do to this very
        // connection is looked at below, and need not wake it.
        let binding = &mut self.binding;
        let dispatched = (self.connection).hushed(cx.waker(), seen, || binding.dispatch(event));
        let outcome = dispatched.err().or_else(|| self.binding.outcome());
        let Some(outcome) = outcome else { return };
        self.take_outcome(outcome);
        // There is no return of the function to come that would wake it.
        if !dry || !self.inbox.is_empty() || self.is_alarm_due() {
            cx.waker().wake_by_ref();
        }
    }

    /// Ends a connection that is to leave, when all that has arrived is
    /// handled. `dry` says that nothing more is buffered. An event that waits
    /// for the end of a back-off is handled behind the peer's back: it may wait
    /// for long, and a socket is not held for it.
    fn leave(&mut self, dry: bool) {
        let Some(reason) = self.course.reason() else {
            return;
        };
        let handled = dry && self.inbox.is_empty() && !self.binding.is_busy();
        if handled || self.binding.is_delayed() {
            self.connection.end(reason.clone());
        }
    }
}

// === impl Course ===

impl Course {
    fn stays(&self) -> bool {
        matches!(self, Self::Stays)
    }

    /// Why it is to end.
    fn reason(&self) -> Option<&CloseReason> {
        match self {
            Self::Stays => None,
            Self::Leaves(reason) | Self::Refuses(reason) => Some(reason),
        }
    }

    /// It is to end; the first reason stays.
    fn leave(&mut self, reason: CloseReason) {
        if self.stays() {
            *self = Self::Leaves(reason);
        }
    }

    /// The peer has broken a rule: what came before is handled and answered,
    /// and nothing more is read. The first reason stays.
    fn refuse(&mut self, reason: CloseReason) {
        *self = match std::mem::replace(self, Self::Stays) {
            Self::Stays => Self::Refuses(reason),
            Self::Leaves(first) | Self::Refuses(first) => Self::Refuses(first),
        };
    }

    fn is_refusing(&self) -> bool {
        matches!(self, Self::Refuses(_))
    }
}
