//! Pushes and replies, byte for byte as clients read them.

use serde_json::{Value, json};

use super::*;
use crate::outcome::{HostSubscription, PresenceStats, Recovery, Refusal, Subscribed, Welcome};
use crate::view::{DataView, MemberView, PositionView, PublicationView};

const SENDER: MemberView<'_> = MemberView {
    connection: "c7",
    user: "42",
    connection_info: Some("{\"name\":\n\"Alexander\"}"),
    channel_info: None,
};

fn publication<'a>(data: DataView<'a>, offset: u64) -> PublicationView<'a> {
    PublicationView {
        channel: "news",
        offset,
        id: "m1",
        event: Some("created"),
        data,
        tags: None,
        sender: None,
        time_ms: 0,
    }
}

#[test]
fn a_publication_is_one_line_with_its_data_as_it_was() {
    let plain = publication(DataView::Json(r#"{"value": "test message"}"#), 0);
    let expected = r#"{"push":{"channel":"news","pub":{"data":{"value": "test message"}}}}"#;
    assert_eq!(Pushes::Wrapped.publication(&plain), expected);
    let bare = r#"{"channel":"news","pub":{"data":{"value": "test message"}}}"#;
    assert_eq!(Pushes::Bare.publication(&plain), bare);

    let tags = &[("a", "b\"")][..];
    let full = PublicationView {
        tags: Some(&tags),
        sender: Some(SENDER),
        time_ms: 1_700_000_000_000,
        ..publication(DataView::Json("[1,\n 2]"), 16)
    };
    let expected = concat!(
        r#"{"push":{"channel":"news","pub":{"data":[1, 2],"info":{"user":"42","client":"c7","#,
        r#""conn_info":{"name":"Alexander"}},"offset":16,"tags":{"a":"b\""},"time":1700000000000}}}"#
    );
    assert_eq!(Pushes::Wrapped.publication(&full), expected);
}

#[test]
fn data_that_is_not_json_becomes_json() {
    let text = publication(DataView::Text("not \"json\"\n"), 0);
    let expected = r#"{"channel":"news","pub":{"data":"not \"json\"\n"}}"#;
    assert_eq!(Pushes::Bare.publication(&text), expected);

    let tags = &[("a", "b"), (DATA_TAG.0, "forged")][..];
    let binary = PublicationView {
        tags: Some(&tags),
        ..publication(DataView::Binary(&[0, 255, 1]), 3)
    };
    let expected = concat!(
        r#"{"channel":"news","pub":{"data":"AP8B","offset":3,"#,
        r#""tags":{"a":"b","openline-data":"base64"}}}"#
    );
    assert_eq!(Pushes::Bare.publication(&binary), expected);
}

#[test]
fn a_push_is_written_without_moving_its_data() {
    let data = format!("\"{}\"", "a".repeat(10_000));
    let tags = &[("name", "value"), ("other", "value")][..];
    for data in [
        DataView::Json(&data),
        DataView::Text(&data[1..data.len() - 1]),
        DataView::Binary(data.as_bytes()),
    ] {
        let small = publication(data, 0);
        let large = PublicationView {
            offset: u64::MAX,
            tags: Some(&tags),
            sender: Some(SENDER),
            time_ms: u64::MAX,
            ..small
        };
        for view in [small, large] {
            let push = Pushes::Wrapped.publication(&view);
            let most = push::PUSH_BYTES + push::room(&view);
            assert!(push.len() <= most, "{} of {most}", push.len());
        }
    }
}

#[test]
fn every_other_push() {
    let wrapped = Pushes::Wrapped;
    let member = MemberView {
        connection_info: None,
        channel_info: Some("1"),
        ..SENDER
    };
    let joined =
        r#"{"push":{"channel":"c","join":{"info":{"user":"42","client":"c7","chan_info":1}}}}"#;
    assert_eq!(wrapped.joined("c", &member), joined);
    assert_eq!(wrapped.left("c", &member), joined.replace("join", "leave"));
    assert_eq!(
        wrapped.unsubscribed("c", Unsubscribed::InsufficientState),
        r#"{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#
    );
    let subscribed = Subscribed {
        position: Some(PositionView {
            epoch: "e",
            offset: 4,
        }),
        recoverable: true,
        ..Subscribed::default()
    };
    assert_eq!(
        wrapped.subscribed("c", &subscribed),
        r#"{"push":{"channel":"c","subscribe":{"recoverable":true,"epoch":"e","offset":4,"positioned":true}}}"#
    );
    assert_eq!(
        wrapped.message(DataView::Json("{}")),
        r#"{"push":{"message":{"data":{}}}}"#
    );
    assert_eq!(
        wrapped.disconnected(codes::SHUTDOWN),
        r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}"#
    );
    assert_eq!(
        wrapped.refreshed(Some(60)),
        r#"{"push":{"refresh":{"expires":true,"ttl":60}}}"#
    );
}

#[test]
fn a_recovery_is_complete_or_nothing() {
    let position = Some(PositionView {
        epoch: "xyz",
        offset: 15,
    });
    let missed = [
        publication(DataView::Json("1"), 14),
        publication(DataView::Json("2"), 15),
    ];
    let outcome = |recovery| Subscribed {
        position,
        recoverable: true,
        recovery,
        ..Subscribed::default()
    };
    assert_eq!(
        reply::subscribed(2, 13, &outcome(Recovery::Recovered(&missed))),
        concat!(
            r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"xyz","#,
            r#""publications":[{"data":1,"offset":14},{"data":2,"offset":15}],"#,
            r#""recovered":true,"offset":13,"positioned":true,"was_recovering":true}}"#
        )
    );
    assert_eq!(
        reply::subscribed(2, 13, &outcome(Recovery::Recovered(&[]))),
        concat!(
            r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"xyz","recovered":true,"#,
            r#""offset":15,"positioned":true,"was_recovering":true}}"#
        )
    );
    assert_eq!(
        reply::subscribed(2, 13, &outcome(Recovery::Failed)),
        concat!(
            r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"xyz","offset":15,"#,
            r#""positioned":true,"was_recovering":true}}"#
        )
    );
    let plain = Subscribed {
        ttl_s: Some(0),
        data: Some("7"),
        ..Subscribed::default()
    };
    assert_eq!(
        reply::subscribed(2, 13, &plain),
        r#"{"id":2,"subscribe":{"expires":true,"ttl":0,"data":7}}"#
    );
}

#[test]
fn every_other_reply() {
    assert_eq!(
        reply::presence(4, [SENDER]),
        concat!(
            r#"{"id":4,"presence":{"presence":{"c7":{"user":"42","client":"c7","#,
            r#""conn_info":{"name":"Alexander"}}}}}"#
        )
    );
    let stats = PresenceStats {
        connections: 3,
        users: 0,
    };
    assert_eq!(
        reply::presence_stats(4, stats),
        r#"{"id":4,"presence_stats":{"num_clients":3,"num_users":0}}"#
    );
    let end = PositionView {
        epoch: "e",
        offset: 9,
    };
    assert_eq!(
        reply::history(4, end, [publication(DataView::Json("{}"), 9)]),
        r#"{"id":4,"history":{"publications":[{"data":{},"offset":9}],"epoch":"e","offset":9}}"#
    );
    assert_eq!(
        reply::refreshed(4, "c", Some(9)),
        r#"{"id":4,"refresh":{"client":"c","expires":true,"ttl":9}}"#
    );
    assert_eq!(
        reply::subscription_refreshed(4, None),
        r#"{"id":4,"sub_refresh":{}}"#
    );
    assert_eq!(
        reply::returned(4, DataView::Text("")),
        r#"{"id":4,"rpc":{}}"#
    );
    let function = Refusal::Function {
        code: 1_000,
        message: "no \"luck\"".into(),
        temporary: true,
    };
    assert_eq!(
        reply::refused(4, &function),
        r#"{"id":4,"error":{"code":1000,"message":"no \"luck\"","temporary":true}}"#
    );
}

#[test]
fn a_welcome_names_all_subscriptions_of_the_host() {
    let subscriptions = [HostSubscription {
        channel: "#42",
        since: 7,
        outcome: Subscribed {
            position: Some(PositionView {
                epoch: "e",
                offset: 7,
            }),
            recovery: Recovery::Recovered(&[]),
            ..Subscribed::default()
        },
    }];
    let welcome = Welcome {
        connection: "c1",
        version: "",
        node: "",
        session: "s",
        ping_s: 0,
        pong: false,
        ttl_s: Some(60),
        data: Some("{}"),
        subscriptions: &subscriptions,
        time_ms: 5,
    };
    let expected = json!({"id": 1, "connect": {
        "client": "c1", "expires": true, "ttl": 60, "data": {}, "session": "s",
        "subs": {"#42": {"epoch": "e", "offset": 7, "positioned": true, "recovered": true,
                          "was_recovering": true}}}});
    let read: Value = serde_json::from_str(&reply::connected(1, &welcome)).unwrap();
    assert_eq!(read, expected);
    let bare: Value = serde_json::from_str(&Pushes::Bare.connected(&welcome)).unwrap();
    assert_eq!(bare["connect"], expected["connect"]);
}

/// The table of Centrifugo's documentation.
#[test]
fn refusals_have_centrifugos_codes_and_texts() {
    let table = [
        (Refusal::Internal, 100, "internal server error"),
        (Refusal::Unauthorized, 101, "unauthorized"),
        (Refusal::UnknownChannel, 102, "unknown channel"),
        (Refusal::Denied, 103, "permission denied"),
        (Refusal::MethodNotFound, 104, "method not found"),
        (Refusal::AlreadySubscribed, 105, "already subscribed"),
        (Refusal::LimitExceeded, 106, "limit exceeded"),
        (Refusal::BadRequest, 107, "bad request"),
        (Refusal::NotAvailable, 108, "not available"),
        (Refusal::TokenExpired, 109, "token expired"),
        (Refusal::Expired, 110, "expired"),
        (Refusal::TooManyRequests, 111, "too many requests"),
        (Refusal::Unrecoverable, 112, "unrecoverable position"),
    ];
    for (refusal, code, text) in table {
        assert_eq!(refusal.to_string(), text);
        let temporary = matches!(refusal, Refusal::Internal | Refusal::TooManyRequests);
        assert_eq!(codes::error_of(&refusal), (code, temporary));
    }
    for (why, code) in [
        (Unsubscribed::ByHost, 2000),
        (Unsubscribed::Expired, 2501),
        (Unsubscribed::StateInvalidated, 2502),
    ] {
        assert_eq!(why.parts().0, code);
    }
}
