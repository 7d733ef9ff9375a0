//! Components that are too large, arrive only in part, or cannot be versions:
//! nothing changes.

use super::{WASM, component};
use crate::harness::{AdminHost, Raw};

#[tokio::test]
async fn a_component_at_its_size_and_past_it() {
    let echo = component(openline_guests::ECHO);
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/a")
        .component_bytes(echo.len())
        .start()
        .await;
    let path = "/v1/functions/echo/versions?route=/echo";
    let got = host.ask("POST", path, Some((WASM, &echo))).await;
    assert_eq!(got.status, 201, "{got:?}");
    let larger = [&echo[..], b"x"].concat();
    let got = host.ask("POST", path, Some((WASM, &larger))).await;
    got.refused(413, "too_large");
    // Without a length, the host notices while it reads.
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {WASM}\r\nTransfer-Encoding: chunked\r\n"
    );
    let chunk = [
        format!("{:x}\r\n", larger.len()).as_bytes(),
        &larger,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    host.exchange(&head, &chunk).await.refused(413, "too_large");
    // A client that asks before it sends gets the answer before.
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {WASM}\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n"
    );
    host.exchange(&head, b"").await.refused(413, "too_large");
    let versions = host.ask("GET", "/v1/functions/echo/versions", None).await;
    assert_eq!(versions.value()["versions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_component_that_arrives_half_changes_nothing() {
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/a")
        .host(|host| {
            host.server(|server| server.request_timeout = std::time::Duration::from_millis(300))
        })
        .start()
        .await;
    let before = host.ask("GET", "/v1/functions", None).await.value();
    let next = component(openline_guests::FAULT_VERSION_B);
    let head = format!(
        "POST /v1/functions/fault-version-a/versions HTTP/1.1\r\nHost: localhost\r\nContent-Type: {WASM}\r\nContent-Length: {}\r\n",
        next.len()
    );
    // The body stops coming.
    host.exchange(&head, &next[..next.len() - 1])
        .await
        .refused(408, "request_timeout");
    // The stream ends.
    let mut raw = Raw::connect(host.admin).await;
    raw.send(format!("{head}\r\n").as_bytes()).await;
    raw.send(&next[..next.len() - 1]).await;
    tokio::io::AsyncWriteExt::shutdown(&mut raw.socket)
        .await
        .unwrap();
    raw.head().await;
    drop(raw);
    let after = host.ask("GET", "/v1/functions", None).await.value();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_component_that_cannot_be_a_version_is_refused() {
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/a")
        .start()
        .await;
    let before = host.ask("GET", "/v1/functions", None).await.value();
    let path = "/v1/functions/fault-version-a/versions";
    let next = component(openline_guests::FAULT_VERSION_B);
    for (body, status, error) in [
        (Some((WASM, &b""[..])), 400, "incomplete"),
        (Some((WASM, b"this is text")), 422, "component"),
        (Some((WASM, &next[..next.len() / 2])), 422, "component"),
        (Some(("text/plain", &next)), 415, "content_type"),
        (
            Some(("application/x-www-form-urlencoded", &next)),
            415,
            "content_type",
        ),
        (None, 415, "content_type"),
    ] {
        host.ask("POST", path, body).await.refused(status, error);
    }
    let broken = component(openline_guests::FAULT_BROKEN_START);
    let got = host.ask("POST", path, Some((WASM, &broken))).await;
    got.refused(422, "component");
    for (query, status, error) in [
        ("weight=0", 422, "weights"),
        ("weight=130", 422, "weights"),
        ("weight=99999999999", 400, "bad_query"),
        ("weight=10&weight=10", 400, "bad_query"),
        ("wieght=10", 400, "bad_query"),
        ("alias=next&weight=10", 409, "nothing_beside"),
        ("alias=a%2Fb", 400, "bad_name"),
        ("route=/other", 409, "configured"),
        ("migration=slowly", 400, "bad_query"),
        (
            "drain_connections_per_second=0",
            422,
            "drain_connections_per_second",
        ),
    ] {
        let path = format!("{path}?{query}");
        let got = host.ask("POST", &path, Some((WASM, &next))).await;
        got.refused(status, error);
    }
    let note = "n".repeat(257);
    let got = host
        .ask("POST", &format!("{path}?note={note}"), Some((WASM, &next)))
        .await;
    got.refused(422, "note");
    let got = host
        .ask("POST", "/v1/functions/new/versions", Some((WASM, &next)))
        .await;
    got.refused(422, "no_route");
    let got = host
        .ask(
            "POST",
            "/v1/functions/new/versions?route=/a",
            Some((WASM, &next)),
        )
        .await;
    got.refused(409, "conflict");
    let after = host.ask("GET", "/v1/functions", None).await.value();
    assert_eq!(
        after["functions"][0]["versions"],
        before["functions"][0]["versions"]
    );
    assert_eq!(
        after["functions"][0]["aliases"],
        before["functions"][0]["aliases"]
    );
    assert_eq!(after["functions"].as_array().unwrap().len(), 1);
}
