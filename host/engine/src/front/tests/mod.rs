//! Instances that end for no fault of a handler: a panic in the host's own code
//! while a function calls it, and a component that does not start any more. Who
//! is told, and who notices nothing. The defect is compiled into these tests
//! only.

use std::sync::Arc;
use std::time::Duration;

use openline_channels::budget::HostBudget;
use openline_channels::connection::{Connection, Facts, Item, Next};
use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::event::{Event, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::message::Message;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_store::Store;

use crate::contract::bindings::types;
use crate::deadlocks::watch_for_deadlocks;
use crate::front::alias::Alias;
use crate::front::binding::{Binding, Outcome};
use crate::front::runtime::{Runtime, RuntimeOptions};
use crate::pool::version::UpgradeError;

mod rooms;

pub(crate) const DEFECT: &str = "have the host panic";

/// Panics upon one text: a defect of the host that a function can reach.
pub(crate) fn meet_a_defect(message: &types::Message) {
    if matches!(message, types::Message::Text(text) if text == DEFECT) {
        panic!("this is the defect that was asked for");
    }
}

pub(crate) struct Line {
    pub(crate) connection: Arc<Connection>,
    pub(crate) binding: Binding,
}

impl Line {
    pub(crate) async fn open(function: &Arc<Alias>) -> Self {
        Self::ask(function, UpgradeRequest::default()).await
    }

    /// In a room, the affinity value.
    pub(crate) async fn open_in(function: &Arc<Alias>, room: &str) -> Self {
        let request = UpgradeRequest {
            route_params: vec![("room".into(), room.into())],
            ..UpgradeRequest::default()
        };
        Self::ask(function, request).await
    }

    async fn ask(function: &Arc<Alias>, request: UpgradeRequest) -> Self {
        let accepted = function.upgrade(request).await.unwrap().unwrap();
        let connection = Arc::new(Connection::new(
            Facts::default(),
            function.limits(),
            HostBudget::new(1 << 20, 1 << 20).function(),
        ));
        let binding = function.bind(Arc::clone(&connection), accepted.place);
        let mut line = Self {
            connection,
            binding,
        };
        line.give(Event::Open);
        assert_eq!(line.outcome().await, Outcome::Done);
        line
    }

    pub(crate) fn give(&mut self, event: Event) {
        self.binding.dispatch(event).unwrap();
    }

    pub(crate) fn text(&mut self, text: &'static str) {
        self.give(Event::Messages(vec![Message::Text(text.into())]));
    }

    pub(crate) async fn outcome(&mut self) -> Outcome {
        let told = std::future::poll_fn(|cx| {
            self.connection.register(cx.waker());
            match self.binding.outcome() {
                Some(outcome) => std::task::Poll::Ready(outcome),
                None => std::task::Poll::Pending,
            }
        });
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        told.expect("nobody is left without an outcome")
    }

    /// That the function echoes.
    pub(crate) async fn is_served(&mut self, text: &'static str) {
        self.text(text);
        assert_eq!(self.outcome().await, Outcome::Done);
        let echo = Item::Message(Message::Text(text.into()));
        assert_eq!(self.connection.next(), Next::Item(echo));
    }
}

fn runtime() -> Arc<Runtime> {
    runtime_of(4)
}

/// With so many instances.
pub(crate) fn runtime_of(instances: u32) -> Arc<Runtime> {
    watch_for_deadlocks();
    let options = RuntimeOptions {
        instances,
        ..RuntimeOptions::new(&ServerConfig::default(), None)
    };
    Arc::new(Runtime::new(options).unwrap())
}

pub(crate) fn config() -> FunctionConfig {
    let name = FunctionName::new("echo").unwrap();
    FunctionConfig::new(name, None, Route::new("/").unwrap())
}

async fn function(component: &str) -> Arc<Alias> {
    let bytes = std::fs::read(component).unwrap();
    Alias::to(runtime().load_alone(&config(), bytes).await.unwrap())
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
        // Bound anew, as is the close of the one that failed.
        idle.is_served("after").await;
        failing.is_served("after").await;
        assert_eq!(function.instances(), 1);
        // And the next peer is served.
        Line::open(&function).await.is_served("later").await;
    }
}

#[tokio::test]
async fn an_event_is_handled_by_who_brings_it() {
    let function = function(openline_guests::ECHO).await;
    let mut line = Line::open(&function).await;
    line.is_served("first").await;
    // Nothing is awaited: no other task has the thread meanwhile.
    line.text("at once");
    assert_eq!(line.binding.outcome(), Some(Outcome::Done));
    let echo = Item::Message(Message::Text("at once".into()));
    assert_eq!(line.connection.next(), Next::Item(echo));
}

#[tokio::test]
async fn what_waited_behind_a_panic_of_the_host_is_handled_by_a_new_instance() {
    let mut config = config();
    config.instance.idle_timeout = Duration::ZERO;
    let bytes = std::fs::read(openline_guests::ECHO).unwrap();
    let function = Alias::to(runtime().load_alone(&config, bytes).await.unwrap());
    let mut failing = Line::open(&function).await;
    let mut waiting = Line::open(&function).await;
    let gone = async {
        while function.instances() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
    gone.expect("an instance with nothing to do ends");
    // Both are in the mailbox of a new instance before that has the thread.
    failing.text(DEFECT);
    waiting.text("behind");
    assert_eq!(function.instances(), 1);
    assert_eq!(failing.binding.outcome(), None);
    assert_eq!(failing.outcome().await, Outcome::Fault(Fault::Host));
    assert_eq!(waiting.outcome().await, Outcome::Done);
    let echo = Item::Message(Message::Text("behind".into()));
    assert_eq!(waiting.connection.next(), Next::Item(echo));
}

#[tokio::test]
async fn a_component_that_keeps_failing_at_start_leaves_nothing_and_nobody_waiting() {
    for component in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let runtime = runtime();
        let mut config = config();
        // Its memory alone is larger.
        config.instance.memory_bytes = 64 * 1024;
        let bytes = std::fs::read(component).unwrap();
        config.instance.faults_in_a_row = 0;
        let commons = runtime.commons(&config.name, &Store::memory(0));
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
        let commons = runtime.commons(&config.name, &Store::memory(0));
        // Each is believed to need nothing, so more are made than fit.
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
    let function = Alias::to(runtime().load_alone(&config, bytes).await.unwrap());
    let mut line = Line::open(&function).await;
    line.text("compute");
    assert_eq!(line.outcome().await, Outcome::Fault(Fault::CpuTimeout));
}
