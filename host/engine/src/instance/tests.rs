//! Instances without a pool: what their keeper and the waiting callers learn,
//! and in which order.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, Item, Next, SocketOwner};
use openline_channels::hub::Hub;
use openline_core::component::Component;
use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::event::Event;
use openline_core::fault::Fault;
use openline_core::message::Message;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use parking_lot::Mutex;

use super::imports;
use super::live::{Instance, Lane};
use super::mailbox::{EventOutcome, Job, Line, Turn};
use super::poller;
use super::program::{Program, Reach};
use super::seat::{Keeper, Seat};
use super::store::StoreData;
use super::task;
use super::turns::LongRuns;
use crate::alarms::clock::AlarmClock;
use crate::alarms::stand_in::StandIn;
use crate::component::compiler::Compiler;
use crate::component::load::{Loader, LoaderOptions};
use crate::deadlocks::watch_for_deadlocks;

/// A step at the end of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// And its places are free.
    Forgotten,
    /// A fault was counted.
    Counted,
    /// The connection with a call in flight got its outcome.
    Told,
    /// A seat was given back.
    Released,
}

/// Notes the steps.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Step>>);

impl Notes {
    fn note(&self, step: Step) {
        self.0.lock().push(step);
    }

    fn steps(&self) -> Vec<Step> {
        self.0.lock().clone()
    }
}

impl Keeper for Notes {
    fn release(self: Arc<Self>, _instance: &Arc<Instance>) {
        self.note(Step::Released);
    }

    fn retire(&self, _instance: &Arc<Instance>) {}

    fn forget(&self, _instance: &Arc<Instance>) {
        self.note(Step::Forgotten);
    }

    fn fail(&self) -> Option<Duration> {
        self.note(Step::Counted);
        None
    }
}

impl Wake for Notes {
    fn wake(self: Arc<Self>) {
        self.note(Step::Told);
    }
}

async fn program(component: &str, change: impl FnOnce(&mut FunctionConfig)) -> Arc<Program> {
    watch_for_deadlocks();
    let server = ServerConfig::default();
    let options = LoaderOptions {
        cache: None,
        cache_bytes: 0,
        compiler: Compiler::InProcess,
        compile_memory_bytes: server.compile_memory_bytes,
        component_bytes: server.component_bytes,
        compile_timeout: server.compile_timeout,
        compilations: 1,
        source_lines: false,
        places: 4,
    };
    let loader = Arc::new(Loader::<StoreData>::new(options, imports::add_to_linker).unwrap());
    let component = Component::new(std::fs::read(component).unwrap());
    let loaded = loader.load(&component, false).await.unwrap();
    let name = FunctionName::new("alone").unwrap();
    let mut config = FunctionConfig::new(name, None, Route::new("/").unwrap());
    change(&mut config);
    let clock = Arc::new(AlarmClock::default());
    let reach = Reach {
        hub: Arc::new(Hub::alone()),
        owner: StandIn::of(&clock),
        clock,
    };
    let digest = component.digest();
    Arc::new(Program::new(
        &config,
        digest,
        loaded,
        (reach, None),
        LongRuns::new(1),
    ))
}

/// An instance whose keeper notes the steps.
struct Alone {
    instance: Arc<Instance>,
    notes: Arc<Notes>,
}

impl Alone {
    fn of(program: &Arc<Program>) -> Self {
        let notes = Arc::<Notes>::default();
        let instance = Arc::new(Instance::new(1, None, Lane::default()));
        let keeper: Arc<dyn Keeper> = Arc::<Notes>::clone(&notes);
        let driving = task::drive(Arc::clone(program), keeper, Arc::clone(&instance));
        poller::spawn(Arc::clone(&instance), driving);
        Self { instance, notes }
    }

    /// Gives it an event of a connection; the first is what it was made for.
    fn give(&self, peer: &Peer, event: Event, first: bool) {
        let job = Job::Event(event, Turn::new(Arc::clone(&peer.line)));
        assert!(self.instance.submit_as(job, first).is_ok(), "it has ended");
    }

    async fn ended(&self) {
        let ended = async {
            // Its task, and the future in it, hold the instance.
            while Arc::strong_count(&self.instance) > 1 {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
        ended.expect("an instance with nothing to do ends");
    }
}

/// The parts of a connection that its task owns.
struct Peer {
    owner: SocketOwner,
    line: Arc<Line>,
}

fn peer() -> Peer {
    let budget = HostBudget::new(1 << 20, 1 << 20).function();
    let owner = SocketOwner::new(Facts::default(), Arc::default(), budget);
    let line = Arc::new(Line::new(Arc::clone(owner.connection())));
    Peer { owner, line }
}

fn open(peer: &Peer) -> Job {
    Job::Event(Event::Open, Turn::new(Arc::clone(&peer.line)))
}

fn text(text: &'static str) -> Event {
    Event::Messages(vec![Message::Text(text.into())])
}

async fn outcome(peer: &Peer) -> EventOutcome {
    let told = poll_fn(|cx| {
        peer.owner.register(cx.waker());
        peer.line.take_outcome().map_or(Poll::Pending, Poll::Ready)
    });
    let told = tokio::time::timeout(Duration::from_secs(20), told).await;
    told.expect("every event gets an outcome")
}

#[tokio::test]
async fn at_a_fault_there_is_room_before_anybody_is_told() {
    let program = program(openline_guests::FAULT_TRAP, |_| {}).await;
    let alone = Alone::of(&program);
    let peer = peer();
    alone.give(&peer, Event::Open, true);
    assert!(matches!(outcome(&peer).await, EventOutcome::Done));
    assert_eq!(alone.notes.steps(), []);
    peer.owner.register(&Waker::from(Arc::clone(&alone.notes)));
    alone.give(&peer, text("trap"), false);
    alone.ended().await;
    let told = peer.line.take_outcome();
    assert!(matches!(told, Some(EventOutcome::Fault(Fault::Trap))));
    use Step::{Counted, Forgotten, Told};
    // It is forgotten again, which is harmless, when all have been told.
    let steps = [Counted, Forgotten, Told, Forgotten];
    assert_eq!(alone.notes.steps(), steps);
}

#[tokio::test]
async fn an_idle_instance_ends_and_what_comes_later_is_handed_back() {
    for component in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let idle = |config: &mut FunctionConfig| config.instance.idle_timeout = Duration::ZERO;
        let program = program(component, idle).await;
        let alone = Alone::of(&program);
        let peer = peer();
        alone.give(&peer, text("before the end"), true);
        assert!(matches!(outcome(&peer).await, EventOutcome::Done));
        let echo = Item::Message(Message::Text("before the end".into()));
        assert_eq!(peer.owner.next(), Next::Item(echo));
        alone.ended().await;
        assert_eq!(alone.notes.steps(), [Step::Forgotten]);
        assert!(alone.instance.submit(open(&peer)).is_err());
    }
}

#[tokio::test]
async fn one_that_does_not_start_tells_those_it_was_asked_by_and_gives_back_the_others() {
    // The component's memory alone is larger.
    let small = |config: &mut FunctionConfig| config.instance.memory_bytes = 64 * 1024;
    let program = program(openline_guests::ECHO, small).await;
    let alone = Alone::of(&program);
    let (asking, waiting) = (peer(), peer());
    alone.give(&asking, Event::Open, true);
    alone.instance.end();
    alone.give(&waiting, Event::Open, false);
    assert!(matches!(
        outcome(&asking).await,
        EventOutcome::Fault(Fault::Start)
    ));
    assert!(matches!(
        outcome(&waiting).await,
        EventOutcome::Returned(Event::Open)
    ));
}

#[tokio::test]
async fn one_that_ends_waits_for_what_it_was_made_for_until_that_will_not_come() {
    let program = program(openline_guests::ECHO, |_| {}).await;
    let alone = Alone::of(&program);
    let keeper: Arc<dyn Keeper> = Arc::<Notes>::clone(&alone.notes);
    let seat = Seat::awaited(keeper, Arc::clone(&alone.instance));
    alone.instance.end();
    let waiting = peer();
    alone.give(&waiting, Event::Open, false);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(alone.notes.steps(), []);
    assert!(waiting.line.take_outcome().is_none());
    // The connection has gone.
    drop(seat);
    let returned = outcome(&waiting).await;
    assert!(matches!(returned, EventOutcome::Returned(Event::Open)));
    use Step::{Forgotten, Released};
    assert_eq!(alone.notes.steps(), [Released, Forgotten]);
}
