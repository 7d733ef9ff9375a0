//! One connection, as everything but its socket sees it.
//!
//! The gateway's task owns the socket and takes from the outbox; functions put
//! into it. Each of its locks is held for a few instructions and never while
//! another one of the same connection is taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use openline_core::auto_response::AutoResponse;
use openline_core::close::CloseReason;
use openline_core::event::{RouteParams, SendOutcome};
use openline_core::limits::{FunctionLimits, PING_BYTES_MAX};
use openline_core::message::Message;
use openline_core::name::{AlarmName, AliasName, ChannelName, ConnectionId, Tag};
use parking_lot::Mutex;

use crate::budget::OutboxBudget;
pub use crate::outbox::{Gone, Item, Next};
use crate::outbox::{Outbox, Ticket};

/// What was decided at the handshake and never changes.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The subprotocol the function chose.
    pub subprotocol: Option<String>,
    /// The parameters of the route.
    pub route_params: RouteParams,
    /// The alias that it came by.
    pub alias: AliasName,
}

/// One connection. Shared by reference; it ends when its socket's owner says
/// so, not when the last reference goes.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    facts: Facts,
    limits: Arc<FunctionLimits>,
    budget: Arc<OutboxBudget>,
    outbox: Mutex<Outbox>,
    owner: AtomicWaker,
    paused: AtomicBool,
    draining: AtomicBool,
    /// Nanoseconds and one; 0 when none was measured.
    round_trip: AtomicU64,
    attachment: Mutex<Bytes>,
    pub(crate) subscriptions: Mutex<Subscriptions>,
}

/// The channels of a connection; `None` once it has left the hub.
pub(crate) type Subscriptions = Option<Vec<ChannelName>>;

/// The attachment is larger than `attachment_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachmentTooBig;

/// Why something was not kept with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// More than the function's limit: tags, alarms or automatic responses.
    TooMany,
    /// One of them is larger than it may be.
    TooBig,
    /// All connections of the host together keep `attached_bytes`.
    HostFull,
    /// The connection is closing or closed.
    Gone,
}

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
    /// A connection that is about to open, with an identity of its own.
    ///
    /// # Panics
    ///
    /// When the operating system has no random numbers: without them nothing
    /// that this host does would be safe.
    pub fn new(facts: Facts, limits: Arc<FunctionLimits>, budget: Arc<OutboxBudget>) -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system has random numbers");
        Self {
            id: ConnectionId::from_random(u128::from_ne_bytes(bits)),
            facts,
            limits,
            budget,
            outbox: Mutex::default(),
            owner: AtomicWaker::new(),
            paused: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            round_trip: AtomicU64::new(0),
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

    /// What it may use.
    pub fn limits(&self) -> &FunctionLimits {
        &self.limits
    }

    /// Puts a message into the outbox. The owner is not woken: see
    /// [`crate::wakeups::Wakeups`].
    pub fn push(&self, message: Message) -> SendOutcome {
        self.put(Item::Message(message))
    }

    /// Puts a ping into the outbox. The owner is not woken.
    pub fn ping(&self, payload: Bytes) -> Result<SendOutcome, PingTooBig> {
        if payload.len() > PING_BYTES_MAX {
            return Err(PingTooBig);
        }
        Ok(self.put(Item::Ping(payload)))
    }

    fn put(&self, item: Item) -> SendOutcome {
        self.outbox.lock().push(item, &self.limits, &self.budget)
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

    /// Asks for the connection to end once its outbox is written. The first
    /// reason wins. The owner is not woken.
    pub fn end(&self, reason: CloseReason) -> bool {
        self.outbox.lock().end(reason)
    }

    /// Whether messages are still accepted.
    pub fn is_open(&self) -> bool {
        self.outbox.lock().is_open()
    }

    /// Stops or resumes reading. The owner is not woken.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// Whether reading is stopped.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Asks for the connection to end with 1001 once what has arrived is
    /// handled and answered. The owner is not woken.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether it is to end once what has arrived is handled.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The time between the last ping that was answered and its pong.
    pub fn round_trip(&self) -> Option<Duration> {
        let nanoseconds = self.round_trip.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_nanos(nanoseconds))
    }

    /// What the function keeps with the connection.
    pub fn attachment(&self) -> Bytes {
        self.attachment.lock().clone()
    }

    /// Replaces the attachment, at most `attachment_bytes`.
    pub fn set_attachment(&self, bytes: Bytes) -> Result<(), AttachmentTooBig> {
        if bytes.len() > self.limits.attachment_bytes {
            return Err(AttachmentTooBig);
        }
        *self.attachment.lock() = bytes;
        Ok(())
    }

    /// The words it is found by.
    pub fn tags(&self) -> Vec<Tag> {
        Vec::new()
    }

    /// Makes an alarm due after a time, or moves it. The owner is not woken.
    pub fn set_alarm(&self, name: AlarmName, after: Duration) -> Result<(), AttachError> {
        let _ = (name, after);
        Err(AttachError::Gone)
    }

    /// Takes an alarm back. The owner is not woken.
    pub fn clear_alarm(&self, name: &AlarmName) {
        let _ = name;
    }

    /// Replaces the messages that the host answers by itself.
    pub fn set_auto_responses(&self, pairs: Vec<AutoResponse>) -> Result<(), AttachError> {
        let _ = pairs;
        Err(AttachError::Gone)
    }

    /// How many messages the host has answered by itself.
    pub fn auto_responded(&self) -> u64 {
        0
    }

    /// Asks for the connection to end at once and without a close frame: what
    /// waits is not written. The owner is not woken.
    pub fn terminate(&self) -> bool {
        self.end(CloseReason::Terminated)
    }

    /// Notes who was given its last event: a version's stamp and an instance's
    /// number.
    pub fn note_server(&self, version: u64, instance: u64) {
        let _ = (version, instance);
    }

    /// Who was given its last event: a version's stamp and an instance's
    /// number.
    pub fn server(&self) -> (u64, u64) {
        (0, 0)
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
        self.outbox.lock().next(&self.budget)
    }

    /// A ping was answered after this time.
    pub fn set_round_trip(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.round_trip
            .store(nanoseconds.saturating_add(1), Ordering::Relaxed);
    }

    /// The socket is gone: accepts nothing any more and lets go of what waits.
    pub fn finish(&self) {
        self.outbox.lock().finish(&self.budget);
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

impl Drop for Connection {
    fn drop(&mut self) {
        // Its share of the host's budget, if nobody has finished it.
        self.outbox.get_mut().finish(&self.budget);
    }
}
