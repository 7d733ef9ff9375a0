//! Instances: how many there are, which connections share one, and when one
//! ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use futures_util::FutureExt;
use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::event::UpgradeRequest;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::LoadError;
use openline_engine::alias::Alias;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_engine::version::UpgradeError;

use crate::harness::{AdminHost, Client, Host, eventually, runtime, within};

/// Asks again until the end of another connection has made room.
async fn connect_once_there_is_room(host: &Host, path: &str) -> Client {
    let asking = async {
        loop {
            match Client::open(host.address, path, &[]).await {
                Ok(client) => return client,
                Err(refused) => assert_eq!(refused.status, 503, "{refused:?}"),
            }
        }
    };
    within("room in an instance", asking).await
}

#[tokio::test]
async fn an_instance_takes_its_concurrency_and_the_next_connection_gets_another() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .instance(|instance| instance.concurrency = 3)
        .start()
        .await;
    let function = host.function("echo");
    assert_eq!(function.instances(), 0, "none before it is needed");
    let mut clients = Vec::new();
    for instances in [1, 1, 1, 2, 2, 2, 3] {
        clients.push(host.connect("/echo").await);
        assert_eq!(function.instances(), instances);
    }
    for client in &mut clients {
        assert_eq!(client.ask("x").await, "x");
    }
}

#[tokio::test]
async fn a_seat_that_is_free_is_taken_before_an_instance_is_made() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .instance(|instance| {
            instance.concurrency = 2;
            instance.instances = 2;
        })
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(host.connect("/echo").await);
    }
    // One connection leaves each instance; only two more find room.
    for index in [0, 1] {
        let mut leaving = clients.remove(index);
        leaving.close(1000, "").await;
        leaving.closed().await;
    }
    for _ in 0..2 {
        clients.push(connect_once_there_is_room(&host, "/echo").await);
    }
    assert_eq!(host.refused("/echo").await.status, 503);
    assert_eq!(host.function("echo").instances(), 2);
}

#[tokio::test]
async fn without_room_a_connection_is_refused_until_one_ends() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .instance(|instance| {
            instance.concurrency = 2;
            instance.instances = 2;
        })
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(host.connect("/echo").await);
    }
    let refused = host.refused("/echo").await;
    assert_eq!(refused.status, 503);
    let seconds: u32 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.headers["openline-error-type"], "no_capacity");
    // A refusal does not affect connections that have room.
    for client in &mut clients {
        assert_eq!(client.ask("x").await, "x");
    }
    clients.pop().unwrap().vanish();
    let mut client = connect_once_there_is_room(&host, "/echo").await;
    assert_eq!(client.ask("x").await, "x");
    assert_eq!(host.function("echo").instances(), 2);
}

#[tokio::test]
async fn a_connection_whose_instance_failed_is_served_when_others_have_taken_its_seat() {
    let host = Host::with(openline_guests::FAULT_TRAP, "/trap")
        .instance(|instance| {
            instance.concurrency = 2;
            instance.instances = 1;
        })
        .start()
        .await;
    let mut failing = host.connect("/trap").await;
    let mut homeless = host.connect("/trap").await;
    failing.text("trap").await;
    assert_eq!(failing.closed().await.code, 1011);
    // Others take all the room before its next event needs some.
    let mut first = connect_once_there_is_room(&host, "/trap").await;
    let mut second = connect_once_there_is_room(&host, "/trap").await;
    for round in ["1", "2", "3"] {
        for client in [&mut homeless, &mut first, &mut second] {
            assert_eq!(client.ask(round).await, round);
        }
        assert_eq!(host.function("fault-trap").instances(), 1);
    }
}

#[tokio::test]
async fn an_instance_that_a_deploy_has_asked_gives_its_place_back() {
    let runtime = runtime(1, |_| {});
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/numbered")
        .start_on(&runtime)
        .await;
    let next = std::fs::read(openline_guests::FAULT_VERSION_B).unwrap();
    let path = "/v1/functions/fault-version-a/versions?probe=true";
    let deployed = host
        .ask("POST", path, Some(("application/wasm", &next)))
        .await;
    assert_eq!(deployed.status, 201, "{}", deployed.value());
    host.connect("/numbered").await;
}

#[tokio::test]
async fn an_event_that_finds_no_room_on_the_host_waits_for_its_functions_turn() {
    let runtime = runtime(1, |_| {});
    let host = Host::with(openline_guests::ECHO, "/echo")
        .instance(|instance| instance.idle_timeout = Duration::ZERO)
        .and(openline_guests::FAULT_SLEEP, "/sleep")
        .start_on(&runtime)
        .await;
    let mut homeless = host.connect("/echo").await;
    eventually("its instance to be gone", || runtime.instances() == 0).await;
    // Another function takes the only place there is, and computes.
    let mut taking = host.connect("/sleep").await;
    taking.text("100").await;
    assert_eq!(homeless.ask("x").await, "x");
    assert_eq!(taking.next_text().await, "100");
    assert_eq!(taking.ask("0").await, "0");
}

#[tokio::test]
async fn a_room_has_one_instance_and_another_room_another() {
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| instance.affinity = Some("room".into()))
        .start()
        .await;
    let mut first = host.connect("/counter/red").await;
    let mut second = host.connect("/counter/red").await;
    assert_eq!(host.function("counter").instances(), 1);
    let mut other = host.connect("/counter/blue").await;
    assert_eq!(host.function("counter").instances(), 2);
    let mut late = host.connect("/counter/red").await;
    assert_eq!(host.function("counter").instances(), 2);
    // The room is counted in one place.
    assert_eq!(first.ask("add 2").await, "2");
    assert_eq!(second.next_text().await, "2");
    assert_eq!(second.ask("add 3").await, "5");
    assert_eq!(late.next_text().await, "2");
    assert_eq!(late.next_text().await, "5");
    assert_eq!(late.ask("get").await, "5");
    assert_eq!(other.ask("get").await, "0");
}

#[tokio::test]
async fn affinity_goes_by_the_decoded_value() {
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| instance.affinity = Some("room".into()))
        .start()
        .await;
    let mut plain = host.connect("/counter/a-b").await;
    let mut encoded = host.connect("/counter/a%2Db").await;
    assert_eq!(host.function("counter").instances(), 1);
    assert_eq!(plain.ask("add 1").await, "1");
    assert_eq!(encoded.next_text().await, "1");
}

#[tokio::test]
async fn a_room_whose_instance_is_full_refuses_and_another_room_does_not() {
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| {
            instance.affinity = Some("room".into());
            instance.concurrency = 2;
        })
        .start()
        .await;
    let leaving = host.connect("/counter/red").await;
    let mut staying = host.connect("/counter/red").await;
    assert_eq!(staying.ask("add 1").await, "1");
    let refused = host.refused("/counter/red").await;
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains_key("retry-after"));
    host.connect("/counter/blue").await;
    leaving.vanish();
    let mut late = connect_once_there_is_room(&host, "/counter/red").await;
    assert_eq!(late.ask("get").await, "1", "the same instance as before");
}

#[tokio::test]
async fn rooms_count_against_the_instances_of_the_function() {
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| {
            instance.affinity = Some("room".into());
            instance.instances = 2;
        })
        .start()
        .await;
    let mut red = host.connect("/counter/red").await;
    let _blue = host.connect("/counter/blue").await;
    assert_eq!(host.refused("/counter/green").await.status, 503);
    assert_eq!(red.ask("get").await, "0");
    host.connect("/counter/red").await;
}

#[tokio::test]
async fn an_idle_instance_is_kept_warm_for_its_time() {
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| instance.idle_timeout = Duration::from_secs(600))
        .start()
        .await;
    for count in 1..=20 {
        let mut client = host.connect("/counter/warm").await;
        assert_eq!(client.ask("add 1").await, count.to_string());
        client.close(1000, "").await;
        client.closed().await;
    }
    assert_eq!(host.function("counter").instances(), 1);
}

#[tokio::test]
async fn an_idle_instance_with_an_asynchronous_handler_is_dropped_too() {
    let host = Host::with(openline_guests::ECHO_ASYNC, "/echo")
        .instance(|instance| instance.idle_timeout = Duration::from_millis(50))
        .start()
        .await;
    let function = host.function("echo-async");
    for _ in 0..3 {
        let mut client = host.connect("/echo").await;
        assert_eq!(client.ask("x").await, "x");
        assert_eq!(function.instances(), 1);
        client.vanish();
        eventually("the idle instance to be dropped", || {
            function.instances() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn with_a_concurrency_of_one_connections_share_nothing() {
    let host = Host::with(openline_guests::FAULT_KEEPER, "/keeper")
        .instance(|instance| instance.concurrency = 1)
        .start()
        .await;
    let mut first = host.connect("/keeper").await;
    let mut second = host.connect("/keeper").await;
    assert_eq!(host.function("fault-keeper").instances(), 2);
    let memory = first.ask("instance").await;
    assert_eq!(first.ask("instance").await, memory);
    assert_ne!(second.ask("instance").await, memory, "each has its own");
}

#[tokio::test]
async fn connections_that_share_no_instance_share_channels() {
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| instance.concurrency = 1)
        .start()
        .await;
    let mut first = host.connect("/counter/same").await;
    let mut second = host.connect("/counter/same").await;
    assert_eq!(host.function("counter").instances(), 2);
    assert_eq!(first.ask("add 1").await, "1");
    assert_eq!(second.next_text().await, "1");
}

#[tokio::test]
async fn while_one_asynchronous_call_waits_its_instance_serves_others() {
    let host = Host::with(openline_guests::FAULT_AWAIT_FOREVER, "/await")
        .limit(|limit| limit.handler_timeout = Duration::from_secs(600))
        .start()
        .await;
    let mut waiting = host.connect("/await").await;
    waiting.text("await").await;
    // The last of these is sent long after the call before has begun.
    let mut other = host.connect("/await").await;
    for number in 0..100 {
        assert_eq!(other.ask(&number.to_string()).await, number.to_string());
    }
    assert_eq!(host.function("fault-await-forever").instances(), 1);
}

#[tokio::test]
async fn asynchronous_calls_of_one_instance_wait_at_the_same_time() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(host.connect("/sleep").await);
    }
    assert_eq!(host.function("fault-sleep").instances(), 1);
    let begun = Instant::now();
    for client in &mut clients {
        client.text("300").await;
    }
    for client in &mut clients {
        assert_eq!(client.next_text().await, "300");
    }
    let taken = begun.elapsed();
    // One after the other, they would take six seconds.
    assert!(taken >= Duration::from_millis(300), "{taken:?}");
    assert!(taken < Duration::from_secs(3), "{taken:?}");
    assert_eq!(host.function("fault-sleep").instances(), 1);
}

#[tokio::test]
async fn the_order_of_a_connection_is_kept_where_calls_overlap() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .start()
        .await;
    let mut client = host.connect("/sleep").await;
    let mut other = host.connect("/sleep").await;
    // In one batch.
    client.feed(Message::text("100")).await;
    client.feed(Message::text("0")).await;
    client.flush().await;
    assert_eq!(client.next_text().await, "100");
    assert_eq!(client.next_text().await, "0");
    // In two calls: the second message arrives while the first is handled.
    client.text("300").await;
    for _ in 0..10 {
        assert_eq!(other.ask("now").await, "now");
    }
    client.text("0").await;
    client.text("none").await;
    assert_eq!(client.next_text().await, "300");
    assert_eq!(client.next_text().await, "0");
    assert_eq!(client.next_text().await, "none");
}

#[tokio::test]
async fn an_instance_with_a_plain_handler_serves_one_call_at_a_time() {
    let host = Host::with(openline_guests::FAULT_COMPUTE, "/compute")
        .limit(|limit| limit.cpu_timeout = Duration::from_secs(1))
        .start()
        .await;
    let mut computing = host.connect("/compute").await;
    let mut waiting = host.connect("/compute").await;
    computing.text("compute").await;
    waiting.text("x").await;
    // The call yields its thread, but not its instance: it ends first, and only
    // then comes the other answer.
    let first = tokio::select! {
        biased;
        frame = computing.next_frame() => frame,
        text = waiting.next_text() => panic!("answered during another call: {text}"),
    };
    assert!(matches!(first, Some(Ok(Message::Close(_)))), "{first:?}");
    assert_eq!(waiting.next_text().await, "x");
}

/// The number of core modules on a component's outermost level.
fn core_modules(component: &[u8]) -> u8 {
    let (mut place, mut found) = (8, 0);
    while place < component.len() {
        found += u8::from(component[place] == 1);
        let (mut size, mut shift) = (0, 0);
        loop {
            place += 1;
            size |= usize::from(component[place] & 0x7f) << shift;
            shift += 7;
            if component[place] & 0x80 == 0 {
                break;
            }
        }
        place += 1 + size;
    }
    found
}

/// The echo with this many additional memories, each in a core instance of its
/// own.
fn with_memories(count: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(openline_guests::ECHO).unwrap();
    let modules = core_modules(&bytes);
    let module = b"\0asm\x01\0\0\0\x05\x03\x01\0\0";
    bytes.extend([1, u8::try_from(module.len()).unwrap()]);
    bytes.extend(module);
    bytes.extend([2, 1 + 3 * count, count]);
    bytes.extend([0, modules, 0].repeat(count.into()));
    bytes
}

/// A host with places for so many instances.
fn options_of(instances: u32) -> RuntimeOptions {
    RuntimeOptions {
        instances,
        ..RuntimeOptions::new(&ServerConfig::default(), None)
    }
}

fn config_of(concurrency: u32, instances: u32) -> FunctionConfig {
    let name = FunctionName::new("tested").unwrap();
    let mut config = FunctionConfig::new(name, None, Route::new("/tested").unwrap());
    config.instance.concurrency = concurrency;
    config.instance.instances = instances;
    config
}

/// A function whose first upgrade takes longer than any test.
async fn sleeper(runtime: &Arc<Runtime>) -> (Arc<Alias>, UpgradeRequest) {
    let mut config = config_of(100, 1);
    config.limit.upgrade_timeout = Duration::from_secs(600);
    config.limit.handler_timeout = Duration::from_secs(600);
    let bytes = std::fs::read(openline_guests::FAULT_SLEEP).unwrap();
    let function = Alias::to(runtime.load_alone(&config, bytes).await.unwrap());
    let forever = UpgradeRequest {
        uri: "/tested?decide=600000".into(),
        ..UpgradeRequest::default()
    };
    (function, forever)
}

#[tokio::test]
async fn an_upgrade_whose_peer_has_gone_keeps_no_seat() {
    let runtime = Arc::new(Runtime::new(options_of(1)).unwrap());
    let (busy, forever) = sleeper(&runtime).await;
    let mut busy = Box::pin(busy.upgrade(forever));
    assert!(busy.as_mut().now_or_never().is_none());
    let bytes = std::fs::read(openline_guests::ECHO).unwrap();
    let echo = runtime.load_alone(&config_of(200, 1), bytes).await;
    let echo = Alias::to(echo.unwrap());
    let ask = || Box::pin(echo.upgrade(UpgradeRequest::default()));
    // More than are looked through for each that goes.
    let mut all: Vec<_> = std::iter::repeat_with(ask).take(200).collect();
    for waiting in &mut all {
        assert!(waiting.now_or_never().is_none());
    }
    assert_eq!(ask().await.err(), Some(UpgradeError::Full));
    // Half of them go, and as many come.
    all.truncate(100);
    for _ in 0..3 {
        let mut more: Vec<_> = std::iter::repeat_with(ask).take(100).collect();
        for waiting in &mut more {
            assert!(waiting.now_or_never().is_none());
        }
        assert_eq!(ask().await.err(), Some(UpgradeError::Full));
    }
    // All go.
    drop(all);
    assert!(ask().now_or_never().is_none());
}

#[tokio::test]
async fn an_instance_that_nothing_waits_for_keeps_no_other_from_its_place() {
    let runtime = Arc::new(Runtime::new(options_of(2)).unwrap());
    let (busy, forever) = sleeper(&runtime).await;
    let mut busy = Box::pin(busy.upgrade(forever));
    assert!(busy.as_mut().now_or_never().is_none());
    // Two places, of which the call that does not end has one.
    let large = runtime.load_alone(&config_of(1, 2), with_memories(3)).await;
    let large = Alias::to(large.unwrap());
    let mut waiting = Box::pin(large.upgrade(UpgradeRequest::default()));
    assert!(waiting.as_mut().now_or_never().is_none());
    let bytes = std::fs::read(openline_guests::ECHO).unwrap();
    let echo = runtime.load_alone(&config_of(1, 1), bytes).await.unwrap();
    let echo = Alias::to(echo);
    let mut behind = Box::pin(echo.upgrade(UpgradeRequest::default()));
    assert!(behind.as_mut().now_or_never().is_none());
    drop(waiting);
    assert!(within("the free place", behind).await.unwrap().is_ok());
    drop(busy);
}

#[tokio::test]
async fn a_component_with_many_memories_takes_more_places_and_leaves_those_of_others() {
    let options = options_of;
    let config = |instances| config_of(1, instances);
    // Ten with its own memory, which take five places.
    let large = with_memories(9);
    let few = Arc::new(Runtime::new(options(4)).unwrap());
    let error = few
        .load_alone(&config(100), large.clone())
        .await
        .unwrap_err();
    assert!(matches!(error, LoadError::TooManyPlaces { .. }), "{error}");
    assert!(error.to_string().contains("5 places"), "{error}");
    let runtime = Arc::new(Runtime::new(options(16)).unwrap());
    let ask = async |function: &Arc<Alias>| {
        let asked = function.upgrade(UpgradeRequest::default()).await;
        asked.map(|decided| decided.unwrap())
    };
    // It may have ten places, which is enough for two instances.
    let hog = runtime
        .load_alone(&config(10), large.clone())
        .await
        .unwrap();
    let hog = Alias::to(hog);
    let kept = [ask(&hog).await.unwrap(), ask(&hog).await.unwrap()];
    assert_eq!(ask(&hog).await.unwrap_err(), UpgradeError::Full);
    assert_eq!((hog.instances(), runtime.instances()), (2, 2));
    // A function that may have fewer places than an instance takes still gets
    // one instance.
    let one = Alias::to(runtime.load_alone(&config(1), large.clone()).await.unwrap());
    let last = ask(&one).await.unwrap();
    assert_eq!(ask(&one).await.unwrap_err(), UpgradeError::Full);
    // Fifteen of sixteen are taken: another function has the last.
    let echo = std::fs::read(openline_guests::ECHO).unwrap();
    let other = Alias::to(runtime.load_alone(&config(100), echo).await.unwrap());
    let served = ask(&other).await.unwrap();
    for _ in 0..10 {
        // Past that it is full, however often it is asked, but this is not a
        // fault.
        assert_eq!(ask(&other).await.unwrap_err(), UpgradeError::Full);
    }
    // A trial needs none of these places.
    runtime.load_alone(&config(100), large).await.unwrap();
    drop((kept, last, served));
}
