//! Invalid names, JSON, messages and pages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::AdminHost;

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let long = "n".repeat(10_000);
    for name in [
        "..",
        "%2e%2e",
        "%2e%2e%2fecho",
        "-x",
        "a%20b",
        "%00",
        "ä",
        &long,
    ] {
        let got = host
            .ask("GET", &format!("/v1/functions/{name}"), None)
            .await;
        // Bytes that cannot be in a path are refused before the path is read.
        if got.body.is_empty() {
            assert_eq!(got.status, 400, "{name}");
        } else {
            got.refused(400, "bad_name");
        }
    }
    host.ask("GET", "/v1/functions/%ff", None)
        .await
        .refused(400, "bad_name");
    host.ask("GET", "/v1/functions/none", None)
        .await
        .refused(404, "no_function");
    let aliases = "/v1/functions/echo/aliases";
    host.ask("DELETE", &format!("{aliases}/abcdef12"), None)
        .await
        .refused(400, "bad_name");
    host.ask("DELETE", &format!("{aliases}/none"), None)
        .await
        .refused(404, "no_alias");
    let versions = "/v1/functions/echo/versions";
    host.ask("DELETE", &format!("{versions}/abc"), None)
        .await
        .refused(400, "bad_version");
    host.ask("DELETE", &format!("{versions}/abcdef"), None)
        .await
        .refused(404, "no_version");
    host.ask("DELETE", &format!("{versions}/abcdef?force=maybe"), None)
        .await
        .refused(400, "bad_query");
}

#[tokio::test]
async fn json_of_another_shape_is_refused_with_its_place() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let path = "/v1/functions/echo/aliases/live";
    let send = async |body: &str| {
        let body = Some(("application/json; charset=utf-8", body.as_bytes()));
        host.ask("PUT", path, body).await
    };
    for bad in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "\"live\"",
        r#"{"shares": {}}"#,
        r#"{"shares": [{"version": "abcdef"}]}"#,
        r#"{"shares": [{"version": "abcdef", "weight": -1}]}"#,
        r#"{"shares": [{"version": "abcdef", "weight": 1e300}]}"#,
        r#"{"shares": [{"version": "abcdef", "weight": 99999999999}]}"#,
        r#"{"shares": [{"version": 7, "weight": 100}]}"#,
        r#"{"shares": [], "migration": "slowly"}"#,
        r#"{"shares": [], "colour": "red"}"#,
        r#"{"shares": []} and more"#,
        &"[".repeat(10_000),
    ] {
        send(bad).await.refused(400, "bad_json");
    }
    send(r#"{"shares": []}"#).await.refused(422, "weights");
    let digest = host
        .ask("GET", "/v1/functions/echo/versions", None)
        .await
        .value();
    let digest = &digest["versions"][0]["digest"].as_str().unwrap()[..8];
    for weights in [&[0][..], &[100, 30], &[50, 50]] {
        let share = |weight: &u32| json!({"version": digest, "weight": weight});
        let shares: Vec<_> = weights.iter().map(share).collect();
        let got = host.json("PUT", path, &json!({"shares": shares})).await;
        got.refused(422, "weights");
    }
    // One byte more than is read.
    let spaces = " ".repeat(64 * 1024 - 2);
    send(&format!("{{}}{spaces}"))
        .await
        .refused(400, "bad_json");
    send(&format!("{{}}{spaces} "))
        .await
        .refused(413, "too_large");
    let got = host.ask("PUT", path, Some(("text/plain", b"{}"))).await;
    got.refused(415, "content_type");
}

#[tokio::test]
async fn messages_and_closes_that_cannot_be_are_refused() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .host(|host| host.limit(|limit| limit.message_bytes = 10))
        .start()
        .await;
    let mut client = host.connect("/echo").await;
    client.ask("x").await;
    let page = host.ask("GET", "/v1/connections", None).await.value();
    assert_eq!(page["next"], Value::Null);
    let id = page["connections"][0]["id"].as_str().unwrap();
    let messages = format!("/v1/connections/{id}/messages");
    let text = |text: &'static [u8]| Some(("text/plain", text));
    let got = host.ask("POST", &messages, text(b"0123456789")).await;
    assert_eq!(got.value()["outcome"], "sent");
    host.ask("POST", &messages, text(b"0123456789a"))
        .await
        .refused(413, "too_large");
    host.ask("POST", &messages, text(b"\xff"))
        .await
        .refused(400, "not_text");
    host.ask("POST", &messages, None)
        .await
        .refused(415, "content_type");
    let close = format!("/v1/connections/{id}/close");
    for (body, status, error) in [
        (json!({"code": 1005}), 422, "close"),
        (json!({"code": 70_000}), 400, "bad_json"),
        (json!({"reason": "r".repeat(124)}), 422, "close"),
        (json!({"why": "x"}), 400, "bad_json"),
    ] {
        host.json("POST", &close, &body)
            .await
            .refused(status, error);
    }
    let nobody = format!("/v1/connections/{}", "0".repeat(32));
    for path in [nobody.as_str(), "/v1/connections/1", "/v1/connections/%ff"] {
        let got = host.ask("GET", path, None).await;
        assert!([400, 404].contains(&got.status), "{got:?}");
    }
    host.ask("POST", &format!("{nobody}/close"), None)
        .await
        .refused(404, "no_connection");
    assert_eq!(
        client.next().await.into_text().unwrap().as_str(),
        "0123456789"
    );
    // Without a body it is a normal close.
    host.ask("POST", &close, None).await;
    assert_eq!(client.closed().await.code, 1000);
}

#[tokio::test]
async fn connections_come_by_pages() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(host.connect("/echo").await);
    }
    let mut found = BTreeSet::new();
    let mut after = String::new();
    let mut pages = 0;
    loop {
        let path = format!("/v1/connections?function=echo&limit=2{after}");
        let page = host.ask("GET", &path, None).await.value();
        for connection in page["connections"].as_array().unwrap() {
            found.insert(connection["id"].as_str().unwrap().to_owned());
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!((found.len(), pages), (5, 3));
    for (query, error) in [
        ("limit=0", "bad_query"),
        ("limit=1001", "bad_query"),
        ("tag=x", "bad_query"),
        ("after=x", "bad_query"),
        ("limit=1&limit=1", "bad_query"),
        ("colour=red", "bad_query"),
    ] {
        let got = host
            .ask("GET", &format!("/v1/connections?{query}"), None)
            .await;
        got.refused(400, error);
    }
}
