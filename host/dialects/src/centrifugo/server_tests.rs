//! Requests as backends send them.

use super::*;
use crate::view::DataView;

fn read(method: &str, body: &str) -> Result<Request, RequestError> {
    Request::read(method, &Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn each_method() {
    let publish = Publish {
        channels: vec!["chat".into()],
        is_broadcast: false,
        data: Data::Json(r#"{"text": "hello"}"#.into()),
        tags: vec![("a".into(), "b".into())],
        skip_history: true,
        idempotency_key: Some("i".into()),
        version: 3,
        version_epoch: "e".into(),
    };
    let body = r#"{"channel":"chat","data":{"text": "hello"},"tags":{"a":"b"},"skip_history":true,
        "idempotency_key":"i","version":3,"version_epoch":"e","delta":true}"#;
    assert_eq!(read("publish", body), Ok(Request::Publish(publish)));
    match read("broadcast", r#"{"channels":["a","b"],"b64data":"AP8="}"#) {
        Ok(Request::Publish(publish)) => {
            assert_eq!((publish.channels.len(), publish.is_broadcast), (2, true));
            assert_eq!(publish.data, Data::Binary(vec![0, 255].into()));
        }
        other => panic!("{other:?}"),
    }
    let who = Who {
        user: "42".into(),
        connection: Some("c7".into()),
    };
    let body = r#"{"channel":"c","user":"42","client":"c7"}"#;
    let channel = || "c".to_owned();
    assert_eq!(
        read("subscribe", body),
        Ok(Request::Subscribe(channel(), who.clone()))
    );
    assert_eq!(
        read("unsubscribe", body),
        Ok(Request::Unsubscribe(channel(), who.clone()))
    );
    assert_eq!(
        read("disconnect", body),
        Ok(Request::Disconnect(
            who.clone(),
            3503,
            "force disconnect".into()
        ))
    );
    let coded = r#"{"user":"42","client":"c7","disconnect":{"code":4000,"reason":"bye"}}"#;
    assert_eq!(
        read("disconnect", coded),
        Ok(Request::Disconnect(who, 4000, "bye".into()))
    );
    assert_eq!(read("presence", body), Ok(Request::Presence(channel())));
    assert_eq!(
        read("presence_stats", body),
        Ok(Request::PresenceStats(channel()))
    );
    assert_eq!(
        read("history_remove", body),
        Ok(Request::RemoveHistory(channel()))
    );
    let history = History {
        channel: channel(),
        since: Some((5, "e".into())),
        limit: HistoryLimit::AtMost(2),
        reverse: true,
    };
    let body = r#"{"channel":"c","limit":2,"since":{"offset":5,"epoch":"e"},"reverse":true}"#;
    assert_eq!(read("history", body), Ok(Request::History(history)));
    assert_eq!(
        read("channels", r#"{"pattern":"a*"}"#),
        Ok(Request::Channels("a*".into()))
    );
    assert_eq!(read("channels", ""), Ok(Request::Channels(String::new())));
    assert_eq!(read("info", "{}"), Ok(Request::Info));
}

#[test]
fn what_is_refused() {
    for (method, body, error) in [
        ("publish", "[]", RequestError::Body),
        (
            "history",
            r#"{"channel":"c","since":[1,"e"]}"#,
            RequestError::Body,
        ),
        ("publish", "{", RequestError::Body),
        ("explode", "{}", RequestError::Method),
        ("publish", r#"{"data":1}"#, RequestError::BadRequest),
        ("publish", r#"{"channel":"c"}"#, RequestError::BadRequest),
        (
            "publish",
            r#"{"channel":"c","b64data":"*"}"#,
            RequestError::BadRequest,
        ),
        ("broadcast", r#"{"data":1}"#, RequestError::BadRequest),
        ("history", "{}", RequestError::BadRequest),
        (
            "disconnect",
            r#"{"user":"1","disconnect":{"code":1000}}"#,
            RequestError::BadRequest,
        ),
    ] {
        assert_eq!(read(method, body), Err(error), "{method} {body}");
    }
    assert_eq!(
        RequestError::BadRequest.answer().body,
        r#"{"error":{"code":107,"message":"bad request"}}"#
    );
    let sized = |name: &str, bytes: usize| {
        let text = "a".repeat(bytes);
        let body = serde_json::json!({"channel": "c", "data": 1, name: text});
        read("publish", &body.to_string()).is_ok()
    };
    for (name, most) in [
        ("channel", CHANNEL_BYTES_MAX),
        ("idempotency_key", KEY_BYTES_MAX),
        ("version_epoch", KEY_BYTES_MAX),
    ] {
        assert!(sized(name, most) && !sized(name, most + 1), "{name}");
    }
    let broadcast = |count: usize| {
        let body = serde_json::json!({"channels": vec!["c"; count], "data": 1});
        read("broadcast", &body.to_string()).is_ok()
    };
    assert!(broadcast(BATCH_MAX) && !broadcast(BATCH_MAX + 1));
}

#[test]
fn answers_have_a_result_or_an_error() {
    let position = PositionView {
        epoch: "e",
        offset: 4,
    };
    assert_eq!(published(None).body, r#"{"result":{}}"#);
    assert_eq!(
        published(Some(position)).body,
        r#"{"result":{"offset":4,"epoch":"e"}}"#
    );
    assert_eq!(done().body, r#"{"result":{}}"#);
    let refusal = Refusal::UnknownChannel;
    assert_eq!(
        broadcast([Ok(None), Err(&refusal)]).body,
        r#"{"result":{"responses":[{"result":{}},{"error":{"code":102,"message":"unknown channel"}}]}}"#
    );
    let view = PublicationView {
        channel: "c",
        offset: 4,
        id: "m",
        event: None,
        data: DataView::Json("1"),
        tags: None,
        sender: None,
        time_ms: 0,
    };
    assert_eq!(
        history(position, [view]).body,
        r#"{"result":{"publications":[{"data":1,"offset":4}],"epoch":"e","offset":4}}"#
    );
    assert_eq!(presence([]).body, r#"{"result":{"presence":{}}}"#);
    assert_eq!(
        channels([("c", 2)]).body,
        r#"{"result":{"channels":{"c":{"num_clients":2}}}}"#
    );
    let stats = PresenceStats {
        connections: 2,
        users: 1,
    };
    assert_eq!(
        presence_stats(stats).body,
        r#"{"result":{"num_clients":2,"num_users":1}}"#
    );
    let node = NodeView {
        id: "n",
        name: "a",
        version: "1",
        stats,
        channels: 3,
        subscriptions: 4,
        uptime_s: 5,
    };
    assert_eq!(
        info([node]).body,
        concat!(
            r#"{"result":{"nodes":[{"uid":"n","name":"a","version":"1","num_clients":2,"#,
            r#""num_users":1,"num_channels":3,"uptime":5,"num_subs":4}]}}"#
        )
    );
}
