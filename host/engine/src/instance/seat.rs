//! A connection's place in an instance, and what an instance belongs to.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::live::Instance;
use super::mailbox::Job;

/// What an instance belongs to until it ends: the pool of its version. Whatever
/// holds a seat or drives an instance holds it.
pub(crate) trait Keeper: Debug + Send + Sync {
    /// A seat in the instance is free again.
    fn release(&self, instance: &Arc<Instance>);

    /// Forgets an instance whose guest code has stopped for good and whose store
    /// has gone: its places are free, and the next instance begins. Again is
    /// harmless.
    fn forget(&self, instance: &Arc<Instance>);

    /// A fault has ended an instance. Answers for how long the version is given
    /// nothing, if that begins now.
    fn fail(&self) -> Option<Duration>;
}

/// A connection's place in an instance; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    keeper: Arc<dyn Keeper>,
    pub(crate) instance: Arc<Instance>,
    /// The instance was made for this seat, and has not been given its job.
    is_awaited: bool,
}

impl Seat {
    /// One that was taken in an instance that is there.
    pub(crate) fn new(keeper: Arc<dyn Keeper>, instance: Arc<Instance>) -> Self {
        Self {
            keeper,
            instance,
            is_awaited: false,
        }
    }

    /// One that an instance was made for.
    pub(crate) fn awaited(keeper: Arc<dyn Keeper>, instance: Arc<Instance>) -> Self {
        Self {
            keeper,
            instance,
            is_awaited: true,
        }
    }

    /// Whether the next job is one that the instance was made for, which it is
    /// once.
    pub(crate) fn take_awaited(&mut self) -> bool {
        std::mem::take(&mut self.is_awaited)
    }

    /// Gives the instance an event of the connection that has the seat; see
    /// [`Instance::submit`].
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        let is_awaited = self.take_awaited();
        self.instance.submit_as(job, is_awaited)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.keeper.release(&self.instance);
        if self.is_awaited {
            self.instance.expect_one_less();
        }
    }
}
