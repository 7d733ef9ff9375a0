//! Channels: lists, one channel, its members, history and values, publishing,
//! forgetting, and ending subscriptions.

use openline_core::limits::FunctionLimits;
use serde_json::{Value, json};

use crate::harness::{ASK_AGAIN, AdminHost, Answer, Client, within};

/// Channels of the function.
const OWN: &str = r#"
[[function.channel]]
pattern = "room:*"
history = { count = 300 }

[[function.channel]]
pattern = "cursors"
keyed = { keys = 3 }

[[function.channel]]
pattern = "lobby"
presence = true

[[function.channel]]
pattern = "closed"
publish = "nobody"
subscribe = "nobody"
"#;

const SHARED: &str = "[[channel]]\npattern = \"all:*\"\nhistory = {}\n\
                      [[channel]]\npattern = \"wide\"\n";

pub(super) const BROKER: &str = "function=fault-broker";

pub(super) async fn host() -> AdminHost {
    AdminHost::with(openline_guests::FAULT_BROKER, "/broker")
        .host(|host| {
            host.channels(OWN)
                .shared_channels(SHARED)
                .limit(|limit| limit.message_bytes = 1_000)
        })
        .start()
        .await
}

/// A path below a channel's, which is percent-encoded already.
pub(super) fn at(channel: &str, more: &str) -> String {
    format!("/v1/channels/{channel}{more}?{BROKER}")
}

pub(super) async fn get(host: &AdminHost, path: &str) -> Answer {
    host.ask("GET", path, None).await
}

/// Publishes on a channel of the function, which must be done.
pub(super) async fn publish(host: &AdminHost, channel: &str, body: Value) -> Value {
    let path = at(channel, "/publications");
    let got = host.json("POST", &path, &body).await;
    assert_eq!(got.status, 200, "{got:?}");
    got.value()
}

/// Asks again and again until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    within(what, waiting).await;
}

fn names(page: &Value) -> Vec<&str> {
    let channels = page["channels"].as_array().unwrap().iter();
    channels.map(|it| it["name"].as_str().unwrap()).collect()
}

async fn subscribed(host: &AdminHost, channel: &str) -> Client {
    let mut client = host.connect("/broker").await;
    let answer = client.ask(&format!("subscribe {channel}")).await;
    assert!(answer.contains(" - "), "{answer}");
    client
}

// === lists ===

#[tokio::test]
async fn channels_come_by_pages_and_by_pattern() {
    let host = host().await;
    let _lobby = subscribed(&host, "lobby").await;
    for number in 0..5 {
        publish(&host, &format!("room:{number}"), json!({"text": "x"})).await;
    }
    let list = async |query: &str| {
        let path = format!("/v1/channels?{BROKER}&{query}");
        let got = get(&host, &path).await;
        assert_eq!(got.status, 200, "{got:?}");
        got.value()
    };
    let all = ["lobby", "room:0", "room:1", "room:2", "room:3", "room:4"];
    assert_eq!(names(&list("").await), all);
    assert_eq!(names(&list("pattern=room:*&limit=1000").await), all[1..]);
    assert_eq!(
        names(&list("pattern=room:%7Bn%7D&after=room:2").await),
        all[4..]
    );
    assert_eq!(names(&list("pattern=none").await), [""; 0]);
    let page = list("limit=6").await;
    assert_eq!((names(&page).len(), &page["next"]), (6, &Value::Null));
    let page = list("limit=5").await;
    assert_eq!(page["next"], "room:3");
    assert_eq!(names(&list("limit=5&after=room:3").await), all[5..]);
    let room = &page["channels"][1];
    assert_eq!((&room["published"], &room["kept"]), (&json!(1), &json!(1)));
    assert!(room["bytes"].as_u64().unwrap() > 0 && room["position"].is_string());
    let lobby = &page["channels"][0];
    assert_eq!(
        (&lobby["subscribers"], &lobby["kept"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(lobby["position"], Value::Null);
}

#[tokio::test]
async fn lists_that_cannot_be_are_refused() {
    let host = host().await;
    for (query, error) in [
        ("limit=0", "bad_query"),
        ("limit=1001", "bad_query"),
        ("limit=-1", "bad_query"),
        ("limit=", "bad_query"),
        ("pattern=a*b", "bad_query"),
        ("pattern=", "bad_query"),
        ("after=", "bad_name"),
        ("after=a%0Ab", "bad_name"),
        ("function=..", "bad_name"),
        ("prefix=a", "bad_query"),
        ("after=a&after=a", "bad_query"),
    ] {
        let got = get(&host, &format!("/v1/channels?{query}")).await;
        got.refused(400, error);
    }
    for good in ["limit=1", "limit=1000"] {
        assert_eq!(
            get(&host, &format!("/v1/channels?{good}")).await.status,
            200
        );
    }
    let got = get(&host, "/v1/channels?function=none").await;
    got.refused(404, "no_function");
}

#[tokio::test]
async fn shared_channels_are_those_without_a_function_and_a_functions_by_its_name() {
    let host = host().await;
    publish(&host, "all:1", json!({"text": "of both"})).await;
    publish(&host, "room:1", json!({"text": "its own"})).await;
    let shared = get(&host, "/v1/channels").await.value();
    assert_eq!(names(&shared), ["all:1"]);
    let own = get(&host, &format!("/v1/channels?{BROKER}")).await.value();
    assert_eq!(names(&own), ["room:1"]);
    for path in ["/v1/channels/all:1", &at("all:1", "")] {
        let got = get(&host, path).await.value();
        assert_eq!((&got["shared"], &got["kept"]), (&json!(true), &json!(1)));
        assert_eq!(got["terms"]["pattern"], "all:*");
    }
    let got = get(&host, &at("room:1", "")).await.value();
    assert_eq!(got["shared"], false);
    let body = Some(("application/json", &b"{\"text\":\"x\"}"[..]));
    let path = "/v1/channels/room:1/publications";
    let got = host.ask("POST", path, body).await;
    got.refused(404, "not_shared");
    get(&host, "/v1/channels/room:1")
        .await
        .refused(404, "not_shared");
}

// === one channel ===

#[tokio::test]
async fn a_channel_shows_its_terms_and_is_there_only_while_it_holds_something() {
    let host = host().await;
    get(&host, &at("plain", ""))
        .await
        .refused(404, "no_channel");
    let client = subscribed(&host, "plain").await;
    let got = get(&host, &at("plain", "")).await.value();
    assert_eq!(got["subscribers"], 1);
    assert_eq!(
        (&got["position"], &got["member_users"]),
        (&Value::Null, &Value::Null)
    );
    let terms = &got["terms"];
    assert_eq!(
        (&terms["pattern"], &terms["history"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&terms["subscribe"], &terms["recovery"]),
        (&json!("function"), &json!(false))
    );
    drop(client);
    until("the channel to go", async || {
        get(&host, &at("plain", "")).await.status == 404
    })
    .await;
    let _lobby = subscribed(&host, "lobby").await;
    let got = get(&host, &at("lobby", "")).await.value();
    assert_eq!(
        (&got["member_connections"], &got["member_users"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn names_are_percent_encoded_and_those_that_are_none_are_refused() {
    let host = host().await;
    let longest = "n".repeat(256);
    for (written, name) in [
        ("room:a%2Fb", "room:a/b"),
        ("room:%20", "room: "),
        ("room:%2e%2e%2f..", "room:../.."),
        ("room:%F0%9F%A6%80", "room:🦀"),
        ("room:%3Cb%3E%3Fc=d%23", "room:<b>?c=d#"),
        ("%3E", ">"),
        (&longest, &longest),
    ] {
        // With the key it is remembered, whatever the terms are.
        let body = json!({"text": "x", "idempotency_key": "k"});
        publish(&host, written, body).await;
        let got = get(&host, &at(written, "")).await;
        assert_eq!(got.value()["name"], name, "{got:?}");
    }
    for none in ["%00", "a%0Ab", "%7F", "%ff", &format!("{longest}n")] {
        get(&host, &at(none, "")).await.refused(400, "bad_name");
    }
    get(&host, &at("", "")).await.refused(404, "not_found");
}

#[tokio::test]
async fn members_come_by_pages_and_are_unsubscribed() {
    let host = host().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(subscribed(&host, "lobby").await);
    }
    let page = async |query: &str| {
        let got = get(&host, &format!("{}&{query}", at("lobby", "/members"))).await;
        assert_eq!(got.status, 200, "{got:?}");
        got.value()
    };
    let all = page("limit=3").await;
    assert_eq!(
        (all["members"].as_array().unwrap().len(), &all["next"]),
        (3, &Value::Null)
    );
    let first = page("limit=2").await;
    assert_eq!(first["next"], first["members"][1]["connection"]);
    let rest = page(&format!("after={}", first["next"].as_str().unwrap())).await;
    assert_eq!(rest["members"][0], all["members"][2]);
    for wrong in ["after=x", "limit=0", "limit=1001"] {
        let path = format!("{}&{wrong}", at("lobby", "/members"));
        get(&host, &path).await.refused(400, "bad_query");
    }

    let id = all["members"][0]["connection"].as_str().unwrap();
    let path = at("lobby", &format!("/subscribers/{id}"));
    for unsubscribed in [true, false] {
        let got = host.ask("DELETE", &path, None).await;
        assert_eq!(got.value(), json!({"unsubscribed": unsubscribed}));
    }
    assert_eq!(page("").await["members"].as_array().unwrap().len(), 2);
    let nobody = at("lobby", &format!("/subscribers/{}", "0".repeat(32)));
    host.ask("DELETE", &nobody, None)
        .await
        .refused(404, "no_connection");
    let _room = subscribed(&host, "room:1").await;
    get(&host, &at("room:1", "/members"))
        .await
        .refused(409, "not_kept");
}

#[tokio::test]
async fn a_history_is_read_by_pages_in_both_directions_and_forgotten() {
    let host = host().await;
    let mut positions = Vec::new();
    for number in 1..=4 {
        let done = publish(&host, "room:1", json!({"text": format!("{number}")})).await;
        positions.push(done["position"].as_str().unwrap().to_owned());
    }
    let page = async |query: &str| {
        let got = get(&host, &format!("{}&{query}", at("room:1", "/history"))).await;
        assert_eq!(got.status, 200, "{got:?}");
        got.value()
    };
    let said = |page: &Value| {
        let all = page["publications"].as_array().unwrap().iter();
        let all = all.map(|it| it["data"].as_str().unwrap().to_owned());
        all.collect::<Vec<_>>().join("")
    };
    let first = page("limit=3").await;
    assert_eq!(
        (said(&first), &first["has_more"]),
        ("123".into(), &json!(true))
    );
    assert_eq!(first["position"], positions[3]);
    assert_eq!(said(&page("reverse=true&limit=2").await), "43");
    assert_eq!(said(&page(&format!("since={}", positions[1])).await), "34");
    let back = page(&format!("since={}&reverse=true", positions[2])).await;
    assert_eq!(
        (said(&back), &back["has_more"]),
        ("21".into(), &json!(false))
    );
    for wrong in ["since=x", "since=", "reverse=yes", "limit=0", "limit=1001"] {
        let path = format!("{}&{wrong}", at("room:1", "/history"));
        get(&host, &path).await.refused(400, "bad_query");
    }
    let future = format!("{}9", positions[3]);
    let path = format!("{}&since={future}", at("room:1", "/history"));
    get(&host, &path).await.refused(409, "unrecoverable");
    for path in [at("room:1", "/values"), at("lobby", "/history")] {
        let _lobby = subscribed(&host, "lobby").await;
        get(&host, &path).await.refused(409, "not_kept");
    }

    let cleared = host.ask("DELETE", &at("room:1", "/history"), None).await;
    assert_eq!((cleared.status, cleared.body.len()), (204, 0));
    assert_eq!(said(&page("").await), "");
    let got = host.ask("DELETE", &at("room:none", "/history"), None).await;
    got.refused(404, "no_channel");
}

#[tokio::test]
async fn values_by_key_come_by_pages_of_entries() {
    let host = host().await;
    for key in ["a", "b", "c"] {
        publish(&host, "cursors", json!({"json": "{\"x\":1}", "key": key})).await;
    }
    publish(&host, "cursors", json!({"text": "again", "key": "a"})).await;
    let page = async |query: &str| {
        let got = get(&host, &format!("{}&{query}", at("cursors", "/values"))).await;
        assert_eq!(got.status, 200, "{got:?}");
        got.value()
    };
    let keys = |page: &Value| {
        let all = page["values"].as_array().unwrap().iter();
        let all = all.map(|it| it["key"].as_str().unwrap().to_owned());
        all.collect::<Vec<_>>().join("")
    };
    let all = page("limit=3").await;
    assert_eq!((keys(&all), &all["next"]), ("bca".into(), &Value::Null));
    assert_eq!(
        (&all["values"][0]["kind"], &all["values"][0]["data"]),
        (&json!("json"), &json!("{\"x\":1}"))
    );
    let first = page("limit=2").await;
    assert_eq!(keys(&first), "bc");
    assert_eq!(keys(&page(&format!("after={}", first["next"])).await), "a");
    let path = at("cursors", "/publications");
    let full = json!({"text": "x", "key": "d"});
    host.json("POST", &path, &full).await.refused(503, "full");
    publish(&host, "cursors", json!({"remove": true, "key": "b"})).await;
    assert_eq!(keys(&page("").await), "ca");
    let path = format!("{}&after=-1", at("cursors", "/values"));
    get(&host, &path).await.refused(400, "bad_query");
}

/// A page ends after 1 MiB of data. What is larger by itself still comes.
#[tokio::test]
async fn pages_of_publications_at_their_bytes_and_past_them() {
    const HALF: usize = 512 << 10;
    let host = AdminHost::with(openline_guests::FAULT_BROKER, "/broker")
        .host(|host| {
            host.channels(
                "[[function.channel]]\npattern = \"many\"\nkeyed = { keys = 10, bytes = \"16 MiB\" }\n\
                 history = { count = 100, bytes = \"16 MiB\" }\n",
            )
            .limit(|limit| limit.message_bytes = 2 << 20)
        })
        .start()
        .await;
    let said = |all: &Value| {
        let all = all.as_array().unwrap().iter();
        let all = all.map(|it| it["key"].as_str().unwrap().to_owned());
        all.collect::<Vec<_>>().join("")
    };
    for (sizes, pages) in [
        (&[("a", HALF), ("b", HALF), ("c", 1)][..], &["ab", "c"][..]),
        (&[("a", HALF), ("b", HALF + 1), ("c", 1)], &["a", "bc"]),
        (&[("a", 2 * HALF + 1), ("b", 1), ("c", 1)], &["a", "bc"]),
        (&[("a", 1), ("b", 2 * HALF + 1), ("c", 1)], &["a", "b", "c"]),
    ] {
        let cleared = host.ask("DELETE", &at("many", "/history"), None).await;
        assert!([204, 404].contains(&cleared.status), "{cleared:?}");
        for (key, bytes) in sizes {
            let body = json!({"text": "x".repeat(*bytes), "key": key});
            publish(&host, "many", body).await;
        }
        let mut after = String::new();
        for (number, expected) in pages.iter().enumerate() {
            let page = get(&host, &format!("{}{after}", at("many", "/values"))).await;
            let page = page.value();
            assert_eq!(said(&page["values"]), *expected, "{sizes:?}");
            assert_eq!(page["next"].is_null(), number + 1 == pages.len());
            after = format!("&after={}", page["next"]);
        }
        let mut since = String::new();
        for (number, expected) in pages.iter().enumerate() {
            let page = get(&host, &format!("{}{since}", at("many", "/history"))).await;
            let page = page.value();
            assert_eq!(said(&page["publications"]), *expected, "{sizes:?}");
            assert_eq!(page["has_more"], number + 1 < pages.len());
            let last = page["publications"].as_array().unwrap().last().unwrap();
            since = format!("&since={}", last["position"].as_str().unwrap());
        }
    }
}

// === publishing ===

#[tokio::test]
async fn what_is_published_arrives_with_all_of_its_parts() {
    let host = host().await;
    let mut client = subscribed(&host, "room:1").await;
    let done = publish(&host, "room:1", json!({"text": "grüße"})).await;
    assert_eq!(
        (&done["delivered"], &done["scope"]),
        (&json!(1), &json!("everywhere"))
    );
    assert_eq!(done["suppressed"], Value::Null);
    assert_eq!(client.next_text().await, "grüße");
    publish(
        &host,
        "room:1",
        json!({"json": "{\"n\": 12345678901234567890}"}),
    )
    .await;
    assert_eq!(client.next_text().await, "{\"n\": 12345678901234567890}");
    publish(&host, "room:1", json!({"base64": "/wA="})).await;
    assert_eq!(client.next().await.into_data().as_ref(), [0xff, 0]);
    let parts = json!({
        "text": "", "id": "i", "event": "created", "tags": {"kind": "a"}, "idempotency_key": "k",
    });
    let done = publish(&host, "room:1", parts.clone()).await;
    assert_eq!(client.next_text().await, "");
    let again = publish(&host, "room:1", parts).await;
    assert_eq!(
        (&again["suppressed"], &again["position"]),
        (&json!("repeated"), &done["position"])
    );
    let path = format!("{}&reverse=true&limit=1", at("room:1", "/history"));
    let got = &get(&host, &path).await.value()["publications"][0];
    assert_eq!(
        (&got["id"], &got["event"], &got["tags"]),
        (&json!("i"), &json!("created"), &json!({"kind": "a"}))
    );
    assert_eq!(got["sender"], Value::Null);
    // An operator may where nobody else may. Nobody is there to take it.
    let done = publish(&host, "closed", json!({"text": "x"})).await;
    assert_eq!(
        (&done["delivered"], &done["position"]),
        (&json!(0), &Value::Null)
    );
}

#[tokio::test]
async fn publications_at_their_bounds_and_past_them() {
    let host = host().await;
    let send = async |channel: &str, body: &Value| {
        host.json("POST", &at(channel, "/publications"), body).await
    };
    let texts = |bytes: usize| "x".repeat(bytes);
    // A channel that is there, and one that is not.
    let _plain = subscribed(&host, "plain").await;
    for channel in ["room:1", "plain", "nobody"] {
        for (part, most) in [
            ("id", 128),
            ("event", 128),
            ("idempotency_key", 128),
            ("text", 1_000),
        ] {
            let mut body = json!({"text": "x"});
            body[part] = texts(most).into();
            assert_eq!(send(channel, &body).await.status, 200, "{channel} {part}");
            body[part] = texts(most + 1).into();
            send(channel, &body).await.refused(413, "too_large");
        }
    }
    let tags = |count: usize| {
        let tags = (0..count).map(|it| (it.to_string(), Value::from("v")));
        json!({"text": "x", "tags": tags.collect::<serde_json::Map<_, _>>()})
    };
    assert_eq!(send("room:1", &tags(32)).await.status, 200);
    send("room:1", &tags(33)).await.refused(413, "too_large");
    assert_eq!(
        send("cursors", &json!({"text": "x", "key": texts(256)}))
            .await
            .status,
        200
    );
    send("cursors", &json!({"text": "x", "key": texts(257)}))
        .await
        .refused(413, "too_large");
    // The body at its bound: every byte of the data may be an escape of six.
    let most = 1_000 * 6 + 64 * 1024;
    let path = at("room:1", "/publications");
    let padded = |bytes: usize| {
        let body = r#"{"text":"x"}"#;
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    for (bytes, status) in [(most, 200), (most + 1, 413)] {
        let body = padded(bytes);
        let got = host.ask("POST", &path, Some(("application/json", body.as_bytes())));
        assert_eq!(got.await.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn what_cannot_be_published_is_refused() {
    let host = host().await;
    let invalid = (422, "invalid_name");
    for (channel, body, (status, error)) in [
        ("room:1", json!({}), (422, "data")),
        ("room:1", json!({"text": "a", "json": "1"}), (422, "data")),
        ("room:1", json!({"json": "{"}), (422, "not_json")),
        ("room:1", json!({"json": ""}), (422, "not_json")),
        ("room:1", json!({"base64": "a"}), (422, "not_base64")),
        ("room:1", json!({"text": "a", "key": "k"}), invalid),
        ("room:1", json!({"remove": true}), invalid),
        ("room:1", json!({"text": "a", "event": ""}), invalid),
        ("nobody", json!({"text": "a", "key": "k"}), invalid),
        ("cursors", json!({"text": "a"}), invalid),
        (
            "cursors",
            json!({"text": "a", "key": "k", "remove": true}),
            invalid,
        ),
        ("room:1", json!({"text": 1}), (400, "bad_json")),
        (
            "room:1",
            json!({"text": "a", "version": 1}),
            (400, "bad_json"),
        ),
        ("room:1", json!("a"), (400, "bad_json")),
    ] {
        let path = at(channel, "/publications");
        let got = host.json("POST", &path, &body).await;
        got.refused(status, error);
    }
    for (body, hint) in [
        (json!({"json": "{"}), "correct it, or send it as `text`"),
        (json!({"base64": "a"}), "with padding"),
        (json!({}), "give one of them"),
        (json!({"text": "a", "json": "1"}), "give one of them"),
        (
            json!({"text": "a", "json": "1", "key": "k", "remove": true}),
            "give `remove` and `key` alone",
        ),
    ] {
        let got = host
            .json("POST", &at("cursors", "/publications"), &body)
            .await;
        let said = got.value()["hint"].as_str().unwrap().to_owned();
        assert!(said.contains(hint), "{said}");
    }
    let typed = Some(("text/plain", &b"x"[..]));
    let path = at("room:1", "/publications");
    host.ask("POST", &path, typed)
        .await
        .refused(415, "content_type");
    // Nothing of that has made a channel.
    let list = get(&host, &format!("/v1/channels?{BROKER}")).await.value();
    assert_eq!(names(&list), [""; 0]);
}

/// Where no function is named, what it may send has the usual bound.
#[tokio::test]
async fn shared_channels_take_messages_of_the_usual_size() {
    let host = host().await;
    let most = FunctionLimits::default().message_bytes;
    for (bytes, status) in [(most, 200), (most + 1, 413)] {
        let body = json!({"text": "x".repeat(bytes)});
        let got = host
            .json("POST", "/v1/channels/wide/publications", &body)
            .await;
        assert_eq!(got.status, status, "{bytes}");
    }
}
