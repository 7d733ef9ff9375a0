//! The end of a connection: one path for every reason.
//!
//! The close handshake (RFC 6455 section 7.1) and the function's `close` run
//! side by side. `close_timeout` bounds the handshake. `handler_timeout` bounds
//! each call of the function, and the calls wait for one back-off at most.

use std::sync::Arc;
use std::task::{Context, Poll};

use openline_channels::connection::{Next, SocketOwner};
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_engine::binding::{Binding, Outcome};

use super::actor::Actor;
use super::intake::Room;
use super::wire::Socket;
use crate::dialect::words::closing;

impl<S: Socket> Actor<S> {
    /// Ends a connection that takes no more messages.
    pub(crate) async fn end(self: Box<Self>, reason: &CloseReason) {
        let Self {
            wire,
            owner,
            binding,
            inbox,
            mut intake,
            ending,
            ..
        } = *self;
        let deadline = ending.deadline();
        // Messages that the peer sent before its close must be handled. Messages
        // that came before the host's own close need not be.
        let by_peer = matches!(reason, CloseReason::Peer(_) | CloseReason::Lost);
        let (rest, kept) = inbox.into_rest(by_peer);
        // What the function has not handled counts until it has been told.
        intake.leave();
        let function = Arc::clone(owner.budget());
        let mut room = Room {
            intake: &mut intake,
            function: &function,
            kept,
        };
        let dialect = owner.connection().facts().dialect;
        let spoken = dialect.map(|dialect| closing(dialect, reason));
        let frame = spoken.as_ref().unwrap_or(reason);
        let handshake = async {
            tokio::select! {
                () = wire.close(frame, &mut room) => {}
                () = deadline => {}
            }
            // The calls of the function that follow may take long: this
            // connection keeps no place in the line for received bytes.
            room.intake.leave();
        };
        let telling = tell_function(binding, owner, rest, reason.clone());
        tokio::join!(handshake, telling);
    }

    /// Ready when the time is over in which an ending connection may write the
    /// rest.
    pub(super) fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if self.owner.connection().is_open() {
            return Poll::Pending;
        }
        if self.ending.poll_over(cx).is_pending() {
            return Poll::Pending;
        }
        // Gives up the messages that wait, and keeps the reason.
        loop {
            match self.owner.next() {
                Next::Item(_) => {}
                Next::End(reason) => return Poll::Ready(reason),
                Next::Idle => return Poll::Ready(CloseReason::Lost),
            }
        }
    }
}

/// Tells the function of what remains, and then of the end, each when the call
/// before it has returned.
pub(crate) async fn tell_function(
    mut binding: Binding,
    owner: SocketOwner,
    rest: Vec<Event>,
    reason: CloseReason,
) {
    binding.end();
    let mut last = settle(&mut binding, &owner).await;
    // A function that was never told of the beginning is not told of the end.
    if !binding.is_opened() {
        return;
    }
    for event in rest {
        if last != Outcome::Done {
            break;
        }
        last = match binding.dispatch(event) {
            Ok(()) => settle(&mut binding, &owner).await,
            Err(outcome) => outcome,
        };
    }
    if last != Outcome::Done {
        tracing::debug!(id = %owner.connection().id(), ?last, "a connection's last messages were not handled");
    }
    let outcome = match binding.dispatch(Event::Close(reason)) {
        Ok(()) => settle(&mut binding, &owner).await,
        Err(outcome) => outcome,
    };
    if outcome == Outcome::Full {
        tracing::warn!(id = %owner.connection().id(), ?outcome, "a function was not told of a connection's end");
    }
}

/// Waits until no event is in flight.
async fn settle(binding: &mut Binding, owner: &SocketOwner) -> Outcome {
    std::future::poll_fn(|cx| {
        owner.register(cx.waker());
        if let Some(outcome) = binding.outcome() {
            return std::task::Poll::Ready(outcome);
        }
        if binding.is_busy() {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(Outcome::Done)
        }
    })
    .await
}
