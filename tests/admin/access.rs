//! Which requests the admin interface answers, on which paths, with which
//! methods, and how many at once.

use openline_admin::CONNECTIONS_MAX;

use crate::harness::{AdminHost, Raw};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

// === who is answered ===

#[tokio::test]
async fn a_token_is_needed_where_there_is_one() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .token(TOKEN)
        .start()
        .await;
    let ask = async |line: &str, more: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: {}\r\n{more}", host.admin);
        host.exchange(&head, b"").await
    };
    let got = ask("GET /v1/functions", "").await;
    got.refused(401, "no_token");
    assert!(
        got.head.contains("\r\nwww-authenticate: bearer "),
        "{}",
        got.head
    );
    let got = ask("GET /v1/functions", "Authorization: Bearer wrong\r\n").await;
    got.refused(401, "wrong_token");
    // The answer reveals nothing about the path, and does not wait for a body.
    ask("GET /v1/nothing", "").await.refused(401, "no_token");
    ask(
        "POST /v1/functions/echo/versions",
        "Content-Length: 9999\r\n",
    )
    .await
    .refused(401, "no_token");
    assert_eq!(ask("GET /.openline/state", "").await.status, 401);
    let bearing = format!("Authorization: Bearer {TOKEN}\r\n");
    let got = ask("GET /v1/config", &bearing).await;
    assert_eq!(got.status, 200);
    // The page's files reveal nothing about this host, and no answer contains
    // the token.
    assert_eq!(ask("GET /.openline/page.js", "").await.status, 200);
    let text = String::from_utf8(got.body).unwrap();
    assert!(text.contains("\"admin_token\":true") && !text.contains(TOKEN));
}

#[tokio::test]
async fn without_a_token_no_other_page_and_no_other_name() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    for (line, headers) in [
        ("GET /v1/functions", "Host: evil.example\r\n"),
        (
            "GET /v1/functions",
            "Host: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n",
        ),
        (
            "GET /v1/functions",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
        ),
        (
            "GET /v1/functions",
            "Host: localhost\r\nSec-Fetch-Site: same-site\r\n",
        ),
        (
            "POST /v1/connections/x/messages",
            "Host: localhost\r\nOrigin: null\r\n",
        ),
        (
            "OPTIONS /v1/functions",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
        ),
        (
            "GET /.openline/functions",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
        ),
        ("GET /", "Host: evil.example\r\n"),
    ] {
        let got = host
            .exchange(&format!("{line} HTTP/1.1\r\n{headers}"), b"")
            .await;
        got.refused(403, "denied");
        assert!(!got.head.contains("access-control-"), "{}", got.head);
    }
    let own = "GET /v1/functions HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:1\r\nSec-Fetch-Site: same-origin\r\n";
    assert_eq!(host.exchange(own, b"").await.status, 200);
}

// === paths and methods ===

#[tokio::test]
async fn the_page_is_here_too_and_other_paths_are_not() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let got = host.ask("GET", "/", None).await;
    assert_eq!(got.status, 307);
    assert!(
        got.head.contains("\r\nlocation: /.openline/\r\n"),
        "{}",
        got.head
    );
    for (path, kind) in [
        ("/.openline/", "text/html"),
        ("/.openline/page.js", "text/javascript"),
        ("/.openline/functions", "application/json"),
        ("/.openline/ready", "text/plain"),
    ] {
        let got = host.ask("GET", path, None).await;
        assert_eq!(got.status, 200, "{path}");
        assert!(
            got.head.contains(&format!("content-type: {kind}")),
            "{}",
            got.head
        );
    }
    for path in [
        "/echo",
        "/v1",
        "/v1/",
        "/v2/functions",
        "/v1/functions/echo/",
        "/v1/../v1/state",
    ] {
        host.ask("GET", path, None).await.refused(404, "not_found");
    }
    let address = host.ask("GET", "/v1/host", None).await.value();
    assert_eq!(address["listen"], host.address.to_string());
}

#[tokio::test]
async fn get_answers_head_and_other_methods_are_named() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let get = host.ask("GET", "/v1/config", None).await;
    let head = host.ask("HEAD", "/v1/config", None).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let length = format!("\r\ncontent-length: {}\r\n", get.body.len());
    assert!(head.head.contains(&length), "{}", head.head);
    for (method, path, allowed) in [
        ("POST", "/v1/functions", "get, head"),
        ("PATCH", "/v1/functions/echo/versions", "get, head, post"),
        ("GET", "/v1/functions/echo/aliases/live/promote", "post"),
        ("HEAD", "/v1/functions/echo/aliases/live", "put, delete"),
    ] {
        let got = host.ask(method, path, None).await;
        assert_eq!(got.status, 405, "{method} {path}");
        let allow = format!("\r\nallow: {allowed}\r\n");
        assert!(got.head.contains(&allow), "{}", got.head);
    }
}

// === its own bounds ===

#[tokio::test]
async fn peers_past_the_bound_wait_and_the_slow_are_given_up() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .host(|host| {
            host.server(|server| server.request_timeout = std::time::Duration::from_millis(500))
        })
        .start()
        .await;
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut raw = Raw::connect(host.admin).await;
        raw.send(b"GET /v1/functions HTTP/1.1\r\nHost: loc").await;
        slow.push(raw);
    }
    // It is answered once the host has given up the first of them.
    let got = host.ask("GET", "/v1/functions", None).await;
    assert_eq!(got.status, 200);
    for raw in &mut slow {
        raw.is_ended().await;
    }
}

#[tokio::test]
async fn a_host_that_drains_ends_what_is_idle_and_still_answers() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let mut raw = Raw::connect(host.admin).await;
    raw.send(b"HEAD /v1/host HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(host.drain().await, 0);
    assert!(raw.is_ended().await);
    let got = host.ask("GET", "/v1/host", None).await;
    assert_eq!(got.value()["draining"], true);
}
