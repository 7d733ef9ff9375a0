//! Requests that firewall functions decide about: what they see and answer, how
//! they fail, how their calls wait, and which version decides.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use openline_core::config::FunctionConfig;
use openline_core::deployment::Migration;
use openline_core::event::UpgradeRequest;
use openline_core::fault::Fault;
use openline_core::inspection::{Answered, Inspection, Verdict};
use openline_core::name::{FunctionName, TriggerName};
use openline_core::trigger::TriggerPlace;

use super::rooms::leads;
use super::{Line, config, runtime_of};
use crate::front::alias::Alias;
use crate::front::runtime::Runtime;
use crate::pool::version::{InspectError, UpgradeError, Version};

const PATIENCE: Duration = Duration::from_secs(20);
/// A change of a function's configuration.
type Change = fn(&mut FunctionConfig);

/// Long enough for an instance to start on a busy machine.
const IMPATIENCE: Duration = Duration::from_secs(2);
/// Nothing ends during a test unless something has it end.
const LONG: Duration = Duration::from_secs(600);

const BOTH: [&str; 2] = [
    openline_guests::FAULT_FIREWALL,
    openline_guests::FAULT_FIREWALL_ASYNC,
];

async fn version(
    runtime: &Runtime,
    component: &str,
    change: impl FnOnce(&mut FunctionConfig),
) -> Arc<Version> {
    let mut config = config();
    config.instance.idle_timeout = LONG;
    config.limit.handler_timeout = LONG;
    config.limit.upgrade_timeout = LONG;
    config.limit.cpu_timeout = PATIENCE;
    change(&mut config);
    let bytes = std::fs::read(component).unwrap();
    runtime.load_alone(&config, bytes).await.unwrap()
}

async fn function(component: &str, change: impl FnOnce(&mut FunctionConfig)) -> Arc<Alias> {
    Alias::to(version(&runtime_of(10), component, change).await)
}

/// Another version of the same function, with the same limits.
async fn next(runtime: &Runtime, before: &Arc<Version>, component: &str) -> Arc<Version> {
    let mut bytes = std::fs::read(component).unwrap();
    // A custom section, so that the digest is another one.
    bytes.extend([0, 2, 1, 1]);
    let config = FunctionConfig {
        limit: (**before.limits()).clone(),
        instance: before.policy().clone(),
        ..config()
    };
    let loaded = runtime.load(&config, bytes, before.commons(), None).await;
    loaded.unwrap()
}

/// A request with these orders.
fn request(orders: &str) -> Inspection {
    Inspection {
        method: "POST".into(),
        scheme: "https".into(),
        host: Some("example.org".into()),
        path: "/a".into(),
        query: Some("b=c".into()),
        headers: vec![("do".into(), orders.as_bytes().to_vec())],
        peer: Ipv4Addr::new(192, 0, 2, 1).into(),
        peer_port: Some(7),
        tls: None,
        id: "the-id".into(),
        target: Some(TriggerPlace {
            function: FunctionName::new("chat").unwrap(),
            trigger: TriggerName::new("room").unwrap(),
        }),
        claims: Some("{\"sub\":\"ann\"}".into()),
    }
}

async fn ask(function: &Arc<Alias>, orders: &str) -> Result<Verdict, InspectError> {
    let asked = tokio::time::timeout(PATIENCE, function.inspect(request(orders))).await;
    asked.expect("every request gets a verdict or an error")
}

/// Begins a call that goes on.
async fn begin(
    function: &Arc<Alias>,
    orders: &'static str,
) -> tokio::task::JoinHandle<Result<Verdict, InspectError>> {
    let before = connections(function);
    let asked = Arc::clone(function);
    let asking = tokio::spawn(async move { ask(&asked, orders).await });
    eventually(|| connections(function) > before).await;
    asking
}

/// The calls and connections of all versions.
fn connections(function: &Arc<Alias>) -> u32 {
    let versions = function.commons().versions();
    versions.iter().map(|version| version.connections()).sum()
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, waiting).await;
    came.expect("it comes to hold");
}

/// An allowance, with the number of calls that the instance has had.
fn allowed(calls: u32) -> Result<Verdict, InspectError> {
    let header = ("inspected".into(), calls.to_string().into_bytes());
    Ok(Verdict::Allow(vec![header]))
}

#[tokio::test]
async fn a_function_sees_the_request_and_its_answer_is_taken_over_whole() {
    for component in BOTH {
        let function = function(component, |_| {}).await;
        assert_eq!(ask(&function, "").await, allowed(1));
        assert_eq!(ask(&function, "").await, allowed(2), "its memory lasts");
        let denied = ask(&function, "deny=418 type=a/b body=no").await;
        let answered = Answered {
            status: 418,
            content_type: Some("a/b".into()),
            body: "no".into(),
        };
        assert_eq!(denied, Ok(Verdict::Deny(answered)));
        assert_eq!(ask(&function, "drop").await, Ok(Verdict::Drop));
        let Ok(Verdict::Respond(shown)) = ask(&function, "show").await else {
            panic!("{component}")
        };
        let shown = String::from_utf8(shown.body.to_vec()).unwrap();
        let expected = "method POST\nscheme https\nhost example.org\npath /a\nquery b=c\n\
            peer 192.0.2.1 true\ntls none\nid the-id\ntarget chat/room\n\
            claims {\"sub\":\"ann\"}\ndo: show\n";
        assert_eq!(shown, expected);
        assert_eq!(connections(&function), 0);
    }
}

#[tokio::test]
async fn a_call_that_fails_is_its_functions_fault_and_the_next_one_is_not() {
    // Each has one limit that it meets, whatever else the machine does.
    let cases: [(&str, Fault, Change); 4] = [
        ("trap", Fault::Trap, |_| {}),
        ("compute", Fault::CpuTimeout, |config| {
            config.limit.cpu_timeout = Duration::from_millis(100);
        }),
        ("grow", Fault::Memory, |config| {
            config.instance.memory_bytes = 8 << 20;
        }),
        ("sleep=600000", Fault::HandlerTimeout, |config| {
            config.limit.handler_timeout = IMPATIENCE;
        }),
    ];
    for component in BOTH {
        for (orders, fault, limit) in cases {
            let function = function(component, limit).await;
            let failed = ask(&function, orders).await;
            assert_eq!(failed, Err(InspectError::Fault(fault)), "{component}");
            // A new instance, with a new count.
            assert_eq!(ask(&function, "").await, allowed(1));
        }
    }
}

/// The memory of an instance is small, and its calls pass 2 MB of parameters.
#[tokio::test]
async fn decisions_leave_nothing_behind_in_an_instance() {
    for component in BOTH {
        let small = |config: &mut FunctionConfig| config.instance.memory_bytes = 2 << 20;
        let function = function(component, small).await;
        for calls in 1..=12_000 {
            assert_eq!(ask(&function, "").await, allowed(calls), "{component}");
        }
    }
    for component in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let small = |config: &mut FunctionConfig| config.instance.memory_bytes = 2 << 20;
        let function = function(component, small).await;
        for _ in 0..16_000 {
            let decided = function.upgrade(UpgradeRequest::default()).await;
            assert!(decided.is_ok_and(|it| it.is_ok()), "{component}");
        }
    }
}

#[tokio::test]
async fn fuel_of_a_call() {
    for component in BOTH {
        let metered = |config: &mut FunctionConfig| config.limit.fuel_per_event = 10_000_000;
        let function = function(component, metered).await;
        let failed = ask(&function, "compute").await;
        assert_eq!(failed, Err(InspectError::Fault(Fault::Fuel)));
        for calls in 1..=3 {
            assert_eq!(ask(&function, "").await, allowed(calls), "each has its own");
        }
    }
}

#[tokio::test]
async fn one_that_allows_everything_after_a_second_is_in_time_or_not() {
    for component in BOTH {
        let patient = function(component, |_| {}).await;
        assert_eq!(ask(&patient, "sleep=1000").await, allowed(1));
        let impatient = function(component, |config| {
            config.limit.handler_timeout = IMPATIENCE;
        })
        .await;
        let failed = ask(&impatient, "sleep=600000").await;
        assert_eq!(failed, Err(InspectError::Fault(Fault::HandlerTimeout)));
        // The wait for the answer is bounded in all, too.
        let impatient = function(component, |config| {
            config.limit.upgrade_timeout = IMPATIENCE;
        })
        .await;
        let failed = ask(&impatient, "sleep=600000").await;
        assert_eq!(failed, Err(InspectError::Fault(Fault::HandlerTimeout)));
    }
}

#[tokio::test]
async fn as_many_calls_wait_as_there_are_seats_and_one_more_is_refused() {
    for component in BOTH {
        let function = function(component, |config| {
            config.instance.instances = 2;
            config.instance.concurrency = 2;
        })
        .await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(begin(&function, "sleep=600000").await);
        }
        assert_eq!(ask(&function, "").await, Err(InspectError::Full));
        // One that goes away gives its seat back, whether its turn came or not.
        let gone = held.pop().unwrap();
        gone.abort();
        let _ = gone.await;
        if component == openline_guests::FAULT_FIREWALL {
            // The plain instances are busy with their first calls; the last one
            // was still waiting for its turn.
            let last = begin(&function, "").await;
            assert_eq!(ask(&function, "").await, Err(InspectError::Full));
            last.abort();
        }
        held.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn a_call_that_no_place_becomes_free_for_is_no_fault_of_its_function() {
    let runtime = runtime_of(1);
    let first = version(&runtime, openline_guests::FAULT_FIREWALL, |_| {}).await;
    let first = Alias::to(first);
    let second = version(&runtime, openline_guests::FAULT_FIREWALL, |config| {
        config.limit.upgrade_timeout = Duration::from_millis(50);
    });
    let second = Alias::to(second.await);
    let busy = begin(&first, "sleep=600000").await;
    assert_eq!(ask(&second, "").await, Err(InspectError::Full));
    busy.abort();
}

/// A peer chooses what its requests do: those that make the function fail, however
/// many they are, must not deny the others'.
#[tokio::test]
async fn requests_that_make_it_fail_keep_no_others_out() {
    for component in BOTH {
        let function = function(component, |config| {
            config.instance.faults_in_a_row = 1;
            config.instance.backoff_time = LONG;
            config.instance.backoff_time_max = LONG;
        })
        .await;
        let trap = Err(InspectError::Fault(Fault::Trap));
        for _ in 0..10 {
            assert_eq!(ask(&function, "trap").await, trap, "{component}");
        }
        assert_eq!(ask(&function, "").await, allowed(1), "{component}");
    }
}

#[tokio::test]
async fn a_canary_decides_about_its_share_of_the_requests() {
    let runtime = runtime_of(10);
    let component = openline_guests::FAULT_FIREWALL;
    let first = version(&runtime, component, |_| {}).await;
    let second = next(&runtime, &first, component).await;
    let function = Alias::to(Arc::clone(&first));
    function.replace(leads(Migration::Migrate, &[(&first, 90), (&second, 10)]));
    for _ in 0..98 {
        assert!(ask(&function, "").await.is_ok());
    }
    // Each version counts its own; the next two bring them to a hundred.
    let mut counts = Vec::new();
    for _ in 0..2 {
        let Ok(Verdict::Allow(headers)) = ask(&function, "").await else {
            panic!()
        };
        let count = String::from_utf8(headers[0].1.clone()).unwrap();
        counts.push(count.parse::<u32>().unwrap());
    }
    let asked = |version: &Arc<Version>| version.instances();
    assert_eq!((asked(&first), asked(&second)), (1, 1));
    let last = ask(&function, "").await;
    assert!(
        last == allowed(91) || last == allowed(11),
        "{counts:?} {last:?}"
    );
}

#[tokio::test]
async fn a_call_ends_in_the_version_that_it_began_in_and_later_ones_meet_the_new_one() {
    for component in BOTH {
        let runtime = runtime_of(10);
        let first = version(&runtime, component, |_| {}).await;
        let function = Alias::to(Arc::clone(&first));
        assert_eq!(ask(&function, "").await, allowed(1));
        let second = next(&runtime, &first, component).await;
        let held = begin(&function, "sleep=500").await;
        function.replace(leads(Migration::Migrate, &[(&second, 100)]));
        assert_eq!(ask(&function, "").await, allowed(1), "the new version");
        assert_eq!(held.await.unwrap(), allowed(2), "the old one");
        eventually(|| first.instances() == 0).await;
        assert_eq!(ask(&function, "").await, allowed(2));
    }
}

#[tokio::test]
async fn what_waits_for_its_turn_in_the_last_version_is_asked_of_the_new_one() {
    let runtime = runtime_of(10);
    let component = openline_guests::FAULT_FIREWALL;
    let first = version(&runtime, component, |config| config.instance.instances = 1).await;
    let function = Alias::to(Arc::clone(&first));
    let second = next(&runtime, &first, component).await;
    let held = begin(&function, "sleep=500").await;
    let waiting = begin(&function, "").await;
    function.replace(leads(Migration::Migrate, &[(&second, 100)]));
    // It was requested before, so the old instance still does it.
    assert_eq!(held.await.unwrap(), allowed(1));
    assert_eq!(waiting.await.unwrap(), allowed(2));
    assert_eq!(ask(&function, "").await, allowed(1));
}

#[tokio::test]
async fn a_version_without_the_handler_is_not_asked() {
    let echo = function(openline_guests::ECHO, |_| {}).await;
    assert_eq!(ask(&echo, "").await, Err(InspectError::NoHandler));
    assert_eq!(echo.instances(), 0);
    // Nor has one that only inspects connections.
    let inspects = function(openline_guests::FAULT_FIREWALL, |_| {}).await;
    let asked = inspects.upgrade(UpgradeRequest::default()).await;
    assert_eq!(asked.err(), Some(UpgradeError::Fault(Fault::Start)));
    assert_eq!(ask(&inspects, "").await, allowed(1), "it goes on");
    // And one may have both, in whatever order they come.
    let both = function(openline_guests::FAULT_FIREWALL_ASYNC, |_| {}).await;
    let mut line = Line::open(&both).await;
    assert_eq!(ask(&both, "").await, allowed(1));
    line.is_served("hello").await;
    assert_eq!(both.instances(), 1);
}

#[tokio::test]
async fn affinity_is_for_connections_only() {
    let function = function(openline_guests::FAULT_FIREWALL_ASYNC, |config| {
        config.instance.affinity = Some("room".into());
    })
    .await;
    let mut line = Line::open_in(&function, "one").await;
    assert_eq!(ask(&function, "").await, allowed(1));
    assert_eq!(ask(&function, "").await, allowed(2));
    line.is_served("hello").await;
    assert_eq!(function.instances(), 2, "one for the room, one to inspect");
}
