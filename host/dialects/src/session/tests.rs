//! Sessions, with frames as the clients send them.

use bytes::Bytes;
use bytestring::ByteString;
use proptest::prelude::*;

use super::*;
use crate::action::Since;
use crate::filter::{Filter, Test};
use crate::history::HistoryLimit;
use crate::limits::{
    CHANNEL_BYTES_MAX, HEADERS_MAX, METHOD_BYTES_MAX, NAME_BYTES_MAX, SUBSCRIPTIONS_MAX,
    TOKEN_BYTES_MAX,
};

const WELCOME: Welcome<'_> = Welcome {
    connection: "c1",
    version: "1",
    node: "n",
    session: "",
    ping_s: 25,
    pong: true,
    ttl_s: None,
    data: None,
    subscriptions: &[],
    time_ms: 1_700_000_000_000,
};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// All actions of a frame.
fn actions(session: &mut Session, frame: &str) -> Vec<Action> {
    session.receive(bytes(frame)).unwrap();
    std::iter::from_fn(|| session.next_action()).collect()
}

fn connected() -> Session {
    let mut session = Session::centrifugo();
    let connect = actions(&mut session, r#"{"connect":{"name":"js"},"id":1}"#);
    assert!(matches!(&connect[..], [Action::Connect(_)]));
    session.connected(&WELCOME).unwrap();
    session
}

/// The one action of a frame.
fn action(frame: &str) -> Action {
    let mut actions = actions(&mut connected(), frame);
    assert_eq!(actions.len(), 1, "{frame}");
    actions.remove(0)
}

fn closes(frame: &str) -> Option<Close> {
    match action(frame) {
        Action::Close(close) => Some(close),
        _ => None,
    }
}

fn sends(frame: &str) -> Option<ByteString> {
    match action(frame) {
        Action::Send(sent) => Some(sent),
        _ => None,
    }
}

#[test]
fn a_javascript_client_connects_and_answers_pings() {
    let mut session = Session::centrifugo();
    assert_eq!(session.ping(), None);
    let frame = concat!(
        r#"{"connect":{"token":"a.b.c","data":{"x": 1},"name":"js","version":"5.7.1","#,
        r#""headers":{"X-A":"b"},"subs":{"room":{"recover":true,"offset":12,"epoch":"xyz"}}},"id":1}"#
    );
    let mut actions = actions(&mut session, frame);
    let Some(Action::Connect(connect)) = actions.pop() else {
        panic!("{actions:?}");
    };
    let since = Since {
        epoch: "xyz".into(),
        offset: 12,
    };
    let expected = Connect {
        token: "a.b.c".into(),
        data: Some(r#"{"x": 1}"#.into()),
        name: "js".into(),
        version: "5.7.1".into(),
        headers: vec![("X-A".into(), "b".into())],
        subscriptions: vec![("room".into(), Some(since))],
    };
    assert_eq!(*connect, expected);
    // Nothing is read before it is known who this is.
    assert_eq!(session.receive(bytes("{}")), Err(Busy));
    let reply = session.connected(&WELCOME).unwrap();
    let expected =
        r#"{"id":1,"connect":{"client":"c1","version":"1","ping":25,"pong":true,"node":"n"}}"#;
    assert_eq!(reply, expected);
    assert_eq!(session.connected(&WELCOME), None);

    assert_eq!(session.ping().unwrap(), "{}");
    let pong = super::tests::actions(&mut session, "{}");
    assert!(matches!(&pong[..], [Action::Pong]));
    // An answer to nothing.
    let second = super::tests::actions(&mut session, "{}");
    assert!(matches!(&second[..], [Action::Close(codes::BAD_REQUEST)]));
    assert_eq!(session.ping(), None);
    assert!(session.next_action().is_none());
    // Nothing of it is kept.
    assert!(super::tests::actions(&mut session, "{}").is_empty() && session.is_ready());
}

#[test]
fn a_frame_of_many_commands_is_taken_in_order() {
    let frame = concat!(
        r#"{"subscribe":{"channel":"chat:1","recover":true,"epoch":"WHBN"},"id":222}"#,
        "\n",
        r#"{"subscribe":{"channel":"chat:2","recover":true,"epoch":"yenC","offset":7},"id":223}"#,
        "\n",
        r#"{"subscribe":{"channel":"chat:index","flag":3},"id":224}"#,
        "\n"
    );
    let actions = actions(&mut connected(), frame);
    let read: Vec<_> = actions
        .iter()
        .map(|action| match action {
            Action::Subscribe(reply, subscribe) => {
                let since = subscribe.since.as_ref();
                let since = since.map(|since| (&*since.epoch, since.offset));
                let reply = reply.unsubscribed();
                (
                    &*subscribe.channel,
                    since,
                    subscribe.reject_unrecovered,
                    reply,
                )
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (
            "chat:1",
            Some(("WHBN", 0)),
            false,
            r#"{"id":222,"unsubscribe":{}}"#.into(),
        ),
        (
            "chat:2",
            Some(("yenC", 7)),
            false,
            r#"{"id":223,"unsubscribe":{}}"#.into(),
        ),
        (
            "chat:index",
            None,
            true,
            r#"{"id":224,"unsubscribe":{}}"#.into(),
        ),
    ];
    assert_eq!(read, expected);
}

#[test]
fn a_python_client_subscribes_with_everything() {
    let frame = r#"{"id": 2, "subscribe": {"channel": "caf\u00e9", "token": "t", "data": [1, 2.50],
        "positioned": true, "recoverable": true, "join_leave": true, "flag": 1, "delta": "fossil",
        "tf": {"key": "a", "cmp": "eq", "val": "b"}, "new": {"unknown": [{}]}}}"#
        .replace('\n', " ");
    let Action::Subscribe(_, subscribe) = action(&frame) else {
        panic!()
    };
    let expected = crate::Subscribe {
        channel: "café".into(),
        token: "t".into(),
        data: Some("[1, 2.50]".into()),
        since: None,
        reject_unrecovered: false,
        join_leave: true,
        positioned: true,
        recoverable: true,
        filter: Some(Filter::Tag("a".into(), Test::Equal("b".into()))),
    };
    assert_eq!(*subscribe, expected);
}

#[test]
fn each_command_is_an_action() {
    match action(r#"{"id":3,"publish":{"channel":"c","data": {"a" : 1.0e2} }}"#) {
        Action::Publish(reply, publish) => {
            assert_eq!(publish.channel, "c");
            assert_eq!(publish.data, r#"{"a" : 1.0e2}"#);
            assert_eq!(reply.published(), r#"{"id":3,"publish":{}}"#);
        }
        other => panic!("{other:?}"),
    }
    match action(r#"{"id":4,"publish":{"channel":"c","data":null}}"#) {
        Action::Publish(_, publish) => assert_eq!(publish.data, "null"),
        other => panic!("{other:?}"),
    }
    for (limit, expected) in [
        ("0", HistoryLimit::Position),
        ("10", HistoryLimit::AtMost(10)),
        ("-1", HistoryLimit::All),
    ] {
        let frame = format!(
            r#"{{"id":5,"history":{{"channel":"c","since":{{"offset":3,"epoch":"e"}},"limit":{limit},"reverse":true}}}}"#
        );
        match action(&frame) {
            Action::History(_, query) => {
                assert_eq!((&*query.channel, query.limit), ("c", expected));
                assert_eq!(query.since.unwrap().offset, 3);
                assert!(query.reverse);
            }
            other => panic!("{other:?}"),
        }
    }
    match action(r#"{"id":6,"rpc":{"method":"getCurrentYear","data":{}}}"#) {
        Action::Call(reply, call) => {
            assert_eq!(
                (&*call.method, &call.data[..]),
                ("getCurrentYear", &b"{}"[..])
            );
            let returned = reply.returned(crate::DataView::Json(r#"{"year":2020}"#));
            assert_eq!(returned, r#"{"id":6,"rpc":{"data":{"year":2020}}}"#);
        }
        other => panic!("{other:?}"),
    }
    for frame in [
        r#"{"send":{"data":"hi"}}"#,
        r#"{"id":7,"send":{"data":"hi"}}"#,
    ] {
        assert!(matches!(action(frame), Action::Message(data) if data == "\"hi\""));
    }
    let on_channel = |request: &str| format!(r#"{{"id":8,"{request}":{{"channel":"c"}}}}"#);
    assert!(matches!(action(&on_channel("unsubscribe")), Action::Unsubscribe(_, c) if c == "c"));
    assert!(matches!(action(&on_channel("presence")), Action::Presence(_, c) if c == "c"));
    assert!(
        matches!(action(&on_channel("presence_stats")), Action::PresenceStats(_, c) if c == "c")
    );
    assert!(matches!(
        action(r#"{"id":9,"refresh":{"token":"t"}}"#),
        Action::Refresh(_, token) if token == "t"
    ));
    assert!(matches!(
        action(r#"{"id":9,"sub_refresh":{"channel":"c","token":"t"}}"#),
        Action::RefreshSubscription(_, refresh) if refresh.token == "t" && refresh.channel == "c"
    ));
}

#[test]
fn what_breaks_the_protocol_closes() {
    for frame in [
        "",
        "\n",
        "hello",
        "null",
        "[]",
        "[1,{}]",
        r#"{"id":1,"unsubscribe":["a"]}"#,
        "{",
        r#"{"id":1}"#,
        r#"{"id":1,"ping":{}}"#,
        r#"{"id":1,"connect":{}}"#,
        r#"{"id":-1,"rpc":{}}"#,
        r#"{"id":4294967296,"rpc":{}}"#,
        r#"{"id":1.5,"rpc":{}}"#,
        r#"{"id":"1","rpc":{}}"#,
        r#"{"id":0,"rpc":{}}"#,
        r#"{"id":1,"subscribe":{}}"#,
        r#"{"id":1,"subscribe":{"channel":""}}"#,
        r#"{"id":1,"subscribe":{"channel":7}}"#,
        r#"{"id":1,"publish":{"data":1}}"#,
        r#"{"id":1,"refresh":{}}"#,
        r#"{"id":1,"sub_refresh":{"token":"t"}}"#,
        r#"{"id":1,"history":{"channel":"c","since":{"offset":-1}}}"#,
    ] {
        assert_eq!(closes(frame), Some(codes::BAD_REQUEST), "{frame}");
    }
    assert!(matches!(
        action(r#"{"id":4294967295,"rpc":{}}"#),
        Action::Call(..)
    ));
    // In the middle of a frame it ends the frame.
    let broken = "{\"id\":1,\"rpc\":{}}\n\n{\"id\":2,\"rpc\":{}}";
    let actions = actions(&mut connected(), broken);
    assert!(matches!(
        &actions[..],
        [Action::Call(..), Action::Close(codes::BAD_REQUEST)]
    ));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let bad = r#"{"id":1,"error":{"code":107,"message":"bad request"}}"#;
    let unavailable = r#"{"id":1,"error":{"code":108,"message":"not available"}}"#;
    for (frame, expected) in [
        (r#"{"id":1,"publish":{"channel":"c"}}"#, bad),
        (r#"{"id":1,"sub_refresh":{"channel":"c"}}"#, bad),
        (
            r#"{"id":1,"subscribe":{"channel":"c","tf":{"op":"xor"}}}"#,
            bad,
        ),
        (
            r#"{"id":1,"subscribe":{"channel":"c","type":1}}"#,
            unavailable,
        ),
        (
            r#"{"id":1,"publish":{"channel":"c","data":1,"type":1,"key":"k"}}"#,
            unavailable,
        ),
    ] {
        assert_eq!(sends(frame).unwrap(), expected, "{frame}");
    }
}

#[test]
fn each_bound_of_a_command_has_its_last_and_its_first_too_many() {
    let named = |bytes: usize| {
        let channel = "c".repeat(bytes);
        format!(r#"{{"id":1,"presence":{{"channel":"{channel}"}}}}"#)
    };
    assert!(matches!(
        action(&named(CHANNEL_BYTES_MAX)),
        Action::Presence(..)
    ));
    assert!(
        sends(&named(CHANNEL_BYTES_MAX + 1))
            .unwrap()
            .contains("107")
    );

    let method = |bytes: usize| format!(r#"{{"id":1,"rpc":{{"method":"{}"}}}}"#, "m".repeat(bytes));
    assert!(matches!(
        action(&method(METHOD_BYTES_MAX)),
        Action::Call(..)
    ));
    assert!(
        sends(&method(METHOD_BYTES_MAX + 1))
            .unwrap()
            .contains("104")
    );

    let token = |bytes: usize| {
        format!(
            r#"{{"id":1,"refresh":{{"token":"{}"}}}}"#,
            "t".repeat(bytes)
        )
    };
    assert!(matches!(
        action(&token(TOKEN_BYTES_MAX)),
        Action::Refresh(..)
    ));
    assert_eq!(
        closes(&token(TOKEN_BYTES_MAX + 1)),
        Some(codes::INVALID_TOKEN)
    );
}

#[test]
fn each_bound_of_connecting_has_its_last_and_its_first_too_many() {
    let connect = |text: String| read_connect(&Bytes::from(text));
    let token = |bytes: usize| connect(format!(r#"{{"token":"{}"}}"#, "t".repeat(bytes)));
    assert!(token(TOKEN_BYTES_MAX).is_ok());
    assert_eq!(token(TOKEN_BYTES_MAX + 1), Err(codes::INVALID_TOKEN));
    let members = |name: &str, count: usize, value: &str| {
        let members: Vec<_> = (0..count)
            .map(|number| format!("\"{number}\":{value}"))
            .collect();
        connect(format!("{{\"{name}\":{{{}}}}}", members.join(",")))
    };
    assert!(members("headers", HEADERS_MAX, "\"v\"").is_ok());
    assert_eq!(
        members("headers", HEADERS_MAX + 1, "\"v\""),
        Err(codes::BAD_REQUEST)
    );
    assert!(members("subs", SUBSCRIPTIONS_MAX, "{}").is_ok());
    assert_eq!(
        members("subs", SUBSCRIPTIONS_MAX + 1, "{}"),
        Err(codes::BAD_REQUEST)
    );
    let long = "é".repeat(NAME_BYTES_MAX);
    let named = connect(format!(r#"{{"name":"{long}"}}"#)).unwrap().name;
    assert_eq!(named, long[..NAME_BYTES_MAX]);
    let odd = connect(format!(r#"{{"name":"a{long}"}}"#)).unwrap().name;
    assert_eq!(odd.len(), NAME_BYTES_MAX - 1);
}

#[test]
fn depth_and_number_of_commands_have_their_bounds() {
    let deep = |levels: usize| {
        let data = "[".repeat(levels) + &"]".repeat(levels);
        format!(r#"{{"id":1,"rpc":{{"data":{data}}}}}"#)
    };
    assert!(matches!(
        action(&deep(crate::JSON_DEPTH_MAX - 2)),
        Action::Call(..)
    ));
    assert_eq!(
        closes(&deep(crate::JSON_DEPTH_MAX - 1)),
        Some(codes::BAD_REQUEST)
    );
    assert_eq!(closes(&deep(1_000_000)), Some(codes::BAD_REQUEST));

    let commands = |count: u32| {
        let frame = "{\"id\":1,\"rpc\":{}}\n".repeat(count as usize);
        let actions = actions(&mut connected(), &frame);
        let closed = matches!(actions.last(), Some(Action::Close(codes::BAD_REQUEST)));
        (actions.len(), closed)
    };
    assert_eq!(commands(COMMANDS_MAX), (COMMANDS_MAX as usize, false));
    assert_eq!(commands(COMMANDS_MAX + 1), (COMMANDS_MAX as usize, true));
}

#[test]
fn a_peer_is_served_once_it_is_connected() {
    for frame in [
        "{}",
        r#"{"id":1,"subscribe":{"channel":"c"}}"#,
        r#"{"send":{"data":1}}"#,
        r#"{"connect":{}}"#,
    ] {
        let actions = actions(&mut Session::centrifugo(), frame);
        assert!(
            matches!(&actions[..], [Action::Close(codes::BAD_REQUEST)]),
            "{frame}: {actions:?}"
        );
    }
    // Behind the wish to connect, it is served once that is answered.
    let mut session = Session::centrifugo();
    let frame = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"rpc\":{}}";
    assert_eq!(actions(&mut session, frame).len(), 1);
    assert!(!session.is_ready() && !session.is_connected());
    session.connected(&WELCOME).unwrap();
    assert!(!session.is_ready() && session.is_connected());
    assert!(matches!(session.next_action(), Some(Action::Call(..))));
    assert!(session.is_ready() && session.next_action().is_none());
}

#[test]
fn a_refused_client_hears_a_code_that_it_understands() {
    let refused = |refusal: &Refusal| {
        let mut session = Session::centrifugo();
        assert_eq!(session.refused(refusal), None);
        let frame = "{\"id\":1,\"connect\":{\"token\":\"t\"}}\n{\"id\":2,\"rpc\":{}}";
        actions(&mut session, frame);
        let rejection = session.refused(refusal).unwrap();
        assert!(session.next_action().is_none());
        let later = actions(&mut session, r#"{"id":3,"rpc":{}}"#);
        assert!(matches!(&later[..], [Action::Close(codes::BAD_REQUEST)]));
        rejection
    };
    let closed = |close| Rejection {
        frame: None,
        close: Some(close),
    };
    assert_eq!(
        refused(&Refusal::Unauthorized),
        closed(codes::INVALID_TOKEN)
    );
    assert_eq!(refused(&Refusal::Denied), closed(codes::PERMISSION_DENIED));
    assert_eq!(
        refused(&Refusal::LimitExceeded),
        closed(codes::CONNECTION_LIMIT)
    );
    let expired = r#"{"id":1,"error":{"code":109,"message":"token expired"}}"#;
    let told = |text: &'static str| Rejection {
        frame: Some(ByteString::from_static(text)),
        close: None,
    };
    assert_eq!(refused(&Refusal::TokenExpired), told(expired));
    let busy = r#"{"id":1,"error":{"code":111,"message":"too many requests","temporary":true}}"#;
    assert_eq!(refused(&Refusal::TooManyRequests), told(busy));
}

#[test]
fn a_pushflo_client_is_welcomed_and_subscribes() {
    let mut session = Session::pushflo("pub_1".into());
    assert_eq!(session.receive(bytes("{}")), Err(Busy));
    assert!(matches!(
        session.next_action(),
        Some(Action::Connect(connect)) if connect.token == "pub_1"
    ));
    assert!(session.next_action().is_none());
    let first = session.connected(&WELCOME).unwrap();
    let expected = r#"{"type":"connected","clientId":"c1","timestamp":1700000000000}"#;
    assert_eq!(first, expected);
    assert_eq!(session.ping(), None);

    let mut one = |frame: &str| {
        let mut actions = actions(&mut session, frame);
        assert!(actions.len() <= 1);
        actions.pop()
    };
    match one(r#"{"type":"subscribe","channel":"test-channel"}"#) {
        Some(Action::Subscribe(reply, subscribe)) => {
            assert_eq!(subscribe.channel, "test-channel");
            let subscribed = reply.subscribed(&crate::Subscribed::default());
            assert_eq!(
                subscribed,
                r#"{"type":"subscribed","channel":"test-channel"}"#
            );
            let refused = reply.refused(&Refusal::Denied);
            let expected = r#"{"type":"error","error":"permission denied","code":"FORBIDDEN","channel":"test-channel"}"#;
            assert_eq!(refused, expected);
            assert!(reply.published().contains("VALIDATION_ERROR"));
        }
        other => panic!("{other:?}"),
    }
    match one(r#"{"type":"unsubscribe","channel":"test-channel"}"#) {
        Some(Action::Unsubscribe(reply, _)) => assert_eq!(
            reply.unsubscribed(),
            r#"{"type":"unsubscribed","channel":"test-channel"}"#
        ),
        other => panic!("{other:?}"),
    }
    let pong = one(r#"{"type":"ping"}"#);
    assert!(matches!(pong, Some(Action::Send(pong)) if pong == r#"{"type":"pong"}"#));
    assert!(one(r#"{"type":"ack","messageId":"m"}"#).is_none());
    let long = "c".repeat(CHANNEL_BYTES_MAX + 1);
    for bad in [
        "",
        "x",
        "[]",
        "{}",
        r#"{"type":"subscribe"}"#,
        r#"{"type":"publish","channel":"c"}"#,
        &format!(r#"{{"type":"subscribe","channel":"{long}"}}"#),
    ] {
        let error = r#"{"type":"error","error":"bad request","code":"VALIDATION_ERROR"}"#;
        assert!(
            matches!(one(bad), Some(Action::Send(sent)) if sent == error),
            "{bad}"
        );
    }
    let last = format!(r#"{{"type":"subscribe","channel":"{}"}}"#, &long[1..]);
    assert!(matches!(one(&last), Some(Action::Subscribe(..))));
}

#[test]
fn a_pushflo_client_with_a_bad_key_hears_it() {
    let mut session = Session::pushflo("pub_bad".into());
    session.next_action();
    let rejection = session.refused(&Refusal::Unauthorized).unwrap();
    let error = r#"{"type":"error","error":"unauthorized","code":"UNAUTHORIZED"}"#;
    assert_eq!(rejection.frame.unwrap(), error);
    assert_eq!(rejection.close.unwrap().code, 1008);
    let later = actions(&mut session, r#"{"type":"ping"}"#);
    assert!(matches!(&later[..], [Action::Close(close)] if close.code == 1008));
}

proptest! {
    /// However commands are spread over frames, they are the same actions.
    #[test]
    fn frames_may_be_split_between_commands(
        commands in proptest::collection::vec((1_u32.., "[a-z]{1,8}", any::<bool>()), 1..12),
        cuts in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let lines: Vec<_> = commands
            .iter()
            .map(|(id, channel, publish)| {
                if *publish {
                    format!(r#"{{"id":{id},"publish":{{"channel":"{channel}","data":{{"n":{id}}}}}}}"#)
                } else {
                    format!(r#"{{"id":{id},"presence":{{"channel":"{channel}"}}}}"#)
                }
            })
            .collect();
        let whole = actions(&mut connected(), &lines.join("\n"));
        let mut session = connected();
        let mut split = Vec::new();
        let mut frame: Vec<&str> = Vec::new();
        for (line, cut) in lines.iter().zip(cuts) {
            frame.push(line);
            if cut {
                split.extend(actions(&mut session, &frame.join("\n")));
                frame.clear();
            }
        }
        if !frame.is_empty() {
            split.extend(actions(&mut session, &frame.join("\n")));
        }
        prop_assert_eq!(format!("{whole:?}"), format!("{split:?}"));
        prop_assert_eq!(whole.len(), commands.len());
    }

    /// Texts of any letters arrive as they were sent, with escapes or without.
    #[test]
    fn texts_arrive_as_they_were_sent(channel in ".{1,40}", data in ".{0,40}") {
        let request = serde_json::json!({"id": 1, "publish": {"channel": channel, "data": data}});
        match action(&request.to_string()) {
            Action::Publish(_, publish) => {
                prop_assert_eq!(&*publish.channel, &*channel);
                let read: String = serde_json::from_slice(&publish.data).unwrap();
                prop_assert_eq!(read, data);
            }
            other => panic!("{other:?}"),
        }
    }
}
