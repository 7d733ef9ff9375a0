//! Instances that end without a fault of a handler: through a panic in the
//! host's own code while a function calls it, and because a component does not
//! start any more. Which connections get an outcome, and which notice nothing.

use std::sync::Arc;
use std::time::Duration;

use openline_channels::connection::{Item, Next};
use openline_channels::hub::Hub;
use openline_core::config::ServerConfig;
use openline_core::event::UpgradeRequest;
use openline_core::fault::Fault;
use openline_core::message::Message;
use openline_store::Store;

use super::{DEFECT, Line, config, runtime_of};
use crate::front::alias::Alias;
use crate::front::binding::Outcome;
use crate::front::runtime::{Runtime, RuntimeOptions};
use crate::pool::version::UpgradeError;

async fn function(component: &str) -> Arc<Alias> {
    let bytes = std::fs::read(component).unwrap();
    Alias::to(runtime_of(4).load_alone(&config(), bytes).await.unwrap())
}

#[tokio::test]
async fn a_panic_of_the_host_ends_the_calls_in_flight_and_nothing_else() {
    for component in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let function = function(component).await;
        let mut failing = Line::open(&function).await;
        let mut idle = Line::open(&function).await;
        idle.is_served("before").await;
        assert_eq!(function.instances(), 1);
        failing.text(DEFECT);
        assert_eq!(failing.outcome().await, Outcome::Fault(Fault::Host));
        // It gets a new seat, and so does the `close` of the one that failed.
        idle.is_served("after").await;
        failing.is_served("after").await;
        assert_eq!(function.instances(), 1);
        // The next peer is served.
        Line::open(&function).await.is_served("later").await;
    }
}

#[tokio::test]
async fn an_event_is_handled_by_who_brings_it() {
    let function = function(openline_guests::ECHO).await;
    let mut line = Line::open(&function).await;
    line.is_served("first").await;
    // Nothing is awaited, so no other task gets the thread meanwhile.
    line.text("at once");
    assert_eq!(line.binding.outcome(), Some(Outcome::Done));
    let echo = Item::Message(Message::Text("at once".into()));
    assert_eq!(line.owner.next(), Next::Item(echo));
}

#[tokio::test]
async fn what_waited_behind_a_panic_of_the_host_is_handled_by_a_new_instance() {
    let mut config = config();
    config.instance.idle_timeout = Duration::ZERO;
    let bytes = std::fs::read(openline_guests::ECHO).unwrap();
    let function = Alias::to(runtime_of(4).load_alone(&config, bytes).await.unwrap());
    let mut failing = Line::open(&function).await;
    let mut waiting = Line::open(&function).await;
    let gone = async {
        while function.instances() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
    gone.expect("an instance with nothing to do ends");
    // Both are in the mailbox of a new instance before its task gets the
    // thread.
    failing.text(DEFECT);
    waiting.text("behind");
    assert_eq!(function.instances(), 1);
    assert_eq!(failing.binding.outcome(), None);
    assert_eq!(failing.outcome().await, Outcome::Fault(Fault::Host));
    assert_eq!(waiting.outcome().await, Outcome::Done);
    let echo = Item::Message(Message::Text("behind".into()));
    assert_eq!(waiting.owner.next(), Next::Item(echo));
}

#[tokio::test]
async fn a_component_that_keeps_failing_at_start_leaves_nothing_and_nobody_waiting() {
    for component in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let runtime = runtime_of(4);
        let mut config = config();
        // The component's memory alone is larger.
        config.instance.memory_bytes = 64 * 1024;
        let bytes = std::fs::read(component).unwrap();
        config.instance.faults_in_a_row = 0;
        let commons = runtime.commons(&config.name, &Store::memory(0), Arc::new(Hub::alone()));
        let untried = runtime.load_untried(&config, bytes, &commons, None).await;
        let function = Alias::to(untried.unwrap());
        // More often than the host may have instances.
        for _ in 0..10 {
            // Both wait for one instance.
            let (first, second) = tokio::join!(
                function.upgrade(UpgradeRequest::default()),
                function.upgrade(UpgradeRequest::default())
            );
            for refused in [first.unwrap_err(), second.unwrap_err()] {
                assert_eq!(refused, UpgradeError::Fault(Fault::Start));
            }
        }
        assert_eq!(function.instances(), 0);
        let gone = async {
            while runtime.instances() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
        gone.expect("each gives its place back");
    }
}

#[tokio::test]
async fn a_start_for_which_the_pools_have_no_room_is_no_fault_of_the_function() {
    for component in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let runtime = Arc::new(
            Runtime::new(RuntimeOptions {
                instances: 2,
                trials: 0,
                ..RuntimeOptions::new(&ServerConfig::default(), None)
            })
            .unwrap(),
        );
        let mut config = config();
        config.instance.concurrency = 1;
        config.instance.faults_in_a_row = 1;
        let bytes = std::fs::read(component).unwrap();
        let commons = runtime.commons(&config.name, &Store::memory(0), Arc::new(Hub::alone()));
        // Each instance claims to need no place, so more are made than fit.
        let untried = runtime.load_untried(&config, bytes, &commons, Some(0));
        let version = untried.await.unwrap();
        let function = Alias::to(Arc::clone(&version));
        let mut served = Vec::new();
        for _ in 0..2 {
            let request = function.upgrade(UpgradeRequest::default());
            served.push(request.await.unwrap().unwrap());
        }
        for _ in 0..3 {
            let refused = function.upgrade(UpgradeRequest::default()).await;
            assert_eq!(refused.unwrap_err(), UpgradeError::Full);
        }
        assert_eq!(version.backed_off(), None);
    }
}

#[tokio::test]
async fn guest_code_is_interrupted_also_when_the_runtime_is_dropped() {
    let mut config = config();
    config.limit.cpu_timeout = Duration::from_millis(20);
    let bytes = std::fs::read(openline_guests::FAULT_COMPUTE).unwrap();
    let function = Alias::to(runtime_of(4).load_alone(&config, bytes).await.unwrap());
    let mut line = Line::open(&function).await;
    line.text("compute");
    assert_eq!(line.outcome().await, Outcome::Fault(Fault::CpuTimeout));
}
