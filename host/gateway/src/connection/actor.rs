//! The state of a connection's task, and whether the connection goes on.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use openline_admission::sessions::Session;
use openline_channels::connection::SocketOwner;
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_engine::binding::{Binding, Outcome};

use super::clock::{Clock, Watcher};
use super::ending::Ending;
use super::inbox::Inbox;
use super::intake::Intake;
use super::read::is_violation;
use super::rest::Rest;
use super::unflushed::{Probe, Unflushed};
use super::wire::{Compression, Socket, Wire};
use crate::dialect::Speaking;

/// Owns the socket from the 101 to the end.
#[derive(Debug)]
pub(crate) struct Actor<S> {
    pub(super) wire: Wire<S>,
    pub(super) owner: SocketOwner,
    pub(super) binding: Binding,
    pub(super) inbox: Inbox,
    pub(super) intake: Intake,
    pub(super) unflushed: Unflushed,
    pub(super) course: Course,
    pub(super) given: Given,
    /// The timer waits for the answer to a ping. Once the answer is there,
    /// something may be due earlier.
    pub(super) awaits_pong: bool,
    pub(super) watcher: Watcher,
    /// The peer has shown another token since the timer was set.
    pub(super) is_renewed: bool,
    pub(super) clock: Clock,
    pub(super) rest: Rest,
    pub(super) probe: Option<Box<Probe>>,
    pub(super) ending: Ending,
    /// What it needs for its dialect, if it has one.
    pub(super) speaking: Option<Box<Speaking>>,
}

/// Whether the connection goes on. Reasons are boxed, because every connection
/// has room for this value but has at most one reason in its life.
#[derive(Debug)]
pub(super) enum Course {
    Stays,
    /// It ends for this reason once the messages that have arrived are handled.
    Leaves(Box<CloseReason>),
    /// The same, and nothing more is read, because further bytes would not be
    /// valid frames.
    Refuses(Box<CloseReason>),
}

/// The kind of event that the function got last. If an alarm and something else
/// wait, the other one is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Messages,
    /// A call, which the host answers.
    Call,
    Alarm,
}

impl<S: Socket> Actor<S> {
    /// `read` holds the bytes that the peer sent right after its handshake.
    pub(crate) fn new(
        socket: S,
        read: Bytes,
        owner: SocketOwner,
        binding: Binding,
        close_timeout: Duration,
    ) -> Box<Self> {
        let limits = owner.connection().limits();
        let compressed = owner.connection().facts().compressed.as_ref();
        let compression = compressed.map(|it| Compression::new(it, limits, owner.budget()));
        let wire = Wire::new(socket, read, limits, compression);
        Self::over(wire, owner, binding, close_timeout)
    }

    /// Owns a wire that is open already.
    pub(super) fn over(
        wire: Wire<S>,
        owner: SocketOwner,
        binding: Binding,
        close_timeout: Duration,
    ) -> Box<Self> {
        Box::new(Self {
            wire,
            clock: Clock::new(owner.connection().limits()),
            owner,
            binding,
            inbox: Inbox::default(),
            intake: Intake::default(),
            unflushed: Unflushed::default(),
            course: Course::Stays,
            given: Given::Messages,
            awaits_pong: false,
            watcher: Watcher::Host,
            is_renewed: false,
            rest: Rest::default(),
            probe: None,
            ending: Ending::within(close_timeout),
            speaking: None,
        })
    }

    /// Sets as whom the peer is authenticated, before the connection is opened.
    pub(crate) fn authenticate(&mut self, session: Option<Arc<Session>>) {
        self.clock.session = session;
    }

    /// Sets what it needs for its dialect, before the connection is opened.
    pub(crate) fn speak(&mut self, mut speaking: Box<Speaking>) {
        let limits = self.owner.connection().limits();
        speaking.begin_pings(limits.ping_interval, limits.pong_timeout);
        self.speaking = Some(speaking);
    }

    /// Calls the function's `open`.
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

    /// Notes that the last event has been handled, and ends the connection if it
    /// has not.
    pub(super) fn take_outcome(&mut self, outcome: Outcome) {
        self.inbox.note_handled();
        if self.given == Given::Call {
            // The answer is the host's, and leaves before the peer is heard again.
            self.unflushed.note_answer(self.owner.connection());
        }
        let reason = match outcome {
            Outcome::Done => return,
            Outcome::Fault(fault) => CloseReason::Fault(fault),
            Outcome::Full => CloseReason::Overloaded,
            Outcome::BackedOff => CloseReason::BackedOff,
        };
        self.owner.connection().end(reason);
    }
}

// === impl Course ===

impl Course {
    /// The reason of a connection that cannot be written to: the violation for
    /// which it leaves, if there was one, because that came first. Otherwise,
    /// the given reason.
    pub(super) fn unwritten(&self, reason: CloseReason) -> CloseReason {
        match self {
            Self::Leaves(why) | Self::Refuses(why) if is_violation(why) => CloseReason::clone(why),
            _ => reason,
        }
    }

    pub(super) fn stays(&self) -> bool {
        matches!(self, Self::Stays)
    }

    /// Why it is to end, if it is.
    pub(super) fn reason(&self) -> Option<&CloseReason> {
        match self {
            Self::Stays => None,
            Self::Leaves(reason) | Self::Refuses(reason) => Some(reason),
        }
    }

    /// Makes it end; the first reason stays.
    pub(super) fn leave(&mut self, reason: CloseReason) {
        if self.stays() {
            *self = Self::Leaves(Box::new(reason));
        }
    }

    /// Makes it end because the peer has broken a rule: messages that came
    /// before are handled and answered, and nothing more is read. The first
    /// reason stays.
    pub(super) fn refuse(&mut self, reason: CloseReason) {
        *self = match std::mem::replace(self, Self::Stays) {
            Self::Stays => Self::Refuses(Box::new(reason)),
            Self::Leaves(first) | Self::Refuses(first) => Self::Refuses(first),
        };
    }

    pub(super) fn is_refusing(&self) -> bool {
        matches!(self, Self::Refuses(_))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn the_first_reason_stays_and_a_violation_ends_the_reading() {
        let mut course = Course::Stays;
        assert!(course.stays() && course.reason().is_none());
        course.leave(CloseReason::Terminated);
        course.leave(CloseReason::Lost);
        assert!(matches!(course.reason(), Some(CloseReason::Terminated)));
        assert!(!course.is_refusing());
        course.refuse(CloseReason::Protocol);
        assert!(course.is_refusing());
        assert!(matches!(course.reason(), Some(CloseReason::Terminated)));
    }

    /// An idle connection consists of little else, and the allocator's next
    /// size is larger than 512 bytes.
    #[test]
    fn an_actor_is_no_larger_than_512_bytes() {
        let bytes = size_of::<Actor<TcpStream>>();
        assert!(bytes <= 512, "{bytes}");
    }
}
