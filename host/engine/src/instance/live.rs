//! What the pool and the connections know of a live instance, and how they give
//! it something to do.

use tokio::time::Instant;

use super::mailbox::{Job, Mailbox};
use super::poller::{Polled, Poller};
use crate::sync::{AtomicBool, AtomicU32, Ordering};

/// A live instance, as the pool and the connections see it.
#[derive(Debug)]
pub(crate) struct Instance {
    /// No other instance of the process has had it.
    pub(crate) number: u64,
    /// The affinity value it serves, if the function has affinity.
    pub(crate) key: Option<String>,
    pub(crate) mailbox: Mailbox,
    pub(crate) poller: Poller,
    /// Seats taken. Changed under the pool's lock only.
    pub(crate) bound: AtomicU32,
    /// Another version takes over, or somebody else needs the place.
    pub(crate) ending: AtomicBool,
    /// The pool has forgotten it. Changed under the pool's lock only.
    pub(crate) retired: AtomicBool,
    pub(crate) made: Instant,
}

impl Instance {
    /// One that is made for a job, with one seat taken. It does nothing before
    /// it is [polled](super::poller::spawn).
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

    /// Gives it something to do, and has it done at once if nobody else is
    /// about it. Hands the job back when the instance has ended.
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

    /// Has it end when the calls that were asked for have returned. What is
    /// asked for later is given back then. That each does what it was made for
    /// is what makes progress, however many wait for a place.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.mailbox.end();
        self.poller.wake();
    }

    /// What it was made for will not be asked for.
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
