//! Calls of peers while versions change, and peers that do not wait for the answer.

use openline_core::deployment::Migration;
use openline_guests::{FAULT_LISTENER, FAULT_LISTENER_ASYNC};
use serde_json::json;

use super::{Speaker, host_with};
use crate::harness::{deploy_options, variant};

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
