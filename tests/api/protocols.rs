//! Requests of other services' clients, written by hand as they send them.

use openline_core::key::Scope;

use super::Outside;
use crate::authentication::end;

#[tokio::test]
async fn pushflo_publishes_in_both_forms_reads_and_manages() {
    let outside = Outside::start().await;
    let key = outside.all();
    let mut peer = outside.peer("news").await;
    let body = r#"{"channel":"news","data":{"a":1}}"#;
    let lines =
        format!("authorization: Bearer {key}\r\ncontent-type: text/plain;charset=UTF-8\r\n");
    let got = outside
        .ask("POST /api/v1/publish", &lines, body.as_bytes())
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.json()["delivered"], 1);
    assert_eq!(got.json()["channelSlug"], "news");
    assert_eq!(peer.next_text().await, r#"{"a":1}"#);
    let body = r#"{"content":[2],"eventType":"two"}"#;
    let got = outside
        .with_key("POST /api/v1/channels/news/messages", &key, body)
        .await;
    assert_eq!(got.json()["eventType"], "two", "{got:?}");
    let got = outside
        .with_key("GET /api/v1/channels/news/messages?pageSize=1", &key, "")
        .await;
    assert_eq!(got.json()["items"][0]["content"][0], 2, "{got:?}");
    assert_eq!(got.json()["pagination"]["total"], 2);
    let body = r#"{"name":"Orders","slug":"orders","metadata":{"k":1}}"#;
    let got = outside.with_key("POST /api/v1/channels", &key, body).await;
    assert_eq!(got.status, 201, "{got:?}");
    let again = outside.with_key("POST /api/v1/channels", &key, body).await;
    assert_eq!(again.status, 409, "{again:?}");
    let got = outside
        .with_key("PATCH /api/v1/channels/orders", &key, r#"{"name":"All"}"#)
        .await;
    assert_eq!(got.json()["name"], "All", "{got:?}");
    let got = outside.with_key("GET /api/v1/channels", &key, "").await;
    assert_eq!(got.json()["pagination"]["total"], 2, "{got:?}");
    let got = outside
        .with_key("DELETE /api/v1/channels/orders", &key, "")
        .await;
    assert_eq!(got.status, 204, "{got:?}");
    let got = outside
        .with_key("GET /api/v1/channels/orders", &key, "")
        .await;
    assert_eq!(got.status, 404, "{got:?}");
    let got = outside
        .ask("POST /api/v1/publish", "", body.as_bytes())
        .await;
    assert_eq!(got.status, 401, "{got:?}");
}

#[tokio::test]
async fn grip_publishes_both_forms_of_items() {
    let outside = Outside::start().await;
    let key = outside.all();
    let mut peer = outside.peer("plain").await;
    let body = r#"{"items":[{"channel":"plain","id":"1","ws-message":{"content":"a"}},
        {"channel":"plain","formats":{"ws-message":{"content-bin":"AAE="}}},
        {"channel":"plain","http-response":{"body":"x"}}]}"#;
    let got = outside.with_key("POST /publish/", &key, body).await;
    assert_eq!((got.status, &*got.body), (200, "Published\n"));
    assert_eq!(peer.next_text().await, "a");
    peer.next().await;
    let got = outside.with_key("POST /publish", &key, "{").await;
    assert_eq!((got.status, &*got.body), (400, "Body is not valid JSON.\n"));
    // As the documentation of Pushpin has it.
    let close = r#"{"items":[{"channel":"plain","id":"an-item-id","formats":{"ws-message":
        {"action":"close","code":1013,"reason":"bye for now"}}}]}"#;
    let publisher = outside.key("publisher", &[Scope::Publish], &["plain"]);
    assert_eq!(
        outside
            .with_key("POST /publish/", &publisher, close)
            .await
            .status,
        403
    );
    assert_eq!(
        outside.with_key("POST /publish/", &key, close).await.status,
        200
    );
    assert_eq!(peer.closed().await, end(1013, "bye for now"));
}

#[tokio::test]
async fn centrifugo_s_server_api_answers_as_its_clients_expect() {
    let outside = Outside::start().await;
    let key = outside.all();
    let mut peer = outside.peer("news").await;
    let lines = format!("x-api-key: {key}\r\n");
    let ask = async |method: &str, body: &str| {
        let request = format!("POST /api/{method}");
        outside.ask(&request, &lines, body.as_bytes()).await.json()
    };
    let got = ask("publish", r#"{"channel":"news","data":{"a":1}}"#).await;
    assert_eq!(got["result"]["offset"], 1, "{got}");
    assert_eq!(peer.next_text().await, r#"{"a":1}"#);
    let got = ask("broadcast", r#"{"channels":["news","room:1"],"data":2}"#).await;
    assert_eq!(
        got["result"]["responses"][0]["result"]["offset"], 2,
        "{got}"
    );
    let got = ask("history", r#"{"channel":"news","limit":1}"#).await;
    assert_eq!(got["result"]["publications"][0]["data"]["a"], 1, "{got}");
    assert_eq!(got["result"]["offset"], 2);
    let got = ask("presence_stats", r#"{"channel":"lobby"}"#).await;
    assert_eq!(
        got["result"]["num_clients"].as_u64().unwrap_or(0),
        0,
        "{got}"
    );
    let got = ask("channels", "{}").await;
    assert_eq!(got["result"]["channels"]["news"]["num_clients"], 1, "{got}");
    let got = ask("presence", r#"{"channel":"news"}"#).await;
    assert_eq!(got["error"]["code"], 108, "{got}");
    assert!(ask("info", "").await["result"]["nodes"].is_array());
    let got = outside.ask("POST /api/publish", "", b"{}").await;
    assert_eq!(got.status, 401, "{got:?}");
    let got = outside.ask("POST /api/none", &lines, b"{}").await;
    assert_eq!(got.status, 404, "{got:?}");
}

#[tokio::test]
async fn connections_of_api_gateway_by_a_key() {
    let outside = Outside::start().await;
    let key = outside.all();
    let mut peer = outside.peer("lobby").await;
    let got = outside
        .with_key("GET /v1/connections", &key, "")
        .await
        .json();
    let id = got["connections"][0]["connection"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/{}/%40connections/{id}", outside.function().as_str());
    let got = outside
        .with_key(&format!("POST {path}"), &key, "hello")
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(peer.next_text().await, "hello");
    let got = outside.with_key(&format!("GET {path}"), &key, "").await;
    assert_eq!(
        got.json()["identity"]["sourceIp"]
            .as_str()
            .unwrap()
            .split(':')
            .next(),
        Some("127.0.0.1")
    );
    let got = outside
        .with_key(&format!("POST /other/@connections/{id}"), &key, "x")
        .await;
    assert_eq!(got.status, 410, "{got:?}");
    assert!(
        got.head.contains("x-amzn-errortype: goneexception"),
        "{got:?}"
    );
    let got = outside.with_key(&format!("DELETE {path}"), &key, "").await;
    assert_eq!(got.status, 204, "{got:?}");
    peer.closed().await;
    // Amazon's client for PHP fails on an error that is no JSON.
    let got = outside.with_key(&format!("POST {path}"), &key, "x").await;
    assert_eq!(got.status, 410, "{got:?}");
    assert!(got.json()["message"].is_string(), "{got:?}");
    let unsigned = outside.ask(&format!("POST {path}"), "", b"x").await;
    assert_eq!(unsigned.status, 403, "{unsigned:?}");
}

#[tokio::test]
async fn lists_of_other_protocols_find_channels_behind_ten_thousand_others() {
    let outside = Outside::start().await;
    let key = outside.all();
    let _peers = [
        outside.peer("room:z-wanted").await,
        outside.peer("zebra").await,
    ];
    for thousand in 0..=10 {
        let channels = (0..1000).map(|it| format!("\"room:{thousand}-{it}\""));
        let channels: Vec<_> = channels.collect();
        let body = format!(r#"{{"channels":[{}],"text":"x"}}"#, channels.join(","));
        let got = outside.with_key("POST /v1/publish", &key, &body).await;
        assert_eq!(got.status, 200, "{got:?}");
    }
    let body = r#"{"pattern":"*-wanted"}"#;
    let got = outside.with_key("POST /api/channels", &key, body).await;
    let found = &got.json()["result"]["channels"];
    assert_eq!(found["room:z-wanted"]["num_clients"], 1, "{found}");
    // Of PushFlo's channels, those with a slug.
    let got = outside.with_key("GET /api/v1/channels", &key, "").await;
    let found = &got.json()["data"];
    assert_eq!(found[0]["slug"], "zebra", "{found}");
}
