//! Deploys under open connections: nothing is closed, lost or reordered;
//! canaries, pins, drains, and what is refused.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openline_control::{ChangeError, DeployOptions};
use openline_core::component::Component;
use openline_core::deployment::Migration;
use openline_core::name::{AliasName, FunctionName};
use openline_hint::Hint;
use tokio::time::Instant;

use crate::harness::{
    self, Client, Host, HostBuilder, deploy_options as options, eventually, runtime, within,
};

const NAME: &str = "fault-version-a";

fn name() -> FunctionName {
    FunctionName::new(NAME).unwrap()
}

fn live() -> AliasName {
    AliasName::live()
}

/// The same component under another digest.
fn variant(component: &str, number: u8) -> Component {
    harness::variant(&fs::read(component).unwrap(), number).into()
}

fn a(number: u8) -> Component {
    variant(openline_guests::FAULT_VERSION_A, number)
}

fn b(number: u8) -> Component {
    variant(openline_guests::FAULT_VERSION_B, number)
}

fn host() -> HostBuilder {
    Host::with(openline_guests::FAULT_VERSION_A, "/numbered")
}

/// Sends numbers and checks the answers until told to stop. Returns how many
/// there were and the longest time between two answers.
async fn exchange(mut client: Client, stop: Arc<AtomicBool>) -> (u64, Duration) {
    let (mut number, mut longest) = (0, Duration::ZERO);
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let answer = client.ask(&number.to_string()).await;
        let (_, answered) = answer.split_once(' ').unwrap();
        assert_eq!(answered, number.to_string());
        number += 1;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    let counted = client.ask("count").await;
    let (_, counted) = counted.rsplit_once(' ').unwrap();
    assert_eq!(
        counted,
        number.to_string(),
        "a message was lost or repeated"
    );
    (number, longest)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_deploys_under_a_thousand_connections_close_lose_and_reorder_nothing() {
    let host = host().start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut exchanges = Vec::new();
    for _ in 0..1000 {
        let client = host.connect("/numbered").await;
        exchanges.push(tokio::spawn(exchange(client, Arc::clone(&stop))));
    }
    for number in 0..20 {
        let component = if number % 2 == 0 {
            b(number)
        } else {
            a(number)
        };
        let deployed = host.deployer.deploy(&name(), component, options()).await;
        assert!(deployed.unwrap().version_is_new);
    }
    // The last version has taken over before the peers stop.
    let view = || host.deployer.function(&name()).unwrap();
    eventually("all connections to be served by the last version", || {
        view().versions.last().unwrap().connections == 1000
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let (mut messages, mut longest) = (0, Duration::ZERO);
    for exchange in exchanges {
        let (some, gap) = within("an exchange to end", exchange).await.unwrap();
        messages += some;
        longest = longest.max(gap);
    }
    // The instances of the nineteen unused versions have ended.
    eventually("the old instances to be gone", || {
        let versions = view().versions;
        let (_, old) = versions.split_last().unwrap();
        old.iter().all(|version| version.instances.is_empty())
    })
    .await;
    println!("{messages} messages, the longest gap {longest:?}");
    assert_eq!(host.drain().await, 0);
}

#[tokio::test]
async fn a_call_in_flight_is_finished_by_the_version_that_began_it() {
    let host = Host::with(openline_guests::FAULT_VERSION_SLOW, "/slow")
        .start()
        .await;
    let slow = FunctionName::new("fault-version-slow").unwrap();
    let mut client = host.connect("/slow").await;
    for number in 0..5 {
        let text = number.to_string();
        client.text(&text).await;
        let component = variant(openline_guests::FAULT_VERSION_SLOW, number);
        let deployed = host.deployer.deploy(&slow, component, options()).await;
        deployed.unwrap();
        assert_eq!(client.next_text().await, format!("slow {text}"));
    }
}

/// The new version has no instance that could make room, and the host has no
/// place for one until the old version's instance has ended.
#[tokio::test]
async fn an_event_for_the_new_version_waits_for_the_old_ones_places() {
    let runtime = runtime(1, |_| {});
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .instance(|instance| {
            instance.concurrency = 1;
            instance.idle_timeout = Duration::ZERO;
        })
        .start_on(&runtime)
        .await;
    let mut homeless = host.connect("/sleep").await;
    eventually("its instance to be gone", || runtime.instances() == 0).await;
    let mut busy = host.connect("/sleep").await;
    busy.text("1000").await;
    eventually("the call", || runtime.instances() == 1).await;
    let sleep = FunctionName::new("fault-sleep").unwrap();
    let next = variant(openline_guests::FAULT_SLEEP, 1);
    let deployed = host.deployer.deploy(&sleep, next, self::options()).await;
    deployed.unwrap();
    assert_eq!(homeless.ask("x").await, "x");
    assert_eq!(busy.next_text().await, "1000");
}

#[tokio::test]
async fn a_canary_gets_its_weight_is_promoted_and_taken_back() {
    let host = host().start().await;
    let canary = DeployOptions {
        weight: Some(10),
        ..options()
    };
    let deployer = &host.deployer;
    deployer.deploy(&name(), b(1), canary).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(host.connect("/numbered").await);
    }
    assert_eq!(served_by_b(&mut clients).await, 10);
    deployer.promote(&name(), &live(), None).await.unwrap();
    assert_eq!(served_by_b(&mut clients).await, 100);
    deployer.rollback(&name(), &live()).await.unwrap();
    assert_eq!(served_by_b(&mut clients).await, 10);
    deployer.rollback(&name(), &live()).await.unwrap();
    assert_eq!(served_by_b(&mut clients).await, 0);
    let again = deployer.rollback(&name(), &live()).await;
    assert!(matches!(again, Err(ChangeError::Rule(_))), "{again:?}");
}

async fn served_by_b(clients: &mut [Client]) -> usize {
    let mut count = 0;
    for client in clients {
        count += usize::from(client.ask("x").await == "b x");
    }
    count
}

#[tokio::test]
async fn pinned_connections_stay_with_their_version_until_they_end() {
    let host = host().start().await;
    let deployer = &host.deployer;
    let mut old = host.connect("/numbered").await;
    let pinning = DeployOptions {
        migration: Some(Migration::Pin),
        ..options()
    };
    deployer.deploy(&name(), b(1), pinning).await.unwrap();
    let mut new = host.connect("/numbered").await;
    assert_eq!(old.ask("1").await, "a 1");
    assert_eq!(new.ask("1").await, "b 1");
    // It can be removed only by force while connections are pinned to it.
    let first = deployer.function(&name()).unwrap().versions[0].digest;
    let refused = deployer
        .remove_version(&name(), &first.to_string(), false)
        .await;
    assert!(
        matches!(refused, Err(ChangeError::Connected { connections: 1, .. })),
        "{refused:?}"
    );
    assert_eq!(old.ask("2").await, "a 2");
    deployer
        .remove_version(&name(), &first.to_string(), true)
        .await
        .unwrap();
    let closed = old.closed().await;
    assert_eq!(closed.code, 1012);
    assert!(closed.reason.contains("come back after"), "{closed:?}");
    assert_eq!(new.ask("2").await, "b 2");
}

#[tokio::test]
async fn a_drain_closes_the_old_ones_at_its_pace_and_keeps_the_new() {
    let host = host().start().await;
    let deployer = &host.deployer;
    let mut old = Vec::new();
    for _ in 0..20 {
        old.push(host.connect("/numbered").await);
    }
    let draining = DeployOptions {
        migration: Some(Migration::Drain),
        drain_connections_per_second: Some(100),
        ..options()
    };
    let began = Instant::now();
    deployer.deploy(&name(), b(1), draining).await.unwrap();
    let mut new = host.connect("/numbered").await;
    for client in &mut old {
        assert_eq!(client.closed().await.code, 1012);
    }
    // Twenty connections at a hundred a second, the first at once.
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert_eq!(new.ask("1").await, "b 1");
}

#[tokio::test]
async fn a_rollback_stops_a_drain() {
    const PEERS: usize = 12;
    let slowly = DeployOptions {
        migration: Some(Migration::Drain),
        drain_connections_per_second: Some(4),
        ..options()
    };
    // The second one shows how long an unstopped drain takes.
    let host = host()
        .and(openline_guests::FAULT_VERSION_A, "/other")
        .start()
        .await;
    let (mut staying, mut leaving) = (Vec::new(), Vec::new());
    for _ in 0..PEERS {
        staying.push(host.connect("/numbered").await);
        leaving.push(host.connect("/other").await);
    }
    let deployer = &host.deployer;
    let deployed = deployer.deploy(&name(), b(1), slowly.clone()).await;
    deployed.unwrap();
    let left = || host.function_on("/numbered").hub().connections();
    eventually("the drain to begin", || left() < PEERS).await;
    deployer.rollback(&name(), &live()).await.unwrap();
    let other = FunctionName::new(&format!("{NAME}-2")).unwrap();
    deployer.deploy(&other, b(1), slowly).await.unwrap();
    for client in &mut leaving {
        assert_eq!(client.closed().await.code, 1012);
    }
    assert!(left() > 0, "the drain went on");
}

#[tokio::test]
async fn a_drain_leaves_quiet_connections_alone_whose_next_version_is_served() {
    let host = host().start().await;
    let deployer = &host.deployer;
    let mut quiet = host.connect("/numbered").await;
    deployer.deploy(&name(), b(1), options()).await.unwrap();
    let canary = DeployOptions {
        weight: Some(10),
        migration: Some(Migration::Drain),
        ..options()
    };
    deployer.deploy(&name(), a(2), canary).await.unwrap();
    assert_eq!(quiet.ask("1").await, "b 1");
    assert_eq!(quiet.ask("2").await, "b 2");
}

#[tokio::test]
async fn a_rollback_moves_no_quiet_connection_to_what_it_takes_back() {
    for migration in [Migration::Drain, Migration::Pin] {
        let host = host().start().await;
        let deployer = &host.deployer;
        let mut quiet = host.connect("/numbered").await;
        deployer.deploy(&name(), b(1), options()).await.unwrap();
        let back = DeployOptions {
            migration: Some(migration),
            ..options()
        };
        let first = fs::read(openline_guests::FAULT_VERSION_A).unwrap();
        let deployed = deployer.deploy(&name(), first.into(), back).await;
        assert!(!deployed.unwrap().version_is_new);
        assert_eq!(quiet.ask("1").await, "a 1", "{migration:?}");
        assert_eq!(quiet.ask("2").await, "a 2", "{migration:?}");
        let versions = deployer.function(&name()).unwrap().versions;
        let taken_back = versions.iter().find(|it| it.connections == 0).unwrap();
        let removed = taken_back.digest.to_string();
        let removed = deployer.remove_version(&name(), &removed, false).await;
        removed.unwrap();
    }
}

#[tokio::test]
async fn a_bad_component_changes_nothing() {
    let host = host().start().await;
    let deployer = &host.deployer;
    let mut client = host.connect("/numbered").await;
    let before = serde_json::to_string(&deployer.function(&name()).unwrap().aliases).unwrap();
    let broken = fs::read(openline_guests::FAULT_BROKEN_START).unwrap();
    for (bad, word) in [
        (Component::from(broken), "start"),
        (Component::from(b"not wasm".to_vec()), "WebAssembly"),
        (Component::new(a(1).bytes().slice(..20_000)), "damaged"),
        (vec![0; 65 << 20].into(), "component_bytes"),
    ] {
        let refused = deployer.deploy(&name(), bad, options()).await.unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
        assert!(refused.hint().is_some_and(|hint| !hint.is_empty()));
        assert_eq!(client.ask("1").await, "a 1");
    }
    let heavy = DeployOptions {
        weight: Some(130),
        ..options()
    };
    let refused = deployer.deploy(&name(), a(1), heavy).await.unwrap_err();
    assert!(refused.to_string().contains("130"), "{refused}");
    let after = serde_json::to_string(&deployer.function(&name()).unwrap().aliases).unwrap();
    assert_eq!(before, after);
    assert_eq!(deployer.function(&name()).unwrap().versions.len(), 1);
}

#[tokio::test]
async fn the_same_version_again_and_two_at_once() {
    let host = host().start().await;
    let deployer = &host.deployer;
    let first = deployer.deploy(&name(), b(1), options()).await.unwrap();
    assert!(first.version_is_new && first.alias_moved);
    let again = deployer.deploy(&name(), b(1), options()).await.unwrap();
    assert!(!again.version_is_new && !again.alias_moved);
    let (one, other) = (b(2), b(3));
    let name = name();
    let (one, other) = tokio::join!(
        deployer.deploy(&name, one, options()),
        deployer.deploy(&name, other, options())
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    let now = deployer.function(&name).unwrap();
    assert_eq!(now.versions.len(), 4);
    let points = now.aliases[&live()].shares[0].version;
    assert!(points == one.version || points == other.version);
}

#[tokio::test]
async fn a_function_that_no_configuration_names_is_deployed_with_a_route_and_removed() {
    let host = host().start().await;
    let deployer = &host.deployer;
    let fresh = FunctionName::new("fresh").unwrap();
    let unrouted = deployer.deploy(&fresh, b(1), options()).await;
    assert!(matches!(unrouted, Err(ChangeError::NoRoute(_))));
    let routed = |route: &str| DeployOptions {
        route: Some(openline_core::route::Route::new(route).unwrap()),
        ..options()
    };
    let taken = deployer.deploy(&fresh, b(1), routed("/numbered")).await;
    assert!(matches!(taken, Err(ChangeError::Trigger(_))), "{taken:?}");
    assert_eq!(deployer.functions().len(), 1);
    deployer
        .deploy(&fresh, b(1), routed("/fresh/{room}"))
        .await
        .unwrap();
    let mut client = host.connect("/fresh/lobby").await;
    assert_eq!(client.ask("1").await, "b 1");
    let configured = deployer.remove_function(&name()).await;
    assert!(matches!(configured, Err(ChangeError::Configured(_))));
    deployer.remove_function(&fresh).await.unwrap();
    assert_eq!(client.closed().await.code, 1012);
    assert_eq!(host.refused("/fresh/lobby").await.status, 404);
}

#[tokio::test]
async fn one_room_is_never_in_two_versions_at_once() {
    // Each room's count is read, kept in memory and written back: two writers
    // would lose some updates.
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| instance.affinity = Some("room".into()))
        .start()
        .await;
    let counter = FunctionName::new("counter").unwrap();
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(host.connect("/counter/room").await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let adding = clients.into_iter().map(|mut client| {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let mut added = 0;
            while !stop.load(Ordering::Relaxed) {
                client.ask("add 1").await;
                added += 1;
            }
            // It stays until its messages are handled.
            (client, added)
        })
    });
    let adding: Vec<_> = adding.collect();
    for number in 0..5 {
        let component = variant(openline_guests::COUNTER, number);
        let deployed = host.deployer.deploy(&counter, component, options()).await;
        deployed.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let (mut staying, mut added) = (Vec::new(), 0_u64);
    for adding in adding {
        let (client, some) = within("an adder to end", adding).await.unwrap();
        staying.push(client);
        added += some;
    }
    let mut client = host.connect("/counter/room").await;
    let counted = async {
        // All connections see the messages of others: the last count is the
        // total.
        while client.ask("get").await != added.to_string() {}
    };
    within("all that was added to be counted", counted).await;
}

#[tokio::test]
async fn further_routes_lead_to_other_aliases_and_to_versions() {
    use openline_core::route::Route;
    use openline_core::trigger::{Target, Trigger};
    let component = fs::read(openline_guests::FAULT_VERSION_A).unwrap();
    let digest = openline_core::digest::Digest::of(&component).to_string();
    let canary = AliasName::new("canary").unwrap();
    let trigger = |route: &str, target| Trigger {
        target,
        ..Trigger::new(Route::new(route).unwrap())
    };
    let host = host()
        .function(|function| {
            function.triggers.extend([
                trigger("/canary", Target::Alias(canary.clone())),
                trigger("/first", Target::Version(digest[..8].into())),
            ]);
        })
        .start()
        .await;
    let refused = host.refused("/canary").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["openline-error-type"], "not_deployed");
    let to_canary = DeployOptions {
        alias: canary.clone(),
        ..options()
    };
    let deployer = &host.deployer;
    deployer.deploy(&name(), b(1), to_canary).await.unwrap();
    let mut on_canary = host.connect("/canary").await;
    assert_eq!(on_canary.ask("1").await, "b 1");
    let mut on_live = host.connect("/numbered").await;
    assert_eq!(on_live.ask("1").await, "a 1");
    deployer.deploy(&name(), b(2), options()).await.unwrap();
    assert_eq!(on_live.ask("2").await, "b 2");
    let mut on_first = host.connect("/first").await;
    assert_eq!(on_first.ask("1").await, "a 1");
    let routed = deployer.remove_alias(&name(), &canary).await;
    assert!(matches!(routed, Err(ChangeError::Routed(_))), "{routed:?}");
    let routed = deployer.remove_version(&name(), &digest, false).await;
    assert!(matches!(routed, Err(ChangeError::Routed(_))), "{routed:?}");
}

#[tokio::test]
async fn what_was_deployed_stays_until_the_file_is_another_one() {
    let store = openline_store::Store::memory(1 << 20);
    let first = host().store(&store).start().await;
    first
        .deployer
        .deploy(&name(), b(1), options())
        .await
        .unwrap();
    drop(first);
    // The file is the same, so the later deploy still serves.
    let second = host().store(&store).start().await;
    let mut client = second.connect("/numbered").await;
    assert_eq!(client.ask("1").await, "b 1");
    assert_eq!(second.deployer.function(&name()).unwrap().versions.len(), 2);
    drop((client, second));
    // Another file for the same function is deployed.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{NAME}.wasm"));
    fs::write(&file, a(9).bytes()).unwrap();
    let third = Host::with(file.to_str().unwrap(), "/numbered");
    let third = third.store(&store).start().await;
    let mut client = third.connect("/numbered").await;
    assert_eq!(client.ask("1").await, "a 1");
    let rolled_back = third.deployer.rollback(&name(), &live()).await;
    assert!(rolled_back.is_ok());
    assert_eq!(client.ask("2").await, "b 2");
}

#[tokio::test]
async fn versions_at_their_number_and_past_it() {
    let store = openline_store::Store::memory(1 << 20);
    let host = host()
        .store(&store)
        .server(|server| server.versions = 3)
        .start()
        .await;
    let deployer = &host.deployer;
    let digests = || {
        let versions = deployer.function(&name()).unwrap().versions;
        versions.iter().map(|it| it.digest).collect::<Vec<_>>()
    };
    for number in 0..2 {
        deployer
            .deploy(&name(), b(number), options())
            .await
            .unwrap();
    }
    let before = digests();
    assert_eq!(before.len(), 3);
    // A version with connections stays, and so does the target of a rollback.
    let pinning = DeployOptions {
        migration: Some(Migration::Pin),
        ..options()
    };
    let mut pinned = host.connect("/numbered").await;
    deployer.deploy(&name(), b(2), pinning).await.unwrap();
    assert_eq!(digests()[..2], before[1..]);
    deployer.deploy(&name(), b(3), options()).await.unwrap();
    deployer.deploy(&name(), b(4), options()).await.unwrap();
    assert!(digests().contains(&before[2]), "a connection has it");
    assert_eq!(digests().len(), 3);
    assert_eq!(pinned.ask("1").await, "b 1");
    // Their components are removed with them.
    assert_eq!(store.components().await.unwrap().len(), 3);
}
