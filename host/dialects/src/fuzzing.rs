//! The code that reads bytes of strangers, and writes what they sent to others,
//! as functions of bytes for the fuzz targets. None may panic, hang, or exceed
//! its bounds, whatever the input.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::action::Action;
use crate::aws::{Authorization, SERVICE, SignedRequest, Target};
use crate::centrifugo::{Pushes, server};
use crate::dialect::Dialect;
use crate::limits::{BATCH_MAX, COMMANDS_MAX, ITEMS_MAX};
use crate::outcome::{PresenceStats, Recovery, Refusal, Subscribed, Welcome};
use crate::pushflo::rest as pushflo;
use crate::reply::Reply;
use crate::rest::{HistoryPage, ListQuery, PollQuery, Publications, Route, Stored};
use crate::session::{Session, connect_of_query, read_connect};
use crate::view::{DataView, MemberView, PositionView, PublicationView};
use crate::{grip, sse};

const WELCOME: Welcome<'_> = Welcome {
    connection: "c",
    version: "",
    node: "",
    session: "",
    ping_s: 25,
    pong: true,
    ttl_s: Some(1),
    data: None,
    subscriptions: &[],
    time_ms: 0,
};

/// A frame to a peer: one line of JSON. It is not read into numbers and texts:
/// `1e999` and half of a surrogate pair are JSON, and neither is one of Rust's.
fn check(frame: &str) -> &RawValue {
    assert!(!frame.contains(['\n', '\r']), "a frame of several lines");
    serde_json::from_str(frame).expect("a frame that is JSON")
}

/// A member of an object that this package has written.
fn member<'a>(object: &'a RawValue, name: &str) -> &'a RawValue {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(object.get()).expect("an object");
    members[name]
}

/// Runs a session over frames that are separated by NUL. The first byte chooses
/// the dialect and whether the peer is welcome.
pub fn session(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let mut session = if first & 1 == 0 {
        Session::centrifugo()
    } else {
        Session::pushflo("key".into())
    };
    let is_welcome = first & 2 == 0;
    for frame in rest.split(|byte| *byte == 0) {
        let mut actions = 0;
        while let Some(action) = session.next_action() {
            actions += 1;
            answer(&mut session, action, is_welcome);
        }
        assert!(actions <= COMMANDS_MAX + 1, "{actions} actions of a frame");
        if let Some(ping) = session.ping() {
            check(&ping);
        }
        let ready = session.is_ready();
        let received = session.receive(Bytes::copy_from_slice(frame));
        assert_eq!(received.is_ok(), ready);
    }
    while let Some(action) = session.next_action() {
        answer(&mut session, action, is_welcome);
    }
}

fn answer(session: &mut Session, action: Action, is_welcome: bool) {
    let sent = match &action {
        Action::Connect(_) if is_welcome => session.connected(&WELCOME),
        Action::Connect(_) => {
            let rejection = session.refused(&Refusal::Unauthorized);
            let rejection = rejection.expect("the session waits for an answer");
            assert!(rejection.frame.is_some() || rejection.close.is_some());
            rejection.frame
        }
        Action::Subscribe(reply, subscribe) => {
            let view = publication(&subscribe.channel, DataView::Text("a"));
            let outcome = Subscribed {
                recovery: Recovery::Recovered(&[view]),
                ..Subscribed::default()
            };
            Some(reply.subscribed(&outcome))
        }
        Action::Unsubscribe(reply, _) => Some(reply.unsubscribed()),
        Action::Publish(reply, publish) => {
            let data = std::str::from_utf8(&publish.data).expect("JSON is text");
            let view = publication(&publish.channel, DataView::Json(data));
            let frame = session.dialect().publication(&view);
            let pushed = member(member(member(check(&frame), "push"), "pub"), "data");
            assert_eq!(pushed.get(), data.replace(['\n', '\r'], ""));
            Some(reply.published())
        }
        Action::Presence(reply, _) => Some(reply.presence([MEMBER])),
        Action::PresenceStats(reply, _) => Some(reply.presence_stats(PresenceStats {
            connections: 1,
            users: 1,
        })),
        Action::History(reply, query) => {
            let view = publication(&query.channel, DataView::Binary(b"a"));
            let epoch = query.since.as_ref().map_or("", |since| &since.epoch);
            let end = PositionView { epoch, offset: 1 };
            Some(reply.history(end, [view]))
        }
        Action::Call(reply, call) => {
            let data = std::str::from_utf8(&call.data).expect("JSON is text");
            Some(reply.returned(DataView::of_text(data)))
        }
        Action::Message(data) => {
            assert!(data.is_empty() || serde_json::from_slice::<&RawValue>(data).is_ok());
            None
        }
        Action::Refresh(reply, _) => Some(reply.refreshed("c", Some(1))),
        Action::RefreshSubscription(reply, _) => Some(reply.subscription_refreshed(None)),
        Action::Send(frame) => Some(frame.clone()),
        Action::Pong => None,
        Action::Close(close) => {
            assert!(close.code >= 1_000 && close.reason.len() <= 123);
            assert!(session.next_action().is_none(), "an action after the close");
            None
        }
    };
    if let Some(sent) = sent {
        check(&sent);
    }
    if let Some(reply) = reply_of(&action) {
        check(&reply.refused(&Refusal::Denied));
    }
}

fn reply_of(action: &Action) -> Option<&Reply> {
    match action {
        Action::Subscribe(reply, _)
        | Action::Unsubscribe(reply, _)
        | Action::Publish(reply, _)
        | Action::History(reply, _)
        | Action::Call(reply, _) => Some(reply),
        _ => None,
    }
}

const MEMBER: MemberView<'_> = MemberView {
    connection: "c",
    user: "u",
    connection_info: None,
    channel_info: None,
};

fn publication<'a>(channel: &'a str, data: DataView<'a>) -> PublicationView<'a> {
    PublicationView {
        channel,
        offset: 1,
        id: "m",
        event: None,
        data,
        tags: None,
        sender: Some(MEMBER),
        time_ms: 1,
    }
}

/// Reads a request in all protocols that have requests: a first line with path
/// and query, which is also a header, and a body.
pub fn request(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, body) = bytes.split_at(end.unwrap_or(bytes.len()));
    let body = Bytes::copy_from_slice(body.strip_prefix(b"\n").unwrap_or(body));
    let line = String::from_utf8_lossy(line);
    let (path, query) = line.split_once('?').unwrap_or((&line, ""));

    if let Ok(items) = grip::read(&body) {
        assert!(items.len() <= ITEMS_MAX);
    }
    let _ = grip::Accepted::of(Some(&line));

    match Publications::read(&body) {
        Ok(read) => {
            let channels: usize = read.list.iter().map(|one| one.channels.len()).sum();
            assert!(channels <= BATCH_MAX);
        }
        Err(error) => {
            check(&error.answer().body);
        }
    }
    let _ = Route::of_path(path);
    let _ = ListQuery::of_query(query);
    let _ = HistoryPage::of_query(query);
    let _ = PollQuery::of_query(query);

    let _ = pushflo::Resource::of_path(path);
    let _ = pushflo::HistoryQuery::of_query(query);
    let _ = pushflo::Publish::read(&body, None);
    let _ = pushflo::ChannelChange::read(&body, true);
    let _ = crate::pushflo::key_of_query(query);

    let method = path.strip_prefix("/api/").unwrap_or("publish");
    if let Err(error) = server::Request::read(method, &body) {
        let answer = error.answer();
        if !answer.body.is_empty() {
            check(&answer.body);
        }
    }
    let _ = read_connect(&body);
    let _ = connect_of_query(query);
    let _ = sse::since(Some(line.as_bytes()), query);

    let _ = Target::of_path(path);
    if let Ok(authorization) = Authorization::read(&line) {
        let headers = [("host", "h"), ("x-amz-date", "20150830T123600Z")];
        let request = SignedRequest {
            method: "POST",
            path,
            query,
            headers: &headers,
            body: &body,
        };
        let verified = authorization.verify(&request, b"a secret", SERVICE, 1_440_938_160);
        assert!(verified.is_err(), "an unsigned request is good");
    }
}

/// Publishes bytes to subscribers of all dialects and to streams: as data, and
/// as the names around it.
pub fn publish(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let tags = &[(&*text, &*text)][..];
    for data in [
        DataView::of_text(&text),
        DataView::Text(&text),
        DataView::Binary(bytes),
    ] {
        let view = PublicationView {
            id: &text,
            event: Some(&text),
            tags: Some(&tags),
            ..publication(&text, data)
        };
        for dialect in Dialect::ALL {
            let frame = dialect.publication(&view);
            let frame = match dialect {
                Dialect::Pushflo => check(&frame),
                Dialect::Centrifugo => member(check(&frame), "push"),
            };
            let channel: String = serde_json::from_str(member(frame, "channel").get())
                .expect("a channel that is text");
            assert_eq!(channel, text);
            check(&dialect.message(data));
        }
        check(&Pushes::Bare.publication(&view));
        let stored = Stored {
            view,
            position: Some(&text),
            key: Some(&text),
            removed: true,
        };
        for form in [sse::Form::Data, sse::Form::Document] {
            let event = sse::publication(&stored, form);
            assert!(event.ends_with("\n\n") && !event.contains('\r'));
            assert_eq!(event.matches("\n\n").count(), 1, "several events of one");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_takes_what_it_is_for() {
        let connect = r#"{"id":1,"connect":{"token":"t"}}"#;
        let all = [
            r#"{"id":2,"subscribe":{"channel":"c","recover":true,"epoch":"e","offset":1}}"#,
            r#"{"id":3,"publish":{"channel":"c","data":{"a":[1,"b\n"]}}}"#,
            r#"{"id":4,"history":{"channel":"c","limit":-1,"since":{"epoch":"\""}}}"#,
            r#"{"id":5,"rpc":{"method":"m","data":1}}"#,
            r#"{"id":6,"presence":{"channel":"c"}}"#,
            r#"{"id":7,"presence_stats":{"channel":"c"}}"#,
            r#"{"id":8,"refresh":{"token":"t"}}"#,
            r#"{"id":9,"sub_refresh":{"channel":"c","token":"t"}}"#,
            r#"{"send":{"data":1}}"#,
            "{}",
        ];
        for first in ["\u{0}", "\u{2}"] {
            session(format!("{first}{connect}\u{0}{}", all.join("\n")).as_bytes());
        }
        session(b"\x01{\"type\":\"subscribe\",\"channel\":\"c\"}\0{\"type\":\"ping\"}\0x");
        session(b"\x03{\"type\":\"ping\"}");
        request(b"/v1/channels/c/history?limit=1&since=p\n{\"channel\":\"c\",\"data\":1}");
        request(b"/prod/@connections/abc\n{\"items\":[{\"channel\":\"c\",\"ws-message\":{\"content\":\"a\"}}]}");
        request(
            b"AWS4-HMAC-SHA256 Credential=K/20150830/r/execute-api/aws4_request, \
              SignedHeaders=host;x-amz-date, \
              Signature=0000000000000000000000000000000000000000000000000000000000000000\n{}",
        );
        // JSON that is no number or text of Rust.
        let odd = r#"{"id":3,"publish":{"channel":"c","data":[1e999,"\ud800"]}}"#;
        session(format!("\u{0}{connect}\u{0}{odd}").as_bytes());
        publish(br#"[1e999,"\ud800"]"#);
        publish(b"{\"a\":\n1}");
        publish(b"\xff\r\nid: 1\n\n");
        publish(b"");
    }

    proptest! {
        #[test]
        fn anything_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            session(&bytes);
            request(&bytes);
            publish(&bytes);
        }

        /// Closer to what is read than bytes by chance.
        #[test]
        fn json_of_any_shape_is_taken(
            first in 0..4_u8,
            names in proptest::collection::vec(
                prop::sample::select(vec![
                    "id", "connect", "subscribe", "publish", "history", "rpc", "send", "channel",
                    "data", "type", "items", "formats", "ws-message", "content", "tf", "nodes",
                    "publications", "channels", "since", "limit", "tags", "key",
                ]),
                1..6,
            ),
            leaf in prop::sample::select(vec!["1", "\"a\"", "null", "[]", "{}", "true", "-1.5e300"]),
        ) {
            let opened: String = names.iter().map(|name| format!("{{\"{name}\":")).collect();
            let json = format!("{opened}{leaf}{}", "}".repeat(names.len()));
            let mut bytes = vec![first];
            bytes.extend(br#"{"id":1,"connect":{}}"#);
            bytes.push(0);
            bytes.extend(json.as_bytes());
            session(&bytes);
            request(format!("/api/publish\n{json}").as_bytes());
            publish(json.as_bytes());
        }
    }
}
