//! Compares the document of the admin interface with the host's answers: every
//! described request is made, and every answer has the described shape.

use std::collections::BTreeSet;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use openline_admin::{endpoints, openapi};
use openline_core::authentication::{AuthMethod, Authentication};
use openline_core::route::Route;
use openline_core::trigger::Trigger;
use serde_json::{Value, json};

use super::{WASM, component};
use crate::harness::{AdminHost, Answer};

/// The document, and which of its operations have been answered.
struct Document {
    document: Value,
    schemas: Schemas,
    compiler: Compiler,
    seen: BTreeSet<(String, String)>,
}

/// A channel of each sort.
const CHANNELS: &str = "[[function.channel]]\npattern = \"room\"\nhistory = {}\npresence = true\n\
                        [[function.channel]]\npattern = \"cursors\"\nkeyed = {}\n";

const AT: &str = "file:///openapi.json";

impl Document {
    fn read() -> Self {
        let document: Value = serde_json::from_str(openapi()).unwrap();
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

    /// Resolves a reference within the document; returns any other value
    /// itself.
    fn followed<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).unwrap(),
            None => value,
        }
    }

    /// Checks an answer against the operation of a method on a path.
    #[track_caller]
    fn check(&mut self, method: &str, path: &str, got: &Answer) {
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

    /// Checks that every described operation was answered.
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
        .host(|host| {
            let host = host.instance(|instance| instance.affinity = Some("room".into()));
            host.channels(CHANNELS)
                .function(|function| function.triggers.push(tickets()))
        })
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
    let function = "/v1/functions/fault-version-a";
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
    keys(&host, &mut document).await;
    channels(&host, &mut document).await;
    connections(&host, &mut document).await;
    drop(client);
    document.is_complete();
}

/// Makes, changes, shows and removes a trigger.
async fn triggers(host: &AdminHost, document: &mut Document) {
    let (all, one) = (
        "/v1/functions/{name}/triggers",
        "/v1/functions/{name}/triggers/{trigger}",
    );
    let path = "/v1/functions/fault-version-a/triggers";
    let more = format!("{path}/more");
    for status in [201, 200] {
        let set = json!({"route": "/more/{room}", "hosts": ["*.example.org"], "internet": false});
        let got = host.json("PUT", &more, &set).await;
        assert_eq!(got.status, status, "{got:?}");
        document.check("PUT", one, &got);
    }
    for (method, path, described, status) in [
        ("GET", path, all, 200),
        ("GET", &more, one, 200),
        ("DELETE", &more, one, 204),
        ("DELETE", &more, one, 404),
        ("GET", &more, one, 404),
    ] {
        let got = host.ask(method, path, None).await;
        assert_eq!(got.status, status, "{method} {path}");
        document.check(method, described, &got);
    }
}

/// Makes, lists and revokes API keys.
async fn keys(host: &AdminHost, document: &mut Document) {
    let (all, one) = ("/v1/keys", "/v1/keys/{name}");
    let web = json!({
        "name": "web",
        "scopes": ["subscribe"],
        "channels": ["room:*"],
        "functions": ["chat"],
        "seconds": 60,
    });
    let pair = json!({"name": "pair", "scopes": ["manage"], "aws": true});
    for (body, status) in [
        (&web, 201),
        (&web, 409),
        (&pair, 201),
        (
            &json!({"name": "a", "scopes": ["read"], "channels": []}),
            422,
        ),
        (&json!({"name": "a", "scopes": []}), 400),
    ] {
        let got = host.json("POST", all, body).await;
        assert_eq!(got.status, status, "{body}: {got:?}");
        document.check("POST", all, &got);
    }
    let got = host.ask("GET", all, None).await;
    assert_eq!(got.value()["keys"].as_array().map(Vec::len), Some(2));
    document.check("GET", all, &got);
    for (name, status) in [("web", 200), ("web", 404), ("pair", 200), ("-", 400)] {
        let got = host.ask("DELETE", &format!("{all}/{name}"), None).await;
        assert_eq!(got.status, status, "{name}: {got:?}");
        document.check("DELETE", one, &got);
    }
}

/// Publishes on channels, reads them, and forgets one.
async fn channels(host: &AdminHost, document: &mut Document) {
    let (all, one) = ("/v1/channels", "/v1/channels/{channel}");
    let query = "?function=fault-version-a";
    for (channel, body, status) in [
        (
            "room",
            json!({"text": "a", "event": "e", "tags": {"a": "b"}}),
            200,
        ),
        ("cursors", json!({"base64": "/w==", "key": "k"}), 200),
        ("cursors", json!({"text": "a"}), 422),
        ("%00", json!({"text": "a"}), 400),
    ] {
        let path = format!("{all}/{channel}/publications{query}");
        let got = host.json("POST", &path, &body).await;
        assert_eq!(got.status, status, "{body}: {got:?}");
        document.check("POST", "/v1/channels/{channel}/publications", &got);
    }
    for (more, status) in [("", 200), ("&limit=1", 200), ("&limit=0", 400)] {
        let got = host.ask("GET", &format!("{all}{query}{more}"), None).await;
        assert_eq!(got.status, status, "{got:?}");
        document.check("GET", all, &got);
    }
    let nobody = "/subscribers/00000000000000000000000000000000";
    for (method, channel, end, described, status) in [
        ("GET", "room", "", "", 200),
        ("GET", "cursors", "", "", 200),
        ("GET", "none", "", "", 404),
        ("GET", "room", "/members", "/members", 200),
        ("GET", "cursors", "/members", "/members", 409),
        ("GET", "room", "/history", "/history", 200),
        ("GET", "room", "/values", "/values", 409),
        ("GET", "cursors", "/values", "/values", 200),
        ("DELETE", "room", "/history", "/history", 204),
        ("DELETE", "room", nobody, "/subscribers/{id}", 404),
        // One that is answered has no end.
        ("GET", "%00", "/stream", "/stream", 400),
    ] {
        let path = format!("{all}/{channel}{end}{query}");
        let got = host.ask(method, &path, None).await;
        assert_eq!(got.status, status, "{method} {channel}{end}: {got:?}");
        document.check(method, &format!("{one}{described}"), &got);
    }
}

/// A trigger that takes tickets.
fn tickets() -> Trigger {
    let auth = Authentication {
        method: AuthMethod::Ticket,
        ..Authentication::default()
    };
    Trigger {
        auth: Some(Box::new(auth)),
        ..Trigger::new(Route::new("/tickets/{room}").unwrap())
    }
}

/// Makes a ticket and revokes it.
async fn credentials(host: &AdminHost, document: &mut Document) {
    let tickets = "/v1/functions/{name}/triggers/{trigger}/tickets";
    let revocations = "/v1/functions/{name}/revocations";
    let one = "/v1/functions/fault-version-a/triggers/tickets-room/tickets";
    let other = "/v1/functions/fault-version-a/triggers/none/tickets";
    let revoke = "/v1/functions/fault-version-a/revocations";
    for (described, path, body, status) in [
        (
            tickets,
            one,
            json!({"subject": "ann", "claims": {"a": 1}, "seconds": 5}),
            201,
        ),
        (tickets, one, json!({"seconds": 31}), 422),
        (tickets, other, json!({}), 404),
        (
            revocations,
            revoke,
            json!({"token": "a", "until": "2099-01-01T00:00:00Z"}),
            200,
        ),
        (revocations, revoke, json!({"subject": "ann"}), 200),
        (
            revocations,
            revoke,
            json!({"before": "2026-01-01T00:00:00Z"}),
            200,
        ),
        (revocations, revoke, json!({}), 422),
        (
            revocations,
            revoke,
            json!({"token": "a", "subject": "b"}),
            422,
        ),
    ] {
        let got = host.json("POST", path, &body).await;
        assert_eq!(got.status, status, "{path} {body}: {got:?}");
        document.check("POST", described, &got);
    }
}

/// Deploys, moves aliases, removes.
async fn changes(host: &AdminHost, document: &mut Document) {
    let versions = "/v1/functions/{name}/versions";
    let next = component(openline_guests::FAULT_VERSION_B);
    let path = "/v1/functions/fault-version-a/versions?weight=10&note=b&migration=pin&drain_connections_per_second=7&probe=true";
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

    triggers(host, document).await;
    credentials(host, document).await;
    let alias = "/v1/functions/{name}/aliases/{alias}";
    let live = "/v1/functions/fault-version-a/aliases/live";
    let got = host.ask("POST", &format!("{live}/promote"), None).await;
    assert_eq!(got.value()["shares"][0]["version"], digest.as_str());
    document.check("POST", &format!("{alias}/promote"), &got);
    let got = host.ask("POST", &format!("{live}/rollback"), None).await;
    assert_eq!(got.value()["shares"][1]["weight"], 10, "{got:?}");
    document.check("POST", &format!("{alias}/rollback"), &got);
    let shares = json!({"shares": [{"version": &digest[..6], "weight": 100}]});
    let got = host
        .json("PUT", "/v1/functions/fault-version-a/aliases/next", &shares)
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    document.check("PUT", alias, &got);
    let got = host.ask("DELETE", live, None).await;
    got.refused(409, "routed");
    document.check("DELETE", alias, &got);
    let got = host
        .ask("DELETE", "/v1/functions/fault-version-a/aliases/next", None)
        .await;
    assert_eq!(got.status, 204);
    document.check("DELETE", alias, &got);

    let one = format!(
        "/v1/functions/fault-version-a/versions/{}?force=true",
        &digest[..12]
    );
    let got = host.ask("DELETE", &one, None).await;
    got.refused(409, "in_use");
    host.ask("POST", &format!("{live}/rollback"), None).await;
    let got = host.ask("DELETE", &one, None).await;
    assert_eq!(got.value(), json!({"version": digest}));
    document.check("DELETE", "/v1/functions/{name}/versions/{version}", &got);

    let got = host
        .ask("DELETE", "/v1/functions/fault-version-a", None)
        .await;
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

/// Finds a connection, sends to it, closes it.
async fn connections(host: &AdminHost, document: &mut Document) {
    let mut client = host.connect("/numbered/two").await;
    let path = "/v1/connections?function=fault-version-a&limit=1000";
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
