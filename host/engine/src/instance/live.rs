//! A live instance as the pool and the connections know it, and how they give
//! it jobs.

use tokio::time::Instant;

use super::mailbox::{Job, Mailbox};
use super::poller::{Polled, Poller};
use crate::sync::{AtomicBool, AtomicU32, Ordering};

/// A live instance, as the pool and the connections see it.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Its number, which no other instance of the process has had.
    pub(crate) number: u64,
    /// The affinity value it serves, if the function has affinity.
    pub(crate) key: Option<String>,
    pub(crate) mailbox: Mailbox,
    pub(crate) poller: Poller,
    /// How many seats are taken. Changed only under the pool's lock.
    pub(crate) bound: AtomicU32,
    /// Whether it is to end, because another version takes over or another
    /// instance needs the place.
    pub(crate) ending: AtomicBool,
    /// Whether the pool has forgotten it. Changed only under the pool's lock.
    pub(crate) retired: AtomicBool,
    pub(crate) made: Instant,
}

impl Instance {
    /// An instance that is made for a job, with one seat taken. It does nothing
    /// before it is [polled](super::poller::spawn).
    pub(crate) fn new(number: u64, key: Option<String>) -> Self {
        Self {
            number,
            key,
            mailbox: Mailbox::expecting(),
            poller: Poller::default(),
            bound: AtomicU32::new(1),
            ending: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            made: Instant::now(),
        }
    }

    /// Gives it a job, and polls it at once unless another task does. Hands the
    /// job back if the instance has ended.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        let first = job.is_first();
        self.submit_as(job, first)
    }

    /// The same; `first` says that the instance was made for this job.
    pub(crate) fn submit_as(&self, job: Job, first: bool) -> Result<(), Job> {
        let waiting = self.mailbox.put(job, first)?;
        self.poller.run(waiting);
        Ok(())
    }

    /// Makes it end when the calls that are already requested have returned;
    /// later jobs are given back then. It still does the job that it was made
    /// for, so that there is progress however many connections wait for a
    /// place.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.mailbox.end();
        self.poller.wake();
    }

    /// Notes that the job that it was made for will not come.
    pub(crate) fn expect_nothing(&self) {
        self.mailbox.expect_nothing();
        self.poller.wake();
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }
}

impl Polled for Instance {
    fn poller(&self) -> &Poller {
        &self.poller
    }

    fn abandon(&self) {
        self.mailbox.close().into_iter().for_each(Job::give_back);
    }
}
