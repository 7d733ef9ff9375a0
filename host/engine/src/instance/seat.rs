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

    /// Forgets an instance whose guest code has stopped for good: from then on
    /// there may be a new one. Again is harmless.
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
    first: bool,
}

impl Seat {
    /// One that was taken in an instance that is there.
    pub(crate) fn new(keeper: Arc<dyn Keeper>, instance: Arc<Instance>) -> Self {
        Self {
            keeper,
            instance,
            first: false,
        }
    }

    /// The one that an instance was made for.
    pub(crate) fn first(keeper: Arc<dyn Keeper>, instance: Arc<Instance>) -> Self {
        Self {
            keeper,
            instance,
            first: true,
        }
    }

    /// Whether the next job is the one that the instance was made for.
    pub(crate) fn is_first(&self) -> bool {
        self.first
    }

    /// Gives the instance an event of the connection that has the seat; see
    /// [`Instance::submit`].
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        let first = std::mem::take(&mut self.first);
        self.instance.submit_as(job, first)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.keeper.release(&self.instance);
        if self.first {
            // The job that it was made for will not come.
            self.instance.expect_nothing();
        }
    }
}
