//! A function for tests: served as long as they want, with calls that find no
//! room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openline_core::name::FunctionName;
use openline_store::{FunctionStore, Store};

use super::clock::AlarmClock;
use super::owner::{Called, Calling, Owner, OwnerNumber};
use super::ticket::AlarmCall;

#[derive(Debug)]
pub(crate) struct StandIn {
    number: OwnerNumber,
    name: FunctionName,
    store: FunctionStore,
    served: AtomicBool,
}

impl StandIn {
    /// One more function of a clock.
    pub(crate) fn of(clock: &AlarmClock) -> Arc<Self> {
        let name = FunctionName::new("function").unwrap();
        Arc::new(Self {
            number: clock.join(),
            store: Store::memory(1000).function(&name),
            name,
            served: AtomicBool::new(true),
        })
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

    fn call(&self, _key: &str, _call: AlarmCall) -> Calling {
        Box::pin(async { Some(Called::NoRoom) })
    }
}
