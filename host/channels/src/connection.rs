//! One connection, as everything but its socket sees it.
//!
//! The gateway's task owns the socket and takes from the outbox; functions put
//! into it. Each of its locks is held for a few instructions and never while
//! another one of the same connection is taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use openline_core::auto_response::AutoResponse;
use openline_core::close::CloseReason;
use openline_core::event::{RouteParams, SendOutcome};
use openline_core::limits::{
    ALARM_TIME_MAX, AUTO_RESPONSE_BYTES_MAX, FunctionLimits, PING_BYTES_MAX,
};
use openline_core::message::Message;
use openline_core::name::{AlarmName, AliasName, ChannelName, ConnectionId, Tag};
use tokio::time::Instant;

use crate::attached::Attached;
use crate::budget::{FunctionBudget, tags_cost};
pub use crate::outbox::{Gone, Item, Next};
use crate::outbox::{Outbox, Ticket};
use crate::sync::{AtomicU16, AtomicU64, AtomicWaker, Mutex, Ordering};

/// What was decided at the handshake and never changes.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The subprotocol the function chose.
    pub subprotocol: Option<String>,
    /// The parameters of the route.
    pub route_params: RouteParams,
    /// The alias that it came by.
    pub alias: AliasName,
    /// What the host answers by itself, unless the function says otherwise.
    pub auto_responses: Arc<[AutoResponse]>,
}

/// One connection. Shared by reference; it ends when its socket's owner says
/// so, not when the last reference goes.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    facts: Facts,
    limits: Arc<FunctionLimits>,
    budget: Arc<FunctionBudget>,
    outbox: Mutex<Outbox>,
    owner: AtomicWaker,
    flags: AtomicU16,
    /// Nanoseconds and one; 0 when none was measured.
    round_trip: AtomicU64,
    auto_responded: AtomicU64,
    /// Its version, and the instance that was given its last event.
    server: (AtomicU64, AtomicU64),
    attached: Mutex<Attached>,
    pub(crate) membership: Mutex<Membership>,
}

/// What the hub knows of a connection.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// It has left: nothing may be added any more.
    pub(crate) left: bool,
    pub(crate) channels: Vec<ChannelName>,
    /// Also when it has left: the function may want to know them at the end.
    pub(crate) tags: Box<[Tag]>,
}

/// After how many milliseconds the peers of a version that has gone should come
/// back: at the earliest, and in a hundred steps of this length, so that those
/// of one moment do not come back in one moment.
const RETRY_AFTER: (u32, u32) = (500, 50);

/// Bits of `flags`: what the owner of the socket looks at with each message.
const PAUSED: u16 = 1;
const DRAINING: u16 = 2;
const REDEPLOYED: u16 = 32;
/// There are automatic responses.
const ANSWERS: u16 = 4;
/// An alarm was set that the owner has not seen.
const ALARM_SET: u16 = 8;
const TERMINATED: u16 = 16;
/// The owner of the socket keeps no buffers for it.
const ASLEEP: u16 = 64;
/// Its function was told of its end: it keeps nothing any more. Set with
/// `attached` locked.
const RELEASED: u16 = 128;
/// The owner is to look whether its version is still served.
const RECONSIDER: u16 = 256;

// Each has a bit of its own: two that shared one would be one.
const _: () = assert!(
    (PAUSED
        | DRAINING
        | ANSWERS
        | ALARM_SET
        | TERMINATED
        | REDEPLOYED
        | ASLEEP
        | RELEASED
        | RECONSIDER)
        .count_ones()
        == 9
);

/// What was asked for of a connection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u16);

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
    pub fn new(facts: Facts, limits: Arc<FunctionLimits>, budget: Arc<FunctionBudget>) -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system has random numbers");
        let flags = if facts.auto_responses.is_empty() {
            0
        } else {
            ANSWERS
        };
        Self {
            id: ConnectionId::from_random(u128::from_ne_bytes(bits)),
            facts,
            limits,
            budget,
            outbox: Mutex::default(),
            owner: AtomicWaker::new(),
            flags: AtomicU16::new(flags),
            round_trip: AtomicU64::new(0),
            auto_responded: AtomicU64::new(0),
            server: Default::default(),
            attached: Mutex::default(),
            membership: Mutex::default(),
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
        self.flag(PAUSED, paused);
    }

    /// Whether reading is stopped.
    pub fn is_paused(&self) -> bool {
        self.has(PAUSED)
    }

    /// Asks for the connection to end with 1001 once what has arrived is
    /// handled and answered. The owner is not woken.
    pub fn drain(&self) {
        self.flag(DRAINING, true);
    }

    /// Asks for the connection to end with 1012 once what has arrived is
    /// handled and answered: another version has taken over. The owner is not
    /// woken.
    pub fn redeploy(&self) {
        self.flag(REDEPLOYED, true);
    }

    /// Asks the owner to look whether the connection's version is still served,
    /// and to end it as [`Connection::redeploy`] does if not: only the owner
    /// knows where its next event goes. The owner is not woken.
    pub fn reconsider(&self) {
        self.flag(RECONSIDER, true);
    }

    /// Why it is to end once what has arrived is handled, if it is.
    pub fn leaving(&self) -> Option<CloseReason> {
        if self.has(DRAINING) {
            return Some(CloseReason::ShuttingDown);
        }
        let (least, step) = RETRY_AFTER;
        self.has(REDEPLOYED).then(|| CloseReason::Redeployed {
            retry_after: least + step * self.id.point(),
        })
    }

    /// The time between the last ping that was answered and its pong.
    pub fn round_trip(&self) -> Option<Duration> {
        let nanoseconds = self.round_trip.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_nanos(nanoseconds))
    }

    /// What the function keeps with the connection.
    pub fn attachment(&self) -> Bytes {
        self.attached.lock().attachment()
    }

    /// Replaces the attachment, at most `attachment_bytes`.
    ///
    /// # Errors
    ///
    /// A larger one is too big, the host's `attached_bytes` may be used up, and
    /// the connection may be gone.
    pub fn set_attachment(&self, bytes: Bytes) -> Result<(), AttachError> {
        if bytes.len() > self.limits.attachment_bytes {
            return Err(AttachError::TooBig);
        }
        let mut attached = self.attached.lock();
        self.keeps()?;
        attached.set_attachment(bytes, &self.budget.attached)
    }

    /// The words it is found by.
    pub fn tags(&self) -> Vec<Tag> {
        self.membership.lock().tags.to_vec()
    }

    /// Makes an alarm due after a time, at most [`ALARM_TIME_MAX`], or moves
    /// it. The owner is not woken.
    ///
    /// # Errors
    ///
    /// More than `alarms` are too many, the host's `attached_bytes` may be
    /// used up, and the connection may be closing.
    pub fn set_alarm(&self, name: AlarmName, after: Duration) -> Result<(), AttachError> {
        if !self.is_open() {
            return Err(AttachError::Gone);
        }
        let due = Instant::now() + after.min(ALARM_TIME_MAX);
        let mut attached = self.attached.lock();
        self.keeps()?;
        attached.set_alarm(name, due, &self.limits, &self.budget.attached)?;
        drop(attached);
        self.flag(ALARM_SET, true);
        Ok(())
    }

    /// Takes an alarm back.
    pub fn clear_alarm(&self, name: &AlarmName) {
        let mut attached = self.attached.lock();
        attached.clear_alarm(name, &self.budget.attached);
    }

    /// Replaces the messages that the host answers by itself, those of the
    /// function's configuration included.
    ///
    /// # Errors
    ///
    /// More than `auto_responses` are too many, a message over
    /// [`AUTO_RESPONSE_BYTES_MAX`] is too big, the host's `attached_bytes` may
    /// be used up, and the connection may be closing.
    pub fn set_auto_responses(&self, pairs: Vec<AutoResponse>) -> Result<(), AttachError> {
        if pairs.len() > self.limits.auto_responses as usize {
            return Err(AttachError::TooMany);
        }
        let larger = |message: &Message| message.bytes() > AUTO_RESPONSE_BYTES_MAX;
        let mut all = pairs.iter();
        if all.any(|pair| larger(&pair.request) || larger(&pair.reply)) {
            return Err(AttachError::TooBig);
        }
        if !self.is_open() {
            return Err(AttachError::Gone);
        }
        let some = !pairs.is_empty();
        let own = if *pairs == *self.facts.auto_responses {
            None
        } else {
            Some(self.budget.share(pairs)?)
        };
        let mut attached = self.attached.lock();
        self.keeps()?;
        attached.set_pairs(own);
        self.flag(ANSWERS, some);
        Ok(())
    }

    /// How many messages the host has answered by itself.
    pub fn auto_responded(&self) -> u64 {
        self.auto_responded.load(Ordering::Relaxed)
    }

    /// Asks for the connection to end at once and without a close frame: what
    /// waits is not written. Also one that is closing; `false` for one that is
    /// closed or was terminated before. The owner is not woken.
    pub fn terminate(&self) -> bool {
        let terminated = self.outbox.lock().terminate(&self.budget.outboxes);
        if terminated {
            self.flag(TERMINATED, true);
        }
        terminated
    }

    /// Notes its version's stamp, and the number of the instance that is given
    /// its events.
    pub fn note_server(&self, version: u64, instance: u64) {
        self.server.0.store(version, Ordering::Relaxed);
        self.server.1.store(instance, Ordering::Relaxed);
    }

    /// Its version's stamp as of its last event, and the number of the instance
    /// that was given that. Not of one moment.
    pub fn server(&self) -> (u64, u64) {
        let (version, instance) = &self.server;
        (
            version.load(Ordering::Relaxed),
            instance.load(Ordering::Relaxed),
        )
    }

    fn flag(&self, flag: u16, set: bool) {
        if set {
            self.flags.fetch_or(flag, Ordering::Release);
        } else {
            self.flags.fetch_and(!flag, Ordering::Release);
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    /// Fails when it keeps nothing any more. Asked with `attached` locked.
    fn keeps(&self) -> Result<(), AttachError> {
        if self.has(RELEASED) {
            return Err(AttachError::Gone);
        }
        Ok(())
    }

    /// What is attached takes so much of the host's budget instead.
    pub(crate) fn charge(&self, before: usize, after: usize) -> Result<(), AttachError> {
        Ok(self.budget.attached.change(before, after)?)
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

    /// What was asked for until now. Taken when the owner has
    /// [registered](Connection::register) and is about to look at it.
    pub fn flags(&self) -> Flags {
        Flags(self.flags.load(Ordering::Acquire))
    }

    /// Runs `act` for the owner, which looks at the outbox and at the outcome
    /// next, so neither wakes it. Any other request that comes meanwhile wakes
    /// `waker`; `seen` are the flags that the owner has acted on.
    pub fn hushed<T>(&self, waker: &Waker, seen: Flags, act: impl FnOnce() -> T) -> T {
        drop(self.owner.take());
        let done = act();
        self.register(waker);
        if self.is_changed(seen) {
            waker.wake_by_ref();
        }
        done
    }

    /// Whether anything was asked for that the owner has not seen. What it
    /// takes, alarms and the asking to reconsider, is new if it is there.
    fn is_changed(&self, seen: Flags) -> bool {
        let now = self.flags().0;
        let asked = PAUSED | DRAINING | REDEPLOYED | TERMINATED;
        let taken = ALARM_SET | RECONSIDER;
        (now ^ seen.0) & asked != 0 || now & taken != 0
    }

    /// Whether it was asked to [reconsider](Connection::reconsider) since this
    /// was last asked.
    pub fn take_reconsider(&self) -> bool {
        self.has(RECONSIDER)
            && self.flags.fetch_and(!RECONSIDER, Ordering::AcqRel) & RECONSIDER != 0
    }

    /// The next thing to write.
    pub fn next(&self) -> Next {
        self.outbox.lock().next(&self.budget.outboxes)
    }

    /// Whether there is nothing to write and no end to come.
    pub fn is_idle(&self) -> bool {
        self.outbox.lock().is_idle()
    }

    /// Nothing is expected to be written soon: keeps no room for it. Until it
    /// is said to have woken it [sleeps](Connection::is_asleep).
    pub fn rest(&self) {
        self.outbox.lock().rest();
        self.flag(ASLEEP, true);
    }

    /// It sleeps no more.
    pub fn woken(&self) {
        self.flag(ASLEEP, false);
    }

    /// Whether the owner of the socket keeps no buffers for it: for people and
    /// tests.
    pub fn is_asleep(&self) -> bool {
        self.has(ASLEEP)
    }

    /// Whether it is to end at once, and without a close frame.
    pub fn is_terminated(&self) -> bool {
        self.has(TERMINATED)
    }

    /// Answers a message of the peer that the host answers by itself; `false`
    /// for any other.
    pub fn answer(&self, message: &Message) -> bool {
        if !self.has(ANSWERS) {
            return false;
        }
        let own = self.attached.lock().pairs();
        let pairs = own.as_ref().map(|own| &own.pairs[..]);
        let pairs = pairs.unwrap_or(&self.facts.auto_responses);
        let Some(pair) = pairs.iter().find(|pair| pair.matches(message)) else {
            return false;
        };
        self.auto_responded.fetch_add(1, Ordering::Relaxed);
        self.push(pair.reply.clone());
        true
    }

    /// Whether an alarm was set since this was last asked.
    pub fn take_alarm_set(&self) -> bool {
        self.has(ALARM_SET) && self.flags.fetch_and(!ALARM_SET, Ordering::AcqRel) & ALARM_SET != 0
    }

    /// When the next alarm is due.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.attached.lock().next_alarm()
    }

    /// Takes the alarm that is due first, if one is due, to have it called. It
    /// can be cleared or set anew until its call
    /// [begins](Connection::begin_alarm).
    pub fn take_alarm(&self, now: Instant) -> Option<AlarmName> {
        self.attached.lock().take_alarm(now)
    }

    /// The call of a taken alarm begins; `false` when the alarm was cleared or
    /// set anew since, or the connection has ended: it is not to be called.
    pub fn begin_alarm(&self, name: &AlarmName) -> bool {
        let mut attached = self.attached.lock();
        attached.begin_alarm(name, &self.budget.attached)
    }

    /// A ping was answered after this time.
    pub fn set_round_trip(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.round_trip
            .store(nanoseconds.saturating_add(1), Ordering::Relaxed);
    }

    /// The socket is gone: accepts nothing any more and lets go of what waits,
    /// messages and alarms. The attachment stays: the function may want it at
    /// the end.
    pub fn finish(&self) {
        self.outbox.lock().finish(&self.budget.outboxes);
        self.attached.lock().clear_alarms(&self.budget.attached);
    }

    /// It has left its hub, and its function was told of its end: nothing is
    /// kept with it any more, however long a guest holds a handle.
    pub fn release(&self) {
        let mut attached = self.attached.lock();
        self.flag(RELEASED, true);
        attached.clear(&self.budget.attached);
        drop(attached);
        let tags = std::mem::take(&mut self.membership.lock().tags);
        self.budget.attached.give_back(tags_cost(&tags));
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
        // Its shares of the host's budgets, if nobody has finished it.
        self.outbox.get_mut().finish(&self.budget.outboxes);
        let attached = &self.budget.attached;
        self.attached.get_mut().clear(attached);
        attached.give_back(tags_cost(&self.membership.get_mut().tags));
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
