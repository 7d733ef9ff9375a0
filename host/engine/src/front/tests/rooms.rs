//! How the host makes room for connections that wake, what they learn when an
//! instance ends, and rooms whose connections belong to several versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use openline_channels::connection::Next;
use openline_core::close::CloseReason;
use openline_core::deployment::Migration;
use openline_core::event::{Event, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::limits::{FunctionLimits, InstancePolicy};

use super::{DEFECT, Line, config, runtime_of};
use crate::front::alias::{Alias, Split};
use crate::front::binding::Outcome;
use crate::front::runtime::Runtime;
use crate::pool::version::Version;

/// A function with this many instances of this many seats; with affinity, the
/// room is the value. A message that is a number comes back after that time,
/// any other at once.
async fn function(instances: u32, concurrency: u32, affinity: bool) -> Arc<Alias> {
    let mut config = config();
    config.instance.instances = instances;
    config.instance.concurrency = concurrency;
    config.instance.faults_in_a_row = 0;
    config.instance.affinity = affinity.then(|| "room".into());
    let bytes = std::fs::read(openline_guests::FAULT_SLEEP).unwrap();
    let runtime = runtime_of(100);
    Alias::to(runtime.load_alone(&config, bytes).await.unwrap())
}

/// The numbers of the live instances of all versions.
pub(super) fn live(function: &Alias) -> Vec<u64> {
    let versions = function.commons().versions();
    let instances = versions.iter().flat_map(|version| version.list());
    instances.map(|instance| instance.number).collect()
}

/// Ends the instance of these lines, which are hibernated then.
pub(super) async fn put_to_sleep(lines: &mut [Line]) {
    let (first, _) = lines.split_first_mut().unwrap();
    first.text(DEFECT);
    assert_eq!(first.outcome().await, Outcome::Fault(Fault::Host));
}

#[tokio::test]
async fn a_room_that_wakes_is_served_when_other_rooms_have_all_instances() {
    let function = function(1, 10, true).await;
    let mut first = Line::open_in(&function, "first").await;
    put_to_sleep(std::slice::from_mut(&mut first)).await;
    let mut second = Line::open_in(&function, "second").await;
    for _ in 0..3 {
        first.is_served("of the first room").await;
        second.is_served("of the second room").await;
        assert_eq!(function.instances(), 1);
    }
}

/// Wakes sleepers at once while all instances have calls in flight. Returns how
/// many instances ended for them.
async fn ended_for(function: &Alias, sleepers: &mut [Line], others: &mut [Line]) -> usize {
    let before = live(function);
    for other in &mut *others {
        other.text("100");
    }
    // Nothing is awaited until all are awake, so no call returns meanwhile.
    for sleeper in &mut *sleepers {
        sleeper.text("awake");
    }
    for line in sleepers.iter_mut().chain(others) {
        assert_eq!(line.outcome().await, Outcome::Done);
        assert!(matches!(line.owner.next(), Next::Item(_)));
    }
    let after = live(function);
    let ended = before.iter().filter(|number| !after.contains(number));
    ended.count()
}

#[tokio::test]
async fn connections_that_wake_together_end_one_instance_for_the_one_they_share() {
    let function = function(3, 4, false).await;
    let mut sleepers = Vec::new();
    for _ in 0..4 {
        sleepers.push(Line::open(&function).await);
    }
    put_to_sleep(&mut sleepers).await;
    let mut others = Vec::new();
    for _ in 0..12 {
        others.push(Line::open(&function).await);
    }
    assert_eq!(ended_for(&function, &mut sleepers, &mut others).await, 1);
    // Connections whose instance ended are served as well.
    for other in &mut others {
        other.is_served("still there").await;
    }
}

#[tokio::test]
async fn one_more_than_fits_into_an_instance_ends_another_one() {
    let function = function(3, 2, false).await;
    let mut sleepers = Vec::new();
    for _ in 0..3 {
        sleepers.push(Line::open(&function).await);
    }
    put_to_sleep(&mut sleepers[..2]).await;
    put_to_sleep(&mut sleepers[2..]).await;
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(Line::open(&function).await);
    }
    assert_eq!(ended_for(&function, &mut sleepers, &mut others).await, 2);
}

#[tokio::test]
async fn a_room_that_wakes_ends_one_instance_and_two_rooms_end_two() {
    let function = function(4, 3, true).await;
    let mut sleepers = Vec::new();
    for room in ["one", "one", "one", "two", "two", "three", "three"] {
        sleepers.push(Line::open_in(&function, room).await);
    }
    put_to_sleep(&mut sleepers[..3]).await;
    put_to_sleep(&mut sleepers[3..5]).await;
    put_to_sleep(&mut sleepers[5..]).await;
    let mut others = Vec::new();
    for room in ["a", "b", "c", "d"] {
        others.push(Line::open_in(&function, room).await);
    }
    assert_eq!(
        ended_for(&function, &mut sleepers[..3], &mut others).await,
        1
    );
    assert_eq!(
        ended_for(&function, &mut sleepers[3..], &mut others[1..]).await,
        2
    );
    for other in &mut others {
        other.is_served("still there").await;
    }
}

/// Has all of these lines send at once, and answers in which order they were
/// served.
async fn order_of(lines: &mut [Line]) -> Vec<usize> {
    for line in &mut *lines {
        line.text("in turn");
    }
    let mut order = Vec::new();
    let all = async {
        while order.len() < lines.len() {
            for (index, line) in lines.iter_mut().enumerate() {
                if let Some(outcome) = line.binding.outcome() {
                    assert_eq!(outcome, Outcome::Done);
                    assert!(matches!(line.owner.next(), Next::Item(_)));
                    order.push(index);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(60), all).await;
    all.expect("nobody is left without an outcome");
    order
}

#[tokio::test]
async fn those_that_wait_for_the_only_seat_are_served_in_the_order_in_which_they_came() {
    const LINES: usize = 20;
    let function = function(1, 1, false).await;
    let mut lines = Vec::new();
    for _ in 0..LINES {
        let mut line = Line::open(&function).await;
        put_to_sleep(std::slice::from_mut(&mut line)).await;
        lines.push(line);
    }
    let before = live_last(&function, &mut lines[0]).await;
    for _ in 0..3 {
        let order = order_of(&mut lines).await;
        assert_eq!(order, (0..LINES).collect::<Vec<_>>());
    }
    // Each asks once: there is an instance for each that was served.
    let after = live_last(&function, &mut lines[0]).await;
    assert!(
        after - before <= 3 * LINES as u64 + 1,
        "{before} to {after}"
    );
}

/// The number of the instance that serves a line, the last that was made.
async fn live_last(function: &Alias, line: &mut Line) -> u64 {
    line.is_served("who serves it?").await;
    live(function).into_iter().max().unwrap()
}

/// Two functions of a host with so many instances.
async fn neighbours(instances: u32) -> [Arc<Alias>; 2] {
    let runtime = runtime_of(instances);
    let mut config = config();
    config.instance.concurrency = 1;
    let bytes = std::fs::read(openline_guests::FAULT_SLEEP).unwrap();
    let first = runtime.load_alone(&config, bytes.clone()).await.unwrap();
    let second = runtime.load_alone(&config, bytes).await.unwrap();
    [Alias::to(first), Alias::to(second)]
}

#[tokio::test]
async fn a_function_that_has_all_instances_of_the_host_gives_others_their_part() {
    let [first, second] = neighbours(4).await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(Line::open(&first).await);
    }
    assert!(first.upgrade(UpgradeRequest::default()).await.is_err());
    let mut others = Vec::new();
    others.push(Line::open(&second).await);
    assert_eq!((first.instances(), second.instances()), (3, 1));
    // One more is refused: it has one, and is open to none.
    assert!(second.upgrade(UpgradeRequest::default()).await.is_err());
    put_to_sleep(&mut others).await;
    crowd[0].is_served("all again").await;
    assert_eq!((first.instances(), second.instances()), (4, 0));
    others[0].is_served("not refused").await;
    for _ in 0..3 {
        let (crowd, others) = (order_of(&mut crowd).await, order_of(&mut others).await);
        assert_eq!((crowd.len(), others.len()), (4, 1));
    }
    assert_eq!((first.instances(), second.instances()), (3, 1));
}

#[tokio::test]
async fn two_functions_share_the_only_instance_of_a_host() {
    let [first, second] = neighbours(1).await;
    let mut first = Line::open(&first).await;
    let mut second = Line::open(&second).await;
    for _ in 0..5 {
        first.text("at once");
        second.text("at once");
        assert_eq!(first.outcome().await, Outcome::Done);
        assert_eq!(second.outcome().await, Outcome::Done);
    }
}

/// Looks how many instances the host has at the moment at which a connection is
/// told something.
struct Look {
    runtime: Arc<Runtime>,
    seen: AtomicU32,
}

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        self.seen.store(self.runtime.instances(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_fault_is_told_when_there_is_room_for_the_next_instance() {
    for (component, text, fault) in [
        (openline_guests::FAULT_TRAP, "trap", Fault::Trap),
        (
            openline_guests::FAULT_SLEEP,
            "600000",
            Fault::HandlerTimeout,
        ),
    ] {
        let runtime = runtime_of(1);
        let mut config = config();
        config.limit.handler_timeout = Duration::from_millis(50);
        config.instance.faults_in_a_row = 0;
        let bytes = std::fs::read(component).unwrap();
        let function = Alias::to(runtime.load_alone(&config, bytes).await.unwrap());
        let mut line = Line::open(&function).await;
        let look = Arc::new(Look {
            runtime: Arc::clone(&runtime),
            seen: AtomicU32::new(u32::MAX),
        });
        line.owner.register(&Waker::from(Arc::clone(&look)));
        line.text(text);
        let told = async {
            while look.seen.load(Ordering::SeqCst) == u32::MAX {
                tokio::task::yield_now().await;
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        told.expect("the connection is told of the fault");
        assert_eq!(look.seen.load(Ordering::SeqCst), 0);
        assert_eq!(line.outcome().await, Outcome::Fault(fault));
        line.give(Event::Close(CloseReason::Lost));
        assert_eq!(line.outcome().await, Outcome::Done);
    }
}

/// A further version of a function: the same component under another digest.
pub(super) async fn next_version(
    runtime: &Arc<Runtime>,
    before: &Version,
    number: u8,
) -> Arc<Version> {
    let mut bytes = std::fs::read(openline_guests::ECHO).unwrap();
    // A custom section: its size, its name's size, its name.
    bytes.extend([0, 2, 1, number]);
    let mut config = config();
    config.instance = before.policy().clone();
    runtime
        .load(&config, bytes, before.commons(), None)
        .await
        .unwrap()
}

/// A function with affinity, and two further versions of it.
async fn versions() -> (Arc<Alias>, [Arc<Version>; 3]) {
    let mut config = config();
    config.instance.affinity = Some("room".into());
    let bytes = std::fs::read(openline_guests::ECHO).unwrap();
    let runtime = runtime_of(100);
    let first = runtime.load_alone(&config, bytes).await.unwrap();
    let second = next_version(&runtime, &first, 2).await;
    let third = next_version(&runtime, &first, 3).await;
    (Alias::to(Arc::clone(&first)), [first, second, third])
}

pub(super) fn leads(migration: Migration, shares: &[(&Arc<Version>, u32)]) -> Split {
    let shares = shares.iter();
    let shares: Vec<_> = shares
        .map(|(version, weight)| (Arc::clone(version), *weight))
        .collect();
    Split {
        migration,
        shares: shares.clone(),
        ..Split::to(Arc::clone(&shares[0].0))
    }
}

#[tokio::test]
async fn while_a_room_is_drained_its_old_and_new_connections_share_one_instance() {
    let (function, [_, second, _]) = versions().await;
    let mut old = Line::open_in(&function, "room").await;
    function.replace(leads(Migration::Drain, &[(&second, 100)]));
    old.is_served("by the old version").await;
    let mut new = Line::open_in(&function, "room").await;
    assert_eq!(
        second.instances(),
        1,
        "the room goes over to the new version"
    );
    let shared = live(&function);
    assert_eq!(shared.len(), 1);
    for _ in 0..5 {
        old.is_served("of the old one").await;
        new.is_served("of the new one").await;
        assert_eq!(live(&function), shared);
    }
    assert!(old.binding.is_left_behind() && !new.binding.is_left_behind());
}

#[tokio::test]
async fn a_connection_is_accepted_by_one_split_whatever_the_alias_does_meanwhile() {
    let (function, [first, second, _]) = versions().await;
    let mut strict = leads(Migration::Pin, &[(&second, 100)]);
    let mut limits = FunctionLimits::clone(first.limits());
    limits.message_bytes = 1;
    strict.limits = Arc::new(limits);
    let request = UpgradeRequest {
        route_params: vec![("room".into(), "room".into())],
        ..UpgradeRequest::default()
    };
    let accepted = function.upgrade(request.clone()).await;
    let accepted = accepted.unwrap().unwrap();
    function.replace(strict);
    let served: Vec<_> = accepted.split.shares.iter().collect();
    assert_eq!(served.len(), 1);
    assert!(Arc::ptr_eq(&served[0].0, &first));
    assert_eq!(accepted.split.limits, *first.limits());
    let later = function.upgrade(request).await;
    assert_eq!(later.unwrap().unwrap().split.limits.message_bytes, 1);
}

#[tokio::test]
async fn a_quiet_connection_goes_where_it_was_last_moved_to() {
    for later in [Migration::Drain, Migration::Pin] {
        let (function, [first, second, third]) = versions().await;
        let mut quiet = Line::open_in(&function, "room").await;
        let served_by = |line: &Line| line.owner.connection().server().0;
        assert_eq!(served_by(&quiet), first.digest().stamp());
        function.replace(leads(Migration::Migrate, &[(&second, 100)]));
        function.replace(leads(later, &[(&third, 100)]));
        assert!(quiet.binding.is_left_behind());
        quiet.is_served("after two deploys").await;
        assert_eq!(served_by(&quiet), second.digest().stamp(), "{later:?}");
    }
}

#[tokio::test]
async fn a_quiet_connection_is_not_left_behind_when_its_next_version_is_served() {
    let (function, [_, second, third]) = versions().await;
    let mut quiet = Line::open_in(&function, "room").await;
    function.replace(leads(Migration::Migrate, &[(&second, 100)]));
    function.replace(leads(Migration::Drain, &[(&second, 90), (&third, 10)]));
    assert!(!quiet.binding.is_left_behind());
    // If its version is removed meanwhile, the connection goes where the alias
    // leads.
    function.replace(leads(Migration::Drain, &[(&third, 100)]));
    function.retain(|digest| digest != second.digest());
    assert!(!quiet.binding.is_left_behind());
    quiet.is_served("by the last one").await;
    assert_eq!(quiet.owner.connection().server().0, third.digest().stamp());
}

#[tokio::test]
async fn a_quiet_connection_stays_when_its_version_serves_again() {
    for later in [Migration::Drain, Migration::Pin] {
        let (function, [first, second, third]) = versions().await;
        let mut quiet = Line::open_in(&function, "room").await;
        let mut quieter = Line::open_in(&function, "room").await;
        let served_by = |line: &Line| line.owner.connection().server().0;
        function.replace(leads(Migration::Migrate, &[(&second, 100)]));
        function.replace(leads(later, &[(&first, 100)]));
        assert!(!quiet.binding.is_left_behind());
        quiet.is_served("by the version it had").await;
        assert_eq!(served_by(&quiet), first.digest().stamp(), "{later:?}");
        // A connection that has slept through another move is there, too.
        function.replace(leads(later, &[(&third, 100)]));
        assert!(quieter.binding.is_left_behind());
        quieter.is_served("by the same").await;
        assert_eq!(served_by(&quieter), first.digest().stamp(), "{later:?}");
        assert_eq!(second.connections(), 0);
    }
}

#[tokio::test]
async fn a_quiet_connection_follows_where_only_a_part_is_led_back() {
    let (function, [first, second, _]) = versions().await;
    let mut quiet = Line::open_in(&function, "room").await;
    function.replace(leads(Migration::Migrate, &[(&second, 100)]));
    function.replace(leads(Migration::Pin, &[(&second, 50), (&first, 50)]));
    quiet.is_served("by the version it was led to").await;
    assert_eq!(quiet.owner.connection().server().0, second.digest().stamp());
}

#[tokio::test]
async fn a_drain_finds_a_connection_by_the_version_that_it_waits_for() {
    let (function, [_, second, _]) = versions().await;
    let mut waiting = Line::open_in(&function, "room").await;
    let failing = InstancePolicy {
        faults_in_a_row: 1,
        ..second.policy().clone()
    };
    assert!(second.backoff.fail(1, &failing).is_some());
    function.replace(leads(Migration::Migrate, &[(&second, 100)]));
    waiting.text("when the back-off is over");
    assert!(waiting.binding.is_delayed());
    assert_eq!(
        waiting.owner.connection().server().0,
        second.digest().stamp()
    );
}

#[tokio::test]
async fn no_version_of_a_function_that_drains_backs_off() {
    let runtime = runtime_of(10);
    let bytes = std::fs::read(openline_guests::ECHO).unwrap();
    let first = runtime.load_alone(&config(), bytes).await.unwrap();
    let failing = InstancePolicy {
        faults_in_a_row: 1,
        ..InstancePolicy::default()
    };
    assert!(first.backoff.fail(1, &failing).is_some());
    first.commons().lift_backoffs();
    let later = next_version(&runtime, &first, 2).await;
    for version in [first, later] {
        assert_eq!(version.backoff.fail(1, &failing), None);
        assert_eq!(version.backed_off(), None);
    }
}
