//! Where a worker and one of its connections meet: orders one way, readiness
//! the other. Both run on one thread, so cells are enough.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use tokio::time::Instant;

use super::schedule::{Schedule, Window};

/// An order to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Only answer pings.
    Wait,
    /// Send and receive.
    Run,
    /// Send what is due already, receive what is in flight, then close.
    Drain,
    /// Close, whatever is in flight.
    Close,
}

/// The plan that all connections of a worker follow while they run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) window: Window,
    /// `None` in a closed loop.
    pub(crate) schedule: Option<Schedule>,
}

/// One connection's side of the worker.
#[derive(Debug)]
pub(crate) struct Slot {
    order: Cell<Order>,
    plan: Cell<Option<Plan>>,
    /// Messages that are due so far.
    released: Cell<u64>,
    /// Messages sent so far.
    sent: Cell<u64>,
    /// The connection broke: what is due on it cannot be sent any more.
    broken: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            order: Cell::new(Order::Wait),
            plan: Cell::new(None),
            released: Cell::new(0),
            sent: Cell::new(0),
            broken: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    // === the worker's side ===

    pub(crate) fn run(&self, plan: Plan) {
        self.plan.set(Some(plan));
        self.order(Order::Run);
    }

    pub(crate) fn order(&self, order: Order) {
        self.order.set(order);
        self.wake();
    }

    /// One more message is due.
    pub(crate) fn release(&self) {
        self.released.set(self.released.get() + 1);
        self.wake();
    }

    /// When each message that is due and was not sent is due, by `connection`,
    /// the slot's place in the schedule.
    pub(crate) fn unsent(&self, connection: u64) -> impl Iterator<Item = Instant> + '_ {
        let schedule = self.plan.get().and_then(|plan| plan.schedule);
        schedule.into_iter().flat_map(move |schedule| {
            (self.sent.get()..self.released.get())
                .map(move |turn| schedule.due_in_turn(connection, turn))
        })
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    // === the connection's side ===

    pub(crate) fn register(&self, waker: &Waker) {
        let mut registered = self.waker.borrow_mut();
        if !registered.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *registered = Some(waker.clone());
        }
    }

    pub(crate) fn current(&self) -> (Order, Option<Plan>) {
        (self.order.get(), self.plan.get())
    }

    /// Messages that are due and not sent: none in a closed loop, where
    /// nothing is released.
    pub(crate) fn waiting(&self) -> u64 {
        self.released.get().saturating_sub(self.sent.get())
    }

    /// The number of the next message of this connection, counted as sent.
    pub(crate) fn take(&self) -> u64 {
        self.sent.replace(self.sent.get() + 1)
    }

    pub(crate) fn break_off(&self) {
        self.broken.set(true);
    }
}
