//! What a peer of a dialect may do, when that becomes less under an open line: a key
//! that a reload narrows, a token that is renewed with fewer claims, channels with
//! other terms, and a connection that is about to end.

use openline_admission::keys::ConfiguredKey;
use openline_channels::hub::Hub;
use openline_channels::wakeups::Wakeups;
use openline_control::ConfiguredComponent;
use openline_core::authentication::UnixTime;
use openline_core::close::CloseReason;
use openline_core::component::Component;
use openline_core::config::Config;
use openline_core::key::{KeyCredential, KeyTable};
use openline_core::name::{ChannelName, ConnectionId};
use openline_firewall::rules::Firewalls;
use serde_json::{Value, json};

use super::centrifugo::publish;
use super::{CHANNELS, JWT, Speaker, host, host_with};
use crate::authentication::{end, now, token};
use crate::harness::{Host, HostBuilder};

pub(super) const KEY: &str = "pub_0123456789abcdef0123456789abcdef";

/// A host whose channels `keyed-*` are for those with a key, which gives all of
/// them.
async fn host_of_key(dialect: &str) -> Host {
    let lines = format!("dialect = \"{dialect}\"");
    let key = |host: HostBuilder| host.keys(&[("page", "subscribe", "keyed-*", KEY)]);
    host_with(openline_guests::ECHO, &lines, key).await
}

/// The configuration is read again, and gives the key this pattern.
pub(super) fn narrow(host: &Host, pattern: &str) {
    reread(host, &format!("channels = [{pattern:?}]"));
}

/// The configuration is read again, and has this line of the key.
fn reread(host: &Host, line: &str) {
    let text = format!(
        "[[key]]\nname = \"page\"\nscopes = [\"subscribe\"]\n{line}\n\
         secret = \"env:NONE\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroute = \"/\"\n"
    );
    let table: KeyTable = Config::parse(&text).unwrap().keys.remove(0);
    let keys = host.deployer.services().keys();
    let key = ConfiguredKey {
        terms: table.terms,
        credential: KeyCredential::of(KEY),
        secret: None,
    };
    assert_eq!(keys.put(keys.prepare(vec![key]).unwrap()), 0);
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn hub(host: &Host) -> std::sync::Arc<Hub> {
    host.deployer.triggers().remove(0).1.hub().clone()
}

/// The next frame, which ends the subscription of a channel by the host.
async fn loses(peer: &mut Speaker, channel: &str) {
    let push = peer.next().await;
    assert_eq!(push["push"]["channel"], channel, "{push}");
    assert_eq!(push["push"]["unsubscribe"]["code"], 2000, "{push}");
}

#[tokio::test]
async fn a_key_that_is_narrowed_ends_what_it_does_not_give_any_more() {
    let host = host_of_key("centrifugo").await;
    let mut peer = Speaker::connect_with(&host, json!({"token": KEY})).await;
    for name in ["keyed-1", "keyed-2", "plain:1"] {
        peer.ask("subscribe", json!({"channel": name})).await;
    }
    // One that the function gives its peer is the function's business.
    let id = ConnectionId::parse(peer.id()).unwrap();
    let connection = hub(&host).get(id).unwrap();
    let mut wakeups = Wakeups::default();
    for name in ["keyed-3", "keyed-4"] {
        hub(&host)
            .subscribe(&connection, &channel(name), &mut wakeups)
            .unwrap();
    }
    drop(wakeups);
    for name in ["keyed-3", "keyed-4"] {
        assert_eq!(peer.next().await["push"]["channel"], name);
    }
    peer.ask("unsubscribe", json!({"channel": "keyed-4"})).await;
    peer.ask("subscribe", json!({"channel": "keyed-4"})).await;
    narrow(&host, "keyed-1");
    let mut lost = [peer.next().await, peer.next().await];
    lost.sort_by_key(|push| push["push"]["channel"].to_string());
    for (push, name) in lost.iter().zip(["keyed-2", "keyed-4"]) {
        assert_eq!(push["push"]["channel"], name, "{push}");
        assert_eq!(push["push"]["unsubscribe"]["code"], 2000, "{push}");
    }
    for name in ["keyed-4", "keyed-2", "keyed-1", "keyed-3", "plain:1"] {
        publish(&host, name, "1");
    }
    for name in ["keyed-1", "keyed-3", "plain:1"] {
        assert_eq!(peer.publication(name).await["data"], 1);
    }
    assert_eq!(
        peer.refused("subscribe", json!({"channel": "keyed-2"}))
            .await,
        103
    );
    drop((peer, connection));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn the_clients_of_pushflo_hear_it_in_their_words() {
    let host = host_of_key("pushflo").await;
    let mut client = host.connect(&format!("/reject/ws?token={KEY}")).await;
    let mut next = async |say: Option<Value>| -> Value {
        if let Some(say) = say {
            client.text(&say.to_string()).await;
        }
        serde_json::from_str(&client.next_text().await).unwrap()
    };
    assert_eq!(next(None).await["type"], "connected");
    let subscribe = json!({"type": "subscribe", "channel": "keyed-1"});
    assert_eq!(next(Some(subscribe)).await["type"], "subscribed");
    narrow(&host, "keyed-2");
    let lost = next(None).await;
    assert_eq!(
        (&lost["type"], &lost["channel"]),
        (&json!("unsubscribed"), &json!("keyed-1"))
    );
}

#[tokio::test]
async fn more_channels_than_one_poll_asks_about_all_end() {
    const CHANNELS: u32 = 200;
    let key = |host: HostBuilder| {
        let host = host.limit(|limit| limit.channels = CHANNELS);
        host.keys(&[("page", "subscribe", "keyed-*", KEY)])
    };
    let host = host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", key).await;
    let mut peer = Speaker::connect_with(&host, json!({"token": KEY})).await;
    for number in 0..CHANNELS {
        peer.ask("subscribe", json!({"channel": format!("keyed-{number}")}))
            .await;
    }
    narrow(&host, "keyed-no");
    let mut lost = std::collections::BTreeSet::new();
    for _ in 0..CHANNELS {
        let push = peer.next().await;
        assert_eq!(push["push"]["unsubscribe"]["code"], 2000, "{push}");
        lost.insert(push["push"]["channel"].to_string());
    }
    assert_eq!(lost.len(), CHANNELS as usize);
}

#[tokio::test]
async fn a_key_that_is_for_another_function_now_lets_nobody_stay() {
    let host = host_of_key("centrifugo").await;
    let mut peer = Speaker::connect_with(&host, json!({"token": KEY})).await;
    peer.ask("subscribe", json!({"channel": "plain:1"})).await;
    reread(&host, "functions = [\"echo\"]");
    peer.ask("presence_stats", json!({"channel": "lobby"}))
        .await;
    reread(&host, "functions = [\"other\"]");
    assert_eq!(peer.client.closed().await, end(3500, "invalid token"));
    host.nothing_is_left().await;
}

/// Clients renew a token whose end they are told, and leave for good if they cannot.
#[tokio::test]
async fn the_end_of_a_key_is_not_told_because_nothing_renews_it() {
    let host = host_of_key("centrifugo").await;
    let soon = now() + 2;
    reread(
        &host,
        &format!("expires = {:?}", UnixTime(soon).to_string()),
    );
    let mut peer = Speaker::connect_with(&host, json!({"token": KEY})).await;
    assert!(peer.connect.get("expires").is_none(), "{}", peer.connect);
    assert_eq!(peer.refused("refresh", json!({"token": KEY})).await, 108);
    assert_eq!(peer.client.closed().await, end(3005, "connection expired"));
    assert!(now() >= soon);
}

/// Channels that a claim of a token lists.
const CLAIMED: &str = r#"
[[function.channel]]
pattern = "room:*"
subscribe = "claim:rooms"
publish = "claim:rooms"
"#;

#[tokio::test]
async fn a_token_with_fewer_claims_ends_what_it_does_not_give_any_more() {
    let lines = format!("dialect = \"centrifugo\"\n{JWT}");
    let claimed = |host: HostBuilder| host.channels(CLAIMED);
    let host = host_with(openline_guests::ECHO, &lines, claimed).await;
    let with = |rooms: Value| token(&json!({"sub": "ann", "exp": now() + 600, "rooms": rooms}));
    let first = with(json!(["room:1", "room:2", 7, {"room:3": 1}]));
    let mut peer = Speaker::connect_with(&host, json!({"token": first})).await;
    for name in ["room:1", "room:2"] {
        peer.ask("subscribe", json!({"channel": name})).await;
    }
    assert_eq!(
        peer.refused("subscribe", json!({"channel": "room:3"}))
            .await,
        103
    );
    for (rooms, lost) in [(json!("room:2"), "room:1"), (json!({"all": "*"}), "room:2")] {
        let reply = loop {
            let reply = peer
                .ask("refresh", json!({"token": with(rooms.clone())}))
                .await;
            // One a second.
            if reply["error"]["code"] != 111 {
                break reply;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        assert!(reply["refresh"].is_object(), "{reply}");
        loses(&mut peer, lost).await;
    }
    publish(&host, "room:1", "1");
    assert_eq!(
        peer.refused("publish", json!({"channel": "room:2", "data": 1}))
            .await,
        103
    );
}

#[tokio::test]
async fn channels_that_peers_may_not_have_any_more_lose_them() {
    let host = host().await;
    let mut peers = Vec::new();
    for _ in 0..2 {
        let mut peer = Speaker::connect(&host).await;
        for name in ["news", "plain:1"] {
            peer.ask("subscribe", json!({"channel": name})).await;
        }
        peers.push(peer);
    }
    let tables = CHANNELS.replacen("subscribe = \"peers\"", "subscribe = \"function\"", 1);
    let head = "[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroute = \"/\"\n";
    let mut config = Config::parse(&format!("{head}{tables}")).unwrap();
    let channels = config.functions.remove(0).channels;
    config.functions = host.deployer.configs();
    config.functions[0].channels = channels;
    config.server = host.server();
    let component = ConfiguredComponent {
        function: config.functions[0].name.clone(),
        component: Ok(Component::from(
            std::fs::read(openline_guests::ECHO).unwrap(),
        )),
    };
    let configured = (config, Firewalls::default());
    let reloaded = host.deployer.reload(configured, vec![component]);
    Box::pin(reloaded).await.unwrap();
    for peer in &mut peers {
        loses(peer, "news").await;
        assert_eq!(
            peer.refused("subscribe", json!({"channel": "news"})).await,
            103
        );
    }
    publish(&host, "plain:1", "1");
    for peer in &mut peers {
        assert_eq!(peer.publication("plain:1").await["data"], 1);
    }
}

/// A peer that takes nothing keeps its socket for a while after its connection was
/// ended, and does nothing with it.
#[tokio::test]
async fn a_connection_that_ends_does_nothing_more_for_its_peer() {
    let change = |host: HostBuilder| {
        host.limit(|limit| limit.outbox_bytes = 64 << 20)
            .server(|server| server.close_timeout = std::time::Duration::from_secs(5))
    };
    let host = host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", change).await;
    let mut peer = Speaker::connect(&host).await;
    peer.ask("subscribe", json!({"channel": "plain:1"})).await;
    let connection = hub(&host)
        .get(ConnectionId::parse(peer.id()).unwrap())
        .unwrap();
    // Until the socket's buffers are full.
    let data = format!("{:?}", "x".repeat(512 << 10));
    while connection.buffered_bytes() < 40 << 20 {
        publish(&host, "plain:1", &data);
        tokio::task::yield_now().await;
    }
    connection.end(CloseReason::Revoked);
    connection.wake();
    peer.send("publish", json!({"channel": "news", "data": 1}))
        .await;
    // Time for the host to read it, if it did.
    let mut other = Speaker::connect(&host).await;
    for _ in 0..20 {
        other.ask("subscribe", json!({"channel": "value"})).await;
        other.ask("unsubscribe", json!({"channel": "value"})).await;
    }
    let closed = peer.client.closed().await;
    assert!([3500, 1006].contains(&closed.code), "{closed:?}");
    assert!(hub(&host).own().view(&channel("news")).is_none());
}
