//! A function stays the same as long as anything holds it, even if it leaves
//! the configuration meanwhile; after a removal it is another one.

use std::fs;

use openline_control::{ChangeError, ConfiguredComponent, ConnectionQuery, DeployOptions};
use openline_core::config::{Config, FunctionConfig};
use openline_core::deployment::Migration;
use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use openline_core::route::Route;
use openline_firewall::rules::Firewalls;
use openline_store::{Store, Usage};

use crate::harness::{Client, Host, HostBuilder, deploy_options, eventually, variant, within};

/// A function with affinity, and one that always stays.
fn host(component: &str) -> HostBuilder {
    Host::with(openline_guests::ECHO, "/echo")
        .and(component, "/rooms/{room}")
        .function(|function| function.instance.affinity = Some("room".into()))
}

/// Reads a configuration with these functions.
async fn reload(host: &Host, functions: &[FunctionConfig]) {
    let components = functions.iter().map(|config| ConfiguredComponent {
        function: config.name.clone(),
        component: Ok(fs::read(config.component.as_ref().unwrap()).unwrap().into()),
    });
    let config = Config {
        server: host.server(),
        channels: Vec::new(),
        functions: functions.to_vec(),
        keys: Vec::new(),
    };
    let reloaded = host
        .deployer
        .reload((config, Firewalls::default()), components.collect());
    reloaded.await.unwrap();
}

fn connected(host: &Host, function: &FunctionName) -> usize {
    let query = ConnectionQuery {
        function: Some(function.clone()),
        limit: 100,
        ..ConnectionQuery::default()
    };
    host.deployer.connections(&query).connections.len()
}

#[tokio::test]
async fn a_function_that_leaves_the_configuration_and_comes_back_has_one_writer() {
    let host = host(openline_guests::COUNTER)
        .limit(|limit| limit.connections = 2)
        .start()
        .await;
    let functions = host.deployer.configs();
    let [counter, echo] = &functions[..] else {
        panic!("{functions:?}");
    };
    let mut staying = host.connect("/rooms/a").await;
    assert_eq!(staying.ask("add 5").await, "5");

    reload(&host, std::slice::from_ref(echo)).await;
    assert_eq!(host.refused("/rooms/a").await.status, 404);
    // The connection goes on, is still shown, and can be closed.
    assert_eq!(staying.ask("add 1").await, "6");
    assert_eq!(connected(&host, &counter.name), 1);

    reload(&host, &functions).await;
    let mut coming = host.connect("/rooms/a").await;
    assert_eq!(coming.ask("get").await, "6");
    // Both see what the other adds, because they share their channels.
    assert_eq!(coming.ask("add 100").await, "106");
    assert_eq!(staying.next_text().await, "106");
    assert_eq!(staying.ask("add 1").await, "107");
    assert_eq!(coming.next_text().await, "107");
    assert_eq!(connected(&host, &counter.name), 2);
    assert_eq!(host.function("counter").instances(), 1);
    // Limits keep their counts.
    let refused = host.refused("/rooms/a").await;
    assert_eq!(refused.headers["openline-error-type"], "connections");
}

#[tokio::test]
async fn alarms_of_a_function_that_left_the_configuration_ring_when_it_is_back() {
    let (store, host, keeper, functions) = configured().await;
    let mut client = host.connect("/rooms/a").await;
    assert_eq!(client.ask("key-alarm kept 700 durable").await, "ok");
    assert_eq!(client.ask("key-alarm other 700").await, "ok");
    client.close(1000, "").await;
    assert_eq!(client.closed().await.code, 1000);
    leave_only_the_echo(&host, &functions).await;
    reload(&host, &functions).await;
    let mut client = host.connect("/rooms/a").await;
    let mut heard = [client.next_text().await, client.next_text().await];
    heard.sort_unstable();
    assert_eq!(heard, ["key-alarm kept 1", "key-alarm other 1"]);

    // So do limits from before the host served the function.
    assert_eq!(client.ask("key-alarm later 0 durable").await, "ok");
    assert_eq!(client.next_text().await, "key-alarm later 1");
    let later = store.function(&keeper);
    let name = openline_core::name::AlarmName::new("waited").unwrap();
    drop((client, host));
    later.keep_alarm("a", &name, 1, 1).await.unwrap();
    let host = Host::with(openline_guests::ECHO, "/echo")
        .store(&store)
        .start()
        .await;
    reload(&host, &functions).await;
    let heard = async {
        while !store.alarms().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within("the alarm to be handled", heard).await;
}

/// Deploys a function that no configuration names, on a route of its own.
async fn deploy(host: &Host, name: &FunctionName, component: &str) -> Digest {
    let options = DeployOptions {
        route: Some(Route::new("/keeper").unwrap()),
        ..deploy_options()
    };
    let component = fs::read(component).unwrap().into();
    let deployed = host.deployer.deploy(name, component, options).await;
    deployed.unwrap().version
}

/// A store, a host that uses it, the name of its keeper, and the functions of
/// its configuration: the keeper and the echo.
async fn configured() -> (Store, Host, FunctionName, Vec<FunctionConfig>) {
    let store = Store::memory(1 << 20);
    let host = host(openline_guests::FAULT_KEEPER)
        .store(&store)
        .start()
        .await;
    let functions = host.deployer.configs();
    let keeper = FunctionName::new("fault-keeper").unwrap();
    (store, host, keeper, functions)
}

/// Takes all but the echo out of the configuration.
async fn leave_only_the_echo(host: &Host, functions: &[FunctionConfig]) {
    let echo = functions.iter().find(|it| it.name.as_str() == "echo");
    reload(host, &[echo.unwrap().clone()]).await;
}

async fn is_removed(mut client: Client) {
    assert_eq!(client.closed().await.code, 1012);
}

#[tokio::test]
async fn what_a_removed_function_writes_as_it_ends_is_not_kept() {
    for component in [
        openline_guests::FAULT_KEEPER,
        openline_guests::FAULT_KEEPER_ASYNC,
    ] {
        let store = Store::memory(1 << 20);
        let host = Host::with(openline_guests::ECHO, "/echo")
            .store(&store)
            .start()
            .await;
        let keeper = FunctionName::new("keeper").unwrap();
        deploy(&host, &keeper, component).await;
        let mut client = host.connect("/keeper").await;
        assert_eq!(client.ask("save words").await, "1");
        assert_eq!(client.ask("save-on-hibernate late").await, "ok");
        assert_eq!(client.ask("key-alarm later 99999 durable").await, "ok");
        // Its call is in flight, or has failed and will be repeated.
        assert_eq!(client.ask("key-alarm trap 0 durable").await, "ok");
        let before = host.function("keeper");
        host.deployer.remove_function(&keeper).await.unwrap();
        is_removed(client).await;
        let gone = || before.instances() == 0;
        eventually("the removed function's instances to be gone", gone).await;
        assert_eq!(store.usage().await, Ok(Usage::default()));

        deploy(&host, &keeper, component).await;
        let mut client = host.connect("/keeper").await;
        assert_eq!(client.ask("load").await, "none");
        assert_eq!(client.ask("save first 0").await, "1");
        assert_eq!(store.usage().await.unwrap().alarms, 0);
    }
}

#[tokio::test]
async fn a_function_that_left_the_configuration_can_be_removed() {
    let (store, host, keeper, functions) = configured().await;
    let mut client = host.connect("/rooms/a").await;
    assert_eq!(client.ask("save words").await, "1");
    let refused = host.deployer.remove_function(&keeper).await;
    assert!(matches!(refused, Err(ChangeError::Configured(_))));
    leave_only_the_echo(&host, &functions).await;
    host.deployer.remove_function(&keeper).await.unwrap();
    is_removed(client).await;
    assert_eq!(store.usage().await, Ok(Usage::default()));
    let unknown = host.deployer.remove_function(&keeper).await;
    assert!(matches!(unknown, Err(ChangeError::NoFunction(_))));
    // Once it is configured again, it is a new function.
    reload(&host, &functions).await;
    let mut client = host.connect("/rooms/a").await;
    assert_eq!(client.ask("load").await, "none");
}

#[tokio::test]
async fn a_component_that_a_function_outside_of_the_configuration_needs_stays() {
    let (store, host, keeper, functions) = configured().await;
    let other = FunctionName::new("other").unwrap();
    let version = deploy(&host, &other, openline_guests::FAULT_KEEPER).await;
    leave_only_the_echo(&host, &functions).await;
    host.deployer.remove_function(&other).await.unwrap();
    assert!(store.component(&version).await.unwrap().is_some());
    // Nothing needs it once the one outside is removed, too.
    host.deployer.remove_function(&keeper).await.unwrap();
    assert_eq!(store.component(&version).await, Ok(None));
}

#[tokio::test]
async fn a_version_that_was_removed_under_a_connection_comes_back_as_another_one() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .start()
        .await;
    let functions = host.deployer.configs();
    let name = &functions[0].name;
    // It leaves when its messages are answered, and holds the version until
    // then.
    let mut busy = host.connect("/sleep").await;
    busy.text("2000").await;
    let first = host.deployer.function(name).unwrap().versions[0].digest;
    let other = variant(&fs::read(openline_guests::FAULT_SLEEP).unwrap(), 1);
    let pinning = DeployOptions {
        migration: Some(Migration::Pin),
        ..deploy_options()
    };
    let deployed = host.deployer.deploy(name, other.into(), pinning).await;
    deployed.unwrap();
    let digest = first.to_string();
    let removed = host.deployer.remove_version(name, &digest, true);
    removed.await.unwrap();

    reload(&host, &functions).await;
    let view = host.deployer.function(name).unwrap();
    assert_eq!(view.aliases[&AliasName::live()].shares[0].version, first);
    let mut coming = host.connect("/sleep").await;
    assert_eq!(coming.ask("x").await, "x");
    assert_eq!(busy.next_text().await, "2000");
    assert_eq!(busy.closed().await.code, 1012);
    assert_eq!(coming.ask("y").await, "y");
}
