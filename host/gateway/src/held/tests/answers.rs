//! What the peers of held answers get, and what their functions are told.

use bytes::Bytes;
use openline_core::close::{CloseInfo, CloseReason};
use openline_core::kind::ConnectionKind;
use openline_core::message::Message;
use openline_core::name::Tag;

use super::host::Host;
use super::peer::Peers;

#[tokio::test]
async fn an_event_stream_is_a_connection_of_its_function() {
    let host = Host::chat().await;
    let mut ada = Peers::events(
        &host,
        &[
            "x-first: data: hello",
            "x-content-length: 11",
            "x-my-own: kept",
            r#"x-openline-hold-tags: ["ada"]"#,
            r#"x-openline-hold-channels: ["lobby"]"#,
            "x-openline-hold-attachment: YWRh",
        ],
    )
    .await;
    ada.until("hello\n\n").await;
    let head = ada.head();
    for line in [
        "HTTP/1.1 200 OK",
        "content-type: text/event-stream; charset=utf-8",
        "my-own: kept",
        "connection: close",
        "x-accel-buffering: no",
        "transfer-encoding: chunked",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(
        !head.contains("openline-hold") && !head.contains("content-length"),
        "{head}"
    );
    assert_eq!(ada.body().0, "retry: 3000\n\ndata: hello\n\n");
    host.held(1).await;
    let connection = host.connection();
    assert_eq!(connection.facts().kind, ConnectionKind::EventStream);
    assert_eq!(
        connection.facts().route_params,
        [("room".to_owned(), "lobby".to_owned())]
    );
    assert_eq!(host.alias.instances(), 0);
    let found = host.hub().by_tag(&Tag::new("ada").unwrap(), None, 10);
    assert_eq!(found.len(), 1);
    let before = ada.body().0.len();
    connection.push(Message::Text("two\r\nlines".into()));
    connection.push(Message::Binary(Bytes::from_static(&[0, 255])));
    connection.wake();
    host.broadcast("to all");
    host.publish("lobby", Message::Text("to the channel".into()));
    ada.until("to the channel\n\n").await;
    assert_eq!(
        &ada.body().0[before..],
        concat!(
            "data: two\ndata: lines\n\nevent: binary\ndata: AP8=\n\n",
            "data: to all\n\ndata: to the channel\n\n",
        )
    );
    // Its function is told of the end, on an instance that is made for it.
    let mut eve = Peers::events(&host, &[r#"x-openline-hold-channels: ["lobby"]"#]).await;
    host.held(2).await;
    let bye = CloseInfo::checked(4001, "bye".into()).unwrap();
    connection.end(CloseReason::Function(bye));
    connection.wake();
    let (body, whole) = ada.end().await;
    let last = "retry: 3000\n\nevent: openline-close\ndata: {\"code\":4001,\"reason\":\"bye\",\"reconnect\":\"as agreed\"}\n\n";
    assert!(body.ends_with(last) && whole, "{body}");
    eve.until("data: * ada left\n\n").await;
    drop((ada, eve));
    host.is_empty().await;
    assert_eq!(host.gateway.tally().opened(), 2);
    assert_eq!(host.gateway.tally().ended()["function"], 1);
    assert_eq!(host.gateway.tally().ended()["lost"], 1);
}

#[tokio::test]
async fn a_stream_has_the_bytes_of_messages_and_is_whole_if_its_function_says_so() {
    let host = Host::chat().await;
    for (code, whole) in [(1000, true), (1011, false)] {
        let hold = [
            "x-openline-hold: stream",
            "x-first: <",
            "x-content-type: text/xml",
        ];
        let mut peer = Peers::ask(&host, "GET /chat/a HTTP/1.1", &hold).await;
        peer.until("<").await;
        host.held(1).await;
        let connection = host.connection();
        connection.push(Message::Text("a\n".into()));
        connection.push(Message::Binary(Bytes::from_static(b"b>")));
        let _ = connection.ping(Bytes::new());
        connection.end(CloseReason::Function(
            CloseInfo::checked(code, String::new()).unwrap(),
        ));
        connection.wake();
        assert_eq!(peer.end().await, ("<a\nb>".into(), whole));
        assert!(peer.head().contains("content-type: text/xml"));
        assert!(peer.head().contains("cache-control: no-store"));
        host.is_empty().await;
    }
}

#[tokio::test]
async fn a_peer_of_the_first_version_of_http_gets_the_bytes_as_they_are() {
    let host = Host::chat().await;
    let hold = ["x-openline-hold: stream", "x-first: first"];
    let mut peer = Peers::ask(&host, "GET /chat/a HTTP/1.0", &hold).await;
    peer.until("first").await;
    host.held(1).await;
    host.broadcast("second");
    peer.until("second").await;
    let connection = host.connection();
    connection.end(CloseReason::Function(
        CloseInfo::checked(1000, String::new()).unwrap(),
    ));
    connection.wake();
    assert_eq!(peer.end().await.0, "firstsecond");
    assert!(!peer.head().contains("chunked"));
}

#[tokio::test]
async fn a_poll_is_answered_by_the_first_message_or_by_time() {
    let host = Host::chat().await;
    let poll = |time: &'static str| ["x-openline-hold: poll", time, "x-my-own: kept"];
    let mut peer = Peers::ask(
        &host,
        "GET /chat/a HTTP/1.1",
        &poll("x-openline-hold-timeout-ms: 600000"),
    )
    .await;
    host.held(1).await;
    assert_eq!(host.connection().facts().kind, ConnectionKind::Poll);
    host.broadcast("news");
    peer.until("news").await;
    assert!(peer.head().starts_with("HTTP/1.1 200 OK"));
    for line in [
        "content-type: text/plain; charset=utf-8",
        "content-length: 4",
        "my-own: kept",
    ] {
        assert!(peer.head().contains(line), "{}", peer.head());
    }
    // The TCP connection goes on.
    host.ended("answered", 1).await;
    peer.got.clear();
    peer.send(
        "GET /chat/a HTTP/1.1",
        &poll("x-openline-hold-timeout-ms: 10"),
    )
    .await;
    peer.until("HTTP/1.1 204 No Content").await;
    assert!(!peer.head().contains("content-type"));
    host.ended("answered", 2).await;
    // What ends it is no message.
    peer.got.clear();
    peer.send(
        "GET /chat/a HTTP/1.1",
        &poll("x-openline-hold-timeout-ms: 600000"),
    )
    .await;
    host.held(1).await;
    host.connection().drain();
    host.connection().wake();
    peer.until("HTTP/1.1 204 No Content").await;
    assert!(peer.head().contains("retry-after: "), "{}", peer.head());
    host.ended("shutting_down", 1).await;
    drop(peer);
    host.is_empty().await;
}

#[tokio::test]
async fn a_peer_that_leaves_is_noticed_at_once_and_its_function_is_told() {
    let host = Host::chat().await;
    let mut eve = Peers::events(&host, &[r#"x-openline-hold-channels: ["lobby"]"#]).await;
    for (kind, nick, base64) in [
        ("event-stream", "ada", "YWRh"),
        ("stream", "bob", "Ym9i"),
        ("poll", "cas", "Y2Fz"),
    ] {
        let (kind, nick64) = (
            format!("x-openline-hold: {kind}"),
            format!("x-openline-hold-attachment: {base64}"),
        );
        let peer = Peers::ask(&host, "GET /chat/lobby HTTP/1.1", &[&kind, &nick64]).await;
        host.held(2).await;
        drop(peer);
        eve.until(&format!("data: * {nick} left\n\n")).await;
        host.held(1).await;
    }
    drop(eve);
    host.is_empty().await;
    assert_eq!(host.gateway.tally().ended()["lost"], 4);
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_or_is_told_that_it_is_lost() {
    let host = Host::chat().await;
    host.keep();
    let both = r#"x-openline-hold-channels: ["kept-a", "other", "kept-b"]"#;
    let text = |text: &'static str| Message::Text(text.into());
    host.publish("kept-a", text("before"));
    let mut peer = Peers::events(&host, &[both]).await;
    peer.until("id: ").await;
    host.held(1).await;
    host.publish("kept-b", text("b1"));
    host.publish("kept-a", text("a1"));
    peer.until("data: a1\n\n").await;
    let (body, _) = peer.body();
    let id = body.lines().rfind(|line| line.starts_with("id: ")).unwrap();
    let id = id.strip_prefix("id: ").unwrap().to_owned();
    assert_eq!(id.split(',').count(), 2, "{body}");
    assert!(!body.contains("before"), "{body}");
    drop(peer);
    host.is_empty().await;
    host.publish("kept-a", text("a2"));
    host.publish("kept-b", text("b2"));
    let since = format!("last-event-id: {id}");
    let mut peer = Peers::events(&host, &[both, &since]).await;
    peer.until("data: b2\n\n").await;
    let (body, _) = peer.body();
    assert!(
        body.contains("data: a2\n\n") && !body.contains("data: a1") && !body.contains("lost"),
        "{body}"
    );
    let last = body
        .lines()
        .rfind(|line| line.starts_with("id: "))
        .unwrap()
        .to_owned();
    assert_eq!(last.split(',').count(), 2);
    drop(peer);
    // In the query, and of one channel, whose ids are its positions.
    let one = r#"x-openline-hold-channels: ["kept-b"]"#;
    let hold = ["x-openline-hold: event-stream", one];
    let path = format!("GET /chat/lobby?lastEventId={id} HTTP/1.1").replace(',', "%2C");
    let mut peer = Peers::ask(&host, &path, &hold).await;
    peer.until("data: b2\n\n").await;
    let (body, _) = peer.body();
    let last = body
        .lines()
        .rfind(|line| line.starts_with("id: "))
        .unwrap()
        .to_owned();
    assert!(!last.contains(',') && last.ends_with("-2"), "{body}");
    drop(peer);
    // A position that nobody knows, and one that the history no longer has.
    host.is_empty().await;
    for count in 0..12 {
        host.publish("kept-b", Message::Text(format!("more {count}").into()));
    }
    for lost in ["last-event-id: abc-5", &since] {
        let mut peer = Peers::events(&host, &[one, lost]).await;
        peer.until("event: openline-lost\n").await;
        let (body, _) = peer.body();
        assert!(
            body.contains("-14\nevent: openline-lost\ndata:\n\n"),
            "{body}"
        );
        drop(peer);
        host.is_empty().await;
    }
    // An id of the function's own says nothing to the host.
    let mut peer = Peers::events(&host, &[one, "last-event-id: 17"]).await;
    peer.until("id: ").await;
    assert!(!peer.body().0.contains("lost"));
}
