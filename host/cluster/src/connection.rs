//! One connection, as everything but its socket sees it.
//!
//! The gateway's task owns the socket and takes from the outbox; functions put
//! into it. Each of its locks is held for a few instructions and never while
//! another one of the same connection is taken.

use std::task::Waker;

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use openline_core::close::CloseReason;
use openline_core::event::{RouteParams, SendOutcome};
use openline_core::limits::{ATTACHMENT_BYTES_MAX, FunctionLimits};
use openline_core::message::Message;
use openline_core::name::{ChannelName, ConnectionId};
use parking_lot::Mutex;

pub use crate::outbox::Next;
use crate::outbox::Outbox;

/// What was decided at the handshake and never changes.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The subprotocol the function chose.
    pub subprotocol: Option<String>,
    /// The parameters of the route.
    pub route_params: RouteParams,
}

/// One connection. Shared by reference; it ends when its socket's owner says
/// so, not when the last reference goes.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    facts: Facts,
    message_bytes_max: usize,
    outbox_bytes_max: usize,
    outbox: Mutex<Outbox>,
    owner: AtomicWaker,
    attachment: Mutex<Bytes>,
    pub(crate) subscriptions: Mutex<Subscriptions>,
}

/// The channels of a connection; `None` once it has left the hub.
pub(crate) type Subscriptions = Option<Vec<ChannelName>>;

/// The attachment is larger than 16 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachmentTooBig;

impl Connection {
    /// A connection that is about to open, with an identity of its own.
    ///
    /// # Panics
    ///
    /// When the operating system has no random numbers: without them nothing
    /// that this host does would be safe.
    pub fn new(facts: Facts, limits: &FunctionLimits) -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system has random numbers");
        Self {
            id: ConnectionId::from_random(u128::from_ne_bytes(bits)),
            facts,
            message_bytes_max: limits.message_bytes,
            outbox_bytes_max: limits.outbox_bytes,
            outbox: Mutex::default(),
            owner: AtomicWaker::new(),
            attachment: Mutex::default(),
            subscriptions: Mutex::new(Some(Vec::new())),
        }
    }

    /// Its identity.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// What the handshake decided.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Puts a message into the outbox. The owner is not woken: see
    /// [`crate::wakeups::Wakeups`].
    pub fn push(&self, message: Message) -> SendOutcome {
        self.outbox
            .lock()
            .push(message, self.message_bytes_max, self.outbox_bytes_max)
    }

    /// Asks for the connection to end once its outbox is written. The first
    /// reason wins. The owner is not woken.
    pub fn end(&self, reason: CloseReason) -> bool {
        self.outbox.lock().end(reason)
    }

    /// Whether messages are still accepted.
    pub fn is_open(&self) -> bool {
        self.outbox.lock().is_open()
    }

    /// What the function keeps with the connection.
    pub fn attachment(&self) -> Bytes {
        self.attachment.lock().clone()
    }

    /// Replaces the attachment, at most 16 KiB.
    pub fn set_attachment(&self, bytes: Bytes) -> Result<(), AttachmentTooBig> {
        if bytes.len() > ATTACHMENT_BYTES_MAX {
            return Err(AttachmentTooBig);
        }
        *self.attachment.lock() = bytes;
        Ok(())
    }

    /// Tells the owner of the socket that there is something to do.
    pub fn wake(&self) {
        self.owner.wake();
    }

    // For the owner of the socket.

    /// Whom [`Connection::wake`] wakes from now on.
    pub fn register(&self, waker: &Waker) {
        self.owner.register(waker);
    }

    /// The next thing to write.
    pub fn next(&self) -> Next {
        self.outbox.lock().next()
    }

    /// The socket is gone: accepts nothing any more and lets go of what waits.
    pub fn finish(&self) {
        self.outbox.lock().finish();
    }
}
