//! PushFlo's protocol: its client's key, channels and pings.

use openline_core::config::Config;
use serde_json::{Value, json};

use super::host_with;
use crate::authentication::end;
use crate::harness::{Host, HostBuilder};

const SUBSCRIBE: &str = "pub_0123456789abcdef0123456789abcdef";
const OTHER: &str = "sec_0123456789abcdef0123456789abcdef";

/// A host with two API keys.
async fn host() -> Host {
    host_with(openline_guests::ECHO, "dialect = \"pushflo\"", keys).await
}

fn keys(host: HostBuilder) -> HostBuilder {
    host.keys(&[
        ("page", "subscribe", "keyed-*", SUBSCRIBE),
        ("server", "publish", "other-*", OTHER),
    ])
}

async fn next(client: &mut crate::harness::Client) -> Value {
    serde_json::from_str(&client.next_text().await).unwrap()
}

#[tokio::test]
async fn a_client_with_a_key_subscribes_within_it() {
    let host = host().await;
    let mut client = host.connect(&format!("/reject/ws?token={SUBSCRIBE}")).await;
    let connected = next(&mut client).await;
    assert_eq!(connected["type"], "connected");
    assert_eq!(connected["clientId"].as_str().unwrap().len(), 32);
    let subscribe = |channel: &str| json!({"type": "subscribe", "channel": channel}).to_string();
    client.text(&subscribe("keyed-1")).await;
    assert_eq!(
        next(&mut client).await,
        json!({"type": "subscribed", "channel": "keyed-1"})
    );
    client.text(&subscribe("other-1")).await;
    assert_eq!(next(&mut client).await["code"], "FORBIDDEN");
    super::centrifugo::publish(&host, "keyed-1", r#"{"a":1}"#);
    let message = next(&mut client).await;
    assert_eq!(
        (&message["type"], &message["data"]),
        (&json!("message"), &json!({"a": 1}))
    );
    assert!(message["messageId"].is_string());
    client.text(r#"{"type":"ping"}"#).await;
    assert_eq!(next(&mut client).await, json!({"type": "pong"}));
    client.text("x").await;
    assert_eq!(next(&mut client).await["code"], "VALIDATION_ERROR");
    client
        .text(r#"{"type":"unsubscribe","channel":"keyed-1"}"#)
        .await;
    assert_eq!(next(&mut client).await["type"], "unsubscribed");
    drop(client);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_client_without_a_good_key_hears_it() {
    let host = host().await;
    for query in ["", "?token=", "?token=pub_unknown", "?token=x&token=y"] {
        let mut client = host.connect(&format!("/reject/ws{query}")).await;
        let error = next(&mut client).await;
        let expected = json!({"type": "error", "error": "unauthorized", "code": "UNAUTHORIZED"});
        assert_eq!(error, expected, "{query}");
        assert_eq!(client.closed().await, end(1008, "unauthorized"));
    }
    host.nothing_is_left().await;
}

#[test]
fn its_triggers_have_keys_and_nothing_else() {
    let text = "[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\n[[function.trigger]]\n\
                route = \"/ws\"\ndialect = \"pushflo\"\nauth = \"ticket\"\n";
    let errors = Config::parse(text).unwrap_err();
    assert!(errors[0].message.contains("pushflo"), "{errors:?}");
}
