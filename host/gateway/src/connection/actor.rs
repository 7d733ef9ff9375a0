//! What a connection's task holds, and whether the connection goes on.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use openline_channels::connection::Connection;
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_engine::binding::{Binding, Outcome};

use super::clock::Clock;
use super::ending::Ending;
use super::inbox::Inbox;
use super::read::is_violation;
use super::rest::Rest;
use super::unflushed::{Probe, Unflushed};
use super::wire::{Socket, Wire};

/// Owns the socket from the 101 to the end.
#[derive(Debug)]
pub(crate) struct Actor<S> {
    pub(super) wire: Wire<S>,
    pub(super) connection: Arc<Connection>,
    pub(super) binding: Binding,
    pub(super) inbox: Inbox,
    pub(super) unflushed: Unflushed,
    pub(super) course: Course,
    pub(super) given: Given,
    pub(super) clock: Clock,
    pub(super) rest: Rest,
    pub(super) probe: Option<Box<Probe>>,
    pub(super) ending: Ending,
}

/// Whether the connection goes on.
#[derive(Debug)]
pub(super) enum Course {
    Stays,
    /// It ends for this reason once what has arrived is handled.
    Leaves(CloseReason),
    /// The same, and nothing more is read: what would come now is no stream of
    /// frames.
    Refuses(CloseReason),
}

/// What the function was given last. The other one is next, where both wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
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

    /// Ends the connection if its last event was not handled.
    pub(super) fn take_outcome(&mut self, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Done => return,
            Outcome::Fault(fault) => CloseReason::Fault(fault),
            Outcome::Full => CloseReason::Overloaded,
            Outcome::BackedOff => CloseReason::BackedOff,
        };
        self.connection.end(reason);
    }
}

// === impl Course ===

impl Course {
    /// Why a connection ends that cannot be written to: by the violation that it
    /// leaves for, if there was one. The library writes no more after some, and
    /// says so with an error.
    pub(super) fn unwritten(&self, reason: CloseReason) -> CloseReason {
        match self {
            Self::Leaves(why) | Self::Refuses(why) if is_violation(why) => why.clone(),
            _ => reason,
        }
    }

    pub(super) fn stays(&self) -> bool {
        matches!(self, Self::Stays)
    }

    /// Why it is to end.
    pub(super) fn reason(&self) -> Option<&CloseReason> {
        match self {
            Self::Stays => None,
            Self::Leaves(reason) | Self::Refuses(reason) => Some(reason),
        }
    }

    /// It is to end; the first reason stays.
    pub(super) fn leave(&mut self, reason: CloseReason) {
        if self.stays() {
            *self = Self::Leaves(reason);
        }
    }

    /// The peer has broken a rule: what came before is handled and answered,
    /// and nothing more is read. The first reason stays.
    pub(super) fn refuse(&mut self, reason: CloseReason) {
        *self = match std::mem::replace(self, Self::Stays) {
            Self::Stays => Self::Refuses(reason),
            Self::Leaves(first) | Self::Refuses(first) => Self::Refuses(first),
        };
    }

    pub(super) fn is_refusing(&self) -> bool {
        matches!(self, Self::Refuses(_))
    }
}
