//! Our own requests, right and wrong.

use std::sync::Arc;

use openline_core::key::Scope;
use openline_core::limits::FunctionLimits;
use openline_core::name::ChannelName;
use serde_json::json;

use super::Outside;

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn what_is_published_outside_reaches_peers_and_is_kept() {
    let outside = Outside::start().await;
    let key = outside.all();
    let mut peer = outside.peer("news").await;
    let got = outside
        .with_key(
            "POST /v1/publish",
            &key,
            r#"{"channel":"news","data":{"a":1}}"#,
        )
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    assert!(got.head.contains("openline-request-id"), "{got:?}");
    let first = got.json();
    assert_eq!(first["delivered"], 1);
    assert_eq!(first["scope"], "everywhere");
    assert_eq!(peer.next_text().await, r#"{"a":1}"#);
    let batch = r#"{"publications":[{"channel":"news","text":"b"},{"channel":"closed","text":"c"},{"channels":["news","a\u0000b"],"base64":"AAE="}]}"#;
    let got = outside.with_key("POST /v1/publish", &key, batch).await;
    let results = got.json()["results"].clone();
    assert_eq!(results.as_array().unwrap().len(), 4, "{results}");
    // The key may manage, which is the operator's.
    assert!(results[1]["error"].is_null(), "{results}");
    assert_eq!(results[3]["error"]["code"], "invalid");
    let got = outside
        .with_key("GET /v1/channels/news/history", &key, "")
        .await;
    let history = got.json();
    assert_eq!(history["publications"].as_array().unwrap().len(), 3);
    assert_eq!(history["publications"][0]["data"]["a"], 1);
    assert_eq!(history["publications"][2]["base64"], "AAE=");
    let since = first["position"].as_str().unwrap();
    let path = format!("GET /v1/channels/news/history?since={since}&limit=1");
    let page = outside.with_key(&path, &key, "").await.json();
    assert_eq!(page["publications"][0]["text"], "b");
}

#[tokio::test]
async fn repetitions_and_late_versions_are_suppressed_and_conflicts_told() {
    let outside = Outside::start().await;
    let key = outside.all();
    let publish = async |body: &str| outside.with_key("POST /v1/publish", &key, body).await;
    let body = r#"{"channel":"room:1","text":"x","idempotency_key":"k"}"#;
    let first = publish(body).await.json();
    let again = publish(body).await.json();
    assert_eq!(again["suppressed"], "repeated");
    assert_eq!(first["position"], again["position"]);
    publish(r#"{"channel":"room:1","text":"x","version":5}"#).await;
    let late = publish(r#"{"channel":"room:1","text":"x","version":4}"#).await;
    assert_eq!(late.json()["suppressed"], "stale");
    let here = first["position"].as_str().unwrap();
    let body = format!(r#"{{"channel":"room:1","text":"y","expect":"{here}"}}"#);
    let conflict = publish(&body).await;
    assert_eq!(conflict.code(), refused(409, "conflict"));
    assert!(conflict.json()["error"]["position"].is_string());
}

#[tokio::test]
async fn who_has_no_good_key_or_no_scope_is_refused() {
    let outside = Outside::start().await;
    let body = r#"{"channel":"news","text":"x"}"#;
    let reader = outside.key("reader", &[Scope::Read], &["news"]);
    let publisher = outside.key("publisher", &[Scope::Publish], &["room:*"]);
    let none = outside.ask("POST /v1/publish", "", body.as_bytes()).await;
    assert_eq!(none.code(), refused(401, "unauthorized"));
    assert!(none.head.contains("www-authenticate"), "{none:?}");
    let unknown = outside
        .with_key(
            "POST /v1/publish",
            "sec_0123456789012345678901234567890123456789",
            body,
        )
        .await;
    assert_eq!(unknown.code(), refused(401, "unauthorized"));
    for (key, request, body) in [
        (&reader, "POST /v1/publish", body),
        (&publisher, "POST /v1/publish", body),
        (&publisher, "GET /v1/channels/room:1/history", ""),
        (&reader, "GET /v1/channels/room:1/history", ""),
        (&publisher, "GET /v1/connections", ""),
        (&reader, "GET /v1/channels/news/events", ""),
    ] {
        let got = outside.with_key(request, key, body).await;
        assert_eq!(got.code(), refused(403, "denied"), "{request}");
    }
    // A key in the query is for streams alone.
    let query = format!("POST /v1/publish?key={publisher}");
    let got = outside.ask(&query, "", body.as_bytes()).await;
    assert_eq!(got.code(), refused(401, "unauthorized"));
    let closed = outside.key("closed", &[Scope::Publish], &["*"]);
    let body = r#"{"channel":"closed","text":"x"}"#;
    let got = outside.with_key("POST /v1/publish", &closed, body).await;
    assert_eq!(got.code(), refused(403, "denied"));
}

#[tokio::test]
async fn what_is_wrong_gets_an_answer() {
    let outside = Outside::start().await;
    let key = outside.all();
    let long = "a".repeat(10 << 10);
    let body = format!(r#"{{"channel":"{long}","text":"x"}}"#);
    let got = outside.with_key("POST /v1/publish", &key, &body).await;
    assert_eq!(got.status, 400, "{got:?}");
    for body in [
        "",
        "{",
        "[]",
        r#"{"channel":"a"}"#,
        r#"{"channel":"a","text":"x","no":1}"#,
        r#"{"channel":"\u0007","text":"x"}"#,
        r#"{"channel":"","text":"x"}"#,
        r#"{"channel":"a","text":"x","version":0}"#,
        r#"{"channel":"a","text":"x","expect":"?"}"#,
    ] {
        let got = outside.with_key("POST /v1/publish", &key, body).await;
        assert_eq!(got.status, 400, "{body} {got:?}");
    }
    // Wildcards of brokers are names like others.
    let got = outside
        .with_key(
            "POST /v1/publish",
            &key,
            r#"{"channel":"a.*.>","text":"x"}"#,
        )
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    for (request, status) in [
        ("GET /v1/publish", 405),
        ("DELETE /v1/channels", 405),
        ("GET /v1/none", 404),
        ("GET /v1/channels/news/history?since=here", 400),
        (
            "GET /v1/channels/news/history?since=1-9007199254740991",
            410,
        ),
        ("GET /v1/channels/news/history?limit=0", 400),
        ("GET /v1/channels?function=a&function=b", 400),
        ("GET /v1/channels?function=%ff", 400),
        ("GET /v1/connections?function=a&function=b", 400),
        ("GET /v1/channels/news/history?function=none", 403),
        ("GET /v1/channels/plain/presence", 404),
        ("GET /v1/connections/0", 404),
        ("GET /v1/channels/plain/poll", 400),
    ] {
        let got = outside.with_key(request, &key, "").await;
        assert_eq!(got.status, status, "{request} {got:?}");
    }
    // What the code is about, for programs.
    for (request, name) in [
        ("GET /v1/publish", "method"),
        ("GET /v1/none", "path"),
        ("GET /v1/channels/plain/presence", "presence"),
        ("GET /v1/connections/0", "connection"),
        ("GET /v1/channels/news/history?since=here", "since"),
        ("GET /v1/channels?function=%ff", "query"),
    ] {
        let got = outside.with_key(request, &key, "").await;
        assert_eq!(got.json()["error"]["name"], name, "{request} {got:?}");
    }
}

#[tokio::test]
async fn a_body_at_its_bound_and_past_it() {
    let outside = Outside::with(|api| api.body_bytes = 1000).await;
    let key = outside.all();
    let body = |length: usize| {
        let (head, tail) = (r#"{"channel":"room:1","text":""#, r#""}"#);
        format!(
            "{head}{}{tail}",
            "x".repeat(length - head.len() - tail.len())
        )
    };
    let at = outside
        .with_key("POST /v1/publish", &key, &body(1000))
        .await;
    assert_eq!(at.status, 200, "{at:?}");
    let past = outside
        .with_key("POST /v1/publish", &key, &body(1001))
        .await;
    assert_eq!(past.code(), refused(413, "too-large"));
}

/// Six MiB, and one byte more.
#[tokio::test]
async fn a_publication_at_message_bytes_and_past_them() {
    let outside = Outside::with(|api| api.body_bytes = 8 << 20).await;
    let key = outside.all();
    let mut peer = outside.peer("plain").await;
    let most = FunctionLimits::default().message_bytes;
    assert_eq!(most, 6 << 20);
    let publish = async |length: usize| {
        let text = "x".repeat(length);
        let body = format!(r#"{{"channel":"plain","text":"{text}"}}"#);
        outside.with_key("POST /v1/publish", &key, &body).await
    };
    let past = publish(most + 1).await;
    assert_eq!(past.code(), refused(413, "too-large"));
    let at = publish(most).await;
    assert_eq!(at.json()["delivered"], 1);
    assert_eq!(peer.next_text().await.len(), most);
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_to_wait() {
    let outside = Outside::with(|api| api.requests_per_second = 1).await;
    let key = outside.all();
    let first = outside.with_key("GET /v1/channels", &key, "").await;
    assert_eq!(first.status, 200, "{first:?}");
    // One a second: the second of two in a row is one too many, unless the first
    // took a second.
    let mut got = outside.with_key("GET /v1/channels", &key, "").await;
    for _ in 0..20 {
        if got.status == 429 {
            break;
        }
        got = outside.with_key("GET /v1/channels", &key, "").await;
    }
    assert_eq!(got.code(), refused(429, "rate-limited"));
    assert!(got.head.contains("retry-after: 1"), "{got:?}");
}

#[tokio::test]
async fn connections_are_found_sent_to_and_closed() {
    let outside = Outside::start().await;
    let key = outside.all();
    let mut peer = outside.peer("lobby").await;
    let got = outside
        .with_key("GET /v1/channels/lobby/presence", &key, "")
        .await;
    let members = got.json();
    assert_eq!(members["connections"], 1, "{members}");
    let id = members["members"][0]["connection"]
        .as_str()
        .unwrap()
        .to_owned();
    let got = outside
        .with_key("GET /v1/connections", &key, "")
        .await
        .json();
    assert_eq!(got["connections"][0]["connection"], *id);
    assert_eq!(got["connections"][0]["channels"][0], "lobby");
    let path = format!("POST /v1/connections/{id}/messages");
    let got = outside.with_key(&path, &key, "hello").await;
    assert_eq!(got.status, 202, "{got:?}");
    assert_eq!(peer.next_text().await, "hello");
    let path = format!("DELETE /v1/connections/{id}?code=4001&reason=bye");
    let got = outside.with_key(&path, &key, "").await;
    assert_eq!(got.status, 204, "{got:?}");
    let closed = format!("{:?}", peer.closed().await);
    assert!(
        closed.contains("4001") && closed.contains("bye"),
        "{closed}"
    );
    let got = outside.with_key("GET /v1/channels", &key, "").await;
    assert_eq!(got.status, 200, "{got:?}");
}

#[tokio::test]
async fn who_may_not_use_a_function_does_not_learn_whether_it_is_there() {
    let outside = Outside::start().await;
    let key = outside.key("own", &Scope::ALL, &["*"]);
    for function in ["other", "none", "fault"] {
        let path = format!("GET /v1/channels/news/history?function={function}");
        let got = outside.with_key(&path, &key, "").await;
        assert_eq!(got.code(), refused(403, "denied"), "{function}");
    }
    let path = format!(
        "GET /v1/channels/news/history?function={}",
        outside.function()
    );
    assert_eq!(outside.with_key(&path, &key, "").await.status, 200);
}

#[tokio::test]
async fn a_batch_lets_others_have_the_thread() {
    let outside = Outside::start().await;
    let key = outside.all();
    let one = r#"{"channel":"room:1","text":"x"}"#;
    let batch = format!(r#"{{"publications":[{}]}}"#, vec![one; 1000].join(","));
    let space = Arc::clone(outside.host.function_on("/broker").commons().hub().own());
    let name = ChannelName::new("room:1").unwrap();
    // This test and the host share one thread.
    let mut seen = Vec::new();
    let watching = async {
        loop {
            let offset = space.position(&name).map_or(0, |it| it.offset);
            seen.push(offset);
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        got = outside.with_key("POST /v1/publish", &key, &batch) => assert_eq!(got.status, 200),
        () = watching => {}
    }
    let between = seen.iter().filter(|offset| (1..1000).contains(*offset));
    assert!(between.count() > 3, "{seen:?}");
}

/// At most 64 of them wait for the disk at a time.
#[tokio::test]
async fn publications_of_one_request_are_answered_in_their_order() {
    let outside = Outside::start().await;
    let key = outside.all();
    let mut last = 0;
    for many in [64, 65] {
        let publications = (0..many).map(|number| json!({"channel": "kept", "data": number}));
        let body = json!({"publications": publications.collect::<Vec<_>>()}).to_string();
        let got = outside.with_key("POST /v1/publish", &key, &body).await;
        assert_eq!(got.status, 200, "{got:?}");
        let answers = got.json()["results"].as_array().unwrap().clone();
        assert_eq!(answers.len(), many, "{got:?}");
        for answer in answers {
            let position = answer["position"].as_str().unwrap();
            let (_, offset) = position.rsplit_once('-').unwrap();
            last += 1;
            assert_eq!(offset.parse(), Ok(last), "{got:?}");
        }
    }
}
