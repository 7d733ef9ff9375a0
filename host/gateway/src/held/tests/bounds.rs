//! What bounds held answers: limits, times, peers that do not read, the end.

use std::time::Duration;

use openline_core::config::ServerConfig;
use openline_core::event::SendOutcome;
use openline_core::limits::{FunctionLimits, OutboxOverflow};
use openline_core::message::Message;
use openline_core::name::AlarmName;
use tokio::io::AsyncWriteExt;

use super::host::{Host, within};
use super::peer::Peers;

#[tokio::test]
async fn what_is_not_valid_is_refused_and_leaves_nothing() {
    let limit = |limits: &mut FunctionLimits| limits.tags = 1;
    let host = Host::with(openline_guests::CHAT, limit, |_| {}).await;
    let hold = "x-openline-hold: event-stream";
    for bad in [
        vec!["x-openline-hold: other"],
        vec![hold, r#"x-openline-hold-tags: ["a", "b"]"#],
        vec![hold, "x-openline-hold-tags: a"],
        vec![hold, "x-openline-other: 1"],
        vec![hold, "x-status: 404"],
        vec![hold, "x-status: 204"],
        vec![hold, "x-first-bytes: 65537"],
        vec!["x-openline-hold: poll", "x-first: a"],
    ] {
        let mut peer = Peers::ask(&host, "GET /chat/a HTTP/1.1", &bad).await;
        peer.until("HTTP/1.1 502 Bad Gateway").await;
        assert!(
            peer.head().contains("openline-error-type: bad_answer"),
            "{bad:?}"
        );
        assert_eq!(host.hub().connections(), 0);
    }
    let mut peer = Peers::ask(
        &host,
        "GET /chat/a HTTP/1.1",
        &["x-openline-hold: stream", "x-first-bytes: 65536"],
    )
    .await;
    peer.until(&"x".repeat(65536)).await;
    drop(peer);
    host.is_empty().await;
    // There is nothing to hold where the peer wants no body.
    let mut peer = Peers::ask(&host, "HEAD /chat/a HTTP/1.1", &[hold]).await;
    peer.until("405").await;
}

#[tokio::test]
async fn an_outbox_at_its_bytes_and_past_them() {
    let limit = |limits: &mut FunctionLimits| {
        limits.outbox_bytes = 64 * 1024;
        limits.outbox_overflow = OutboxOverflow::Close;
    };
    let host = Host::with(openline_guests::CHAT, limit, |_| {}).await;
    let hold = ["x-openline-hold: event-stream"];
    let _peer = Peers::narrow(&host, "GET /chat/a HTTP/1.1", &hold).await;
    host.held(1).await;
    let connection = host.connection();
    let much = Message::Text("x".repeat(30 * 1024).into());
    let filled = async {
        while connection.is_open() {
            connection.push(much.clone());
            connection.wake();
            tokio::task::yield_now().await;
        }
    };
    within("the outbox to be full", filled).await;
    // The peer reads nothing, and so holds nothing up.
    host.ended("outbox_bytes", 1).await;
    host.is_empty().await;
}

#[tokio::test]
async fn a_message_at_its_size_and_past_it_whatever_its_event_adds() {
    let limit = |limits: &mut FunctionLimits| limits.message_bytes = 1024;
    let host = Host::with(openline_guests::CHAT, limit, |_| {}).await;
    let mut peer = Peers::events(&host, &[]).await;
    host.held(1).await;
    let connection = host.connection();
    let lines = |count| Message::Text("\n".repeat(count).into());
    assert_eq!(connection.push(lines(1025)), SendOutcome::Dropped);
    assert_eq!(connection.push(lines(1024)), SendOutcome::Sent);
    connection.wake();
    peer.until(&"data: \n".repeat(1025)).await;
}

#[tokio::test]
async fn its_times_are_those_of_a_connection() {
    let limit = |limits: &mut FunctionLimits| {
        limits.ping_interval = Duration::from_millis(50);
        limits.connection_time = Duration::from_millis(600);
        limits.time_warning = Duration::from_millis(200);
        limits.time_warning_message = "soon".into();
    };
    let host = Host::with(openline_guests::CHAT, limit, |_| {}).await;
    let mut peer = Peers::events(&host, &[]).await;
    let (body, whole) = peer.end().await;
    assert!(
        body.matches(":\n\n").count() > 3 && body.contains("data: soon\n\n"),
        "{body}"
    );
    assert!(
        body.contains("\"code\":1001,\"reason\":\"connection_time is up") && whole,
        "{body}"
    );
    let wait = body
        .rsplit_once("retry: ")
        .unwrap()
        .1
        .lines()
        .next()
        .unwrap();
    assert!(
        (500..=5_500).contains(&wait.parse::<u32>().unwrap()),
        "{body}"
    );
    host.ended("connection_time", 1).await;
}

#[tokio::test]
async fn a_silent_stream_ends_when_it_is_idle() {
    let limit = |limits: &mut FunctionLimits| limits.idle_timeout = Duration::from_millis(300);
    let host = Host::with(openline_guests::CHAT, limit, |_| {}).await;
    let hold = ["x-openline-hold: stream", "x-first: a"];
    let mut peer = Peers::ask(&host, "GET /chat/a HTTP/1.1", &hold).await;
    assert_eq!(peer.end().await, ("a".into(), false));
    host.ended("idle_timeout", 1).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up() {
    let limit = |limits: &mut FunctionLimits| {
        limits.ping_interval = Duration::from_millis(100);
        limits.pong_timeout = Duration::from_millis(200);
        limits.outbox_bytes = 1 << 26;
        limits.message_bytes = 1 << 25;
    };
    let host = Host::with(openline_guests::CHAT, limit, |_| {}).await;
    let hold = ["x-openline-hold: event-stream"];
    let mut peer = Peers::narrow(&host, "GET /chat/a HTTP/1.1", &hold).await;
    peer.until("retry").await;
    host.held(1).await;
    let connection = host.connection();
    connection.push(Message::Text("x".repeat(1 << 25).into()));
    connection.wake();
    host.ended("pong_timeout", 1).await;
    host.is_empty().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up_without_pings_too() {
    let limit = |limits: &mut FunctionLimits| {
        limits.ping_interval = Duration::ZERO;
        limits.outbox_bytes = 1 << 26;
        limits.message_bytes = 1 << 25;
    };
    let server = |server: &mut ServerConfig| server.request_timeout = Duration::from_millis(150);
    let host = Host::with(openline_guests::CHAT, limit, server).await;
    let hold = ["x-openline-hold: stream", "x-first: a"];
    let mut peer = Peers::narrow(&host, "GET /chat/a HTTP/1.1", &hold).await;
    peer.until("a").await;
    host.held(1).await;
    // One that is quiet stays.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let connection = host.connection();
    connection.push(Message::Text("x".repeat(1 << 25).into()));
    connection.wake();
    host.ended("lost", 1).await;
    host.is_empty().await;
}

#[tokio::test]
async fn an_alarm_wakes_its_function() {
    for (component, kind) in [
        (openline_guests::FAULT_KEEPER, "event-stream"),
        (openline_guests::FAULT_KEEPER_ASYNC, "stream"),
    ] {
        let host = Host::with(component, |_| {}, |_| {}).await;
        let hold = format!("x-openline-hold: {kind}");
        let mut peer = Peers::ask(&host, "GET /chat/a HTTP/1.1", &[&hold]).await;
        host.held(1).await;
        let connection = host.connection();
        for name in ["first", "second"] {
            let name = AlarmName::new(name).unwrap();
            connection
                .set_alarm(name, Duration::from_millis(50))
                .unwrap();
        }
        connection.wake();
        peer.until("alarm first 1").await;
        peer.until("alarm second 1").await;
        // A function that fails ends it with its reason.
        let trap = AlarmName::new("trap").unwrap();
        connection.set_alarm(trap, Duration::ZERO).unwrap();
        connection.wake();
        let (body, whole) = peer.end().await;
        let is_events = kind == "event-stream";
        assert_eq!(
            (body.contains("function fault: trap"), whole),
            (is_events, is_events)
        );
        host.ended("trap", 1).await;
        host.is_empty().await;
    }
}

#[tokio::test]
async fn what_a_peer_sends_behind_its_request_is_discarded() {
    let host = Host::chat().await;
    let mut peer = Peers::events(&host, &[]).await;
    host.held(1).await;
    peer.send("GET /chat/a HTTP/1.1", &[]).await;
    peer.socket.write_all(&vec![b'x'; 32 * 1024]).await.unwrap();
    host.broadcast("still here");
    peer.until("data: still here\n\n").await;
    assert_eq!(host.hub().connections(), 1);
}

#[tokio::test]
async fn a_quiet_one_sleeps_and_its_messages_wake_it() {
    let host = Host::chat().await;
    let mut peer = Peers::events(&host, &[]).await;
    host.held(1).await;
    let connection = host.connection();
    let asleep = async {
        while !connection.is_asleep() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("sleep", asleep).await;
    host.broadcast("good morning");
    peer.until("good morning").await;
    assert!(!connection.is_asleep());
}

#[tokio::test]
async fn a_host_that_drains_holds_nothing_more() {
    let host = Host::chat().await;
    let mut peer = Peers::events(&host, &["x-first: a"]).await;
    host.held(1).await;
    host.gateway.services().begin_drain();
    host.connection().drain();
    host.connection().wake();
    let (body, whole) = peer.end().await;
    assert!(
        body.contains("\"code\":1001,\"reason\":\"host is shutting down") && whole,
        "{body}"
    );
    let mut late = Peers::events(&host, &["x-first: a"]).await;
    late.until("HTTP/1.1 503").await;
    host.is_empty().await;
}
