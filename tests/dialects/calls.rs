//! Calls of peers while versions change, and peers that do not wait for the answer.

use std::time::Duration;

use openline_core::deployment::Migration;
use openline_guests::{FAULT_LISTENER, FAULT_LISTENER_ASYNC};
use serde_json::json;

use super::{Speaker, host_with};
use crate::harness::{HostBuilder, deploy_options, eventually, variant};

const DIALECT: &str = "dialect = \"centrifugo\"";

#[tokio::test]
async fn each_call_is_answered_once_and_in_its_order_through_deploys() {
    const VERSIONS: u8 = 4;
    const FRAMES: u32 = 10;
    const CALLS: u32 = 20;
    for component in [FAULT_LISTENER, FAULT_LISTENER_ASYNC] {
        let host = host_with(component, DIALECT, |host| host).await;
        let name = host.deployer.configs()[0].name.clone();
        let calling = async {
            let mut peer = Speaker::connect(&host).await;
            for frame in 0..u32::from(VERSIONS) * FRAMES {
                let first = 1_000 + frame * CALLS;
                let calls = (first..first + CALLS).map(|id| {
                    let command = json!({"id": id, "rpc": {"method": "echo", "data": id}});
                    command.to_string()
                });
                peer.client
                    .text(&calls.collect::<Vec<_>>().join("\n"))
                    .await;
                for id in first..first + CALLS {
                    let told = peer.next().await;
                    assert_eq!(told, json!({"id": id, "rpc": {"data": id}}));
                }
            }
        };
        let deploying = async {
            for version in 0..VERSIONS {
                let bytes = variant(&std::fs::read(component).unwrap(), version);
                let mut options = deploy_options();
                options.migration = Some(Migration::Migrate);
                let deploy = host.deployer.deploy(&name, bytes.into(), options);
                Box::pin(deploy).await.unwrap();
            }
        };
        tokio::join!(calling, deploying);
    }
}

#[tokio::test]
async fn peers_that_leave_while_they_wait_leave_nothing_behind() {
    for component in [FAULT_LISTENER, FAULT_LISTENER_ASYNC] {
        let host = host_with(component, DIALECT, |host| host).await;
        for _ in 0..30 {
            let mut peer = Speaker::connect(&host).await;
            let large = json!({"method": "large", "data": 500_000});
            for _ in 0..10 {
                peer.send("rpc", large.clone()).await;
            }
            drop(peer);
        }
        let mut peer = Speaker::connect(&host).await;
        let asked = json!({"method": "echo", "data": 1});
        assert_eq!(peer.ask("rpc", asked).await["rpc"]["data"], 1);
        drop(peer);
        host.nothing_is_left().await;
    }
}

/// What runs nothing says nothing of the function: one that fails at each message
/// is backed off from, whatever its peers call in between.
#[tokio::test]
async fn a_call_without_a_handler_does_not_count_as_a_success() {
    const HANDLER: &[u8] = b"openline:channels/rpc-handler@0.2.0";
    // As somebody else's export it is not the handler.
    let mut bytes = std::fs::read(openline_guests::FAULT_ALWAYS_TRAPS).unwrap();
    let at = |bytes: &[u8]| {
        bytes
            .windows(HANDLER.len())
            .position(|some| some == HANDLER)
    };
    while let Some(at) = at(&bytes) {
        bytes[at..at + 8].copy_from_slice(b"someones");
    }
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("traps.wasm");
    std::fs::write(&component, bytes).unwrap();
    let few = |host: HostBuilder| {
        host.instance(|instance| {
            instance.faults_in_a_row = 2;
            instance.backoff_time = Duration::from_secs(600);
            instance.backoff_time_max = Duration::from_secs(600);
        })
    };
    let host = host_with(component.to_str().unwrap(), DIALECT, few).await;
    let mut peers = Vec::new();
    for _ in 0..2 {
        peers.push(Speaker::connect(&host).await);
    }
    let mut calling = Speaker::connect(&host).await;
    for peer in &mut peers {
        let refused = calling.refused("rpc", json!({"method": "echo"})).await;
        assert_eq!(refused, 104);
        let message = json!({"send": {"data": 1}}).to_string();
        peer.client.text(&message).await;
        peer.client.closed().await;
    }
    let is_backed_off = || {
        let function = host.deployer.functions().remove(0);
        function.versions[0].backed_off.is_some()
    };
    eventually("the back-off", is_backed_off).await;
}
