//! A WebSocket whose peer has not authenticated: the host waits for its first
//! message.
//!
//! None of its messages reaches a function, and it has no seat. It holds at most
//! one first message, which fits into the bytes that every connection may hold
//! ([`intake`](super::intake)), and the bytes of the same read. [`CONTROLS_MAX`]
//! bounds the control frames before it; the caller bounds the time.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use openline_admission::sessions::Session;
use openline_channels::budget::FunctionBudget;
use openline_channels::connection::{Compressed, Item, SocketOwner};
use openline_core::close::CloseReason;
use openline_core::limits::FunctionLimits;
use openline_core::message::Message;
use openline_engine::binding::Binding;
use tokio::time::Instant;

use super::actor::Actor;
use super::inbox::PINGS_UNANSWERED_MAX;
use super::intake::{Holding, Intake, Room};
use super::read::FRAMES_PER_POLL_MAX;
use super::wire::{Compression, Received, Socket, Wire};

/// Pings and pongs that may come before the first message: one a second for the
/// longest time that it may take.
const CONTROLS_MAX: u32 = 3600;

/// The reason with which a peer that sends more is closed.
const TOO_MANY_CONTROLS: CloseReason = CloseReason::Refused {
    code: 1008,
    word: "control_frames",
};

/// A WebSocket before its first message, and until a function has taken it.
#[derive(Debug)]
pub(crate) struct Unproven<S> {
    wire: Wire<S>,
    intake: Intake,
    /// Pings whose answers have not left.
    pings: u16,
    /// Pings and pongs that have come.
    controls: u32,
    opened_at: Instant,
}

impl<S: Socket> Unproven<S> {
    /// `read` holds the bytes that the peer sent right after its handshake. A
    /// first message has at most `message_bytes`.
    pub(crate) fn new(
        socket: S,
        read: Bytes,
        limits: &FunctionLimits,
        message_bytes: usize,
        compressed: Option<(&Arc<Compressed>, &Arc<FunctionBudget>)>,
    ) -> Self {
        let compression = compressed.map(|(it, budget)| Compression::new(it, limits, budget));
        let mut wire = Wire::new(socket, read, limits, compression);
        wire.bound(message_bytes.min(limits.message_bytes), limits.fragments);
        Self {
            wire,
            intake: Intake::default(),
            pings: 0,
            controls: 0,
            opened_at: Instant::now(),
        }
    }

    /// Waits for the first message, and answers pings meanwhile. Later messages
    /// are not read yet.
    ///
    /// # Errors
    ///
    /// When the peer closes, breaks a rule, or goes away.
    pub(crate) async fn message(
        &mut self,
        function: &Arc<FunctionBudget>,
    ) -> Result<Message, CloseReason> {
        poll_fn(|cx| self.poll_message(cx, function)).await
    }

    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        function: &Arc<FunctionBudget>,
    ) -> Poll<Result<Message, CloseReason>> {
        self.intake.begin();
        let received = self.poll_received(cx, function);
        let (arrived, others) = self.wire.kept_bytes();
        let holding = Holding {
            arrived,
            others,
            hears: true,
        };
        let opened_at = self.opened_at;
        self.intake
            .settle(function, holding, || opened_at.elapsed());
        if received.is_ready() {
            return received;
        }
        ready!(self.wire.writer().poll_flush(cx)).map_or_else(
            |reason| Poll::Ready(Err(reason)),
            |()| {
                // Reading may have stopped for this many.
                if std::mem::take(&mut self.pings) > PINGS_UNANSWERED_MAX {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            },
        )
    }

    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        function: &Arc<FunctionBudget>,
    ) -> Poll<Result<Message, CloseReason>> {
        let mut reader = self.wire.reader();
        for _ in 0..FRAMES_PER_POLL_MAX {
            // Writing the answers wakes the task, which then reads on.
            if self.pings > PINGS_UNANSWERED_MAX {
                return Poll::Pending;
            }
            let mut room = Room {
                intake: &mut self.intake,
                function,
                kept: 0,
            };
            match ready!(reader.poll_received(cx, &mut room)) {
                Received::Message(message) => {
                    self.intake.note_message();
                    return Poll::Ready(Ok(message));
                }
                Received::Ping(payload) => {
                    reader.pong(&payload);
                    self.pings += 1;
                    self.controls += 1;
                }
                Received::Pong(_) => self.controls += 1,
                // Only an ending connection skips.
                Received::Skipped => {}
                Received::End(reason) => return Poll::Ready(Err(reason)),
            }
            if self.controls > CONTROLS_MAX {
                return Poll::Ready(Err(TOO_MANY_CONTROLS));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends a message, and waits until the kernel has it. Answers whether it has.
    pub(crate) async fn say(&mut self, text: ByteString) -> bool {
        let mut message = Some(Item::Message(Message::Text(text)));
        let saying = poll_fn(|cx| {
            let mut writer = self.wire.writer();
            if message.is_some() {
                ready!(writer.poll_ready(cx))?;
            }
            if let Some(message) = message.take() {
                writer.start(message);
            }
            writer.poll_flush(cx)
        });
        saying.await.is_ok()
    }

    /// The connection, which a function has taken. The peer's first message
    /// counts towards its rates.
    pub(crate) fn prove(
        mut self,
        owner: SocketOwner,
        binding: Binding,
        session: Option<Arc<Session>>,
        close_timeout: Duration,
    ) -> Box<Actor<S>> {
        let limits = owner.connection().limits();
        self.wire.bound(limits.message_bytes, limits.fragments);
        let mut actor = Actor::over(self.wire, owner, binding, close_timeout);
        actor.intake = self.intake;
        actor.authenticate(session);
        actor
    }

    /// Closes it, within this time.
    pub(crate) async fn close(
        self,
        reason: &CloseReason,
        function: &Arc<FunctionBudget>,
        close_timeout: Duration,
    ) {
        let Self {
            wire, mut intake, ..
        } = self;
        intake.leave();
        let mut room = Room {
            intake: &mut intake,
            function,
            kept: 0,
        };
        // A peer that does not take part is cut off.
        let _ = tokio::time::timeout(close_timeout, wire.close(reason, &mut room)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    /// Anyone may open one, so it costs less than a connection.
    #[test]
    fn one_that_waits_is_small() {
        let bytes = size_of::<Unproven<TcpStream>>();
        assert!(bytes <= 288, "{bytes}");
    }
}
