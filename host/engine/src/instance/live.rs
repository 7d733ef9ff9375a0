//! A live instance as the pool and the connections know it, and how they give
//! it jobs.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::exchange::Exchange;
use super::exchange::progress::Displaced;
use super::mailbox::{Job, Mailbox};
use super::poller::{Polled, Poller};
use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering};

/// The affinity value of the instance that has a function's channel handler. No
/// connection may have it.
pub(crate) const CHANNELS_KEY: &str = "\0channels";

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
    /// Another version takes over, or another instance needs the place.
    pub(crate) ending: AtomicBool,
    /// It waits for no other instance of its affinity value. Changed with the
    /// function's values locked.
    pub(crate) is_unblocked: AtomicBool,
    /// The pool has forgotten it. Changed under the pool's lock only.
    pub(crate) retired: AtomicBool,
    pub(crate) made: Instant,
    /// What it is for.
    pub(crate) lane: Lane,
    /// Answers of calls that have returned, which are still being written.
    pub(crate) streams: AtomicU32,
    /// It has failed: what it was still writing is not whole. Set before its store
    /// is dropped.
    pub(crate) broken: AtomicBool,
    /// It ends for another that waits, and answers that it is still writing have had
    /// their time.
    pub(crate) cut: AtomicBool,
    /// Others wait for its end.
    is_hurried: AtomicBool,
    /// What it answers: calls in flight, and answers that are still being written.
    /// Some have ended.
    exchanges: Mutex<Vec<Weak<Exchange>>>,
}

/// What the instances of a function without affinity are for. Connections and
/// requests have instances of their own: a plain call that answers a request lasts
/// as long as its answer, and a connection would wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Connections, and calls of no connection.
    #[default]
    Connections,
    /// Requests of HTTP.
    Requests,
}

impl Instance {
    /// One that is made for a job, with one seat taken. It does nothing before
    /// it is [polled](super::poller::spawn): until then, its jobs wait in its
    /// mailbox.
    pub(crate) fn new(number: u64, key: Option<String>, lane: Lane) -> Self {
        Self {
            number,
            key,
            mailbox: Mailbox::expecting(),
            poller: Poller::default(),
            bound: AtomicU32::new(1),
            is_unblocked: AtomicBool::new(true),
            ending: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            made: Instant::now(),
            lane,
            streams: AtomicU32::new(0),
            broken: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            is_hurried: AtomicBool::new(false),
            exchanges: Mutex::default(),
        }
    }

    /// A call begins to answer a request.
    pub(crate) fn answers(&self, exchange: &Arc<Exchange>) {
        let mut exchanges = self.exchanges.lock();
        // Now and then, so that it costs a call nothing.
        if exchanges.len() == exchanges.capacity() {
            exchanges.retain(|exchange| exchange.strong_count() > 0);
        }
        exchanges.push(Arc::downgrade(exchange));
        drop(exchanges);
        // Set before it is looked through.
        if self.is_cut() || self.key.is_some() && self.is_ending() {
            exchange.stop_waiting();
        }
    }

    /// What it answers now.
    pub(crate) fn exchanges(&self) -> Vec<Arc<Exchange>> {
        let exchanges = self.exchanges.lock();
        exchanges.iter().filter_map(Weak::upgrade).collect()
    }

    /// Others wait for its end from now on. Answers whether they did not before.
    pub(crate) fn hurry(&self) -> bool {
        !self.is_hurried.swap(true, Ordering::Relaxed)
    }

    /// Displaces the peers of all that it answers.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        for exchange in self.exchanges() {
            exchange.displace(Displaced::Ends);
        }
        self.poller.wake();
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Gives it a job, and has it done at once unless another task polls the
    /// instance. Hands the job back when the instance has ended.
    pub(crate) fn submit(&self, mut job: Job) -> Result<(), Job> {
        let is_awaited = job.take_awaited();
        self.submit_as(job, is_awaited)
    }

    /// Does the same; the instance was made for a job that `is_awaited`.
    pub(crate) fn submit_as(&self, job: Job, is_awaited: bool) -> Result<(), Job> {
        let waiting = self.mailbox.put(job, is_awaited)?;
        self.poller.run(waiting);
        Ok(())
    }

    /// Makes it end when the calls that are already requested have returned;
    /// later jobs are given back then. It still does the job that it was made
    /// for, so that there is progress however many connections wait for a
    /// place.
    ///
    /// With affinity, the next instance of its value waits for it: no call waits for
    /// its peer any more.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        if self.key.is_some() {
            for exchange in self.exchanges() {
                exchange.stop_waiting();
            }
        }
        self.mailbox.end();
        self.poller.wake();
    }

    /// One job that it was made for will not come.
    pub(crate) fn expect_one_less(&self) {
        self.mailbox.expect_one_less();
        self.poller.wake();
    }

    /// Whether it has not begun, and nothing waits for that any longer. Called
    /// under the pool's lock.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.bound.load(Ordering::Relaxed) == 0 && self.mailbox.is_empty()
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
