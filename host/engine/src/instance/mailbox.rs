//! The jobs of an instance: a queue into its driver, and the way back for
//! outcomes.
//!
//! Bounded by the seats of the instance: a connection holds one seat and has at
//! most one job at a time, and the seat of an upgrade, an inspection or a request
//! travels in its job. When the peer of such a job goes away before its turn, the job leaves
//! the queue, and its seat is free with it. If the instance ends before a job has
//! begun, the job is given back, not lost.

use std::collections::VecDeque;
use std::sync::Arc;

use openline_channels::channel_queue::Batch;
use openline_channels::connection::Connection;
use openline_core::event::{Acceptance, Event, Rejection, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::inspection::{Inspection, Verdict};
use tokio::sync::oneshot;

use super::exchange::{Request, RequestOutcome, RequestReply};
use super::seat::Seat;
use crate::alarms::ticket::AlarmCall;
use crate::sync::Mutex;

/// Up to so many jobs are looked through for those of an asker that has gone. Of
/// more, at least half have to be of such askers: so a look costs a step or two
/// for each of them, however many leave at once.
const LOOK_MAX: usize = 128;

/// One job.
#[derive(Debug)]
pub(crate) enum Job {
    /// Decide about a connection that would take this seat.
    Upgrade(Box<UpgradeRequest>, Seat, UpgradeReply),
    /// Handle an event of a connection.
    Event(Event, Turn),
    /// Handle an alarm that belongs to no connection.
    Alarm(AlarmCall, Seat, AlarmReply),
    /// Handle publications of a channel that wakes the function.
    Published(Box<Batch>, Seat, AlarmReply),
    /// Decide about a request for the firewall.
    Inspect(Box<Inspection>, Seat, InspectReply),
    /// Answer a request.
    Request(Box<Request>, Seat, RequestReply),
}

/// How the handling of an alarm without a connection, or of publications, went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlarmOutcome {
    Done,
    Fault(Fault),
    /// The host has no room for an instance: it was not called.
    Full,
    /// The instance ended before it began the job; give it to another one.
    Returned,
}

pub(crate) type AlarmReply = oneshot::Sender<AlarmOutcome>;

/// How an upgrade went.
#[derive(Debug)]
pub(crate) enum UpgradeOutcome {
    Decided(Result<(Acceptance, Seat), Rejection>),
    /// The function's answer breaks the contract; the text says how.
    Invalid(String),
    Fault(Fault),
    /// The host has no room for the instance.
    Full,
    /// The instance ended before it began; ask another one.
    Returned(Box<UpgradeRequest>),
}

pub(crate) type UpgradeReply = oneshot::Sender<UpgradeOutcome>;

/// How an inspection went.
#[derive(Debug)]
pub(crate) enum InspectOutcome {
    Decided(Verdict),
    Fault(Fault),
    /// The host has no room for the instance.
    Full,
    /// The instance ended before it began; ask another one.
    Returned(Box<Inspection>),
}

pub(crate) type InspectReply = oneshot::Sender<InspectOutcome>;

/// How the handling of an event went.
#[derive(Debug)]
pub(crate) enum EventOutcome {
    Done,
    Fault(Fault),
    /// The host has no room for the instance.
    Full,
    /// The instance ended before it began the job; give it to another one.
    Returned(Event),
}

/// A connection's side of its calls, of which there is at most one at a time.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) connection: Arc<Connection>,
    outcome: Mutex<Option<EventOutcome>>,
}

/// The duty to report how a call went. If a panic of the driver drops it, it
/// reports that the host failed.
#[derive(Debug)]
pub(crate) struct Turn {
    line: Option<Arc<Line>>,
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Once the instance is to end, how many more jobs will begin: those that
    /// were waiting at that moment. Later jobs only wait for the end.
    last: Option<usize>,
    /// How many jobs that the instance was made for have not come yet.
    awaited: u32,
    /// Askers that have gone since the jobs were last looked through for theirs.
    gone: usize,
    closed: bool,
}

// === impl Line ===

impl Line {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            outcome: Mutex::new(None),
        }
    }

    pub(crate) fn take_outcome(&self) -> Option<EventOutcome> {
        self.outcome.lock().take()
    }
}

// === impl Turn ===

impl Turn {
    pub(crate) fn new(line: Arc<Line>) -> Self {
        Self { line: Some(line) }
    }

    pub(crate) fn connection(&self) -> Option<&Arc<Connection>> {
        self.line.as_ref().map(|line| &line.connection)
    }

    pub(crate) fn finish(mut self, outcome: EventOutcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: EventOutcome) {
        if let Some(line) = self.line.take() {
            *line.outcome.lock() = Some(outcome);
            line.connection.wake();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.tell(EventOutcome::Fault(Fault::Host));
    }
}

// === impl Job ===

impl Job {
    /// Prepares the job for its call. `None` if there is nothing to do any
    /// more, because the peer has gone before its turn or the alarm was
    /// cleared.
    pub(crate) fn begin(self) -> Option<Self> {
        let moot = match &self {
            Self::Upgrade(_, _, reply) => reply.is_closed(),
            Self::Inspect(_, _, reply) => reply.is_closed(),
            Self::Request(_, _, reply) => reply.is_closed(),
            Self::Event(Event::Alarm(name), turn) => {
                let connection = turn.connection();
                !connection.is_some_and(|connection| connection.begin_alarm(name))
            }
            Self::Event(..) | Self::Published(..) => false,
            Self::Alarm(alarm, _, _) => !alarm.ticket.begin(),
        };
        if !moot {
            return Some(self);
        }
        if let Self::Event(_, turn) = self {
            turn.finish(EventOutcome::Done);
        }
        None
    }

    /// Whether its asker has gone, and nothing else wants it done.
    fn is_forsaken(&self) -> bool {
        match self {
            Self::Upgrade(_, _, reply) => reply.is_closed(),
            Self::Inspect(_, _, reply) => reply.is_closed(),
            Self::Request(_, _, reply) => reply.is_closed(),
            Self::Event(..) | Self::Alarm(..) | Self::Published(..) => false,
        }
    }

    /// Whether it is one that its instance was made for, which it is once. An
    /// event's seat is its connection's: see [`Seat::submit`].
    pub(crate) fn take_awaited(&mut self) -> bool {
        match self {
            Self::Upgrade(_, seat, _)
            | Self::Alarm(_, seat, _)
            | Self::Published(_, seat, _)
            | Self::Inspect(_, seat, _)
            | Self::Request(_, seat, _) => seat.take_awaited(),
            Self::Event(..) => false,
        }
    }

    /// Gives the job back, and its caller tries another instance.
    pub(crate) fn give_back(self) {
        match self {
            // A caller that has stopped waiting does not need the answer.
            Self::Upgrade(request, _, reply) => {
                drop(reply.send(UpgradeOutcome::Returned(request)));
            }
            Self::Event(event, turn) => turn.finish(EventOutcome::Returned(event)),
            Self::Alarm(_, _, reply) | Self::Published(_, _, reply) => {
                let _ = reply.send(AlarmOutcome::Returned);
            }
            Self::Inspect(inspection, _, reply) => {
                drop(reply.send(InspectOutcome::Returned(inspection)));
            }
            Self::Request(request, _, reply) => {
                reply.give(RequestOutcome::Returned(request));
            }
        }
    }

    /// Answers with the fault because of which the job was not done.
    pub(crate) fn fail(self, fault: Fault) {
        match self {
            Self::Upgrade(_, _, reply) => drop(reply.send(UpgradeOutcome::Fault(fault))),
            Self::Event(_, turn) => turn.finish(EventOutcome::Fault(fault)),
            Self::Alarm(_, _, reply) | Self::Published(_, _, reply) => {
                let _ = reply.send(AlarmOutcome::Fault(fault));
            }
            Self::Inspect(_, _, reply) => drop(reply.send(InspectOutcome::Fault(fault))),
            Self::Request(_, _, reply) => reply.give(RequestOutcome::Fault(fault)),
        }
    }
}

impl Job {
    /// Answers that the host has no room.
    pub(crate) fn refuse(self) {
        match self {
            Self::Upgrade(_, _, reply) => drop(reply.send(UpgradeOutcome::Full)),
            Self::Event(_, turn) => turn.finish(EventOutcome::Full),
            // It is tried again later.
            Self::Alarm(_, _, reply) | Self::Published(_, _, reply) => {
                let _ = reply.send(AlarmOutcome::Full);
            }
            Self::Inspect(_, _, reply) => drop(reply.send(InspectOutcome::Full)),
            Self::Request(_, _, reply) => reply.give(RequestOutcome::Full),
        }
    }
}

// === impl Queue ===

impl Queue {
    fn pop(&mut self) -> Option<Job> {
        match &mut self.last {
            None => self.jobs.pop_front(),
            Some(0) => None,
            Some(last) => {
                *last -= 1;
                self.jobs.pop_front()
            }
        }
    }

    /// Takes the jobs out whose askers have gone. The others keep their order,
    /// and begin or wait as before.
    fn take_forsaken(&mut self) -> VecDeque<Job> {
        let begin = self.last.unwrap_or(0);
        let mut forsaken = VecDeque::new();
        for (place, job) in std::mem::take(&mut self.jobs).into_iter().enumerate() {
            if !job.is_forsaken() {
                self.jobs.push_back(job);
                continue;
            }
            if place < begin {
                self.last = self.last.map(|last| last - 1);
            }
            forsaken.push_back(job);
        }
        forsaken
    }
}

// === impl Mailbox ===

impl Mailbox {
    /// The mailbox of an instance that is made for a job.
    pub(crate) fn expecting() -> Self {
        let queue = Queue {
            awaited: 1,
            ..Queue::default()
        };
        Self {
            queue: Mutex::new(queue),
        }
    }

    /// Queues a job, and returns how many jobs wait with it; or hands the job
    /// back if the instance has ended. Wakes no task: see
    /// [`super::live::Instance::submit`].
    ///
    /// A job that `is_awaited` is one that the instance was made for: it is begun
    /// also when the instance was told to end a moment before. Without that,
    /// connections that wait for a place could take it from each other for good.
    pub(crate) fn put(&self, job: Job, is_awaited: bool) -> Result<usize, Job> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(job);
        }
        if is_awaited {
            queue.awaited = queue.awaited.saturating_sub(1);
        }
        match queue.last {
            Some(last) if is_awaited => {
                queue.jobs.insert(last, job);
                queue.last = Some(last + 1);
            }
            _ => queue.jobs.push_back(job),
        }
        Ok(queue.jobs.len())
    }

    /// The next job.
    pub(crate) fn pop(&self) -> Option<Job> {
        self.queue.lock().pop()
    }

    /// The instance is made for one more job, and has not begun.
    pub(crate) fn expect_another(&self) {
        let mut queue = self.queue.lock();
        queue.awaited = queue.awaited.saturating_add(1);
    }

    /// A job that the instance was made for will not come.
    pub(crate) fn expect_one_less(&self) {
        let mut queue = self.queue.lock();
        queue.awaited = queue.awaited.saturating_sub(1);
    }

    /// Whether a job is to be begun, or one that the instance was made for is
    /// still to come.
    pub(crate) fn has_more(&self) -> bool {
        let queue = self.queue.lock();
        let begins = queue.last != Some(0) && !queue.jobs.is_empty();
        begins || queue.awaited > 0
    }

    /// Lets no job begin that comes from now on.
    pub(crate) fn end(&self) {
        let mut queue = self.queue.lock();
        let waiting = queue.jobs.len();
        queue.last.get_or_insert(waiting);
    }

    /// Takes the jobs that would still begin: all of them, or if the instance
    /// is to end, those from before. Jobs that only wait for the end stay.
    pub(crate) fn take_asked(&self) -> VecDeque<Job> {
        let mut queue = self.queue.lock();
        let all = queue.jobs.len();
        let asked = queue.last.replace(0).unwrap_or(all);
        let waiting = queue.jobs.split_off(asked.min(all));
        std::mem::replace(&mut queue.jobs, waiting)
    }

    /// An asker of an upgrade, an inspection or a request has gone. Takes the jobs out whose
    /// askers have gone; drop them without a lock, because their seats are given
    /// back then.
    pub(crate) fn forsake(&self) -> VecDeque<Job> {
        let mut queue = self.queue.lock();
        queue.gone = queue.gone.saturating_add(1);
        if queue.jobs.len() > LOOK_MAX.max(queue.gone.saturating_mul(2)) {
            return VecDeque::new();
        }
        queue.gone = 0;
        queue.take_forsaken()
    }

    /// Whether it has no jobs.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().jobs.is_empty()
    }

    /// Accepts no more jobs, and returns those that were not begun.
    pub(crate) fn close(&self) -> VecDeque<Job> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        std::mem::take(&mut queue.jobs)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openline_channels::budget::HostBudget;
    use openline_channels::connection::{Facts, SocketOwner};
    use openline_core::name::ConnectionId;

    use super::*;
    use crate::instance::live::{Instance, Lane};
    use crate::instance::seat::Keeper;

    fn job() -> Job {
        let budget = HostBudget::new(0, 0).function();
        let owner = SocketOwner::new(Facts::default(), Arc::default(), budget);
        let line = Arc::new(Line::new(Arc::clone(owner.connection())));
        Job::Event(Event::Open, Turn::new(line))
    }

    /// The connection that a job is for.
    fn of(job: &Job) -> ConnectionId {
        match job {
            Job::Event(_, turn) => turn.connection().unwrap().id(),
            _ => panic!("an event"),
        }
    }

    #[test]
    fn what_was_asked_for_is_begun_and_what_comes_later_waits_for_the_end() {
        let mailbox = Mailbox::default();
        mailbox.put(job(), true).unwrap();
        mailbox.put(job(), false).unwrap();
        mailbox.end();
        mailbox.put(job(), false).unwrap();
        // A second call does not let jobs begin that have come since.
        mailbox.end();
        assert!(mailbox.pop().is_some() && mailbox.pop().is_some());
        assert!(mailbox.pop().is_none() && !mailbox.is_empty());
        assert_eq!(mailbox.close().len(), 1);
        assert!(mailbox.put(job(), true).is_err());
    }

    #[test]
    fn the_first_job_is_begun_although_another_connection_wants_the_place() {
        let mailbox = Mailbox::default();
        mailbox.end();
        mailbox.put(job(), false).unwrap();
        let first = job();
        let made_for = of(&first);
        mailbox.put(first, true).unwrap();
        assert_eq!(mailbox.pop().map(|job| of(&job)), Some(made_for));
        assert!(mailbox.pop().is_none());
        assert_eq!(mailbox.close().len(), 1);
    }

    #[test]
    fn what_an_instance_was_made_for_is_expected_until_it_comes_or_will_not() {
        let mailbox = Mailbox::expecting();
        mailbox.end();
        mailbox.put(job(), false).unwrap();
        assert!(mailbox.has_more() && mailbox.pop().is_none());
        mailbox.put(job(), true).unwrap();
        assert!(mailbox.has_more() && mailbox.pop().is_some());
        assert!(!mailbox.has_more(), "what came behind the end waits");
        let mailbox = Mailbox::expecting();
        mailbox.expect_another();
        mailbox.end();
        for _ in 0..2 {
            assert!(mailbox.has_more());
            mailbox.put(job(), true).unwrap();
            assert!(mailbox.pop().is_some());
        }
        assert!(!mailbox.has_more());
        let mailbox = Mailbox::expecting();
        mailbox.expect_one_less();
        assert!(!mailbox.has_more());
        mailbox.put(job(), false).unwrap();
        assert!(mailbox.has_more());
    }

    #[derive(Debug)]
    struct Nobody;

    impl Keeper for Nobody {
        fn release(self: Arc<Self>, _: &Arc<Instance>) {}

        fn retire(&self, _: &Arc<Instance>) {}

        fn forget(&self, _: &Arc<Instance>) {}

        fn fail(&self) -> Option<Duration> {
            None
        }
    }

    type Asker = oneshot::Receiver<UpgradeOutcome>;

    fn upgrade() -> (Job, Asker) {
        let (reply, asker) = oneshot::channel();
        let instance = Arc::new(Instance::new(1, None, Lane::default()));
        let seat = Seat::new(Arc::new(Nobody), instance);
        (Job::Upgrade(Box::default(), seat, reply), asker)
    }

    #[test]
    fn an_upgrade_leaves_with_its_asker_and_what_begins_stays_the_same() {
        let mailbox = Mailbox::default();
        let put = |job| assert!(mailbox.put(job, false).is_ok());
        let [(one, gone), (two, stays), (three, also_gone)] = [(); 3].map(|()| upgrade());
        let [before, after] = [job(), job()];
        let [first, last] = [of(&before), of(&after)];
        [one, before, two].into_iter().for_each(put);
        mailbox.end();
        [three, after].into_iter().for_each(put);
        assert!(mailbox.forsake().is_empty(), "all are there");
        drop((gone, also_gone));
        assert_eq!(mailbox.forsake().len(), 2);
        // One that begins less, and one that only waits.
        assert_eq!(mailbox.pop().map(|job| of(&job)), Some(first));
        assert!(matches!(mailbox.pop(), Some(Job::Upgrade(..))));
        assert!(mailbox.pop().is_none());
        let waiting: Vec<_> = mailbox.close().iter().map(of).collect();
        assert_eq!(waiting, [last]);
        drop(stays);
    }

    #[test]
    fn of_many_upgrades_at_least_half_have_to_be_gone_before_they_are_looked_through() {
        for (jobs, gone) in [(LOOK_MAX, 1), (LOOK_MAX + 2, LOOK_MAX / 2 + 1)] {
            let mailbox = Mailbox::default();
            let mut askers = Vec::new();
            for _ in 0..jobs {
                let (job, asker) = upgrade();
                mailbox.put(job, false).unwrap();
                askers.push(asker);
            }
            for left in 1..=gone {
                askers.pop();
                let expected = if left == gone { gone } else { 0 };
                assert_eq!(mailbox.forsake().len(), expected, "{left} of {jobs}");
            }
        }
    }

    #[test]
    fn what_only_waits_is_not_handed_out_with_what_was_asked_for() {
        let mailbox = Mailbox::default();
        mailbox.put(job(), false).unwrap();
        mailbox.end();
        mailbox.put(job(), false).unwrap();
        assert_eq!(mailbox.take_asked().len(), 1);
        assert_eq!(mailbox.take_asked().len(), 0);
        assert!(mailbox.pop().is_none());
        assert_eq!(mailbox.close().len(), 1);
    }
}
