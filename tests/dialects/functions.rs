//! Functions behind a dialect: what they do for their peers, none at all, and
//! deploys and restarts under open lines.

use openline_core::dialect::DialectName;
use openline_guests::{ECHO, FAN_OUT, FAULT_BROKER, FAULT_LISTENER, FAULT_LISTENER_ASYNC};
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

// === calls ===

/// A host whose function answers calls, plainly or not.
async fn answering(component: &str) -> crate::harness::Host {
    host_with(component, DIALECT, |host| host).await
}

#[tokio::test]
async fn a_function_answers_calls_in_the_order_of_what_its_peer_sends() {
    for component in [FAULT_LISTENER, FAULT_LISTENER_ASYNC] {
        let host = answering(component).await;
        let mut peer = Speaker::connect(&host).await;
        for (data, result) in [
            (json!({"a": [1]}), json!({"data": {"a": [1]}})),
            (json!("text"), json!({"data": "text"})),
        ] {
            let asked = json!({"method": "echo", "data": data});
            assert_eq!(peer.ask("rpc", asked).await["rpc"], result);
        }
        let returned = async |peer: &mut Speaker, method: &str| {
            peer.ask("rpc", json!({"method": method})).await["rpc"].clone()
        };
        assert_eq!(returned(&mut peer, "bytes").await, json!({"data": "AQID"}));
        assert_eq!(returned(&mut peer, "nothing").await, json!({}));
        // Without data there is none.
        assert_eq!(returned(&mut peer, "echo").await, json!({}));
        // Messages before and behind a call, all in one frame.
        let frame = [
            json!({"send": {"data": 1}}),
            json!({"id": 101, "rpc": {"method": "send", "data": 2}}),
            json!({"id": 102, "rpc": {"method": "echo", "data": 3}}),
        ]
        .map(|command| command.to_string())
        .join("\n");
        peer.client.text(&frame).await;
        let mut ids = Vec::new();
        while ids.len() < 2 {
            let told = peer.next().await;
            if told["push"]["message"]["data"] == 2 {
                assert!(ids.is_empty(), "what a call sends comes before its answer");
            } else if told["id"] == 101 || told["id"] == 102 {
                ids.push(told["id"].clone());
            }
        }
        assert_eq!(ids, [101, 102]);
    }
}

#[tokio::test]
async fn a_call_that_fails_says_why_and_a_fault_ends_the_connection() {
    for component in [FAULT_LISTENER, FAULT_LISTENER_ASYNC] {
        let host = answering(component).await;
        let mut peer = Speaker::connect(&host).await;
        assert_eq!(peer.refused("rpc", json!({"method": "none"})).await, 104);
        assert_eq!(peer.refused("rpc", json!({})).await, 104);
        // The codes that Centrifugo leaves to applications, and one past each end.
        for (code, told) in [(399, 100), (400, 400), (1999, 1999), (2000, 100)] {
            let asked = json!({"method": "code", "data": code});
            assert_eq!(peer.refused("rpc", asked).await, told);
        }
        let busy = peer
            .ask("rpc", json!({"method": "busy", "data": 503}))
            .await;
        let error = json!({"code": 503, "message": "later", "temporary": true});
        assert_eq!(busy["error"], error);
        // It is still connected.
        let asked = json!({"method": "echo", "data": 1});
        assert_eq!(peer.ask("rpc", asked).await["rpc"]["data"], 1);
        peer.send("rpc", json!({"method": "trap"})).await;
        assert_eq!(peer.client.closed().await.code, 3004);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_and_others_are_not() {
    let change =
        |host: crate::harness::HostBuilder| host.limit(|limit| limit.message_bytes = 65_536);
    let host = host_with(FAULT_LISTENER, DIALECT, change).await;
    let mut peer = Speaker::connect(&host).await;
    let large = |bytes: usize| json!({"method": "large", "data": bytes});
    let frame = "{\"id\":2,\"rpc\":{\"data\":\"\"}}".len();
    let most = 65_536 - frame;
    let told = peer.ask("rpc", large(most)).await;
    assert_eq!(told["rpc"]["data"].as_str().unwrap().len(), most);
    assert_eq!(peer.refused("rpc", large(most + 1)).await, 106);
    // Nothing of it is left, and the peer goes on.
    assert!(peer.ask("rpc", large(most)).await["rpc"]["data"].is_string());
}

#[tokio::test]
async fn calls_wake_a_function_that_sleeps_and_have_the_limits_of_messages() {
    let change = |host: crate::harness::HostBuilder| {
        let host = host.instance(|instance| {
            instance.idle_timeout = std::time::Duration::from_millis(50);
        });
        host.limit(|limit| limit.message_bytes = 65_536)
    };
    let host = host_with(FAULT_LISTENER, DIALECT, change).await;
    let mut peer = Speaker::connect(&host).await;
    let commons = std::sync::Arc::clone(host.function("fault-listener").commons());
    crate::harness::eventually("the instance to end", || commons.instances() == 0).await;
    let asked = json!({"method": "echo", "data": 1});
    assert_eq!(peer.ask("rpc", asked.clone()).await["rpc"]["data"], 1);
    assert_eq!(commons.instances(), 1);
    let change = |host: crate::harness::HostBuilder| {
        host.limit(|limit| {
            limit.messages_per_second = 5;
            limit.rate_exceeded = openline_core::limits::RateExceeded::Close;
        })
    };
    let host = host_with(FAULT_LISTENER, DIALECT, change).await;
    let mut peer = Speaker::connect(&host).await;
    let commands = "{\"id\":9,\"rpc\":{\"method\":\"send\"}}\n".repeat(20);
    peer.client.text(&commands).await;
    assert_eq!(peer.client.closed().await.code, 3013);
}
