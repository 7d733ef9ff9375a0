//! A connection's place in an instance, and the keeper of an instance.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::live::Instance;
use super::mailbox::Job;

/// The owner of an instance until it ends: the pool of its version. Every seat
/// and every driver holds it.
pub(crate) trait Keeper: Debug + Send + Sync {
    /// Notes that a seat in the instance is free again.
    fn release(&self, instance: &Arc<Instance>);

    /// Forgets an instance whose guest code has stopped for good, so that a new
    /// one can be made. A second call does nothing.
    fn forget(&self, instance: &Arc<Instance>);

    /// Notes that a fault has ended an instance. Returns the length of the
    /// back-off that begins now, if one does.
    fn fail(&self) -> Option<Duration>;
}

/// A connection's place in an instance. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat {
    keeper: Arc<dyn Keeper>,
    pub(crate) instance: Arc<Instance>,
    /// Whether the instance was made for this seat and waits for its job.
    first: bool,
}

impl Seat {
    /// A seat in an existing instance.
    pub(crate) fn new(keeper: Arc<dyn Keeper>, instance: Arc<Instance>) -> Self {
        Self {
            keeper,
            instance,
            first: false,
        }
    }

    /// The seat for which an instance was made.
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

    /// Gives the instance an event of the connection that holds the seat; see
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
            // The job that the instance was made for will not come.
            self.instance.expect_nothing();
        }
    }
}
