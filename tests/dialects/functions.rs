//! Functions behind a dialect: what they do for their peers, none at all, and
//! deploys and restarts under open lines.

use openline_core::dialect::DialectName;
use openline_guests::{ECHO, FAN_OUT, FAULT_BROKER};
use serde_json::json;

use super::centrifugo::publish;
use super::{Speaker, host_with};

const DIALECT: &str = "dialect = \"centrifugo\"";

#[tokio::test]
async fn a_trigger_with_a_dialect_needs_no_function() {
    let host = host_with(ECHO, DIALECT, |host| host.without_component()).await;
    let mut one = Speaker::connect(&host).await;
    let mut other = Speaker::connect(&host).await;
    one.ask("subscribe", json!({"channel": "news"})).await;
    // What no function takes is not answered, whatever its size.
    let large = "x".repeat(900_000);
    one.client
        .text(&json!({"send": {"data": large}}).to_string())
        .await;
    other
        .ask("publish", json!({"channel": "news", "data": 1}))
        .await;
    assert_eq!(one.publication("news").await["data"], 1);
    let function = host.function("echo");
    assert_eq!(function.instances(), 1);
    drop((one, other));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn channels_of_the_function_come_with_the_first_reply() {
    let change = |host: crate::harness::HostBuilder| {
        host.function(|function| {
            function.triggers[0].route =
                openline_core::route::Route::new("/reject/{role}").unwrap();
        })
    };
    let host = host_with(FAN_OUT, DIALECT, change).await;
    let mut client = host.connect("/reject/subscribe").await;
    client.text("{\"id\":1,\"connect\":{}}").await;
    let reply: serde_json::Value = serde_json::from_str(&client.next_text().await).unwrap();
    assert_eq!(reply["connect"]["subs"], json!({"all": {}}));
    client.text("{\"send\":{\"data\":7}}").await;
    let push: serde_json::Value = serde_json::from_str(&client.next_text().await).unwrap();
    assert_eq!(push["push"]["channel"], "all");
    assert_eq!(push["push"]["pub"]["data"], 7);
}

#[tokio::test]
async fn a_function_that_subscribes_its_peer_is_shown_to_it() {
    let change = |host: crate::harness::HostBuilder| {
        host.function(|function| {
            let mut raw = function.triggers[0].clone();
            raw.dialect = None;
            raw.name = openline_core::name::TriggerName::new("raw").unwrap();
            raw.route = openline_core::route::Route::new("/raw").unwrap();
            function.triggers.push(raw);
            assert_eq!(function.triggers[0].dialect, Some(DialectName::Centrifugo));
        })
    };
    let host = host_with(FAULT_BROKER, DIALECT, change).await;
    let mut peer = Speaker::connect(&host).await;
    publish(&host, "news", "1");
    // The connection's own handle, as the function has it.
    let hub = host.function("fault-broker").hub().clone();
    let id = openline_core::name::ConnectionId::parse(peer.id()).unwrap();
    let connection = hub.get(id).unwrap();
    let channel = openline_core::name::ChannelName::new("news").unwrap();
    let mut wakeups = openline_channels::wakeups::Wakeups::default();
    hub.subscribe(&connection, &channel, &mut wakeups).unwrap();
    wakeups.flush();
    let push = peer.next().await;
    assert_eq!(push["push"]["subscribe"]["offset"], 1, "{push}");
    publish(&host, "news", "2");
    assert_eq!(peer.publication("news").await["data"], 2);
    assert!(hub.dismiss(&connection, &channel, &mut wakeups));
    wakeups.flush();
    let push = peer.next().await;
    assert_eq!(push["push"]["unsubscribe"]["code"], 2000, "{push}");
    assert!(!hub.dismiss(&connection, &channel, &mut wakeups));
    // A peer without a dialect gets the same as it is.
    let mut raw = host.connect("/raw").await;
    let subscribed = raw.ask("subscribe news").await;
    assert!(subscribed.ends_with(" - 0"), "{subscribed}");
    peer.ask("publish", json!({"channel": "news", "data": {"a": 3}}))
        .await;
    assert_eq!(raw.next_text().await, "{\"a\":3}");
}
