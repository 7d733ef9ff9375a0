//! Room for messages that were received and that the function has not handled:
//! a function's part of the host's `received_bytes`, the share that a
//! connection has of it, and the connections that wait for more.
//!
//! Connections wait in the order in which they asked, and only the first may
//! take what becomes free, so a large share is not overtaken by small ones for
//! ever. Connections can wait for each other: each holds a part of its message,
//! and there is no room for the rest of any. Therefore the first may go past
//! the function's part if none has, and take what it needs to the end of its
//! message. So the host keeps its `received_bytes` at most, and for each
//! function what one connection may hold.
//!
//! A connection that waits is woken when connections of its function give
//! something back. It also has to try again from time to time: what other
//! functions give back wakes none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::budget::{Budget, FunctionBudget};
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// One function's part of the host's `received_bytes`.
#[derive(Debug)]
pub struct Received {
    budget: Budget,
    line: Mutex<Line>,
    /// How many connections are in the line. Changed with the lock held, by
    /// operations that also read, so that a connection that is about to wait and
    /// one that gives back cannot miss each other.
    waiting: AtomicUsize,
}

/// The connections that wait.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<Ticket, Waker>,
    issued: Ticket,
    /// The turn of the connection that went past the function's part last.
    turn: Ticket,
    /// What it has taken so and not given back.
    past: usize,
    /// Whether it may take more so.
    is_open: bool,
}

/// A connection's place in the line.
type Ticket = u64;

/// What one connection has of its function's part. Dropping it gives all of it
/// back.
#[derive(Debug)]
pub struct Share {
    function: Arc<FunctionBudget>,
    bytes: usize,
    ticket: Option<Ticket>,
    /// Its turn to go past the function's part, which may be over; 0 if it had
    /// none.
    turn: Ticket,
}

impl Received {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            line: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// How many bytes the function's connections have taken.
    pub fn used(&self) -> usize {
        self.budget.used()
    }

    /// Whether connections of this function wait for room.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether little is left, so that a connection should not read more than it
    /// has room for.
    pub fn is_scarce(&self) -> bool {
        self.is_wanted() || self.budget.is_nearly_full()
    }

    /// Takes the bytes if they are free and no connection waits for them.
    fn try_take(&self, bytes: usize) -> bool {
        !self.is_wanted() && self.budget.take(bytes)
    }

    fn give_back(&self, bytes: usize) {
        self.budget.give_back(bytes);
        if self.waiting.fetch_add(0, Ordering::AcqRel) > 0 {
            let first = self.line.lock().first();
            wake(first);
        }
    }
}

impl Line {
    fn first(&self) -> Option<Waker> {
        self.waiting
            .first_key_value()
            .map(|(_, waker)| waker.clone())
    }

    fn is_first(&self, ticket: Ticket) -> bool {
        let first = self.waiting.first_key_value();
        first.is_some_and(|(first, _)| *first == ticket)
    }
}

impl Share {
    /// A share of nothing.
    pub fn new(function: &Arc<FunctionBudget>) -> Self {
        Self {
            function: Arc::clone(function),
            bytes: 0,
            ticket: None,
            turn: 0,
        }
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is in the line.
    pub fn is_waiting(&self) -> bool {
        self.ticket.is_some()
    }

    /// Takes more if that is possible without waiting.
    pub fn try_take(&mut self, bytes: usize) -> bool {
        let received = &self.function.received;
        let taken = received.try_take(bytes) || self.take_past(bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// Takes more past the function's part, if it has the turn.
    fn take_past(&self, bytes: usize) -> bool {
        if self.turn == 0 {
            return false;
        }
        let received = &self.function.received;
        let mut line = received.line.lock();
        if self.turn != line.turn || !line.is_open {
            return false;
        }
        line.past += bytes;
        received.budget.take_anyway(bytes);
        true
    }

    /// Takes more, and waits for it in the line if need be. The connection stays
    /// in the line until it has taken the bytes or [leaves](Self::leave).
    pub fn poll_take(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        if self.ticket.is_none() && self.try_take(bytes) {
            return Poll::Ready(());
        }
        let function = Arc::clone(&self.function);
        let received = &function.received;
        let mut line = received.line.lock();
        let is_new = self.ticket.is_none();
        let ticket = match self.ticket {
            Some(ticket) => ticket,
            None => {
                line.issued += 1;
                received.waiting.fetch_add(1, Ordering::AcqRel);
                *self.ticket.insert(line.issued)
            }
        };
        line.waiting.insert(ticket, cx.waker().clone());
        if !line.is_first(ticket) {
            // What this one tried to take may have kept it from the first.
            let first = if is_new { line.first() } else { None };
            drop(line);
            wake(first);
            return Poll::Pending;
        }
        if !received.budget.take(bytes) {
            // What was past is not, once it could be taken in any case.
            if line.past > 0 && received.budget.is_exceeded() {
                return Poll::Pending;
            }
            self.turn = ticket;
            (line.turn, line.past, line.is_open) = (ticket, bytes, true);
            received.budget.take_anyway(bytes);
        }
        self.bytes += bytes;
        drop(line);
        self.leave();
        Poll::Ready(())
    }

    /// Leaves the line: the connection does not want more for now.
    pub fn leave(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let received = &self.function.received;
        let mut line = received.line.lock();
        let was_first = line.is_first(ticket);
        line.waiting.remove(&ticket);
        received.waiting.fetch_sub(1, Ordering::AcqRel);
        let next = if was_first { line.first() } else { None };
        drop(line);
        wake(next);
    }

    /// Ends its turn to go past the function's part: its message has ended.
    pub fn end_turn(&mut self) {
        if self.turn != 0 {
            let mut line = self.function.received.line.lock();
            line.is_open &= self.turn != line.turn;
        }
    }

    /// Gives back all but so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        let Some(more @ 1..) = self.bytes.checked_sub(bytes) else {
            return;
        };
        self.bytes = bytes;
        let received = &self.function.received;
        if self.turn != 0 {
            let mut line = received.line.lock();
            if self.turn == line.turn {
                line.past = line.past.saturating_sub(more);
            }
            if bytes == 0 {
                line.is_open &= self.turn != line.turn;
                self.turn = 0;
            }
        }
        received.give_back(more);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.leave();
        self.keep(0);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::budget::HostBudget;

    fn host(bytes: usize) -> HostBudget {
        HostBudget::new(0, 0).with_received(bytes)
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A share, and how often its task was woken.
    struct Connection {
        share: Share,
        woken: Arc<Woken>,
    }

    impl Connection {
        fn new(function: &Arc<FunctionBudget>) -> Self {
            Self {
                share: Share::new(function),
                woken: Arc::default(),
            }
        }

        fn takes(&mut self, bytes: usize) -> bool {
            let waker = Waker::from(Arc::clone(&self.woken));
            let mut cx = Context::from_waker(&waker);
            self.share.poll_take(&mut cx, bytes).is_ready()
        }

        fn woken(&self) -> usize {
            self.woken.0.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn at_its_limit_and_one_past_it() {
        let host = host(100);
        let function = host.function();
        let [mut first, mut past, mut third] = [0; 3].map(|_| Connection::new(&function));
        assert!(first.share.try_take(100));
        assert!(!past.share.try_take(1));
        // One goes past the part, with as much as it needs; the next one waits.
        assert!(past.takes(1) && past.takes(50) && past.share.try_take(9));
        assert!(!third.takes(1) && function.received.is_wanted());
        assert_eq!((function.received.used(), host.received.used()), (160, 160));
        drop((first, past, third));
        assert_eq!((function.received.used(), host.received.used()), (0, 0));
        assert!(!function.received.is_wanted() && !function.received.is_scarce());
    }

    #[test]
    fn the_line_is_served_in_order_and_a_newcomer_does_not_overtake() {
        let function = host(100).function();
        let mut others = [0; 4].map(|_| Connection::new(&function));
        let [holder, exceeding, large, small] = &mut others;
        assert!(holder.takes(100) && exceeding.takes(5));
        assert!(!large.takes(60) && !small.takes(1));
        // The newcomer may have taken for a moment what the first one needs.
        assert_eq!((large.woken(), small.woken()), (1, 0));
        holder.share.keep(96);
        assert_eq!((large.woken(), small.woken()), (1, 0));
        assert!(!large.takes(60) && !small.takes(1));
        let mut newcomer = Share::new(&function);
        assert!(!newcomer.try_take(1));
        holder.share.keep(30);
        assert_eq!((large.woken(), small.woken()), (1, 0));
        assert!(large.takes(60));
        // The one behind it is woken without anything being given back.
        assert_eq!(small.woken(), 1);
        assert!(small.takes(1) && !function.received.is_wanted());
    }

    #[test]
    fn a_connection_that_leaves_the_line_or_ends_lets_the_next_one_try() {
        let function = host(100).function();
        let mut others = [0; 5].map(|_| Connection::new(&function));
        let [holder, exceeding, first, second, third] = &mut others;
        assert!(holder.takes(99) && exceeding.takes(2));
        assert!(!first.takes(50) && !second.takes(1) && !third.takes(1));
        first.share.leave();
        assert_eq!((second.woken(), third.woken()), (1, 0));
        assert!(!second.takes(1));
        exceeding.share.keep(1);
        assert_eq!(second.woken(), 1);
        *second = Connection::new(&function);
        assert_eq!(third.woken(), 1);
    }

    #[test]
    fn one_at_a_time_goes_past_the_part() {
        let function = host(100).function();
        let mut others = [0; 3].map(|_| Connection::new(&function));
        let [first, second, third] = &mut others;
        assert!(first.takes(50) && second.takes(50));
        assert!(first.takes(30) && first.takes(30), "it goes past the part");
        assert!(!second.takes(30) && !third.takes(1));
        first.share.keep(51);
        // It is exceeded by one.
        assert!(!second.takes(30));
        first.share.keep(50);
        assert!(second.woken() > 0 && second.takes(30) && second.takes(30));
        assert!(!first.takes(1), "its turn is over");
        assert_eq!(function.received.used(), 160);
    }

    #[test]
    fn a_turn_ends_with_its_message_and_the_next_one_waits_for_its_bytes() {
        let function = host(100).function();
        let mut others = [0; 3].map(|_| Connection::new(&function));
        let [holder, first, second] = &mut others;
        assert!(holder.takes(100) && first.takes(10) && first.takes(10));
        first.share.end_turn();
        assert!(!first.takes(1) && !second.takes(1));
        first.share.leave();
        first.share.keep(1);
        assert!(!second.takes(1));
        first.share.keep(0);
        assert!(second.takes(1));
    }

    #[test]
    fn what_other_functions_take_keeps_no_function_from_going_on() {
        let host = host(100);
        let (one, two) = (host.function(), host.function());
        let mut others = [0; 2].map(|_| Connection::new(&one));
        let [first, second] = &mut others;
        let mut of_two = Connection::new(&two);
        assert!(first.takes(25) && second.takes(25) && of_two.takes(25));
        // Now it has more than it leaves free.
        assert!(first.takes(30) && !second.takes(1));
        // It is past what there is, and another function goes on as well.
        let mut further = Connection::new(&two);
        assert!(further.takes(30) && !of_two.takes(1));
        first.share.keep(0);
        assert!(second.woken() > 0 && second.takes(1));
    }

    #[test]
    fn beside_others_a_function_takes_what_it_leaves() {
        let host = host(100);
        let (one, two) = (host.function(), host.function());
        let mut of_one = Share::new(&one);
        assert!(of_one.try_take(50) && !of_one.try_take(1));
        let mut of_two = Share::new(&two);
        assert!(of_two.try_take(25) && !of_two.try_take(1));
        assert!(!two.received.is_wanted());
    }
}
