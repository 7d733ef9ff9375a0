//! Requests as the SDK and the article send them, and answers as it reads them.

use serde_json::{Value, json};

use super::*;
use crate::view::MemberView;

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn read(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn paths_of_the_sdk() {
    let path = |path: &str| Resource::of_path(path);
    assert_eq!(path("/api/v1/publish"), Some(Resource::Publish));
    assert_eq!(path("/api/v1/channels/"), Some(Resource::Channels));
    assert_eq!(
        path("/api/v1/channels/a-b"),
        Some(Resource::Channel("a-b".into()))
    );
    assert_eq!(
        path("/api/v1/channels/orders%3Auser/messages"),
        Some(Resource::Messages("orders:user".into()))
    );
    for other in [
        "/",
        "/api/v1",
        "/api/v1/publish/x",
        "/api/v1/channels//messages",
        "/api/v1/channels/a/b",
        "/api/v1/channels/a/messages/b",
        "/api/v1/channels/%ff",
        "/api/v2/publish",
    ] {
        assert_eq!(path(other), None, "{other}");
    }
    let long = |bytes: usize| path(&format!("/api/v1/channels/{}", "a".repeat(bytes)));
    assert!(long(CHANNEL_BYTES_MAX).is_some() && long(CHANNEL_BYTES_MAX + 1).is_none());
}

#[test]
fn both_forms_of_publishing() {
    let article = body(r#"{"channel":"notifications","data":{"type": "order", "total": 1.50}}"#);
    let expected = Publish {
        channel: "notifications".into(),
        data: r#"{"type": "order", "total": 1.50}"#.into(),
        event: None,
    };
    assert_eq!(Publish::read(&article, None), Ok(expected));
    let sdk = body(r#"{"content":{"a":1},"eventType":"order.created"}"#);
    let expected = Publish {
        channel: "test-channel".into(),
        data: r#"{"a":1}"#.into(),
        event: Some("order.created".into()),
    };
    assert_eq!(Publish::read(&sdk, Some("test-channel")), Ok(expected));

    for (text, error) in [
        ("", RequestError::Body),
        ("channel=a&data=b", RequestError::Body),
        ("[]", RequestError::Body),
        (r#"{"data":1}"#, RequestError::Channel),
        (r#"{"channel":"c"}"#, RequestError::Data),
    ] {
        assert_eq!(Publish::read(&body(text), None), Err(error), "{text}");
    }
    let with = |channel: usize, event: usize| {
        let (channel, event) = ("c".repeat(channel), "e".repeat(event));
        let text = format!(r#"{{"channel":"{channel}","data":1,"eventType":"{event}"}}"#);
        Publish::read(&body(&text), None).map(|_| ())
    };
    assert_eq!(with(CHANNEL_BYTES_MAX, EVENT_BYTES_MAX), Ok(()));
    assert_eq!(with(CHANNEL_BYTES_MAX + 1, 1), Err(RequestError::Channel));
    assert_eq!(with(1, EVENT_BYTES_MAX + 1), Err(RequestError::Event));
    assert_eq!(
        RequestError::Data.answer().body,
        r#"{"error":"`data` or `content` is missing","code":"VALIDATION_ERROR"}"#
    );
}

#[test]
fn answers_as_the_sdk_reads_them() {
    let published = PublishedView {
        id: "m1",
        channel: "test-channel",
        event: None,
        client: "key",
        delivered: 5,
        time_ms: 1_704_067_200_000,
    };
    let expected = concat!(
        r#"{"id":"m1","channelSlug":"test-channel","eventType":"message","clientId":"key","#,
        r#""delivered":5,"createdAt":"2024-01-01T00:00:00.000Z"}"#
    );
    assert_eq!(published.answer().body, expected);

    let sender = MemberView {
        connection: "c7",
        user: "",
        connection_info: None,
        channel_info: None,
    };
    let view = PublicationView {
        channel: "general",
        offset: 3,
        id: "m3",
        event: Some("e"),
        data: DataView::Binary(b"a"),
        tags: None,
        sender: Some(sender),
        time_ms: 7,
    };
    let page = Page {
        number: 2,
        size: 25,
    };
    let expected = json!({
        "items": [{"id": "m3", "channel": "general", "eventType": "e", "clientId": "c7",
                   "content": "YQ==", "encoding": "base64", "timestamp": 7}],
        "pagination": {"page": 2, "pageSize": 25, "total": 26, "totalPages": 2}});
    assert_eq!(read(&history(page, 26, [view])), expected);

    let channel = ChannelView {
        slug: "general",
        name: "General",
        description: None,
        is_private: true,
        metadata: Some(r#"{"team":1}"#),
        messages: 4,
        created_ms: 0,
        updated_ms: 1,
    };
    let one = json!({"id": "general", "name": "General", "slug": "general", "description": null,
        "isPrivate": true, "metadata": {"team": 1}, "messageCount": 4,
        "createdAt": "1970-01-01T00:00:00.000Z", "updatedAt": "1970-01-01T00:00:00.001Z"});
    assert_eq!(read(&channel.answer(false)), one);
    assert_eq!(channel.answer(true).status, 201);
    let expected = json!({"success": true, "data": [one],
        "pagination": {"page": 2, "pageSize": 25, "total": 0, "totalPages": 0}});
    assert_eq!(read(&channels(page, 0, [channel])), expected);
    assert_eq!(deleted().status, 204);
    let denied = refused(&Refusal::Denied);
    assert_eq!(denied.status, 403);
    assert_eq!(
        denied.body,
        r#"{"error":"permission denied","code":"FORBIDDEN"}"#
    );
}

#[test]
fn queries_of_histories() {
    let query = "page=2&pageSize=50&eventType=order.created&after=5&before=9";
    let expected = HistoryQuery {
        page: Page {
            number: 2,
            size: 50,
        },
        event: Some("order.created".into()),
        after_ms: Some(5),
        before_ms: Some(9),
    };
    assert_eq!(HistoryQuery::of_query(query), Ok(expected));
    let page = |query: &str| Page::of_query(query).map(|page| (page.number, page.size));
    assert_eq!(page(""), Ok((1, PAGE_DEFAULT)));
    assert_eq!(page("pageSize=100"), Ok((1, PAGE_MAX)));
    assert_eq!(page("pageSize=101"), Ok((1, PAGE_MAX)));
    for bad in [
        "page=0",
        "page=-1",
        "page=a",
        "page=1&page=1",
        "page=4294967296",
    ] {
        assert_eq!(page(bad), Err(RequestError::Query("page")), "{bad}");
    }
    assert_eq!(page("pageSize=0"), Err(RequestError::Query("pageSize")));
    let event =
        |bytes: usize| HistoryQuery::of_query(&format!("eventType={}", "e".repeat(bytes))).is_ok();
    assert!(event(EVENT_BYTES_MAX) && !event(EVENT_BYTES_MAX + 1));
}

#[test]
fn channels_are_made_and_changed() {
    let text = r#"{"name":"General","slug":"general","description":"d","isPrivate":true,"metadata":{"a":1}}"#;
    let expected = ChannelChange {
        slug: Some("general".into()),
        name: Some("General".into()),
        description: Some(Some("d".into())),
        is_private: Some(true),
        metadata: Some(Some(r#"{"a":1}"#.into())),
    };
    assert_eq!(ChannelChange::read(text.as_bytes(), true), Ok(expected));
    let text = r#"{"description":null,"metadata":null}"#;
    let expected = ChannelChange {
        description: Some(None),
        metadata: Some(None),
        ..ChannelChange::default()
    };
    assert_eq!(ChannelChange::read(text.as_bytes(), false), Ok(expected));
    assert_eq!(
        ChannelChange::read(b"{}", false),
        Ok(ChannelChange::default())
    );

    for (text, part) in [
        (r#"{"name":"a"}"#, "slug"),
        (r#"{"slug":"a"}"#, "name"),
        (r#"{"slug":"A","name":"a"}"#, "slug"),
        (r#"{"slug":"a","name":""}"#, "name"),
        (r#"{"slug":"a","name":"a","description":1}"#, "description"),
    ] {
        let read = ChannelChange::read(text.as_bytes(), true);
        assert_eq!(read, Err(RequestError::Part(part)), "{text}");
    }
    let sized = |name: &str, bytes: usize| {
        let text = format!(r#"{{"{name}":"{}"}}"#, "a".repeat(bytes));
        ChannelChange::read(text.as_bytes(), false).is_ok()
    };
    assert!(sized("name", NAME_BYTES_MAX) && !sized("name", NAME_BYTES_MAX + 1));
    assert!(sized("description", METADATA_BYTES_MAX));
    assert!(!sized("description", METADATA_BYTES_MAX + 1));
    // With its quotes.
    assert!(sized("metadata", METADATA_BYTES_MAX - 2));
    assert!(!sized("metadata", METADATA_BYTES_MAX - 1));
}
