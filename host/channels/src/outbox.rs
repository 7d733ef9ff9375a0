//! The messages that wait to be written to one connection, and how the
//! connection is to end afterwards.
//!
//! Bounded in bytes, by the function's `outbox_bytes` and by its share of the
//! host's: each message counts its payload and a constant for its bookkeeping,
//! so that empty messages are bounded too. A message that will be compressed
//! counts as it is: it is compressed when it is written. An empty outbox takes
//! any message up to `message_bytes`. `outbox_overflow` says what happens past
//! the bound. One of a dialect is whole or nothing: its peer counts publications,
//! so it drops none, also not those that their frame makes larger than
//! `message_bytes`, and past the bound its connection is closed. Others have
//! publications that count, too: those of channels from which a subscriber can
//! recover. A loss of one must be known, so past the bound the connection is closed
//! for it whatever `outbox_overflow` says, and no other message takes its place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use openline_core::close::CloseReason;
use openline_core::event::SendOutcome;
use openline_core::limits::{
    FunctionLimits, OUTBOX_FREE_BYTES, OUTBOX_LOW_BYTES, OUTBOX_SHARE_BYTES, OutboxOverflow,
};
use openline_core::message::Message;

use crate::budget::Budget;
use crate::shared::SharedMessage;

/// The cost of a waiting message in addition to its payload, in bytes: its
/// place in the queue and the header of a shared buffer.
pub(crate) const MESSAGE_OVERHEAD_BYTES: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    bytes: usize,
    /// How many bytes it has taken of the host's budget.
    share: usize,
    state: State,
    writers: Writers,
    /// Nothing is dropped: past the bound the connection ends.
    is_whole: bool,
    /// What comes has its frame already, which does not count for the size of a
    /// message.
    is_framed: bool,
}

/// How far a connection is from its end.
#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    /// It ends for this reason when all is written.
    Ending(CloseReason),
    /// The socket is gone.
    Gone,
}

/// The tasks that wait for room. Bounded by the waits that calls in flight
/// have begun and not given up: each has one entry at most.
#[derive(Debug, Default)]
struct Writers {
    waiting: BTreeMap<Ticket, Waker>,
    issued: Ticket,
}

/// Names one wait for room.
pub(crate) type Ticket = u64;

/// Something that waits to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A message to this connection, which is compressed as the function is
    /// configured.
    Message(Message),
    /// The same, compressed whatever its size.
    Compress(Message),
    /// The same, not compressed.
    Plain(Message),
    /// A message that is shared with other connections.
    Published(Arc<SharedMessage>),
    /// A ping with this payload, at most 125 bytes.
    Ping(Bytes),
}

/// The next thing for the owner of the socket to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write this.
    Item(Item),
    /// Everything is written: end the connection for this reason.
    End(CloseReason),
    /// Nothing, until woken.
    Idle,
}

/// The connection is closing or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Item {
    /// The size of its payload in bytes.
    #[inline]
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) | Self::Compress(message) | Self::Plain(message) => {
                message.bytes()
            }
            Self::Published(shared) => shared.message().bytes(),
            Self::Ping(payload) => payload.len(),
        }
    }

    #[inline]
    fn cost(&self) -> usize {
        self.bytes() + MESSAGE_OVERHEAD_BYTES
    }

    /// Whether the peer counts on it.
    fn counts(&self) -> bool {
        matches!(self, Self::Published(shared) if shared.counts())
    }
}

impl Outbox {
    /// One that drops nothing, whatever the function's `outbox_overflow` says.
    pub(crate) fn whole() -> Self {
        Self {
            is_whole: true,
            ..Self::default()
        }
    }

    /// One whose messages come in their frames.
    pub(crate) fn framed() -> Self {
        Self {
            is_framed: true,
            ..Self::default()
        }
    }

    /// What becomes of a message that is too large.
    pub(crate) fn refuse(&self) -> SendOutcome {
        match self.is_open() {
            true => SendOutcome::Dropped,
            false => SendOutcome::Gone,
        }
    }

    /// Puts an item before all others, whatever the bound, or drops it if the
    /// outbox has ended.
    pub(crate) fn push_first(&mut self, item: Item, budget: &Budget) {
        if !self.is_open() {
            return;
        }
        self.bytes += item.cost();
        self.items.push_front(item);
        // It is sent at once; what the host lacks for it comes back then.
        let _ = self.grow(self.bytes, budget);
    }

    #[inline]
    pub(crate) fn push(
        &mut self,
        item: Item,
        limits: &FunctionLimits,
        budget: &Budget,
    ) -> SendOutcome {
        // Most outboxes hold little: then neither the host's budget nor the
        // overflow is a question.
        let bytes = item.bytes();
        let little = OUTBOX_FREE_BYTES.min(limits.outbox_bytes);
        let after = self.bytes + bytes + MESSAGE_OVERHEAD_BYTES;
        if after <= little && bytes <= limits.message_bytes && self.is_open() {
            const { assert!(OUTBOX_FREE_BYTES <= OUTBOX_LOW_BYTES) };
            self.bytes = after;
            self.items.push_back(item);
            return SendOutcome::Sent;
        }
        self.push_much(item, limits, budget)
    }

    fn push_much(&mut self, item: Item, limits: &FunctionLimits, budget: &Budget) -> SendOutcome {
        if !self.is_open() {
            return SendOutcome::Gone;
        }
        let counts = self.is_whole || item.counts();
        let is_bounded = !matches!(item, Item::Ping(_)) && !counts && !self.is_framed;
        if item.bytes() > limits.message_bytes && is_bounded {
            return SendOutcome::Dropped;
        }
        let cost = item.cost();
        loop {
            let fits = self.items.is_empty() || self.bytes + cost <= limits.outbox_bytes;
            if fits && self.grow(self.bytes + cost, budget) {
                break;
            }
            match self.overflow(counts, limits.outbox_overflow) {
                OutboxOverflow::DropOldest => drop(self.pop(budget)),
                OutboxOverflow::DropNewest => return SendOutcome::Dropped,
                OutboxOverflow::Close => {
                    self.clear(budget);
                    self.state = State::Ending(if fits {
                        CloseReason::HostOutboxOverflow
                    } else {
                        CloseReason::OutboxOverflow
                    });
                    self.wake_writers();
                    return SendOutcome::Dropped;
                }
            }
        }
        self.items.push_back(item);
        self.bytes += cost;
        if self.bytes <= OUTBOX_LOW_BYTES {
            SendOutcome::Sent
        } else {
            SendOutcome::Queued(self.bytes())
        }
    }

    /// What makes room for one more, which counts or does not. Only the oldest is
    /// looked at: behind one that counts nothing is dropped, or each message to a
    /// slow peer would search all that wait.
    fn overflow(&self, counts: bool, configured: OutboxOverflow) -> OutboxOverflow {
        let is_droppable = |oldest: &Item| !oldest.counts();
        match configured {
            _ if self.is_whole => OutboxOverflow::Close,
            OutboxOverflow::DropOldest if self.items.front().is_some_and(is_droppable) => {
                OutboxOverflow::DropOldest
            }
            OutboxOverflow::DropOldest | OutboxOverflow::DropNewest if !counts => {
                OutboxOverflow::DropNewest
            }
            _ => OutboxOverflow::Close,
        }
    }

    /// Puts all of these publications in, or none of them: whether it has.
    pub(crate) fn push_all(
        &mut self,
        all: Vec<Arc<SharedMessage>>,
        limits: &FunctionLimits,
        budget: &Budget,
    ) -> bool {
        let cost: usize = all
            .iter()
            .map(|shared| shared.message().bytes() + MESSAGE_OVERHEAD_BYTES)
            .sum();
        // As everywhere, one alone always fits.
        let is_alone = self.items.is_empty() && all.len() <= 1;
        let fits = is_alone || self.bytes + cost <= limits.outbox_bytes;
        if !self.is_open() || !fits || !self.grow(self.bytes + cost, budget) {
            return false;
        }
        self.bytes += cost;
        self.items.extend(all.into_iter().map(Item::Published));
        true
    }

    /// Ends the outbox. The first reason wins; `false` if there was one
    /// already.
    pub(crate) fn end(&mut self, reason: CloseReason) -> bool {
        if !self.is_open() {
            return false;
        }
        self.state = State::Ending(reason);
        self.wake_writers();
        true
    }

    /// Ends the outbox without writing the messages that wait, even if it was
    /// already to end for another reason; `false` if it has ended or was
    /// terminated before.
    pub(crate) fn terminate(&mut self, budget: &Budget) -> bool {
        if matches!(
            self.state,
            State::Gone | State::Ending(CloseReason::Terminated)
        ) {
            return false;
        }
        self.clear(budget);
        self.state = State::Ending(CloseReason::Terminated);
        self.wake_writers();
        true
    }

    #[inline]
    pub(crate) fn next(&mut self, budget: &Budget) -> Next {
        let Some(item) = self.items.pop_front() else {
            return self.next_without_items();
        };
        self.bytes -= item.cost();
        if self.share > 0 || !self.writers.waiting.is_empty() {
            self.give_room(budget);
        }
        Next::Item(item)
    }

    /// Gives back what is no longer needed of the host's budget, and wakes those
    /// that wait for room if there is enough.
    #[cold]
    fn give_room(&mut self, budget: &Budget) {
        self.shrink(budget);
        if self.bytes <= OUTBOX_LOW_BYTES {
            self.wake_writers();
        }
    }

    fn next_without_items(&mut self) -> Next {
        // A quiet connection does not keep the room of an earlier burst.
        if self.items.capacity() > 64 {
            self.items = VecDeque::new();
        }
        match &self.state {
            State::Ending(reason) => Next::End(reason.clone()),
            State::Open | State::Gone => Next::Idle,
        }
    }

    /// Accepts nothing from now on, and drops everything.
    pub(crate) fn finish(&mut self, budget: &Budget) {
        self.state = State::Gone;
        self.clear(budget);
        self.wake_writers();
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Gives up the room for messages, if there are none.
    pub(crate) fn rest(&mut self) {
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }

    /// Ready once little enough waits to be written, or the outbox has ended;
    /// `None` until then.
    pub(crate) fn writable(&self) -> Option<Result<(), Gone>> {
        if !self.is_open() {
            return Some(Err(Gone));
        }
        (self.bytes <= OUTBOX_LOW_BYTES).then_some(Ok(()))
    }

    /// Wakes when [`Outbox::writable`] has an answer. `ticket` is the one
    /// that an earlier call for the same wait returned.
    pub(crate) fn await_room(&mut self, ticket: Option<Ticket>, waker: &Waker) -> Ticket {
        let Writers { waiting, issued } = &mut self.writers;
        let ticket = ticket.unwrap_or_else(|| {
            *issued += 1;
            *issued
        });
        waiting.insert(ticket, waker.clone());
        ticket
    }

    /// Forgets a wait that was dropped.
    pub(crate) fn forget_wait(&mut self, ticket: Ticket) {
        self.writers.waiting.remove(&ticket);
    }

    fn pop(&mut self, budget: &Budget) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.cost();
        self.shrink(budget);
        Some(item)
    }

    /// Takes as much of the host's budget as this many bytes need.
    fn grow(&mut self, bytes: usize, budget: &Budget) -> bool {
        let more = share_of(bytes).saturating_sub(self.share);
        if more > 0 && !budget.take(more) {
            return false;
        }
        self.share += more;
        true
    }

    /// Gives back what is not needed, except one piece, so that an outbox near
    /// the edge of a piece does not touch the budget with each message.
    fn shrink(&mut self, budget: &Budget) {
        let kept = match share_of(self.bytes) {
            _ if self.items.is_empty() => 0,
            needed => needed + OUTBOX_SHARE_BYTES,
        };
        if self.share > kept {
            budget.give_back(self.share - kept);
            self.share = kept;
        }
    }

    fn clear(&mut self, budget: &Budget) {
        self.items = VecDeque::new();
        self.bytes = 0;
        self.shrink(budget);
    }

    fn wake_writers(&mut self) {
        let waiting = std::mem::take(&mut self.writers.waiting);
        waiting.into_values().for_each(Waker::wake);
    }
}

fn share_of(bytes: usize) -> usize {
    bytes
        .saturating_sub(OUTBOX_FREE_BYTES)
        .next_multiple_of(OUTBOX_SHARE_BYTES)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
