//! Connections that wait for a place: none is overtaken for good, none is begun
//! during a back-off, an upgrade that no place became free for is not the
//! function's fault, and a function keeps its part.

use std::sync::Arc;
use std::time::Duration;

use openline_core::config::FunctionConfig;
use openline_core::deployment::Migration;
use openline_core::event::UpgradeRequest;
use openline_core::fault::Fault;

use super::rooms::{leads, live, next_version, put_to_sleep};
use super::{Line, config, runtime_of};
use crate::front::alias::Alias;
use crate::front::binding::Outcome;
use crate::front::runtime::Runtime;
use crate::pool::version::UpgradeError;

/// Nothing ends during a test unless something has it end.
const LONG: Duration = Duration::from_secs(600);

/// A function whose messages come back after the time that they name, with
/// instances that do not end by themselves.
async fn sleeper(runtime: &Arc<Runtime>, change: impl FnOnce(&mut FunctionConfig)) -> Arc<Alias> {
    let mut config = config();
    config.instance.idle_timeout = LONG;
    config.instance.concurrency = 1;
    config.limit.handler_timeout = LONG;
    change(&mut config);
    let bytes = std::fs::read(openline_guests::FAULT_SLEEP).unwrap();
    Alias::to(runtime.load_alone(&config, bytes).await.unwrap())
}

fn into(room: &str) -> UpgradeRequest {
    UpgradeRequest {
        route_params: vec![("room".into(), room.into())],
        ..UpgradeRequest::default()
    }
}

#[tokio::test]
async fn a_room_that_waits_for_its_last_version_keeps_its_place_in_the_new_one() {
    let runtime = runtime_of(100);
    let function = sleeper(&runtime, |config| {
        config.instance.affinity = Some("room".into());
        config.instance.concurrency = 2;
        config.instance.instances = 2;
    })
    .await;
    let first = Arc::clone(&function.split().shares[0].0);
    let second = next_version(&runtime, &first, 2).await;
    let mut busy = Line::open_in(&function, "one").await;
    let mut waiting = Line::open_in(&function, "one").await;
    busy.text("500");
    function.replace(leads(Migration::Migrate, &[(&second, 100)]));
    waiting.text("queued behind the call of the last version");
    // Two rooms would fill the new version, and nothing would have them end.
    let _other = Line::open_in(&function, "two").await;
    let third = function.upgrade(into("three")).await;
    assert_eq!(busy.outcome().await, Outcome::Done);
    assert_eq!(waiting.outcome().await, Outcome::Done);
    assert_eq!(third.err(), Some(UpgradeError::Full), "it has none before");
}

#[tokio::test]
async fn an_upgrade_that_no_place_becomes_free_for_is_no_fault_of_its_function() {
    let runtime = runtime_of(1);
    let first = sleeper(&runtime, |_| {}).await;
    let second = sleeper(&runtime, |config| {
        config.limit.upgrade_timeout = Duration::from_millis(50);
    })
    .await;
    let mut busy = Line::open(&first).await;
    busy.text("600000");
    let refused = second.upgrade(UpgradeRequest::default()).await;
    assert_eq!(refused.err(), Some(UpgradeError::Full));
}

#[tokio::test]
async fn what_is_queued_when_a_back_off_begins_waits_for_its_end() {
    let runtime = runtime_of(10);
    let mut config = config();
    config.instance.instances = 1;
    config.instance.concurrency = 1;
    config.instance.idle_timeout = Duration::ZERO;
    config.instance.faults_in_a_row = 2;
    config.instance.backoff_time = LONG;
    config.instance.backoff_time_max = LONG;
    let bytes = std::fs::read(openline_guests::FAULT_TRAP).unwrap();
    let function = Alias::to(runtime.load_alone(&config, bytes).await.unwrap());
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(Line::open(&function).await);
        // The next one finds room when this one's instance is gone.
        while function.instances() > 0 {
            tokio::task::yield_now().await;
        }
    }
    let [first, second, third] = &mut lines[..] else {
        panic!("three lines");
    };
    first.text("trap");
    second.text("trap");
    third.text("after the back-off");
    for failing in [first, second] {
        assert_eq!(failing.outcome().await, Outcome::Fault(Fault::Trap));
    }
    let delayed = async {
        while !third.binding.is_delayed() {
            assert_eq!(third.binding.outcome(), None, "it is given nothing");
            tokio::task::yield_now().await;
        }
    };
    let delayed = tokio::time::timeout(Duration::from_secs(20), delayed).await;
    delayed.expect("its event waits for the end of the back-off");
}

#[tokio::test]
async fn a_function_within_its_part_keeps_what_it_has_while_another_wants_much_more() {
    let runtime = runtime_of(4);
    let quiet = |config: &mut FunctionConfig| config.instance.faults_in_a_row = 0;
    let modest = sleeper(&runtime, quiet).await;
    let greedy = sleeper(&runtime, quiet).await;
    let mut crowd = Vec::new();
    for _ in 0..8 {
        let mut line = Line::open(&greedy).await;
        put_to_sleep(std::slice::from_mut(&mut line)).await;
        crowd.push(line);
    }
    let mut third = Line::open(&modest).await;
    put_to_sleep(std::slice::from_mut(&mut third)).await;
    let mut first = Line::open(&modest).await;
    let mut second = Line::open(&modest).await;
    let before = live(&modest);
    assert_eq!(before.len(), 2);
    // Nothing is awaited until all of them wait for two places.
    for line in &mut crowd {
        line.text("one of many");
    }
    third.text("needs one place");
    assert_eq!(third.outcome().await, Outcome::Done);
    for line in &mut crowd {
        assert_eq!(line.outcome().await, Outcome::Done);
    }
    let kept = live(&modest);
    assert!(kept.contains(&before[1]), "{before:?}, then {kept:?}");
    assert_eq!(kept.len(), 2);
    for line in [&mut first, &mut second] {
        line.is_served("like before").await;
    }
}
