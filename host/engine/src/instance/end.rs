//! How an instance ends, in the order that matters: guest code has stopped and
//! the store is dropped; a fault is counted, and a back-off begins if it is one
//! too many; its keeper forgets it and with that gives back its places among
//! those of the host; and only then are the callers told that wait, so that they
//! find room for a new one.

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
    /// A call has not noticed for too long that its peer has left, which is no fault:
    /// any peer can leave. With all callers that had a call in flight.
    Forsaken(Vec<Asker>),
}

/// Leaves no caller waiting, however the driver ends.
pub(super) struct Ended {
    pub(super) keeper: Arc<dyn Keeper>,
    pub(super) instance: Arc<Instance>,
}

/// Proof that there is room for a new instance: a caller that learns of a fault
/// may ask for one at once, on another thread.
pub(super) struct Freed(());

impl Ended {
    /// Makes room for a new instance. The store has gone, and with it what it
    /// held in the engine's pools.
    pub(super) fn free(&mut self) -> Freed {
        self.keeper.forget(&self.instance);
        Freed(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.free();
        let jobs = self.instance.mailbox.close();
        jobs.into_iter().for_each(Job::give_back);
    }
}
