//! The admin interface: what it answers, to whom, and what it makes of input
//! that is wrong. Its document is held against it.

use std::collections::BTreeSet;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use openline_gateway::admin::{CONNECTIONS_MAX, OPENAPI, endpoints};
use serde_json::{Value, json};

use crate::harness::{AdminHost, Got, Raw};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const WASM: &str = "application/wasm";

fn component(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

// === the document ===

/// The document, and which of its operations have been answered.
struct Document {
    document: Value,
    schemas: Schemas,
    compiler: Compiler,
    seen: BTreeSet<(String, String)>,
}

const AT: &str = "file:///openapi.json";

impl Document {
    fn read() -> Self {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.add_resource(AT, document.clone()).unwrap();
        Self {
            document,
            schemas: Schemas::new(),
            compiler,
            seen: BTreeSet::new(),
        }
    }

    fn schema(&mut self, reference: &str) -> SchemaIndex {
        let place = format!("{AT}{reference}");
        self.compiler.compile(&place, &mut self.schemas).unwrap()
    }

    /// What is at a reference within the document, or the value itself.
    fn followed<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).unwrap(),
            None => value,
        }
    }

    /// Holds an answer against the operation of a method on a path.
    #[track_caller]
    fn check(&mut self, method: &str, path: &str, got: &Got) {
        let operation = &self.document["paths"][path][method.to_lowercase()];
        assert!(!operation.is_null(), "{method} {path} is not described");
        let answer = &operation["responses"][got.status.to_string()];
        assert!(
            !answer.is_null(),
            "{method} {path} answers {}: {got:?}",
            got.status
        );
        let content = &self.followed(answer)["content"]["application/json"];
        if content.is_null() {
            assert!(got.body.is_empty(), "{method} {path} has a body");
        } else if let Some(reference) = content["schema"]["$ref"].as_str() {
            let reference = reference.to_owned();
            let schema = self.schema(&reference);
            let value = got.value();
            if let Err(error) = self.schemas.validate(&value, schema) {
                panic!("{method} {path}: {error}\n{value:#}");
            }
        }
        self.seen.insert((method.into(), path.into()));
    }

    /// All that is described has been answered.
    fn is_complete(&self) {
        let all: BTreeSet<_> = endpoints()
            .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
            .collect();
        let missing: Vec<_> = all.difference(&self.seen).collect();
        assert!(missing.is_empty(), "not asked for: {missing:?}");
    }
}

#[tokio::test]
async fn every_operation_of_the_document_is_answered_as_it_says() {
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/numbered/{room}")
        .host(|host| host.instance(|instance| instance.affinity = Some("room".into())))
        .start()
        .await;
    let mut document = Document::read();
    let mut client = host.connect("/numbered/one").await;
    client.ask("1").await;

    for path in [
        "host",
        "config",
        "state",
        "openapi.json",
        "functions",
        "connections",
    ] {
        let path = format!("/v1/{path}");
        let got = host.ask("GET", &path, None).await;
        assert_eq!(got.status, 200, "{got:?}");
        document.check("GET", &path, &got);
    }
    let function = "/v1/functions/version-a";
    for end in ["", "/versions", "/aliases"] {
        let got = host.ask("GET", &format!("{function}{end}"), None).await;
        assert_eq!(got.status, 200, "{got:?}");
        document.check("GET", &format!("/v1/functions/{{name}}{end}"), &got);
        let got = host
            .ask("GET", &format!("/v1/functions/none{end}"), None)
            .await;
        document.check("GET", &format!("/v1/functions/{{name}}{end}"), &got);
        got.refused(404, "no_function");
    }
    changes(&host, &mut document).await;
    connections(&host, &mut document).await;
    drop(client);
    document.is_complete();
}

/// Deploys, points aliases elsewhere, removes.
async fn changes(host: &AdminHost, document: &mut Document) {
    let versions = "/v1/functions/{name}/versions";
    let next = component(openline_guests::FAULT_VERSION_B);
    let path = "/v1/functions/version-a/versions?weight=10&note=b&migration=pin&drain_connections_per_second=7&probe=true";
    let got = host.ask("POST", path, Some((WASM, &next))).await;
    assert_eq!(got.status, 201, "{:?}", got.value());
    document.check("POST", versions, &got);
    let digest = got.value()["version"].as_str().unwrap().to_owned();
    let again = host.ask("POST", path, Some((WASM, &next))).await;
    assert_eq!(
        (again.status, &again.value()["version_is_new"]),
        (200, &json!(false))
    );
    document.check("POST", versions, &again);
    let all = host.ask("GET", "/v1/functions", None).await;
    document.check("GET", "/v1/functions", &all);

    let alias = "/v1/functions/{name}/aliases/{alias}";
    let live = "/v1/functions/version-a/aliases/live";
    let got = host.ask("POST", &format!("{live}/promote"), None).await;
    assert_eq!(got.value()["shares"][0]["version"], digest.as_str());
    document.check("POST", &format!("{alias}/promote"), &got);
    let got = host.ask("POST", &format!("{live}/rollback"), None).await;
    assert_eq!(got.value()["shares"][1]["weight"], 10, "{got:?}");
    document.check("POST", &format!("{alias}/rollback"), &got);
    let shares = json!({"shares": [{"version": &digest[..6], "weight": 100}]});
    let got = host
        .json("PUT", "/v1/functions/version-a/aliases/next", &shares)
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    document.check("PUT", alias, &got);
    let got = host.ask("DELETE", live, None).await;
    got.refused(409, "routed");
    document.check("DELETE", alias, &got);
    let got = host
        .ask("DELETE", "/v1/functions/version-a/aliases/next", None)
        .await;
    assert_eq!(got.status, 204);
    document.check("DELETE", alias, &got);

    let one = format!(
        "/v1/functions/version-a/versions/{}?force=true",
        &digest[..12]
    );
    let got = host.ask("DELETE", &one, None).await;
    got.refused(409, "in_use");
    host.ask("POST", &format!("{live}/rollback"), None).await;
    let got = host.ask("DELETE", &one, None).await;
    assert_eq!(got.value(), json!({"version": digest}));
    document.check("DELETE", "/v1/functions/{name}/versions/{version}", &got);

    let got = host.ask("DELETE", "/v1/functions/version-a", None).await;
    got.refused(409, "configured");
    let path = "/v1/functions/echo/versions?route=/echo";
    let echo = component(openline_guests::ECHO);
    let got = host.ask("POST", path, Some((WASM, &echo))).await;
    assert_eq!(got.status, 201, "{got:?}");
    assert_eq!(host.connect("/echo").await.ask("x").await, "x");
    let got = host.ask("DELETE", "/v1/functions/echo", None).await;
    assert_eq!(got.status, 204, "{got:?}");
    document.check("DELETE", "/v1/functions/{name}", &got);
}

/// Finds a connection, writes to it, closes it.
async fn connections(host: &AdminHost, document: &mut Document) {
    let mut client = host.connect("/numbered/two").await;
    let path = "/v1/connections?function=version-a&limit=1000";
    let page = host.ask("GET", path, None).await.value();
    let here = |each: &&Value| each["route_params"] == json!([["room", "two"]]);
    let found = page["connections"].as_array().unwrap().iter().find(here);
    let id = found.unwrap()["id"].as_str().unwrap().to_owned();
    let one = format!("/v1/connections/{id}");
    let got = host.ask("GET", &one, None).await;
    document.check("GET", "/v1/connections/{id}", &got);

    let messages = format!("{one}/messages");
    let got = host
        .ask(
            "POST",
            &messages,
            Some(("text/plain", "grüß dich".as_bytes())),
        )
        .await;
    assert_eq!(
        got.value(),
        json!({"outcome": "sent", "buffered_bytes": null})
    );
    document.check("POST", "/v1/connections/{id}/messages", &got);
    assert_eq!(
        client.next().await.into_text().unwrap().as_str(),
        "grüß dich"
    );
    let got = host
        .ask(
            "POST",
            &messages,
            Some(("application/octet-stream", &[0xff])),
        )
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(client.next().await.into_data().as_ref(), [0xff]);

    let close = json!({"code": 4001, "reason": "signed out"});
    let got = host.json("POST", &format!("{one}/close"), &close).await;
    assert_eq!(got.value(), json!({"closed": true}));
    document.check("POST", "/v1/connections/{id}/close", &got);
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.reason.as_str()), (4001, "signed out"));
}

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
    // Nothing is said of what is there, nor is a body waited for.
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
    // The page's files hold nothing of this host; and the token is in no answer.
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

// === input that is wrong ===

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
    // Without a length it is found out on the way.
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
    // Who asks before sending is answered before.
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
        "POST /v1/functions/version-a/versions HTTP/1.1\r\nHost: localhost\r\nContent-Type: {WASM}\r\nContent-Length: {}\r\n",
        next.len()
    );
    // It stops coming.
    host.exchange(&head, &next[..next.len() - 1])
        .await
        .refused(408, "request_timeout");
    // Its stream ends.
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
    let path = "/v1/functions/version-a/versions";
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
    got.refused(409, "route");
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
        // Bytes that no path has do not get as far as the path.
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
    // Without a body it is a normal end.
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
    // It is answered once the first of them have been given up.
    let got = host.ask("GET", "/v1/functions", None).await;
    assert_eq!(got.status, 200);
    for raw in &mut slow {
        raw.is_ended().await;
    }
}
