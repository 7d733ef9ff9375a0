//! What publishers outside do to peers of a dialect: each peer is told in the words
//! that its client knows.

use std::sync::Arc;

use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, SocketOwner};
use openline_channels::hub::Hub;
use openline_channels::wakeups::Wakeups;
use openline_core::authentication::UnixTime;
use openline_core::channel::ChannelPattern;
use openline_core::key::{KeyTerms, Scope, Scopes};
use openline_core::limits::FunctionLimits;
use openline_core::name::{ChannelName, KeyName};
use openline_kit::exchange::with_head;
use serde_json::{Value, json};

use super::centrifugo::publish;
use super::{Speaker, host_with};
use crate::harness::{Answer, Host};

/// A host for clients of Centrifugo, and a key with all scopes.
pub(super) async fn host() -> (Host, String) {
    let lines = "dialect = \"centrifugo\"";
    let host = host_with(openline_guests::ECHO, lines, |host| {
        host.server(|server| server.api.hosts.all = true)
    })
    .await;
    let terms = KeyTerms {
        name: KeyName::new("all").unwrap(),
        scopes: Scopes::new(Scope::ALL).unwrap(),
        channels: vec![ChannelPattern::new("*").unwrap()],
        functions: None,
        expires: None,
    };
    let keys = host.gateway.services().keys();
    let made = keys.make(terms, false, UnixTime(1)).unwrap();
    keys.take(made.record).unwrap();
    let secret = String::from_utf8(made.secret.bytes().to_vec()).unwrap();
    (host, secret)
}

/// Asks with a key; the status and the body.
pub(super) async fn ask(host: &Host, key: &str, request: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: push.example.org\r\ncontent-length: {length}\r\n\
         authorization: Bearer {key}\r\n"
    );
    let answer = with_head(host.address, &head, body.as_bytes()).await;
    let Answer { status, body, .. } = answer.unwrap();
    (status, String::from_utf8(body).unwrap())
}

/// Asks Centrifugo's server API.
async fn api(host: &Host, key: &str, method: &str, body: Value) -> Value {
    let request = format!("POST /api/{method}");
    let (status, answer) = ask(host, key, &request, &body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

/// A peer whose news of the end of its subscription had another form would take
/// itself for subscribed, and hear nothing.
#[tokio::test]
async fn a_peer_that_is_unsubscribed_from_outside_is_told() {
    let (host, key) = host().await;
    let mut peer = Speaker::connect(&host).await;
    peer.ask("subscribe", json!({"channel": "news"})).await;
    let of_peer = json!({"channel": "news", "client": peer.id(), "user": ""});
    api(&host, &key, "unsubscribe", of_peer.clone()).await;
    let told = json!({"code": 2000, "reason": "server unsubscribe"});
    let expected = json!({"push": {"channel": "news", "unsubscribe": told}});
    assert_eq!(peer.next().await, expected);
    // A second time there is nothing to tell, and the peer can subscribe again.
    api(&host, &key, "unsubscribe", of_peer).await;
    peer.ask("subscribe", json!({"channel": "news"})).await;
    publish(&host, "news", "1");
    assert_eq!(peer.publication("news").await["data"], 1);
}

#[tokio::test]
async fn a_peer_that_is_subscribed_from_outside_gets_what_others_get() {
    let (host, key) = host().await;
    publish(&host, "value", r#"{"v":1}"#);
    publish(&host, "news", "1");
    let mut peer = Speaker::connect(&host).await;
    for channel in ["value", "news"] {
        let of_peer = json!({"channel": channel, "client": peer.id(), "user": ""});
        let answer = api(&host, &key, "subscribe", of_peer.clone()).await;
        assert_eq!(answer, json!({"result": {}}));
        let push = peer.next().await["push"].clone();
        assert_eq!(push["channel"], channel, "{push}");
        assert_eq!(push["subscribe"]["offset"], 1, "{push}");
        // A second time nothing comes of it.
        api(&host, &key, "subscribe", of_peer).await;
        if channel == "value" {
            assert_eq!(peer.publication("value").await["data"], json!({"v": 1}));
        }
    }
    publish(&host, "news", "2");
    assert_eq!(peer.publication("news").await["offset"], 2);
}

#[tokio::test]
async fn a_message_from_outside_is_wrapped_once() {
    let (host, key) = host().await;
    let mut peer = Speaker::connect(&host).await;
    let request = format!("POST /v1/connections/{}/messages", peer.id());
    let (status, _) = ask(&host, &key, &request, r#"{"a":[1]}"#).await;
    assert_eq!(status, 202);
    let expected = json!({"push": {"message": {"data": {"a": [1]}}}});
    assert_eq!(peer.next().await, expected);
}

#[tokio::test]
async fn members_at_their_number_and_past_it_in_one_answer() {
    const MEMBERS_MAX: usize = 4_096;
    let (host, key) = host().await;
    let function = host.deployer.triggers().remove(0).1;
    let hub: &Hub = function.hub();
    let limits = Arc::new(FunctionLimits::default());
    let budget = HostBudget::new(1 << 20, 1 << 20).function();
    let lobby = ChannelName::new("lobby").unwrap();
    let mut members = Vec::new();
    for _ in 0..=MEMBERS_MAX {
        let member = SocketOwner::new(Facts::default(), Arc::clone(&limits), Arc::clone(&budget));
        hub.join(member.connection());
        hub.subscribe(member.connection(), &lobby, &mut Wakeups::default())
            .unwrap();
        members.push(member);
    }
    let presence = async || api(&host, &key, "presence", json!({"channel": "lobby"})).await;
    let mut peer = Speaker::connect(&host).await;
    let on = json!({"channel": "lobby"});
    assert_eq!(presence().await["error"]["code"], 106);
    assert_eq!(peer.refused("presence", on.clone()).await, 106);
    hub.leave(members.pop().unwrap().connection());
    let all = presence().await;
    let all = all["result"]["presence"].as_object().unwrap();
    assert_eq!(all.len(), MEMBERS_MAX);
    let told = peer.ask("presence", on).await;
    assert_eq!(told["presence"]["presence"].as_object().unwrap(), all);
    for member in &members {
        hub.leave(member.connection());
    }
}
