//! Sending to a connection, and asking it to end: for functions, for the
//! hub and for the host itself. Nothing here wakes the owner of the socket: see
//! [`crate::wakeups::Wakeups`] and [`Connection::wake`].
//!
//! Bounded by the outbox.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use openline_core::close::CloseReason;
use openline_core::dialect::DialectName;
use openline_core::event::SendOutcome;
use openline_core::limits::PING_BYTES_MAX;
use openline_core::message::{Compress, Message};

use super::Connection;
use super::flags::Flag;
use crate::forms;
use crate::outbox::{Gone, Item, Ticket};
use crate::shared::SharedMessage;

/// The payload of a ping is larger than 125 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingTooBig;

/// A wait for room in an outbox; see [`Connection::writable`]. Dropped, it
/// leaves nothing behind.
#[derive(Debug)]
pub struct Writable {
    connection: Arc<Connection>,
    ticket: Option<Ticket>,
}

impl Connection {
    /// Puts a message of the function or the host into the outbox. Its peer gets
    /// it in the frame of its dialect, if it has one.
    pub fn push(&self, message: Message) -> SendOutcome {
        if self.is_too_large(&message) {
            return self.outbox.lock().refuse();
        }
        self.put(Item::Message(self.spoken(message)))
    }

    /// Puts a frame of the peer's dialect into the outbox, or a message of a peer
    /// without one.
    pub fn push_frame(&self, frame: Message) -> SendOutcome {
        self.put(Item::Message(frame))
    }

    /// Whether a message is larger than the outbox can know: what its frame adds does
    /// not count.
    #[inline]
    fn is_too_large(&self, message: &Message) -> bool {
        self.facts.dialect == Some(DialectName::HeldEvents)
            && message.bytes() > self.limits.message_bytes
    }

    #[inline]
    fn spoken(&self, message: Message) -> Message {
        match self.facts.dialect {
            None => message,
            Some(dialect) => forms::spoken_message(dialect, message),
        }
    }

    /// Puts a message into the outbox, and says whether it is compressed.
    pub fn push_with(&self, message: Message, compress: Compress) -> SendOutcome {
        if self.is_too_large(&message) {
            return self.outbox.lock().refuse();
        }
        let message = self.spoken(message);
        self.put(match compress {
            Compress::Configured => Item::Message(message),
            Compress::Always => Item::Compress(message),
            Compress::Never => Item::Plain(message),
        })
    }

    /// Puts a message into the outbox that other connections get, too.
    pub(crate) fn push_shared(&self, shared: &Arc<SharedMessage>) -> SendOutcome {
        self.put(Item::Published(Arc::clone(shared)))
    }

    /// Puts publications into the outbox, all of them or none: whether it has.
    pub(crate) fn push_all(&self, all: Vec<Arc<SharedMessage>>) -> bool {
        let mut outbox = self.outbox.lock();
        outbox.push_all(all, &self.limits, &self.budget.outboxes)
    }

    /// Puts a ping into the outbox.
    pub fn ping(&self, payload: Bytes) -> Result<SendOutcome, PingTooBig> {
        if payload.len() > PING_BYTES_MAX {
            return Err(PingTooBig);
        }
        Ok(self.put(Item::Ping(payload)))
    }

    // Copies of an item between functions are a third of a push.
    #[inline(always)]
    fn put(&self, item: Item) -> SendOutcome {
        let mut outbox = self.outbox.lock();
        outbox.push(item, &self.limits, &self.budget.outboxes)
    }

    /// Bytes that wait in the outbox.
    pub fn buffered_bytes(&self) -> u64 {
        self.outbox.lock().bytes()
    }

    /// Waits until the outbox is below its low mark. Fails as soon as the
    /// connection is closing or closed.
    pub fn writable(self: &Arc<Self>) -> Writable {
        Writable {
            connection: Arc::clone(self),
            ticket: None,
        }
    }

    /// Whether messages are still accepted.
    pub fn is_open(&self) -> bool {
        self.outbox.lock().is_open()
    }

    /// Asks for the connection to end once its outbox is written. The first
    /// reason wins.
    pub fn end(&self, reason: CloseReason) -> bool {
        self.outbox.lock().end(reason)
    }

    /// Asks for the connection to end at once and without a close frame: what
    /// waits is not written. It may be closing already; `false` for one that is
    /// closed or was terminated before.
    pub fn terminate(&self) -> bool {
        let terminated = self.outbox.lock().terminate(&self.budget.outboxes);
        if terminated {
            self.flags.set(Flag::Terminated, true);
        }
        terminated
    }

    /// Stops or resumes reading.
    pub fn pause(&self, paused: bool) {
        self.flags.set(Flag::Paused, paused);
    }

    /// Asks for the connection to end with 1001 once what has arrived is
    /// handled and answered.
    pub fn drain(&self) {
        self.flags.set(Flag::Draining, true);
    }

    /// Asks for the connection to end with 1012 once what has arrived is
    /// handled and answered: another version has taken over.
    pub fn redeploy(&self) {
        self.flags.set(Flag::Redeployed, true);
    }

    /// Asks the owner to look whether the connection's version is still served,
    /// and to end it as [`Connection::redeploy`] does if not: only the owner
    /// knows where its next event goes.
    pub fn reconsider(&self) {
        self.flags.set(Flag::Reconsider, true);
    }

    /// Asks the owner to look whether its peer may still have what it has asked
    /// for: its channels may have other terms. It does not leave for that, whatever
    /// version it has.
    pub fn doubt(&self) {
        self.flags.set(Flag::Doubtful, true);
    }

    /// Tells the owner of the socket that there is something to do.
    pub fn wake(&self) {
        self.waker.wake();
    }
}

impl Future for Writable {
    type Output = Result<(), Gone>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { connection, ticket } = &mut *self;
        let mut outbox = connection.outbox.lock();
        if let Some(answer) = outbox.writable() {
            return Poll::Ready(answer);
        }
        *ticket = Some(outbox.await_room(*ticket, cx.waker()));
        Poll::Pending
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.connection.outbox.lock().forget_wait(ticket);
        }
    }
}
