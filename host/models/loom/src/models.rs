//! The models. Each fails with a panic of its own, or with loom's, which says
//! that all threads wait because a wake-up was lost.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use openline_core::close::CloseReason;
use openline_core::event::{Event, SendOutcome};
use openline_core::fault::Fault;
use openline_core::limits::{FunctionLimits, InstancePolicy, OUTBOX_FREE_BYTES, OUTBOX_LOW_BYTES};
use openline_core::message::Message;
use openline_core::name::AlarmName;
use tokio::sync::oneshot;

use crate::alarms::ticket::{AlarmCall, Ticket};
use crate::budget::{FunctionBudget, HostBudget};
use crate::connection::{Facts, Next, SocketOwner};
use crate::instance::live::Instance;
use crate::instance::mailbox::{AlarmOutcome, EventOutcome, Job, Line, Mailbox, Turn};
use crate::instance::poller;
use crate::instance::seat::Seat;
use crate::outbox::MESSAGE_OVERHEAD_BYTES;
use crate::pool::backoff::Backoff;
use crate::pulse::Pulse;
use crate::received::Share;
use crate::wakeups::Wakeups;

/// Switches from a thread that could go on, unless `LOOM_MAX_PREEMPTIONS` sets
/// another number. The faults in `mutants/` need no more, and each further
/// switch multiplies the schedules by ten.
pub const PREEMPTIONS: usize = 2;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.check(model);
}

/// A job with a way to see what became of it, without a connection.
fn job(is_awaited: bool) -> (Job, oneshot::Receiver<AlarmOutcome>) {
    let (reply, outcome) = oneshot::channel();
    let call = AlarmCall {
        name: AlarmName::new("alarm").expect("a name"),
        attempt: 1,
        ticket: Arc::default(),
    };
    (Job::Alarm(call, Seat { is_awaited }, reply), outcome)
}

/// Begins a job and reports that it is done.
fn handle(job: Job) {
    match job {
        Job::Alarm(_, _, reply) | Job::Published(_, _, reply) => {
            let _ = reply.send(AlarmOutcome::Done);
        }
        Job::Event(_, turn) => turn.finish(EventOutcome::Done),
        Job::Upgrade(..) | Job::Inspect(..) | Job::Request(..) => {}
    }
}

fn budget() -> Arc<FunctionBudget> {
    HostBudget::new(1 << 20, 1 << 20).function()
}

fn owner(budget: &Arc<FunctionBudget>) -> SocketOwner {
    let limits = Arc::<FunctionLimits>::default();
    SocketOwner::new(Facts::default(), limits, Arc::clone(budget))
}

/// As [`crate::instance::live`] gives something to do.
fn submit(instance: &Instance, mut job: Job) {
    let awaited = job.take_awaited();
    match instance.mailbox.put(job, awaited) {
        Ok(waiting) => instance.poller.run(waiting),
        Err(job) => job.give_back(),
    }
}

/// Starts an instance that ends after this many jobs. It takes jobs as
/// `Idleness::poll` does. Returns a count of how often two threads polled it at
/// once.
fn start(instance: &Arc<Instance>, jobs: usize) -> Arc<AtomicUsize> {
    let overlaps = Arc::<AtomicUsize>::default();
    let (inside, seen) = (AtomicUsize::new(0), Arc::clone(&overlaps));
    let mut handled = 0;
    let driven = Arc::clone(instance);
    let driving = poll_fn(move |_| {
        let others = inside.fetch_add(1, Ordering::Relaxed);
        seen.fetch_add(others, Ordering::Relaxed);
        let polled = loop {
            if handled == jobs {
                break Poll::Ready(());
            }
            if driven.poller.is_spent() {
                if !driven.mailbox.is_empty() {
                    driven.poller.wake();
                }
                break Poll::Pending;
            }
            let Some(job) = driven.mailbox.pop() else {
                break Poll::Pending;
            };
            driven.poller.spend();
            handle(job);
            handled += 1;
        };
        inside.fetch_sub(1, Ordering::Relaxed);
        polled
    });
    poller::spawn(Arc::clone(instance), driving);
    overlaps
}

/// After each submitted job some thread polls the instance, one at a time, and
/// the task sees the end wherever it happened; otherwise it would wait forever.
pub fn what_is_submitted_is_polled_and_the_end_is_seen() {
    explore(|| {
        let instance = Arc::<Instance>::default();
        let overlaps = start(&instance, 2);
        let (other, (theirs, mut their_outcome)) = (Arc::clone(&instance), job(false));
        let other = thread::spawn(move || submit(&other, theirs));
        let (ours, mut our_outcome) = job(false);
        submit(&instance, ours);
        other.join().expect("it does not panic");
        drop(instance);
        // Later outcomes come from the task's thread, for which loom waits: an
        // unhandled job would leave it waiting.
        let told = [our_outcome.try_recv(), their_outcome.try_recv()];
        assert!(!told.contains(&Ok(AlarmOutcome::Returned)));
        assert_eq!(overlaps.load(Ordering::Relaxed), 0);
    });
}

/// A connection that polls its instance on the spot learns the outcome of its
/// event, even if another thread polls the instance at that moment.
pub fn an_event_is_told_of_whoever_polls_the_instance() {
    explore(|| {
        let instance = Arc::<Instance>::default();
        start(&instance, 2);
        let (other, (theirs, _outcome)) = (Arc::clone(&instance), job(false));
        let other = thread::spawn(move || submit(&other, theirs));
        let owner = owner(&budget());
        let line = Arc::new(Line::new(Arc::clone(owner.connection())));
        let mut event = Some(Job::Event(Event::Open, Turn::new(Arc::clone(&line))));
        let outcome = block_on(poll_fn(|cx| {
            owner.register(cx.waker());
            let seen = owner.see();
            if let Some(event) = event.take() {
                owner.hushed(cx.waker(), seen, || submit(&instance, event));
            }
            line.take_outcome().map_or(Poll::Pending, Poll::Ready)
        }));
        assert!(matches!(outcome, EventOutcome::Done));
        other.join().expect("it does not panic");
    });
}

/// A turn that is dropped, for example by a panic, tells the connection that
/// the host has failed.
pub fn a_turn_that_is_dropped_tells_of_a_fault_of_the_host() {
    explore(|| {
        let owner = owner(&budget());
        let line = Arc::new(Line::new(Arc::clone(owner.connection())));
        let turn = Turn::new(Arc::clone(&line));
        let other = thread::spawn(move || drop(turn));
        let outcome = block_on(poll_fn(|cx| {
            owner.register(cx.waker());
            line.take_outcome().map_or(Poll::Pending, Poll::Ready)
        }));
        assert!(matches!(outcome, EventOutcome::Fault(Fault::Host)));
        other.join().expect("it does not panic");
    });
}

/// Each job is begun or given back, once, whatever ends the instance; a job
/// that is put in after the end is not begun.
pub fn each_job_is_begun_or_given_back_once() {
    explore(|| {
        let mailbox = Arc::<Mailbox>::default();
        let put = |mailbox: &Mailbox, mut job: Job| {
            let awaited = job.take_awaited();
            if let Err(job) = mailbox.put(job, awaited) {
                job.give_back();
            }
        };
        let ((early, early_outcome), (late, late_outcome)) = (job(false), job(false));
        let (first, first_outcome) = job(true);
        let ending = Arc::clone(&mailbox);
        let ending = thread::spawn(move || {
            put(&ending, early);
            ending.end();
            put(&ending, late);
        });
        let made_for = Arc::clone(&mailbox);
        let made_for = thread::spawn(move || put(&made_for, first));
        while let Some(job) = mailbox.pop() {
            handle(job);
        }
        mailbox.close().into_iter().for_each(Job::give_back);
        ending.join().expect("it does not panic");
        made_for.join().expect("it does not panic");
        for mut outcome in [early_outcome, first_outcome] {
            let told = outcome.try_recv();
            assert!(
                matches!(told, Ok(AlarmOutcome::Done | AlarmOutcome::Returned)),
                "{told:?}"
            );
        }
        let told = { late_outcome }.try_recv();
        assert_eq!(told, Ok(AlarmOutcome::Returned), "it only waits");
    });
}

/// When the instance fails, the mailbox hands out the jobs that were to begin,
/// and none that only waits for its end.
pub fn what_was_asked_for_and_what_waits_are_told_apart() {
    explore(|| {
        let mailbox = Arc::<Mailbox>::default();
        let (asked, asked_outcome) = job(false);
        mailbox.put(asked, false).expect("it is not closed");
        let (late, late_outcome) = job(false);
        let ending = Arc::clone(&mailbox);
        let ending = thread::spawn(move || {
            ending.end();
            if let Err(job) = ending.put(late, false) {
                job.give_back();
            }
        });
        let failed = mailbox.take_asked();
        failed.into_iter().for_each(|job| job.fail(Fault::Start));
        mailbox.close().into_iter().for_each(Job::give_back);
        ending.join().expect("it does not panic");
        let asked = { asked_outcome }.try_recv();
        assert_eq!(asked, Ok(AlarmOutcome::Fault(Fault::Start)));
        let late = { late_outcome }.try_recv();
        assert_eq!(late, Ok(AlarmOutcome::Returned));
    });
}

/// The owner of a socket sees every request and every message, whenever they
/// come: while it looks, while its waker is taken away, and afterwards.
pub fn no_wake_up_of_a_connection_is_lost() {
    explore(|| {
        let owner = owner(&budget());
        let asking = Arc::clone(owner.connection());
        let asking = thread::spawn(move || {
            asking.drain();
            asking.wake();
        });
        let writing = Arc::clone(owner.connection());
        let writing = thread::spawn(move || {
            let mut wakeups = Wakeups::default();
            writing.push(Message::Text("hello".into()));
            wakeups.add(&writing);
        });
        let mut written = false;
        block_on(poll_fn(|cx| {
            owner.register(cx.waker());
            let seen = owner.see();
            // The owner acts on it here, and not behind the call.
            let leaving = owner.leaving().is_some();
            owner.hushed(cx.waker(), seen, || ());
            written |= matches!(owner.next(), Next::Item(_));
            if leaving && written {
                return Poll::Ready(());
            }
            Poll::Pending
        }));
        asking.join().expect("it does not panic");
        writing.join().expect("it does not panic");
    });
}

/// The same for flags that the owner clears when it has seen them.
pub fn what_the_owner_takes_is_seen_when_it_is_asked_again() {
    explore(|| {
        let owner = owner(&budget());
        let moved = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let (asking, moving) = (Arc::clone(owner.connection()), Arc::clone(&moved));
        let asking = thread::spawn(move || {
            for move_ in 1..=2 {
                moving.store(move_, Ordering::Release);
                asking.reconsider();
                asking.wake();
            }
        });
        block_on(poll_fn(|cx| {
            owner.register(cx.waker());
            let seen = owner.see();
            let reconsiders = owner.take_reconsider();
            let last = reconsiders && moved.load(Ordering::Acquire) == 2;
            owner.hushed(cx.waker(), seen, || ());
            if last { Poll::Ready(()) } else { Poll::Pending }
        }));
        asking.join().expect("it does not panic");
    });
}

/// Bytes are counted exactly, the first reason of an end wins, nothing is
/// accepted after it, and the host's budget is given back.
pub fn an_outbox_counts_its_bytes_and_ends_once() {
    explore(|| {
        let host = HostBudget::new(1 << 20, 0);
        let owner = owner(&host.function());
        let message = || Message::Binary(vec![0; OUTBOX_FREE_BYTES].into());
        let cost = u64::try_from(OUTBOX_FREE_BYTES + MESSAGE_OVERHEAD_BYTES).expect("it fits");
        let writing = Arc::clone(owner.connection());
        let writing = thread::spawn(move || {
            let taken = (0..2).map(|_| writing.push(message()));
            taken.filter(|it| *it != SendOutcome::Gone).count()
        });
        let ending = Arc::clone(owner.connection());
        let ending = thread::spawn(move || ending.end(CloseReason::Terminated));
        let first = owner
            .connection()
            .end(CloseReason::ShuttingDown { retry_after: 0 });
        let read = u64::from(matches!(owner.next(), Next::Item(_)));
        let second = ending.join().expect("it does not panic");
        let taken = writing.join().expect("it does not panic");
        assert!(first != second, "one reason wins");
        assert_eq!(owner.connection().push(message()), SendOutcome::Gone);
        let taken = u64::try_from(taken).expect("it fits");
        assert_eq!(owner.connection().buffered_bytes(), (taken - read) * cost);
        // All is written, or the socket is gone before that.
        if first {
            while let Next::Item(_) = owner.next() {}
            assert_eq!(
                owner.next(),
                Next::End(CloseReason::ShuttingDown { retry_after: 0 })
            );
        }
        owner.finish();
        assert_eq!(host.outboxes.used(), 0);
    });
}

/// A wait for room in an outbox is woken when there is room, and when the
/// connection ends.
pub fn who_waits_for_a_writable_connection_is_woken() {
    explore(|| {
        let owner = owner(&budget());
        owner
            .connection()
            .push(Message::Binary(vec![0; OUTBOX_LOW_BYTES].into()));
        let reading = owner.clone();
        let reading = thread::spawn(move || assert!(matches!(reading.next(), Next::Item(_))));
        assert_eq!(block_on(owner.connection().writable()), Ok(()));
        reading.join().expect("it does not panic");
        owner
            .connection()
            .push(Message::Binary(vec![0; OUTBOX_LOW_BYTES].into()));
        let ending = Arc::clone(owner.connection());
        let ending =
            thread::spawn(move || ending.end(CloseReason::ShuttingDown { retry_after: 0 }));
        assert!(block_on(pin!(owner.connection().writable())).is_err());
        ending.join().expect("it does not panic");
    });
}

/// Functions that take and give back at the same time never have more than the
/// budget, and all of it comes back.
pub fn a_budget_is_never_exceeded_and_comes_back() {
    explore(|| {
        let host = HostBudget::new(100, 0);
        let (one, two) = (host.function(), host.function());
        let other = thread::spawn(move || {
            let took = two.outboxes.take(30);
            if took {
                two.outboxes.give_back(30);
            }
            two.outboxes.used()
        });
        let took = one.outboxes.take(40);
        assert!(host.outboxes.used() <= 100);
        if took {
            one.outboxes.give_back(40);
        }
        assert_eq!(other.join().expect("it does not panic"), 0);
        assert_eq!((one.outboxes.used(), host.outboxes.used()), (0, 0));
    });
}

/// A connection that waits for room is woken when others give theirs back.
pub fn a_connection_that_waits_for_room_to_receive_is_woken() {
    explore(|| {
        let host = HostBudget::new(0, 0).with_received(10);
        let function = host.function();
        let [mut holding, mut exceeding, mut waiting] = [(); 3].map(|()| Share::new(&function));
        assert!(holding.try_take(10));
        let mut noop = Context::from_waker(Waker::noop());
        assert!(exceeding.poll_take(&mut noop, 1).is_ready());
        let other = thread::spawn(move || {
            exceeding.keep(0);
            holding.keep(5);
            (exceeding, holding)
        });
        block_on(poll_fn(|cx| waiting.poll_take(cx, 5)));
        drop(other.join().expect("it does not panic"));
        assert!(!function.received.is_wanted());
        drop(waiting);
        assert_eq!((function.received.used(), host.received.used()), (0, 0));
    });
}

/// The next one in the line is woken when the one before it leaves.
pub fn the_next_that_waits_for_room_to_receive_is_woken() {
    explore(|| {
        let function = HostBudget::new(0, 0).with_received(10).function();
        let [mut holding, mut exceeding, mut first, mut second] =
            [(); 4].map(|()| Share::new(&function));
        assert!(holding.try_take(10));
        let mut noop = Context::from_waker(Waker::noop());
        assert!(exceeding.poll_take(&mut noop, 1).is_ready());
        assert!(first.poll_take(&mut noop, 10).is_pending());
        drop((holding, exceeding));
        let leaving = thread::spawn(move || first.leave());
        block_on(poll_fn(|cx| second.poll_take(cx, 10)));
        leaving.join().expect("it does not panic");
        assert!(!function.received.is_wanted());
    });
}

/// A call of an alarm is begun or cancelled, never both.
pub fn a_ticket_is_begun_or_cancelled() {
    explore(|| {
        let ticket = Arc::<Ticket>::default();
        let cancelling = Arc::clone(&ticket);
        let cancelling = thread::spawn(move || cancelling.cancel());
        let begun = ticket.begin();
        let cancelled = cancelling.join().expect("it does not panic");
        assert!(begun != cancelled);
        assert_eq!(ticket.is_cancelled(), cancelled);
        assert_eq!(ticket.begin(), begun, "and stays so");
    });
}

/// A wait for the end of a back-off is woken by it, whenever the wait began,
/// and no back-off begins after they are lifted.
pub fn who_waits_for_a_back_off_is_woken_at_its_end() {
    explore(|| {
        let policy = InstancePolicy {
            faults_in_a_row: 1,
            backoff_time: Duration::from_secs(1),
            ..InstancePolicy::default()
        };
        let backoff = Arc::<Backoff>::default();
        assert!(backoff.fail(1, &policy).is_some());
        let lifting = Arc::clone(&backoff);
        let lifting = thread::spawn(move || lifting.lift());
        let owner = owner(&budget());
        let wait = backoff.wait(owner.connection());
        block_on(poll_fn(|cx| {
            owner.register(cx.waker());
            if backoff.is_waited_for(wait) {
                return Poll::Pending;
            }
            Poll::Ready(())
        }));
        backoff.forget(wait);
        lifting.join().expect("it does not panic");
        assert!(backoff.fail(1, &policy).is_none() && !backoff.is_active());
    });
}

/// The thread that advances the epoch rests only until guest code runs, whenever
/// that begins, and is woken by one run alone.
pub fn guest_code_that_runs_wakes_the_thread_of_the_epoch() {
    explore(|| {
        let pulse = Arc::<Pulse>::default();
        let ticking = Arc::clone(&pulse);
        let ticking = thread::spawn(move || {
            let rested = ticking.rest();
            while rested && ticking.is_resting() {
                thread::park();
            }
            rested
        });
        let running = Arc::clone(&pulse);
        let running = thread::spawn(move || running.report());
        let here = pulse.report();
        let there = running.join().expect("it does not panic");
        assert!(!(here && there), "both have woken it");
        if here || there {
            ticking.thread().unpark();
        }
        let rested = ticking.join().expect("it does not panic");
        assert_eq!(rested, here || there);
        assert!(pulse.take(), "the next tick sees that guest code has run");
    });
}
