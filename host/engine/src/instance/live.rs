//! One live instance: its driver task owns the store and handles its jobs
//! until it is idle for too long or a fault ends it.
//!
//! How calls are made is in `plain`, `concurrent` and `calls`; when there is
//! something to do, and how an instance ends, is here. The order at the end matters: guest code
//! stops, the store is dropped, the place is given back, the pool forgets the
//! instance, and only then are those told that wait, so that they find room for
//! a new one.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use openline_core::fault::{Blame, Fault};
use tokio::time::Instant;
use tracing::field;

use crate::component::inspect::HandlerKind;
use crate::component::loaded::Failure;
use crate::instance::mailbox::{
    AlarmOutcome, AlarmReply, EventOutcome, Job, Mailbox, Turn, UpgradeOutcome, UpgradeReply,
};
use crate::instance::poller::Driver;
use crate::instance::store::{Run, Shared};
use crate::instance::{concurrent, plain};
use crate::pool::capacity::Place;
use crate::pool::seating::{Pool, Seat};
use crate::sync::{AtomicBool, AtomicU32, Ordering, Sleep, sleep};

/// What the pool and the connections know of an instance.
#[derive(Debug)]
pub(crate) struct Instance {
    /// No other instance of the process has had it.
    pub(crate) number: u64,
    pub(crate) pool: Weak<Pool>,
    /// The affinity value it serves, if the function has affinity.
    pub(crate) key: Option<String>,
    pub(crate) mailbox: Mailbox,
    pub(crate) driver: Driver,
    /// Seats taken. Changed under the pool's lock only.
    pub(crate) bound: AtomicU32,
    /// Another version takes over, or somebody else needs the place.
    pub(crate) ending: AtomicBool,
    /// The pool has forgotten it. Changed under the pool's lock only.
    pub(crate) retired: AtomicBool,
    pub(crate) made: Instant,
}

impl Instance {
    /// Gives it something to do, and has it done at once if nobody else is
    /// about it. Hands the job back when the instance has ended.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        let first = job.is_first();
        self.submit_as(job, first)
    }

    /// The same; `first` says that the instance was made for this job.
    pub(crate) fn submit_as(&self, job: Job, first: bool) -> Result<(), Job> {
        let waiting = self.mailbox.put(job, first)?;
        self.driver.run(waiting);
        Ok(())
    }

    /// Has it end when the calls that were asked for have returned. What is
    /// asked for later is given back then. That each does what it was made for
    /// is what makes progress, however many wait for a place.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.mailbox.end();
        self.driver.wake();
    }

    /// What it was made for will not be asked for.
    pub(crate) fn expect_nothing(&self) {
        self.mailbox.expect_nothing();
        self.driver.wake();
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }
}

/// How a driver came to its end.
pub(crate) enum End {
    /// Nothing happened for `idle_timeout`, or another version has taken over.
    Idle,
    /// A fault, and who had a call in flight.
    Failed(Failure, Vec<Asker>),
}

/// Whoever waits for a call that is in flight.
#[derive(Debug)]
pub(crate) enum Asker {
    Upgrade(Seat, UpgradeReply),
    Event(Turn),
    Alarm(AlarmReply),
}

/// The task of an instance.
pub(crate) async fn drive(pool: Arc<Pool>, instance: Arc<Instance>, place: Place) {
    let mut ended = Ended {
        pool: &pool,
        instance: &instance,
        place: Some(place),
    };
    let driving = async {
        match pool.loaded.kind {
            HandlerKind::Plain => plain::drive(&pool, &instance).await,
            HandlerKind::Async => concurrent::drive(&pool, &instance).await,
        }
    };
    // Nothing of what it might have left in disorder is used again: the store
    // has gone with it, and so have the calls in flight, whose connections
    // were told by that.
    let end = AssertUnwindSafe(driving).catch_unwind().await;
    let name = &pool.shared.name;
    let end = end.unwrap_or_else(|panic| End::Failed(Failure::panicked(&*panic), Vec::new()));
    match end {
        End::Idle => tracing::debug!(function = %name, "an idle instance is dropped"),
        End::Failed(failure, askers) if failure.is_no_room() => {
            let cause = failure.describe();
            tracing::warn!(function = %name, "the host has no room for an instance: {cause}");
            let freed = ended.free();
            askers.into_iter().for_each(|asker| asker.refuse(&freed));
            // A new instance would find no room either.
            let asked = instance.mailbox.take_asked();
            asked.into_iter().for_each(Job::refuse);
        }
        End::Failed(failure, askers) => {
            let fault = failure.fault;
            report(&pool.shared, &failure);
            let freed = ended.free();
            if let Some(time) = pool.backoff.fail(&pool.shared.policy) {
                tracing::warn!(function = %name, "it keeps failing and is given nothing for {time:?}");
            }
            for asker in askers {
                asker.fail(fault, &freed);
            }
            if fault == Fault::Start {
                // What was asked for would meet the same: it is not given to a
                // new instance, which would not start either. What only waits
                // for the end may be another version's, and is given back.
                let asked = instance.mailbox.take_asked();
                asked.into_iter().for_each(|job| job.fail(fault));
            }
        }
    }
    drop(ended);
}

/// Says why an instance has failed. A function can do so at each message: its
/// faults are counted among the lines that it prints.
fn report(shared: &Shared, failure: &Failure) {
    let (name, fault) = (&shared.name, failure.fault.label());
    let backtrace = || failure.backtrace().map(field::display);
    match failure.fault.blame() {
        Blame::Guest => {
            if shared.log_rate.begin_line(name) {
                let (cause, backtrace) = (failure.describe(), backtrace());
                tracing::warn!(function = %name, fault, backtrace, "{cause}");
            }
        }
        Blame::Host => {
            let (cause, backtrace) = (failure.describe(), backtrace());
            tracing::error!(function = %name, fault, backtrace, "{cause}");
        }
    }
}

/// Leaves nobody waiting, however the driver ends.
struct Ended<'a> {
    pool: &'a Arc<Pool>,
    instance: &'a Arc<Instance>,
    place: Option<Place>,
}

/// Proof that there is room for a new instance: one that is told of a fault
/// asks for it at once, on another thread.
struct Freed(());

impl Ended<'_> {
    /// Makes room for a new instance. The store has gone, and with it what it
    /// held in the engine's pools. The place goes before the pool forgets the
    /// instance: as long as the pool has it, an event that finds no place waits
    /// in its mailbox, and comes back.
    fn free(&mut self) -> Freed {
        self.place = None;
        self.pool.retire(self.instance);
        Freed(())
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.free();
        let jobs = self.instance.mailbox.close();
        jobs.into_iter().for_each(Job::give_back);
    }
}

/// Waits for the next job, or for the time after which an instance goes that
/// nothing happens to.
#[derive(Debug)]
pub(crate) struct Idleness {
    timer: Pin<Box<Sleep>>,
    armed: bool,
    /// Whom the timer wakes.
    waker: Option<Waker>,
    timeout: Duration,
}

/// What a driver does next.
pub(crate) enum Wake {
    Job(Job),
    /// It is to be dropped, and may hibernate first.
    Idle,
}

impl Idleness {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timer: Box::pin(sleep(timeout)),
            armed: false,
            waker: None,
            timeout,
        }
    }

    /// `active` is when the last call was made, by the run's clock; `busy` says
    /// that calls are in flight: then nothing is idle.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        instance: &Instance,
        run: &Run,
        active: u64,
        busy: bool,
    ) -> Poll<Wake> {
        if !instance.driver.is_spent() {
            if let Some(job) = instance.mailbox.pop() {
                instance.driver.spend();
                return Poll::Ready(Wake::Job(job));
            }
        } else if !instance.mailbox.is_empty() {
            instance.driver.wake();
            return Poll::Pending;
        }
        if busy {
            return Poll::Pending;
        }
        if instance.is_ending() || self.timeout.is_zero() {
            return Self::idle(instance);
        }
        // The timer is not touched by calls: when it fires, it is asked how
        // long ago the last one was.
        let woken = |waker: &Waker| waker.will_wake(cx.waker());
        if self.armed && !self.timer.is_elapsed() && self.waker.as_ref().is_some_and(woken) {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        if self.armed && !self.timer.is_elapsed() && self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            let idle = run.clock.since(active);
            if self.armed && idle >= self.timeout {
                self.armed = false;
                return Self::idle(instance);
            }
            let left = self.timeout.saturating_sub(idle);
            let left = left.max(Duration::from_millis(1));
            self.timer.as_mut().reset(Instant::now() + left);
            self.armed = true;
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Idle, unless what it was made for is still to come: else connections
    /// that wait for a place could end each other's instances without a call.
    /// Whoever brings that job has it polled again, also when it has come since
    /// the look for the next one.
    fn idle(instance: &Instance) -> Poll<Wake> {
        if instance.mailbox.has_more() {
            return Poll::Pending;
        }
        Poll::Ready(Wake::Idle)
    }

    /// Nothing is over: it goes on.
    pub(crate) fn rearm(&mut self) {
        self.armed = false;
    }
}

// === impl Asker ===

impl Asker {
    /// The call has returned.
    pub(crate) fn done(self) {
        match self {
            Self::Event(turn) => turn.finish(EventOutcome::Done),
            Self::Alarm(reply) => drop(reply.send(AlarmOutcome::Done)),
            // An upgrade is answered with its decision: see `calls`.
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Fault(Fault::Host))),
        }
    }

    /// The host has no room.
    fn refuse(self, _freed: &Freed) {
        match self {
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Full)),
            Self::Event(turn) => turn.finish(EventOutcome::Full),
            Self::Alarm(reply) => drop(reply.send(AlarmOutcome::Full)),
        }
    }

    /// The call has ended with its instance. Told when that has made room.
    fn fail(self, fault: Fault, _freed: &Freed) {
        match self {
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Fault(fault))),
            Self::Event(turn) => turn.finish(EventOutcome::Fault(fault)),
            Self::Alarm(reply) => drop(reply.send(AlarmOutcome::Fault(fault))),
        }
    }
}
