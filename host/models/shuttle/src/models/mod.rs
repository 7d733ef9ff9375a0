//! The models. Each fails with a panic: its own, the world's at the end of the
//! schedule, or shuttle's, which says that all threads wait or that one takes a
//! lock twice.

mod channels;
mod neighbours;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, SocketOwner};
use openline_channels::hub::Hub;
use openline_core::close::CloseReason;
use openline_core::deployment::Migration;
use openline_core::digest::Digest;
use openline_core::environment::Environment;
use openline_core::event::{Event, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::limits::InstancePolicy;
use openline_core::message::Message;
use openline_core::name::FunctionName;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;
use shuttle::{Config, Runner};

use crate::contract::handlers::CallStyle;
use crate::front::alias::{Alias, Split};
use crate::front::binding::{Binding, Outcome};
use crate::instance::faults::FaultsInARow;
use crate::instance::plain::{AWAIT, TRAP};
use crate::instance::program::{Loaded, LogRate, Program};
use crate::pool::capacity::Capacity;
use crate::pool::commons::Commons;
use crate::pool::version::{UpgradeError, Version};
use crate::sync::{LONG, block_on};
use crate::{FunctionStore, world};

pub use channels::*;
pub use neighbours::*;

/// Schedules to try of each model, unless `SHUTTLE_SCHEDULES` sets another
/// number. The faults in `mutants/` need fewer, and all models together take
/// some seconds.
pub const SCHEDULES: usize = 1_000;

/// How many preemptions the second half of the schedules tries, at chosen
/// steps.
const PREEMPTIONS: usize = 3;

/// Half of the schedules switch with even chances at each step, which finds
/// faults that need many switches. The other half lets threads run and switches
/// rarely, which finds faults that need one thread to rest for long.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("SHUTTLE_SCHEDULES").ok();
    let schedules = schedules.and_then(|number| number.parse().ok());
    let each = (schedules.unwrap_or(SCHEDULES) / 2).max(1);
    let model = Arc::new(model);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let model = Arc::clone(&model);
        Runner::new(scheduler, Config::new()).run(move || model());
    };
    run(Box::new(RandomScheduler::new_from_seed(1, each)));
    run(Box::new(PctScheduler::new_from_seed(1, PREEMPTIONS, each)));
}

/// A host with one function.
struct Host {
    commons: Arc<Commons>,
    capacity: Arc<Capacity>,
}

impl Host {
    fn new(places: u32) -> Self {
        world::begin(places);
        Self::beside(&Arc::new(Capacity::new(places)))
    }

    /// Another function of the same host.
    fn beside(capacity: &Arc<Capacity>) -> Self {
        let name = FunctionName::new("function").expect("a name");
        Self {
            commons: Arc::new(Commons::new(
                FunctionStore,
                name,
                Arc::default(),
                Arc::new(Hub::alone()),
            )),
            capacity: Arc::clone(capacity),
        }
    }

    fn version(&self, number: u8, policy: InstancePolicy, is_broken: bool) -> Arc<Version> {
        let loaded = Loaded {
            style: CallStyle::Plain,
            places: 1,
            is_broken,
        };
        self.version_of(number, policy, loaded)
    }

    fn version_of(&self, number: u8, policy: InstancePolicy, loaded: Loaded) -> Arc<Version> {
        let program = Program {
            name: self.commons.name().clone(),
            digest: Digest::new([number; 32]),
            loaded,
            policy,
            environment: Environment::default(),
            limits: Arc::default(),
            log_rate: LogRate,
            faults: FaultsInARow::default(),
        };
        let commons = Arc::clone(&self.commons);
        Version::new(Arc::new(program), commons, &self.capacity)
    }

    /// An alias that leads to one version.
    fn alias(&self, policy: InstancePolicy) -> Arc<Alias> {
        Alias::to(self.version(1, policy, false))
    }

    /// Stops, and checks that everything that was taken has come back.
    fn end(&self) {
        self.commons.stop();
        block_on(self.commons.ended());
        assert_eq!(self.commons.instances(), 0);
        assert_eq!(world::guests(), 0, "none is left when it is said");
        assert!(self.commons.keys.is_empty());
        for version in self.commons.versions() {
            assert_eq!(version.connections(), 0);
        }
        world::end();
        assert!(self.capacity.is_at_rest());
    }
}

/// A policy without idle instances and without back-off.
fn policy(instances: u32, concurrency: u32) -> InstancePolicy {
    InstancePolicy {
        instances,
        concurrency,
        idle_timeout: LONG,
        faults_in_a_row: 0,
        ..InstancePolicy::default()
    }
}

/// The same with an instance for each room.
fn rooms(instances: u32, concurrency: u32) -> InstancePolicy {
    InstancePolicy {
        affinity: Some("room".into()),
        ..policy(instances, concurrency)
    }
}

/// A connection, and the task that owns its socket.
struct Peer {
    owner: SocketOwner,
    binding: Binding,
}

impl Peer {
    fn open(alias: &Arc<Alias>, room: &str) -> Result<Self, UpgradeError> {
        let request = UpgradeRequest {
            route_params: vec![("room".to_owned(), room.to_owned())],
            ..UpgradeRequest::default()
        };
        let accepted = block_on(alias.upgrade(request))?;
        let accepted = accepted.expect("guests accept all");
        let budget = HostBudget::new(0, 0).function();
        let owner = SocketOwner::new(Facts::default(), Arc::default(), budget);
        let binding = alias.bind(Arc::clone(owner.connection()), accepted.place);
        Ok(Self { owner, binding })
    }

    /// An open connection without an instance.
    fn asleep(alias: &Arc<Alias>, room: &str) -> Self {
        let mut peer = Self::open(alias, room).expect("there is room");
        assert_eq!(peer.say(TRAP), Outcome::Fault(Fault::Trap));
        peer
    }

    fn tell(&mut self, event: Event) -> Outcome {
        let Self { owner, binding } = self;
        let mut event = Some(event);
        block_on(poll_fn(|cx| {
            owner.register(cx.waker());
            let told = match event.take() {
                // The task is woken when there is an outcome, and then looks.
                Some(event) => binding.dispatch(event).err(),
                None => binding.outcome(),
            };
            told.map_or(Poll::Pending, Poll::Ready)
        }))
    }

    fn say(&mut self, text: &'static str) -> Outcome {
        self.say_all(&[text])
    }

    /// Sends all texts in one read.
    fn say_all(&mut self, texts: &[&'static str]) -> Outcome {
        let messages = texts.iter().map(|text| Message::Text((*text).into()));
        self.tell(Event::Messages(messages.collect()))
    }
}

/// Sends messages of one connection from a thread of its own, and checks that
/// they are handled.
fn served(mut peer: Peer, messages: u32) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for _ in 0..messages {
            assert_eq!(peer.say(AWAIT), Outcome::Done);
        }
    })
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("shuttle ends at the first panic");
    }
}

/// For connections that wake together one instance ends, and they share the one
/// that replaces it.
pub fn connections_that_wake_together_share_one_instance() {
    explore(|| {
        let host = Host::new(2);
        let alias = host.alias(policy(2, 2));
        let sleeping = Peer::open(&alias, "").expect("there is room");
        let sleepers = [Peer::asleep(&alias, ""), sleeping];
        let quiet = [(); 4].map(|()| Peer::open(&alias, "").expect("there is room"));
        let before = world::made();
        join(sleepers.map(|sleeper| served(sleeper, 1)));
        assert_eq!(world::made(), before + 1);
        assert_eq!(host.commons.instances(), 2, "one of the others is left");
        drop(quiet);
        host.end();
    });
}

/// Connections that take the only place from each other are all served.
pub fn connections_without_a_seat_of_their_own_take_turns() {
    explore(|| {
        let host = Host::new(1);
        let alias = host.alias(policy(1, 1));
        let sleepers = [(); 3].map(|()| Peer::asleep(&alias, ""));
        let before = world::made();
        join(sleepers.map(|sleeper| served(sleeper, 2)));
        assert!(world::made() <= before + 6, "one that waits asks once");
        host.end();
    });
}

/// The same with rooms, of which one has two connections.
pub fn rooms_without_an_instance_of_their_own_take_turns() {
    explore(|| {
        let host = Host::new(1);
        let alias = host.alias(rooms(1, 2));
        let sleepers = ["one", "two", "two"].map(|room| Peer::asleep(&alias, room));
        join(sleepers.map(|sleeper| served(sleeper, 2)));
        host.end();
    });
}

/// An instance that ends as soon as it has nothing to do loses no event.
pub fn an_event_that_meets_an_idle_instance_is_handled() {
    explore(|| {
        let host = Host::new(1);
        let policy = InstancePolicy {
            idle_timeout: Duration::ZERO,
            ..rooms(1, 2)
        };
        let alias = host.alias(policy);
        let peers = ["one", "one", "two"].map(|room| Peer::asleep(&alias, room));
        join(peers.map(|peer| served(peer, 2)));
        host.end();
    });
}

/// A connection that learns of a fault finds room for a new instance.
pub fn a_fault_is_told_when_there_is_room_again() {
    explore(|| {
        let host = Host::new(1);
        let alias = host.alias(policy(1, 1));
        let mut first = Peer::open(&alias, "").expect("there is room");
        assert_eq!(first.say(AWAIT), Outcome::Done);
        assert_eq!(first.say(TRAP), Outcome::Fault(Fault::Trap));
        let mut second = Peer::open(&alias, "").expect("there is room again");
        drop(first);
        // After an await, the instance's own task meets the fault.
        let told = second.say_all(&[AWAIT, TRAP]);
        // Getting a seat takes many steps, so check at once.
        assert_eq!(host.capacity.live(), 0, "the place was not free");
        assert_eq!(host.commons.instances(), 0, "the pool had not forgotten it");
        assert_eq!(told, Outcome::Fault(Fault::Trap));
        let third = Peer::open(&alias, "");
        assert!(third.is_ok(), "{:?}", third.err());
        drop((second, third));
        host.end();
    });
}

/// An event that comes while an instance fails goes to another one, even if
/// there is room for only one.
pub fn an_event_that_meets_a_fault_is_handled() {
    explore(|| {
        let host = Host::new(1);
        let alias = host.alias(rooms(1, 3));
        let mut first = Peer::open(&alias, "one").expect("there is room");
        let second = Peer::open(&alias, "one").expect("there is room");
        let failing = thread::spawn(move || {
            assert_eq!(first.say(TRAP), Outcome::Fault(Fault::Trap));
            assert_eq!(first.say(AWAIT), Outcome::Done);
        });
        // In the same instance it is handled before the fault or after it:
        // calls of a plain handler do not overlap.
        join([failing, served(second, 2)]);
        host.end();
    });
}

/// A room has one live instance while its alias moves, and all of its
/// connections are served, whatever their version.
fn a_room_has_one_instance(migration: Migration) {
    explore(move || {
        let host = Host::new(2);
        let alias = host.alias(rooms(1, 4));
        let next = host.version(2, rooms(1, 4), false);
        let first = Peer::open(&alias, "one").expect("there is room");
        let second = Peer::open(&alias, "one").expect("there is room");
        let moving = Arc::clone(&alias);
        let moving = thread::spawn(move || {
            moving.replace(Split {
                migration,
                ..Split::to(next)
            });
            let third = Peer::open(&moving, "one").expect("there is room");
            join([served(third, 1)]);
        });
        join([served(first, 2), served(second, 1), moving]);
        host.end();
    });
}

/// The same while it is made to lead elsewhere twice: what was queued behind the
/// first instance is given back before that has ended.
pub fn a_room_that_migrates_twice_has_one_instance() {
    explore(|| {
        let host = Host::new(2);
        let alias = host.alias(rooms(1, 2));
        let [next, last] = [2, 3].map(|number| host.version(number, rooms(1, 2), false));
        let peers = [(); 2].map(|()| Peer::open(&alias, "one").expect("there is room"));
        let moving = thread::spawn(move || {
            alias.replace(Split::to(next));
            alias.replace(Split::to(last));
        });
        join(
            peers
                .map(|peer| served(peer, 2))
                .into_iter()
                .chain([moving]),
        );
        host.end();
    });
}

/// A room that waits for the end of its instance of the last version has a place
/// in the new one, although that could be filled with other rooms meanwhile.
pub fn a_room_that_waits_for_its_last_version_is_not_overtaken() {
    explore(|| {
        let host = Host::new(3);
        let alias = host.alias(rooms(1, 2));
        let next = host.version(2, rooms(1, 2), false);
        let peers = [(); 2].map(|()| Peer::open(&alias, "one").expect("there is room"));
        let moving = thread::spawn(move || {
            alias.replace(Split::to(next));
            Peer::open(&alias, "two").ok()
        });
        join(peers.map(|peer| served(peer, 2)));
        // Until here its room may stay as long as it likes.
        drop(moving.join().expect("shuttle ends at the first panic"));
        host.end();
    });
}

/// See [`a_room_has_one_instance`].
pub fn a_room_that_migrates_has_one_instance() {
    a_room_has_one_instance(Migration::Migrate);
}

/// Runs [`a_room_has_one_instance`].
pub fn a_room_that_is_pinned_has_one_instance() {
    a_room_has_one_instance(Migration::Pin);
}

/// Runs [`a_room_has_one_instance`].
pub fn a_room_that_is_drained_has_one_instance() {
    a_room_has_one_instance(Migration::Drain);
}

/// A host that stops makes no more instances, and waits for those that exist.
pub fn a_stop_waits_for_what_was_asked_and_for_the_end_of_all() {
    explore(|| {
        let host = Host::new(2);
        let alias = host.alias(policy(2, 1));
        let peers = [(); 2].map(|()| Peer::open(&alias, "").expect("there is room"));
        let peers =
            peers.map(|mut peer| thread::spawn(move || while peer.say(AWAIT) != Outcome::Full {}));
        host.commons.stop();
        block_on(host.commons.ended());
        assert_eq!((host.commons.instances(), world::guests()), (0, 0));
        join(peers);
        host.end();
    });
}

/// A removed function still gets the `close` of each connection.
pub fn a_function_that_is_removed_is_told_of_its_connections_end() {
    explore(|| {
        let host = Host::new(1);
        let alias = host.alias(policy(1, 1));
        let peers = [Peer::asleep(&alias, ""), Peer::asleep(&alias, "")];
        let peers = peers.map(|mut peer| {
            thread::spawn(move || {
                let close = Event::Close(CloseReason::ShuttingDown { retry_after: 0 });
                assert_eq!(peer.tell(close), Outcome::Done);
            })
        });
        block_on(host.commons.remove()).expect("nothing is written");
        join(peers);
        host.end();
    });
}

/// Events that are queued when a back-off begins are handled after it.
pub fn those_that_are_queued_when_a_back_off_begins_are_handled() {
    explore(|| {
        let host = Host::new(1);
        let policy = InstancePolicy {
            faults_in_a_row: 1,
            idle_timeout: Duration::ZERO,
            ..policy(1, 1)
        };
        let alias = host.alias(policy);
        let peers = [(); 3].map(|()| {
            let peer = Peer::open(&alias, "").expect("there is room");
            block_on(host.commons.ended());
            peer
        });
        let [mut failing, second, third] = peers;
        let failing = thread::spawn(move || {
            assert_eq!(failing.say(TRAP), Outcome::Fault(Fault::Trap));
        });
        join([failing, served(second, 2), served(third, 1)]);
        host.end();
    });
}

/// Events that wait for the end of a back-off are handled after it.
pub fn an_event_that_waits_for_a_back_off_is_handled() {
    explore(|| {
        let host = Host::new(1);
        let policy = InstancePolicy {
            faults_in_a_row: 1,
            ..policy(1, 2)
        };
        let alias = host.alias(policy);
        let mut first = Peer::open(&alias, "").expect("there is room");
        let second = Peer::open(&alias, "").expect("there is room");
        let failing = thread::spawn(move || {
            assert_eq!(first.say(TRAP), Outcome::Fault(Fault::Trap));
        });
        join([failing, served(second, 2)]);
        host.end();
    });
}

/// Events that wait for the end of a back-off follow their alias, whenever it
/// moves.
pub fn an_event_that_waits_for_a_back_off_follows_its_alias() {
    explore(|| {
        let host = Host::new(2);
        let failing = InstancePolicy {
            faults_in_a_row: 1,
            backoff_time: LONG,
            backoff_time_max: LONG,
            ..policy(1, 2)
        };
        let alias = host.alias(failing);
        let next = host.version(2, policy(1, 2), false);
        let mut first = Peer::open(&alias, "").expect("there is room");
        let second = Peer::open(&alias, "").expect("there is room");
        assert_eq!(first.say(TRAP), Outcome::Fault(Fault::Trap));
        let moving = thread::spawn(move || drop(alias.replace(Split::to(next))));
        join([moving, served(second, 1)]);
        drop(first);
        host.end();
    });
}

/// Jobs that wait for an instance that does not start get the fault, and its
/// place comes back.
pub fn all_that_wait_for_an_instance_that_does_not_start_are_told() {
    explore(|| {
        let host = Host::new(1);
        let alias = Alias::to(host.version(1, policy(1, 2), true));
        let opening = [(); 3].map(|()| {
            let alias = Arc::clone(&alias);
            thread::spawn(move || {
                let told = Peer::open(&alias, "").err();
                let expected = [UpgradeError::Fault(Fault::Start), UpgradeError::Full];
                assert!(
                    told.as_ref().is_some_and(|told| expected.contains(told)),
                    "{told:?}"
                );
            })
        });
        join(opening);
        host.end();
    });
}
