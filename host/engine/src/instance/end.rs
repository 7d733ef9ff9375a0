//! The order in which an instance ends: guest code stops and the store is
//! dropped, the instance returns its place among the host's instances, its
//! keeper forgets it, and only then do waiting callers get their answers, so
//! that they find room for a new one.

use std::sync::Arc;

use super::asker::Asker;
use super::live::Instance;
use super::mailbox::Job;
use super::seat::Keeper;
use crate::component::failure::Failure;

/// Why a driver ended.
pub(crate) enum End {
    /// Nothing happened for `idle_timeout`, or another version has taken over.
    Idle,
    /// A fault, with the callers that had a call in flight.
    Failed(Failure, Vec<Asker>),
}

/// Dropping it answers all waiting callers, however the driver ends.
pub(super) struct Ended<'a, P> {
    keeper: &'a dyn Keeper,
    instance: &'a Arc<Instance>,
    /// Dropping it gives the place back.
    place: Option<P>,
}

/// Proof that there is room for a new instance: a caller that learns of a fault
/// may ask for one at once, on another thread.
pub(super) struct Freed(());

impl<'a, P> Ended<'a, P> {
    pub(super) fn new(keeper: &'a dyn Keeper, instance: &'a Arc<Instance>, place: P) -> Self {
        Self {
            keeper,
            instance,
            place: Some(place),
        }
    }

    /// Makes room for a new instance. The store is already dropped, and with it
    /// its part of the engine's pools. The place is returned before the pool
    /// forgets the instance: while the pool has the instance, an event that
    /// finds no place waits in its mailbox, and is given back.
    pub(super) fn free(&mut self) -> Freed {
        self.place = None;
        self.keeper.forget(self.instance);
        Freed(())
    }
}

impl<P> Drop for Ended<'_, P> {
    fn drop(&mut self) {
        self.free();
        let jobs = self.instance.mailbox.close();
        jobs.into_iter().for_each(Job::give_back);
    }
}
