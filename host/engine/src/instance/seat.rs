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
    fn release(self: Arc<Self>, instance: &Arc<Instance>);

    /// Has an instance end when its calls have returned: it gets no further seats.
    fn retire(&self, instance: &Arc<Instance>);

    /// Forgets an instance whose guest code has stopped for good and whose store
    /// has gone: its places are free, and the next instance begins. Again is
    /// harmless.
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
    /// The instance was made for this seat, and has not been given its job.
    is_awaited: bool,
}

impl Seat {
    /// A seat in an existing instance.
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

    /// Has its instance end when its calls have returned.
    pub(crate) fn retire(&self) {
        self.keeper.retire(&self.instance);
    }

    /// Whether the next job is one that the instance was made for, which it is
    /// once.
    pub(crate) fn take_awaited(&mut self) -> bool {
        std::mem::take(&mut self.is_awaited)
    }

    /// Gives the instance an event of the connection that holds the seat; see
    /// [`Instance::submit`].
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        let is_awaited = self.take_awaited();
        self.instance.submit_as(job, is_awaited)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        Arc::clone(&self.keeper).release(&self.instance);
        if self.is_awaited {
            self.instance.expect_one_less();
        }
    }
}
