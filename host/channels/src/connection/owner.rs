//! A connection as the task that owns its socket sees it: what to write, which
//! requests it has, and the end.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use openline_core::close::CloseReason;
use openline_core::limits::FunctionLimits;
use openline_core::message::Message;
use openline_core::name::AlarmName;
use tokio::time::Instant;

use super::flags::{Flag, Seen};
use super::{Connection, Facts};
use crate::budget::{FunctionBudget, tags_cost};
use crate::outbox::{Item, Next};
use crate::sync::Ordering;

/// After how many milliseconds the peers of a version or a host that has gone,
/// or whose time is up, should come back: at the earliest, and in a hundred
/// steps of this length, so that those of one moment do not come back in one
/// moment.
const RETRY_AFTER: (u32, u32) = (500, 50);

/// A connection as the owner of its socket has it. It is made with the
/// connection and there is no other way to one, so nothing else takes from the
/// outbox. A copy is for what ends the connection when its task does not.
#[derive(Clone, Debug)]
pub struct SocketOwner(Arc<Connection>);

impl SocketOwner {
    /// Makes a connection that is about to open, with an identity of its own.
    ///
    /// # Panics
    ///
    /// When the operating system has no random numbers: without them nothing
    /// that this host does would be safe.
    pub fn new(facts: Facts, limits: Arc<FunctionLimits>, budget: Arc<FunctionBudget>) -> Self {
        Self(Arc::new(Connection::new(facts, limits, budget)))
    }

    /// The connection, as everything else has it.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.0
    }

    /// What the connection's function may keep with the host.
    pub fn budget(&self) -> &Arc<FunctionBudget> {
        &self.0.budget
    }

    // === requests to the owner ===

    /// Sets the waker that [`Connection::wake`] wakes from now on.
    pub fn register(&self, waker: &Waker) {
        self.0.waker.register(waker);
    }

    /// The requests made until now. Taken when the owner has
    /// [registered](SocketOwner::register) and is about to look at it.
    pub fn see(&self) -> Seen {
        self.0.flags.see()
    }

    /// Runs `act` for the owner, which looks at the outbox and at the outcome
    /// next, so neither wakes it. Any other request that comes meanwhile wakes
    /// `waker`; `seen` is what the owner has acted on.
    pub fn hushed<T>(&self, waker: &Waker, seen: Seen, act: impl FnOnce() -> T) -> T {
        drop(self.0.waker.take());
        let done = act();
        self.register(waker);
        if self.0.flags.is_changed(seen) {
            waker.wake_by_ref();
        }
        done
    }

    /// Whether it is to end at once, and without a close frame.
    pub fn is_terminated(&self) -> bool {
        self.0.flags.has(Flag::Terminated)
    }

    /// Whether it was asked to [reconsider](Connection::reconsider) since this
    /// was last asked.
    pub fn take_reconsider(&self) -> bool {
        self.0.flags.take(Flag::Reconsider)
    }

    /// Whether it was asked to [doubt](Connection::doubt) since this was last
    /// asked.
    pub fn take_doubt(&self) -> bool {
        self.0.flags.take(Flag::Doubtful)
    }

    /// Why it is to end once what has arrived is handled, if it is.
    pub fn leaving(&self) -> Option<CloseReason> {
        if self.0.flags.has(Flag::Draining) {
            let retry_after = self.retry_after();
            return Some(CloseReason::ShuttingDown { retry_after });
        }
        let redeployed = self.0.flags.has(Flag::Redeployed);
        redeployed.then(|| CloseReason::Redeployed {
            retry_after: self.retry_after(),
        })
    }

    /// After how many milliseconds its peer should come back.
    pub fn retry_after(&self) -> u32 {
        let (least, step) = RETRY_AFTER;
        least + step * self.0.id.point()
    }

    // === writing ===

    /// Puts a frame before all that waits: the answer that a peer gets first,
    /// although others could send to it before that was known.
    pub fn push_first(&self, frame: Message) {
        let outbox = &mut self.0.outbox.lock();
        outbox.push_first(Item::Message(frame), &self.0.budget.outboxes);
    }

    /// The next thing to write.
    #[inline]
    pub fn next(&self) -> Next {
        self.0.outbox.lock().next(&self.0.budget.outboxes)
    }

    /// Nothing is expected to be written soon: keeps no room for it. Until it
    /// is said to have woken it [sleeps](Connection::is_asleep).
    pub fn rest(&self) {
        self.0.outbox.lock().rest();
        self.0.flags.set(Flag::Asleep, true);
    }

    /// It no longer sleeps.
    pub fn woken(&self) {
        self.0.flags.set(Flag::Asleep, false);
    }

    /// Answers a message of the peer that the host answers by itself; `false`
    /// for any other.
    pub fn answer(&self, message: &Message) -> bool {
        if !self.0.flags.has(Flag::Answers) {
            return false;
        }
        let own = self.0.attached.lock().pairs();
        let pairs = own.as_ref().map(|own| &own.pairs[..]);
        let pairs = pairs.unwrap_or(&self.0.facts.auto_responses);
        let Some(pair) = pairs.iter().find(|pair| pair.matches(message)) else {
            return false;
        };
        self.0.auto_responded.fetch_add(1, Ordering::Relaxed);
        self.0.push(pair.reply.clone());
        true
    }

    /// A ping was answered after this time.
    pub fn set_round_trip(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let round_trip = &self.0.round_trip;
        round_trip.store(nanoseconds.saturating_add(1), Ordering::Relaxed);
    }

    // === alarms ===

    /// Whether an alarm was set since this was last asked.
    pub fn take_alarm_set(&self) -> bool {
        self.0.flags.take(Flag::AlarmSet)
    }

    /// When the next alarm is due.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.0.attached.lock().next_alarm()
    }

    /// Takes the alarm that is due first, if one is due, to have it called. It
    /// can be cleared or set again until its call
    /// [begins](Connection::begin_alarm).
    pub fn take_alarm(&self, now: Instant) -> Option<AlarmName> {
        self.0.attached.lock().take_alarm(now)
    }

    // === the end ===

    /// The socket is gone: accepts nothing more and drops the messages and
    /// alarms that wait. The attachment stays: the function may want it at the
    /// end.
    pub fn finish(&self) {
        let Connection {
            outbox,
            attached,
            budget,
            ..
        } = &*self.0;
        outbox.lock().finish(&budget.outboxes);
        attached.lock().clear_alarms(&budget.attached);
    }

    /// Ends the subscriptions of a connection that is in no hub: nobody can
    /// subscribe it again.
    pub fn unsubscribe_all(&self) {
        // Taken under the lock: a subscription that races with this is either in
        // the list, or finds that the connection has left.
        let channels = {
            let mut membership = self.0.membership.lock();
            membership.left = true;
            std::mem::take(&mut membership.channels)
        };
        for subscription in channels {
            subscription.channel.leave(self.0.id());
        }
    }

    /// It has left its hub, and its function was told of its end: nothing is
    /// kept with it any more, however long a guest holds a handle.
    pub fn release(&self) {
        let Connection {
            attached,
            budget,
            flags,
            membership,
            ..
        } = &*self.0;
        let mut attached = attached.lock();
        flags.set(Flag::Released, true);
        attached.clear(&budget.attached);
        drop(attached);
        let tags = std::mem::take(&mut membership.lock().tags);
        budget.attached.give_back(tags_cost(&tags));
    }
}
