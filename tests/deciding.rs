//! Handshakes about which a function is still deciding while its alias moves or
//! it is removed: the connections are asked to leave like all others.

use std::fs;

use openline_control::{ChangeError, DeployOptions};
use openline_core::component::Component;
use openline_core::deployment::Migration;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use tokio::task::JoinHandle;

use crate::harness::{Client, Host, deploy_options, eventually, variant, within};

const NAME: &str = "fault-sleep";
/// Long enough for the steps of each test. If it is not, the connection is
/// already open, and must be asked to leave as well.
const DECIDED_SLOWLY: &str = "decide=1000";

fn name() -> FunctionName {
    FunctionName::new(NAME).unwrap()
}

fn options(migration: Migration) -> DeployOptions {
    DeployOptions {
        migration: Some(migration),
        ..deploy_options()
    }
}

/// The same component under another digest.
fn next_version() -> Component {
    variant(&fs::read(openline_guests::FAULT_SLEEP).unwrap(), 1).into()
}

async fn host() -> Host {
    Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .start()
        .await
}

/// Begins a handshake on a route; returns when the function has been asked.
async fn begin(host: &Host, route: &str) -> JoinHandle<Client> {
    let address = host.address;
    let path = format!("{route}?{DECIDED_SLOWLY}");
    let opening = async move { Client::open(address, &path, &[]).await.unwrap() };
    let opening = tokio::spawn(opening);
    let function = host.function_on(route);
    eventually("the function to be asked", || function.instances() > 0).await;
    opening
}

async fn opened(opening: JoinHandle<Client>) -> Client {
    within("the handshake", opening).await.unwrap()
}

#[tokio::test]
async fn a_handshake_that_a_drain_leaves_behind_is_drained() {
    let host = host().await;
    let opening = begin(&host, "/sleep").await;
    let draining = options(Migration::Drain);
    let deployer = &host.deployer;
    let deployed = deployer.deploy(&name(), next_version(), draining).await;
    deployed.unwrap();
    assert_eq!(opened(opening).await.closed().await.code, 1012);
    // The next connection goes to the version that serves.
    assert_eq!(host.connect("/sleep").await.ask("x").await, "x");
}

#[tokio::test]
async fn a_handshake_of_a_removed_function_is_closed() {
    let host = host().await;
    let fresh = FunctionName::new("fresh").unwrap();
    let routed = DeployOptions {
        route: Some(Route::new("/fresh").unwrap()),
        ..options(Migration::Migrate)
    };
    let deployer = &host.deployer;
    let deployed = deployer.deploy(&fresh, next_version(), routed).await;
    deployed.unwrap();
    let opening = begin(&host, "/fresh").await;
    deployer.remove_function(&fresh).await.unwrap();
    assert_eq!(opened(opening).await.closed().await.code, 1012);
}

#[tokio::test]
async fn a_version_that_decides_a_handshake_is_removed_by_force_only() {
    let host = host().await;
    let opening = begin(&host, "/sleep").await;
    let deployer = &host.deployer;
    let pinning = options(Migration::Pin);
    let deployed = deployer.deploy(&name(), next_version(), pinning).await;
    deployed.unwrap();
    let first = deployer.function(&name()).unwrap().versions[0].digest;
    let first = first.to_string();
    let refused = deployer.remove_version(&name(), &first, false).await;
    assert!(
        matches!(refused, Err(ChangeError::Connected { connections: 1, .. })),
        "{refused:?}"
    );
    let removed = deployer.remove_version(&name(), &first, true).await;
    removed.unwrap();
    assert_eq!(opened(opening).await.closed().await.code, 1012);
}

#[tokio::test]
async fn a_handshake_that_a_pin_leaves_behind_stays() {
    let host = host().await;
    let opening = begin(&host, "/sleep").await;
    let pinning = options(Migration::Pin);
    let deployer = &host.deployer;
    let deployed = deployer.deploy(&name(), next_version(), pinning).await;
    deployed.unwrap();
    assert_eq!(opened(opening).await.ask("x").await, "x");
    let versions = host.deployer.function(&name()).unwrap().versions;
    assert_eq!((versions[0].connections, versions[1].connections), (1, 0));
}
