//! A function for tests, which decide whether it is served and how its calls
//! go. Without instructions a call finds no room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openline_core::name::FunctionName;
use openline_store::{FunctionStore, Store};
use parking_lot::Mutex;

use super::clock::AlarmClock;
use super::owner::{Called, Calling, Owner, OwnerNumber};
use super::ticket::AlarmCall;

#[derive(Debug)]
pub(crate) struct StandIn {
    number: OwnerNumber,
    name: FunctionName,
    store: FunctionStore,
    served: AtomicBool,
    /// How the next calls go, and the attempts of earlier ones.
    calls: Mutex<(VecDeque<Option<Called>>, Vec<u32>)>,
}

impl StandIn {
    /// Adds a function to a clock.
    pub(crate) fn of(clock: &AlarmClock) -> Arc<Self> {
        let name = FunctionName::new("function").unwrap();
        Arc::new(Self {
            number: clock.join(),
            store: Store::memory(1000).function(&name),
            name,
            served: AtomicBool::new(true),
            calls: Mutex::default(),
        })
    }

    /// Sets how the next calls go.
    pub(crate) fn expect(&self, calls: impl IntoIterator<Item = Option<Called>>) {
        self.calls.lock().0.extend(calls);
    }

    /// The attempts of the calls so far.
    pub(crate) fn attempts(&self) -> Vec<u32> {
        self.calls.lock().1.clone()
    }

    pub(crate) fn serve(&self, served: bool) {
        self.served.store(served, Ordering::Relaxed);
    }
}

impl Owner for StandIn {
    fn number(&self) -> OwnerNumber {
        self.number
    }

    fn name(&self) -> &FunctionName {
        &self.name
    }

    fn store(&self) -> &FunctionStore {
        &self.store
    }

    fn is_removed(&self) -> bool {
        false
    }

    fn is_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    fn call(&self, _key: &str, call: AlarmCall) -> Calling {
        let mut calls = self.calls.lock();
        let (next, attempts) = &mut *calls;
        attempts.push(call.attempt);
        let called = next.pop_front().unwrap_or(Some(Called::NoRoom));
        if called == Some(Called::Cancelled) {
            // Cancelled while it waits in a mailbox, where its job is dropped.
            assert!(call.ticket.cancel());
            return Box::pin(async { Some(Called::Failed) });
        }
        Box::pin(async move { called })
    }
}
