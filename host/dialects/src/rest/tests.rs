//! Requests and answers, as they are documented.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::limits::{
    BATCH_MAX, CHANNEL_BYTES_MAX, EVENT_BYTES_MAX, KEY_BYTES_MAX, PAGE_MAX, POSITION_BYTES_MAX,
    TAG_BYTES_MAX, TAGS_MAX,
};
use crate::outcome::PresenceStats;
use crate::view::{DataView, MemberView, PublicationView};

fn read(text: &str) -> Result<Publications, ApiError> {
    Publications::read(&Bytes::copy_from_slice(text.as_bytes()))
}

fn one(text: &str) -> Publication {
    let mut read = read(text).unwrap();
    assert!(!read.is_batch);
    read.list.remove(0)
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn value(answer: &crate::Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn a_publication_with_everything() {
    let text = r#"{"channel":"chat:1","data":{"a": 1.50},"event":"e","tags":{"t":"v"},
        "idempotency_key":"i","version":7,"version_epoch":"ve","expect":"p","key":"k",
        "skip_connection":"c","skip_user":"u"}"#;
    let some = |text: &str| Some(text.to_owned());
    let expected = Publication {
        channels: vec!["chat:1".into()],
        is_broadcast: false,
        body: Some(Body::Json(r#"{"a": 1.50}"#.into())),
        event: some("e"),
        tags: vec![("t".into(), "v".into())],
        idempotency_key: some("i"),
        version: Some(Version {
            number: 7,
            epoch: "ve".into(),
        }),
        expect: some("p"),
        key: some("k"),
        skip_connection: some("c"),
        skip_user: some("u"),
    };
    assert_eq!(one(text), expected);
    let body = |member: &str| one(&format!(r#"{{"channel":"c",{member}}}"#)).body;
    assert_eq!(body(r#""data":null"#), Some(Body::Json("null".into())));
    assert_eq!(body(r#""text":"a""#), Some(Body::Text("a".into())));
    assert_eq!(
        body(r#""base64":"AP8""#),
        Some(Body::Binary(vec![0, 255].into()))
    );
    assert_eq!(body(r#""key":"k","remove":true"#), None);
    let broadcast = one(r#"{"channels":["a","b"],"text":""}"#);
    assert_eq!(
        (broadcast.channels.len(), broadcast.is_broadcast),
        (2, true)
    );
    let batch = read(r#"{"publications":[{"channel":"a","data":1},{"channel":"b","data":2}]}"#);
    let batch = batch.unwrap();
    assert_eq!((batch.list.len(), batch.is_batch), (2, true));
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        (r#"{"data":1}"#, "`channel` is missing"),
        (r#"{"channel":"","data":1}"#, "`channel` is empty"),
        (r#"{"channels":[],"data":1}"#, "`channels` is empty"),
        (
            r#"{"channel":"a","channels":["b"],"data":1}"#,
            "`channels` stands beside `channel`",
        ),
        (r#"{"channel":"a"}"#, "`data` is missing"),
        (
            r#"{"channel":"a","data":1,"text":"b"}"#,
            "`data` is there more than once",
        ),
        (r#"{"channel":"a","base64":"*"}"#, "`base64` is not base64"),
        (r#"{"channel":"a","remove":true}"#, "`key` is missing"),
        (
            r#"{"channel":"a","key":"k","remove":true,"data":1}"#,
            "`data` stands beside `remove`",
        ),
        (
            r#"{"channel":"a","data":1,"version_epoch":"e"}"#,
            "`version` is missing",
        ),
        (r#"{"channel":"a","data":1,"event":""}"#, "`event` is empty"),
        (
            r#"{"channel":"a","data":1,"tags":{"t":"1","t":"2"}}"#,
            "`tags` has a name twice",
        ),
    ] {
        assert_eq!(refused(text), expected, "{text}");
        assert_eq!(read(text).unwrap_err().answer().status, 400);
    }
    for text in [
        "",
        "[]",
        "1",
        "{",
        r#"{"chanel":"a"}"#,
        r#"{"publications":1}"#,
    ] {
        assert_eq!(read(text).unwrap_err().code(), "malformed", "{text}");
    }
    let deep = format!(r#"{{"channel":"a","data":{}}}"#, "[".repeat(1_000));
    assert!(refused(&deep).contains("deeper"));
}

#[test]
fn each_bound_has_its_last_and_its_first_too_many() {
    for (name, most) in [
        ("channel", CHANNEL_BYTES_MAX),
        ("event", EVENT_BYTES_MAX),
        ("idempotency_key", KEY_BYTES_MAX),
        ("expect", POSITION_BYTES_MAX),
        ("key", KEY_BYTES_MAX),
        ("skip_connection", KEY_BYTES_MAX),
        ("skip_user", KEY_BYTES_MAX),
        ("version_epoch", KEY_BYTES_MAX),
    ] {
        let sized = |bytes: usize| {
            let mut request = json!({"channel": "c", "data": 1, "version": 1});
            request[name] = json!("a".repeat(bytes));
            read(&request.to_string())
        };
        assert!(sized(most).is_ok(), "{name}");
        let error = ApiError::Invalid {
            name,
            why: "is too long",
        };
        assert_eq!(sized(most + 1), Err(error));
    }
    let tags = |count: usize, bytes: usize| {
        let tags: serde_json::Map<_, _> = (0..count)
            .map(|number| (format!("{number:0bytes$}"), json!("v".repeat(bytes))))
            .collect();
        read(&json!({"channel": "c", "data": 1, "tags": tags}).to_string()).is_ok()
    };
    assert!(tags(TAGS_MAX, 3) && !tags(TAGS_MAX + 1, 3));
    assert!(tags(1, TAG_BYTES_MAX) && !tags(1, TAG_BYTES_MAX + 1));
    let batch = |count: usize| {
        let publications = vec![json!({"channel": "c", "data": 1}); count];
        read(&json!({"publications": publications}).to_string()).is_ok()
    };
    assert!(batch(BATCH_MAX) && !batch(BATCH_MAX + 1));
    let spread = |count: usize| {
        let channels = vec!["c"; count];
        let publications = json!([{"channels": channels, "data": 1}, {"channel": "d", "data": 2}]);
        read(&json!({"publications": publications}).to_string())
    };
    assert!(spread(BATCH_MAX - 1).is_ok());
    assert_eq!(spread(BATCH_MAX), Err(ApiError::TooMany));
}

#[test]
fn outcomes_are_true_on_many_nodes() {
    let outcome = Published {
        channel: "c",
        id: "m1",
        position: Some("p1"),
        delivered: 3,
        scope: Scope::Local,
        suppressed: None,
    };
    let expected = r#"{"channel":"c","id":"m1","position":"p1","delivered":3,"scope":"local"}"#;
    assert_eq!(published(Ok(outcome)).body, expected);
    let stale = Published {
        position: None,
        scope: Scope::Everywhere,
        suppressed: Some(Suppressed::Stale),
        ..outcome
    };
    let conflict = ApiError::Conflict {
        position: "p2".into(),
    };
    let answer = batch([("c", Ok(stale)), ("d", Err(&conflict))]);
    let expected = json!({"results": [
        {"channel": "c", "id": "m1", "delivered": 3, "scope": "everywhere", "suppressed": "stale"},
        {"channel": "d", "error": {"code": "conflict",
            "message": "the channel is not at the expected position", "position": "p2"}}]});
    assert_eq!((answer.status, value(&answer)), (200, expected));
    assert_eq!(published(Err(&conflict)).status, 409);
}

#[test]
fn publications_of_histories_and_polls() {
    let tags = &[("t", "v")][..];
    let view = PublicationView {
        channel: "c",
        offset: 1,
        id: "m1",
        event: Some("e"),
        data: DataView::Json("[1]"),
        tags: Some(&tags),
        sender: Some(MemberView {
            connection: "c7",
            user: "",
            connection_info: Some("{}"),
            channel_info: None,
        }),
        time_ms: 0,
    };
    let stored = Stored {
        view,
        position: Some("p1"),
        key: Some("k\""),
        removed: false,
    };
    let text = Stored {
        view: PublicationView {
            event: None,
            data: DataView::Text("x\ny"),
            tags: None,
            sender: None,
            ..view
        },
        position: None,
        key: None,
        removed: false,
    };
    let binary = Stored {
        view: PublicationView {
            data: DataView::Binary(b"a"),
            ..text.view
        },
        ..text
    };
    let first = json!({"channel": "c", "id": "m1", "position": "p1", "event": "e", "key": "k\"",
        "data": [1], "tags": {"t": "v"}, "sender": {"connection": "c7", "info": {}},
        "time": "1970-01-01T00:00:00.000Z"});
    let answer = value(&history([stored, text, binary], Some("p3")));
    assert_eq!(answer["publications"][0], first);
    assert_eq!(answer["publications"][1]["text"], "x\ny");
    assert_eq!(answer["publications"][2]["base64"], "YQ==");
    assert_eq!(answer["position"], "p3");
    let none = &answer["publications"][1];
    assert!(none.get("key").is_none() && none.get("removed").is_none());
    let removal = Stored {
        key: Some("k"),
        removed: true,
        view: PublicationView {
            data: DataView::Text(""),
            ..text.view
        },
        ..text
    };
    assert_eq!(
        published_event(&removal),
        r#"{"channel":"c","id":"m1","key":"k","removed":true,"text":"","time":"1970-01-01T00:00:00.000Z"}"#
    );
    let read: Value = serde_json::from_str(&published_event(&stored)).unwrap();
    assert_eq!(read, first);
    assert_eq!(
        polled([], None, false).body,
        r#"{"publications":[],"recovered":false}"#
    );
}

#[test]
fn lists_have_pages() {
    let stats = PresenceStats {
        connections: 2,
        users: 1,
    };
    let member = MemberView {
        connection: "c7",
        user: "",
        connection_info: Some("{}"),
        channel_info: None,
    };
    assert_eq!(
        presence(stats, [member], Some("c7")).body,
        r#"{"connections":2,"users":1,"members":[{"connection":"c7","info":{}}],"next":"c7"}"#
    );
    let summary = ChannelSummary {
        channel: "c",
        subscribers: 2,
        kept: 1,
        position: None,
    };
    assert_eq!(
        channels([summary], None).body,
        r#"{"channels":[{"channel":"c","subscribers":2,"kept":1}]}"#
    );
    let summary = ConnectionSummary {
        connection: "c7",
        function: "chat",
        user: "",
        address: "192.0.2.1",
        tags: &["a\"b"],
        channels: &["c", "d"],
        opened_ms: 0,
        active_ms: 1,
    };
    let expected = json!({"connection": "c7", "function": "chat", "address": "192.0.2.1",
        "tags": ["a\"b"], "channels": ["c", "d"], "opened": "1970-01-01T00:00:00.000Z",
        "active": "1970-01-01T00:00:00.001Z"});
    assert_eq!(value(&connection(&summary)), expected);
    let listed = value(&connections([summary], Some("c7")));
    assert_eq!(listed, json!({"connections": [expected], "next": "c7"}));
}

#[test]
fn queries_within_their_bounds() {
    let list = ListQuery::of_query("prefix=chat%3A&user=u&tag=t&after=a&limit=5").unwrap();
    assert_eq!((&*list.prefix, list.limit), ("chat:", 5));
    assert_eq!(list.after.as_deref(), Some("a"));
    let limit = |query: &str| HistoryPage::of_query(query).map(|page| page.limit);
    assert_eq!(limit(""), Ok(100));
    assert_eq!(limit("limit=1000"), Ok(PAGE_MAX));
    assert_eq!(limit("limit=1001"), Ok(PAGE_MAX));
    for bad in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=1&limit=1",
        "reverse=1",
        "since=a&since=a",
    ] {
        assert_eq!(limit(bad).unwrap_err().code(), "invalid", "{bad}");
    }
    assert!(HistoryPage::of_query("reverse=true").unwrap().reverse);
    let since = |bytes: usize| PollQuery::of_query(&format!("since={}", "p".repeat(bytes))).is_ok();
    assert!(since(POSITION_BYTES_MAX) && !since(POSITION_BYTES_MAX + 1));
    let wait = |query: &str| PollQuery::of_query(query).unwrap().wait_s;
    assert_eq!((wait(""), wait("wait=0"), wait("wait=51")), (50, 0, 50));
}

#[test]
fn paths_name_one_thing() {
    let named = |make: fn(String) -> Route, name: &str| Some(make(name.into()));
    for (path, expected) in [
        ("/v1/publish", Some(Route::Publish)),
        ("/v1/channels", Some(Route::Channels)),
        (
            "/v1/channels/chat%3A1%2Fa/history",
            named(Route::History, "chat:1/a"),
        ),
        ("/v1/channels/c/presence", named(Route::Presence, "c")),
        ("/v1/channels/c/events", named(Route::Events, "c")),
        ("/v1/channels/c/poll", named(Route::Poll, "c")),
        ("/v1/connections", Some(Route::Connections)),
        ("/v1/connections/0a", named(Route::Connection, "0a")),
        ("/v1/connections/0a/messages", named(Route::Messages, "0a")),
        ("/v1", None),
        ("/v1/channels/", None),
        ("/v1/channels/c", None),
        ("/v1/channels//history", None),
        ("/v1/channels/%ff/history", None),
        ("/v1/channels/c/history/x", None),
        ("/v1/publish/x", None),
        ("/v2/publish", None),
    ] {
        assert_eq!(Route::of_path(path), expected, "{path}");
    }
}

proptest! {
    /// What one host writes, another can publish again.
    #[test]
    fn a_stored_publication_publishes_again(
        channel in "[a-z:]{1,20}",
        text in ".{0,40}",
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        kind in 0..3,
    ) {
        let quoted = serde_json::to_string(&text).unwrap();
        let data = match kind {
            0 => DataView::Json(&quoted),
            1 => DataView::Text(&text),
            _ => DataView::Binary(&bytes),
        };
        let view = PublicationView {
            channel: &channel, offset: 0, id: "m", event: None, data,
            tags: None, sender: None, time_ms: 0,
        };
        let stored = Stored { view, position: None, key: Some("k"), removed: false };
        let written = published_event(&stored);
        let mut value: Value = serde_json::from_str(&written).unwrap();
        let members = value.as_object_mut().unwrap();
        members.remove("id");
        members.remove("time");
        let expected = match kind {
            0 => Body::Json(quoted.clone().into()),
            1 => Body::Text(text.clone()),
            _ => Body::Binary(bytes.clone().into()),
        };
        let again = one(&value.to_string());
        prop_assert_eq!(again.body, Some(expected));
        prop_assert_eq!(again.key.as_deref(), Some("k"));
        prop_assert_eq!(&again.channels, &[channel]);
    }
}
