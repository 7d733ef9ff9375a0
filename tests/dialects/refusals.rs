//! What peers of Centrifugo's protocol may not do, and how they are told.

use std::time::Duration;

use serde_json::{Value, json};

use super::{JWT, Speaker, good, host, host_of_tokens, host_with};
use crate::authentication::{end, now, signed, token};
use crate::harness::{Client, Host};

/// Sends a first frame; what comes of it.
async fn first(host: &Host, frame: &str) -> Client {
    let mut client = host.connect("/reject/a").await;
    client.text(frame).await;
    client
}

fn connect(token: &str) -> String {
    json!({"id": 1, "connect": {"token": token}}).to_string()
}

#[tokio::test]
async fn a_token_lets_in_whom_it_is_for() {
    let host = host_of_tokens().await;
    let mut ann = Speaker::connect_with(&host, json!({"token": good("ann", 600)})).await;
    ann.ask("subscribe", json!({"channel": "inbox:ann"})).await;
    assert_eq!(
        ann.refused("subscribe", json!({"channel": "inbox:bob"}))
            .await,
        103
    );
    assert_eq!(
        ann.refused("publish", json!({"channel": "inbox:ann", "data": 1}))
            .await,
        103
    );
    let other = signed(&json!({"sub": "ann"}), &[7; 32]);
    for bad in ["", "x", "pub_of_nobody", &other] {
        let mut client = first(&host, &connect(bad)).await;
        assert_eq!(client.closed().await, end(3500, "invalid token"), "{bad}");
    }
    // A client gets another token for one that has expired, and comes back.
    let expired = token(&json!({"sub": "ann", "exp": now() - 600}));
    let mut client = first(&host, &connect(&expired)).await;
    let reply: Value = serde_json::from_str(&client.next_text().await).unwrap();
    assert_eq!(reply["error"]["code"], 109);
    client.close(1000, "").await;
    drop((ann, client));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_token_of_the_request_is_good_too() {
    let host = host_of_tokens().await;
    let bearer = format!("Bearer {}", good("ann", 600));
    let headers = [("authorization", &*bearer)];
    let mut client = Client::open(host.address, "/reject/a", &headers)
        .await
        .unwrap();
    client.text(r#"{"id":1,"connect":{}}"#).await;
    assert!(
        client
            .next_text()
            .await
            .starts_with(r#"{"id":1,"connect":{"client":""#)
    );
    let wanted = r#"{"id":2,"subscribe":{"channel":"inbox:ann"}}"#;
    assert_eq!(client.ask(wanted).await, r#"{"id":2,"subscribe":{}}"#);
    // One that is not good is refused as on any trigger.
    let headers = [("authorization", "Bearer x")];
    let refused = Client::open(host.address, "/reject/a", &headers).await;
    assert_eq!(refused.unwrap_err().status, 401);
}

#[tokio::test]
async fn a_connection_ends_with_its_token_unless_it_shows_another_one() {
    let lines = format!("dialect = \"centrifugo\"\n{JWT}leeway = \"0s\"\n");
    let host = host_with(openline_guests::ECHO, &lines, |host| host).await;
    let mut peer = Speaker::connect_with(&host, json!({"token": good("ann", 2)})).await;
    assert_eq!(peer.connect["ttl"], 1);
    let mut renewed = Speaker::connect_with(&host, json!({"token": good("ann", 3)})).await;
    // Of another peer, and not good: it keeps the one that it has.
    assert_eq!(
        renewed
            .refused("refresh", json!({"token": good("bob", 600)}))
            .await,
        101
    );
    assert_eq!(
        renewed
            .refused("refresh", json!({"token": good("ann", 600)}))
            .await,
        111
    );
    assert_eq!(peer.client.closed().await, end(3005, "connection expired"));
    let reply = renewed
        .ask("refresh", json!({"token": good("ann", 600)}))
        .await;
    assert_eq!(reply["refresh"]["expires"], true, "{reply}");
    assert!(reply["refresh"]["ttl"].as_u64().unwrap() > 500);
    assert_eq!(
        renewed
            .refused("sub_refresh", json!({"channel": "news", "token": "t"}))
            .await,
        108
    );
}

/// A client that reads 109 in the reply to a refresh leaves for good; after this
/// close it comes back and gets another token.
#[tokio::test]
async fn a_token_that_is_renewed_by_one_that_has_expired_ends_the_connection() {
    let host = host_of_tokens().await;
    let mut peer = Speaker::connect_with(&host, json!({"token": good("ann", 600)})).await;
    let expired = token(&json!({"sub": "ann", "exp": now() - 600}));
    // What was asked before is answered, and what comes behind is not done.
    let commands = [
        json!({"id": 7, "subscribe": {"channel": "inbox:ann"}}),
        json!({"id": 8, "refresh": {"token": expired}}),
        json!({"id": 9, "subscribe": {"channel": "news"}}),
    ];
    let frame = commands.map(|command| command.to_string()).join("\n");
    peer.client.text(&frame).await;
    assert_eq!(peer.next().await, json!({"id": 7, "subscribe": {}}));
    assert_eq!(peer.client.closed().await, end(3005, "connection expired"));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn each_wish_that_cannot_be_granted_has_its_code() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    let on = |channel: &str| json!({"channel": channel});
    peer.ask("subscribe", on("news")).await;
    assert_eq!(peer.refused("subscribe", on("news")).await, 105);
    // A function's own channels are not for its peers.
    assert_eq!(peer.refused("subscribe", on("own")).await, 103);
    assert_eq!(peer.refused("subscribe", on("inbox:ann")).await, 103);
    assert_eq!(peer.refused("subscribe", on("keyed-1")).await, 103);
    assert_eq!(
        peer.refused("publish", json!({"channel": "own", "data": 1}))
            .await,
        103
    );
    assert_eq!(peer.refused("subscribe", on("a\nb")).await, 102);
    assert_eq!(peer.refused("presence", on("news")).await, 108);
    assert_eq!(peer.refused("presence_stats", on("news")).await, 108);
    assert_eq!(peer.refused("history", on("plain:1")).await, 108);
    assert_eq!(peer.refused("presence", on("own")).await, 103);
    let tag = json!({"key": "k", "cmp": "eq", "val": "v"});
    let filtered = |channel: &str| json!({"channel": channel, "tf": tag});
    assert_eq!(peer.refused("subscribe", filtered("plain:1")).await, 108);
    peer.ask("subscribe", filtered("tagged")).await;
    assert_eq!(peer.refused("refresh", json!({"token": "t"})).await, 108);
    let since = json!({"channel": "news", "limit": 1, "since": {"offset": 9, "epoch": "1"}});
    assert_eq!(peer.refused("history", since).await, 112);
    assert!(peer.ask("unsubscribe", on("never")).await["unsubscribe"].is_object());
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection() {
    let host = host().await;
    for bad in [
        "",
        "x",
        "{}",
        r#"{"id":1,"subscribe":{"channel":"news"}}"#,
        "[1]",
    ] {
        let mut client = first(&host, bad).await;
        assert_eq!(client.closed().await, end(3501, "bad request"), "{bad}");
    }
    let mut client = host.connect("/reject/a").await;
    client.binary(&[0xff, 0xfe]).await;
    assert_eq!(client.closed().await, end(3501, "bad request"));
    // What came before it is answered.
    let mut peer = Speaker::connect(&host).await;
    let frame = "{\"id\":2,\"subscribe\":{\"channel\":\"plain:1\"}}\nx\n{\"id\":3,\"rpc\":{}}";
    peer.client.text(frame).await;
    assert_eq!(peer.next().await, json!({"id": 2, "subscribe": {}}));
    assert_eq!(peer.client.closed().await, end(3501, "bad request"));
    // A pong that nobody has asked for.
    let mut peer = Speaker::connect(&host).await;
    peer.client.text("{}").await;
    assert_eq!(peer.client.closed().await, end(3501, "bad request"));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn the_first_frame_at_its_size_and_past_it() {
    let host = host().await;
    let frame = |bytes: usize| {
        let empty = json!({"id": 1, "connect": {"data": ""}}).to_string();
        let data = "a".repeat(bytes - empty.len());
        json!({"id": 1, "connect": {"data": data}}).to_string()
    };
    let mut client = first(&host, &frame(16 * 1024)).await;
    assert!(client.next_text().await.contains("connect"));
    let mut client = first(&host, &frame(16 * 1024 + 1)).await;
    assert_eq!(client.closed().await.code, 1009);
}

#[tokio::test]
async fn a_host_that_drains_says_so_in_the_words_of_the_dialect() {
    let host = host().await;
    let mut waiting = host.connect("/reject/a").await;
    let mut peer = Speaker::connect(&host).await;
    host.drain().await;
    assert_eq!(peer.client.closed().await, end(3001, "shutdown"));
    assert_eq!(waiting.closed().await, end(3001, "shutdown"));
}

#[tokio::test]
async fn a_function_that_rejects_or_fails_is_told_as_refusal() {
    let lines = format!("dialect = \"centrifugo\"\n{JWT}");
    let host = host_with(openline_guests::FAULT_REJECT, &lines, |host| host).await;
    let mut client = host.connect("/reject/a?status=403").await;
    client.text(&connect(&good("ann", 600))).await;
    let closed = client.closed().await;
    assert_eq!(closed, end(3507, "permission denied"));
}

#[tokio::test]
async fn a_slow_reader_is_closed_and_loses_nothing_silently() {
    let change = |host: crate::harness::HostBuilder| {
        host.limit(|limit| {
            limit.outbox_bytes = 64 * 1024;
            limit.message_bytes = 32 * 1024;
            limit.outbox_overflow = openline_core::limits::OutboxOverflow::DropNewest;
        })
    };
    let host = host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", change).await;
    let mut slow = Speaker::connect(&host).await;
    slow.ask("subscribe", json!({"channel": "plain:1"})).await;
    let mut writer = Speaker::connect(&host).await;
    let data = "x".repeat(30 * 1024);
    // The socket's own buffers take some.
    for _ in 0..1000 {
        writer
            .ask("publish", json!({"channel": "plain:1", "data": data}))
            .await;
        if host.state().await["connections"]["open"] == 1 {
            break;
        }
    }
    let closed = tokio::time::timeout(Duration::from_secs(20), slow.client.closed());
    assert!([3008, 1006].contains(&closed.await.unwrap().code));
}
