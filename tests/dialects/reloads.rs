//! Reloads under open connections of the dialects: what their peers see when the
//! terms of a channel change, when its pattern or the trigger is gone, and when
//! the trigger speaks something else.

use openline_channels::hub::Hub;
use openline_control::ConfiguredComponent;
use openline_core::channel::ChannelTable;
use openline_core::component::Component;
use openline_core::config::{Config, FunctionConfig};
use openline_core::deployment::Migration;
use openline_core::dialect::DialectName;
use openline_core::name::ChannelName;
use openline_core::route::Route;
use openline_firewall::rules::Firewalls;
use serde_json::{Value, json};

use super::centrifugo::publish;
use super::rights::KEY;
use super::{CHANNELS, Speaker, host, host_with};
use crate::harness::{Client, Host, HostBuilder, deploy_options, variant};

const HEAD: &str = "[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroute = \"/\"\n";

/// The configuration is read again, with a change of the only function.
async fn reload(host: &Host, change: impl FnOnce(&mut FunctionConfig)) {
    reload_with(host, "", change).await;
}

/// The same with these tables of keys.
async fn reload_with(host: &Host, keys: &str, change: impl FnOnce(&mut FunctionConfig)) {
    let bytes = std::fs::read(openline_guests::ECHO).unwrap();
    reload_of(host, keys, bytes, change).await;
}

/// The same with this component.
async fn reload_of(
    host: &Host,
    keys: &str,
    bytes: Vec<u8>,
    change: impl FnOnce(&mut FunctionConfig),
) {
    let mut config = Config::parse(&format!("{keys}{HEAD}")).unwrap();
    config.functions = host.deployer.configs();
    config.server = host.server();
    change(&mut config.functions[0]);
    let component = ConfiguredComponent {
        function: config.functions[0].name.clone(),
        component: Ok(Component::from(bytes)),
    };
    let configured = (config, Firewalls::default());
    let reloaded = host.deployer.reload(configured, vec![component]);
    Box::pin(reloaded).await.unwrap();
}

/// The channels of these tests, with a change of their text.
fn channels(from: &str, to: &str) -> Vec<ChannelTable> {
    let tables = CHANNELS.replacen(from, to, 1);
    assert_ne!(tables, CHANNELS);
    let mut config = Config::parse(&format!("{HEAD}{tables}")).unwrap();
    config.functions.remove(0).channels
}

fn hub(host: &Host) -> std::sync::Arc<Hub> {
    host.deployer.triggers().remove(0).1.hub().clone()
}

/// How many subscribe to a channel.
fn subscribers(host: &Host, name: &str) -> usize {
    hub(host)
        .own()
        .subscribers(&ChannelName::new(name).unwrap())
}

/// A client of PushFlo and its first answer.
async fn pushflo(host: &Host) -> (Client, Value) {
    let mut client = host.connect(&format!("/reject/ws?token={KEY}")).await;
    let first = serde_json::from_str(&client.next_text().await).unwrap();
    (client, first)
}

#[tokio::test]
async fn terms_that_leave_the_positions_change_under_open_subscriptions() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    let subscribed = peer.ask("subscribe", json!({"channel": "news"})).await;
    let epoch = subscribed["subscribe"]["epoch"].clone();
    publish(&host, "news", "1");
    assert_eq!(peer.publication("news").await["offset"], 1);
    let wider = channels("history = { count = 3 }", "history = { count = 50 }");
    reload(&host, |function| function.channels = wider).await;
    for number in 2..=10 {
        publish(&host, "news", &number.to_string());
        let publication = peer.publication("news").await;
        assert_eq!(
            (&publication["data"], &publication["offset"]),
            (&number.into(), &number.into())
        );
    }
    // The ten, of which three would have been kept.
    let mut other = Speaker::connect(&host).await;
    let since = json!({"channel": "news", "recover": true, "epoch": epoch, "offset": 0});
    let recovered = other.ask("subscribe", since).await;
    assert_eq!(recovered["subscribe"]["recovered"], true, "{recovered}");
    let kept = recovered["subscribe"]["publications"].as_array().unwrap();
    assert_eq!(kept.len(), 10);
    drop((peer, other));
    host.nothing_is_left().await;
}

/// What a client has counted so far means nothing any more: it connects again, and
/// is told that it cannot recover.
#[tokio::test]
async fn a_channel_that_remembers_no_more_asks_its_subscribers_back() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    // Beside it, one of no such channel.
    let mut beside = Speaker::connect(&host).await;
    beside.ask("subscribe", json!({"channel": "plain:1"})).await;
    let subscribed = peer.ask("subscribe", json!({"channel": "news"})).await;
    let epoch = subscribed["subscribe"]["epoch"].clone();
    publish(&host, "news", "1");
    peer.publication("news").await;
    let without = channels("history = { count = 3 }\n", "\n");
    reload(&host, |function| function.channels = without).await;
    let closed = peer.client.closed().await;
    assert_eq!(closed.code, 3001, "{closed:?}");
    let mut peer = Speaker::connect(&host).await;
    let since = json!({"channel": "news", "recover": true, "epoch": epoch, "offset": 1});
    let subscribed = peer.ask("subscribe", since).await;
    let subscribed = &subscribed["subscribe"];
    assert_ne!(subscribed["recovered"], true, "{subscribed}");
    assert!(subscribed.get("recoverable").is_none(), "{subscribed}");
    publish(&host, "news", "2");
    assert_eq!(peer.publication("news").await["data"], 2);
    publish(&host, "plain:1", "1");
    assert_eq!(beside.publication("plain:1").await["data"], 1);
    drop((peer, beside));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_channel_that_begins_to_remember_asks_its_subscribers_back() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    let subscribed = peer.ask("subscribe", json!({"channel": "plain:1"})).await;
    assert_eq!(subscribed["subscribe"], json!({}));
    publish(&host, "plain:1", "1");
    peer.publication("plain:1").await;
    let with = "pattern = \"plain:*\"\nhistory = {}";
    let remembering = channels("pattern = \"plain:*\"", with);
    reload(&host, |function| function.channels = remembering).await;
    // Only a new subscription tells a client where it is.
    assert_eq!(peer.client.closed().await.code, 3001);
    let mut peer = Speaker::connect(&host).await;
    let subscribed = peer.ask("subscribe", json!({"channel": "plain:1"})).await;
    let subscribed = &subscribed["subscribe"];
    assert_eq!(subscribed["recoverable"], true, "{subscribed}");
    publish(&host, "plain:1", "3");
    let since = json!({"epoch": subscribed["epoch"], "offset": subscribed["offset"]});
    peer.publication("plain:1").await;
    let query = json!({"channel": "plain:1", "limit": -1, "since": since});
    let history = peer.ask("history", query).await;
    assert_eq!(
        history["history"]["publications"][0]["data"], 3,
        "{history}"
    );
    drop(peer);
    host.nothing_is_left().await;
}

/// It is left behind by the version that is live, and stays with its own.
#[tokio::test]
async fn a_pinned_connection_stays_when_its_channels_change() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    for name in ["plain:1", "news"] {
        peer.ask("subscribe", json!({"channel": name})).await;
    }
    let other = variant(&std::fs::read(openline_guests::ECHO).unwrap(), 1);
    let mut options = deploy_options();
    options.migration = Some(Migration::Pin);
    let name = host.deployer.configs()[0].name.clone();
    let deployed = host.deployer.deploy(&name, other.clone().into(), options);
    assert!(deployed.await.unwrap().version_is_new);
    let narrower = channels(
        "pattern = \"plain:*\"\nsubscribe = \"peers\"",
        "pattern = \"plain:*\"\nsubscribe = \"function\"",
    );
    reload_of(&host, "", other, |function| {
        function.migration = Migration::Pin;
        function.channels = narrower;
    })
    .await;
    // Its rights are asked again.
    let push = peer.next().await;
    assert_eq!(push["push"]["channel"], "plain:1", "{push}");
    assert_eq!(push["push"]["unsubscribe"]["code"], 2000, "{push}");
    publish(&host, "news", "1");
    assert_eq!(peer.publication("news").await["data"], 1);
    peer.ask("presence_stats", json!({"channel": "lobby"}))
        .await;
    let versions = host.deployer.function(&name).unwrap().versions;
    let connections: Vec<_> = versions.iter().map(|it| it.connections).collect();
    assert_eq!(connections, [1, 0], "it has the version before");
    drop(peer);
    host.nothing_is_left().await;
}

/// To give channels their terms is dear; limits are none of them.
#[tokio::test]
async fn other_limits_are_no_other_terms() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    peer.ask("subscribe", json!({"channel": "news"})).await;
    let before = hub(&host).own().generation();
    reload(&host, |function| function.limit.subscribers += 1).await;
    reload(&host, |function| function.limit.channel_queue += 1).await;
    assert_eq!(hub(&host).own().generation(), before);
    let wider = channels("history = { count = 3 }", "history = { count = 50 }");
    reload(&host, |function| function.channels = wider).await;
    assert!(hub(&host).own().generation() > before);
    publish(&host, "news", "1");
    assert_eq!(peer.publication("news").await["data"], 1);
    drop(peer);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_pattern_that_is_gone_takes_its_subscriptions_along() {
    let host = host().await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut peer = Speaker::connect(&host).await;
        for name in ["plain:1", "plain:2", "news"] {
            peer.ask("subscribe", json!({"channel": name})).await;
        }
        peers.push(peer);
    }
    reload(&host, |function| {
        let news = ChannelName::new("news").unwrap();
        function
            .channels
            .retain(|table| table.pattern.matches(&news));
    })
    .await;
    for peer in &mut peers {
        let mut lost = [peer.next().await, peer.next().await];
        lost.sort_by_key(|push| push["push"]["channel"].to_string());
        for (push, name) in lost.iter().zip(["plain:1", "plain:2"]) {
            assert_eq!(push["push"]["channel"], name, "{push}");
            assert_eq!(push["push"]["unsubscribe"]["code"], 2000, "{push}");
        }
        assert_eq!(
            peer.refused("subscribe", json!({"channel": "plain:1"}))
                .await,
            103
        );
    }
    assert_eq!(
        (subscribers(&host, "plain:1"), subscribers(&host, "news")),
        (0, 20)
    );
    publish(&host, "news", "1");
    for peer in &mut peers {
        assert_eq!(peer.publication("news").await["data"], 1);
    }
    drop(peers);
    host.nothing_is_left().await;
    assert_eq!(subscribers(&host, "news"), 0);
}

/// Connections stay, as those of any trigger do; nobody else comes.
#[tokio::test]
async fn a_trigger_that_is_gone_keeps_its_connections_in_their_dialect() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    peer.ask("subscribe", json!({"channel": "plain:1"})).await;
    reload(&host, |function| {
        let mut moved = function.triggers[0].clone();
        moved.route = Route::new("/elsewhere").unwrap();
        function.triggers = vec![moved];
    })
    .await;
    assert_eq!(host.refused("/reject/a").await.status, 404);
    publish(&host, "plain:1", "1");
    assert_eq!(peer.publication("plain:1").await["data"], 1);
    peer.ask("subscribe", json!({"channel": "news"})).await;
    let id = peer
        .send("publish", json!({"channel": "news", "data": 2}))
        .await;
    assert_eq!(peer.publication("news").await["data"], 2);
    assert_eq!(peer.next().await, json!({"id": id, "publish": {}}));
    drop(peer);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_connection_speaks_the_dialect_in_which_it_was_opened() {
    let key = |host: HostBuilder| host.keys(&[("page", "subscribe", "keyed-*", KEY)]);
    let host = host_with(openline_guests::ECHO, "dialect = \"pushflo\"", key).await;
    let (mut before, connected) = pushflo(&host).await;
    assert_eq!(connected["type"], "connected");
    let subscribe = json!({"type": "subscribe", "channel": "keyed-1"}).to_string();
    before.ask(&subscribe).await;
    for dialect in [Some(DialectName::Centrifugo), None] {
        reload_to(&host, dialect).await;
        publish(&host, "keyed-1", "1");
        let message: Value = serde_json::from_str(&before.next_text().await).unwrap();
        assert_eq!(
            (&message["type"], &message["data"]),
            (&json!("message"), &json!(1))
        );
        let pong = before.ask(r#"{"type":"ping"}"#).await;
        assert_eq!(pong, r#"{"type":"pong"}"#);
        let mut after = host.connect("/reject/a").await;
        match dialect {
            Some(_) => {
                let first = after.ask(r#"{"id":1,"connect":{}}"#).await;
                assert!(
                    first.starts_with(r#"{"id":1,"connect":{"client""#),
                    "{first}"
                );
            }
            None => assert_eq!(after.ask("hello").await, "hello"),
        }
        drop(after);
    }
    drop(before);
    host.nothing_is_left().await;
}

/// A reload without the table of the key would end its connections.
async fn reload_to(host: &Host, dialect: Option<DialectName>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page");
    std::fs::write(&path, KEY).unwrap();
    let key = format!(
        "[[key]]\nname = \"page\"\nscopes = [\"subscribe\"]\nchannels = [\"keyed-*\"]\nsecret = \"file:{}\"\n",
        path.display()
    );
    let change = |function: &mut FunctionConfig| function.triggers[0].dialect = dialect;
    reload_with(host, &key, change).await;
}

#[tokio::test]
async fn a_key_that_is_gone_ends_its_connections_in_their_words() {
    for (dialect, path) in [
        ("centrifugo", "/reject/a".to_owned()),
        ("pushflo", format!("/reject/ws?token={KEY}")),
    ] {
        let key = |host: HostBuilder| host.keys(&[("page", "subscribe", "keyed-*", KEY)]);
        let lines = format!("dialect = {dialect:?}");
        let host = host_with(openline_guests::ECHO, &lines, key).await;
        let mut client = host.connect(&path).await;
        let first = match dialect {
            "centrifugo" => {
                let connect = json!({"id": 1, "connect": {"token": KEY}});
                client.ask(&connect.to_string()).await
            }
            _ => client.next_text().await,
        };
        assert!(first.contains("client"), "{first}");
        reload(&host, |_| {}).await;
        let closed = client.closed().await;
        // Neither client comes back by itself with a key that is not good.
        let expected = if dialect == "centrifugo" { 3500 } else { 1008 };
        assert_eq!(closed.code, expected, "{dialect}: {closed:?}");
        host.nothing_is_left().await;
    }
}
