//! Answers that functions hold, over both versions of HTTP: connections like those
//! of WebSockets, by real guests and through all of the host.

use std::sync::Arc;

use openline_channels::connection::Connection;
use openline_core::close::{CloseInfo, CloseReason};
use openline_core::kind::ConnectionKind;
use openline_core::message::Message;

use super::*;

/// A history for the channels of these tests.
const KEPT: &str = r#"
[[function.channel]]
pattern = "kept-*"
history = { count = 10 }
"#;

/// An answer with what has come of it.
struct Held {
    body: Incoming,
    got: String,
    /// hyper ends a TCP connection over HTTP/1 when this is dropped.
    _peer: Option<Peer>,
}

impl Held {
    async fn ask(host: &Host, path: &str, is_http2: bool) -> (Response<()>, Self) {
        let (answer, peer) = match is_http2 {
            true => {
                let uri = format!("http://{}{path}", host.address);
                let request = Request::builder().uri(uri).body(none()).unwrap();
                (over_http2(host, request).await.unwrap(), None)
            }
            false => {
                let mut peer = Peer::connect(host).await;
                (peer.get(path).await, Some(peer))
            }
        };
        let (head, body) = answer.into_parts();
        let held = Self {
            body,
            got: String::new(),
            _peer: peer,
        };
        (Response::from_parts(head, ()), held)
    }

    async fn until(&mut self, text: &str) {
        while !self.got.contains(text) {
            let piece = piece(&mut self.body).await;
            let piece = piece.unwrap_or_else(|| panic!("ended without {text}: {}", self.got));
            self.got.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The rest, and whether it is whole.
    async fn end(mut self) -> (String, bool) {
        loop {
            match within("a piece", self.body.frame()).await {
                None => return (self.got, true),
                Some(Err(_)) => return (self.got, false),
                Some(Ok(frame)) => {
                    let piece = frame.into_data().unwrap();
                    self.got.push_str(std::str::from_utf8(&piece).unwrap());
                }
            }
        }
    }
}

fn name(component: &str) -> &'static str {
    match component {
        PLAIN => "fault-web",
        _ => "fault-web-async",
    }
}

/// The only connection.
fn connection(host: &Host, component: &str) -> Arc<Connection> {
    let mut all = host.function(name(component)).hub().snapshot();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

async fn ended(host: &Host, label: &str, count: u64) {
    let so_often = || host.gateway.tally().ended().get(label).copied() == Some(count);
    eventually(label, so_often).await;
}

#[tokio::test]
async fn an_answer_becomes_a_connection_that_needs_no_instance() {
    for (component, is_http2) in [(PLAIN, false), (PLAIN, true), (ASYNC, false), (ASYNC, true)] {
        let host = host(component)
            .instance(|policy| policy.idle_timeout = Duration::ZERO)
            .channels(KEPT)
            .start()
            .await;
        let path = "/hold/events?tag=t&channel=kept-a&attachment=at&first=data:%20first";
        let (answer, mut held) = Held::ask(&host, path, is_http2).await;
        assert_eq!(answer.status(), 200);
        let headers = answer.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert!(
            !headers
                .keys()
                .any(|name| name.as_str().starts_with("openline-hold"))
        );
        held.until("data: first\n\nid: ").await;
        let function = host.function(name(component));
        eventually("no instance", || function.instances() == 0).await;
        eventually("no request", || host.gateway.requests() == 0).await;
        let connection = connection(&host, component);
        assert_eq!(connection.facts().kind, ConnectionKind::EventStream);
        assert_eq!(connection.attachment(), "at");
        // Another request of the function reaches it, by its id and by its channel.
        let mut peer = Peer::connect(&host).await;
        let sent = peer
            .text(&format!("/send/{}?text=to%20it", connection.id()))
            .await;
        assert_eq!(sent, (200, "Sent\n".into()));
        held.until("data: to it\n\n").await;
        assert_eq!(peer.text("/publish/kept-a?text=news").await.0, 200);
        held.until("-1\ndata: news\n\n").await;
        // The admin interface sees what it is.
        let view = host.deployer.connection(connection.id()).unwrap();
        assert_eq!((view.kind, view.instance), ("event-stream", None));
        assert_eq!(view.tags, ["t"]);
        connection.end(CloseReason::Operator(
            CloseInfo::checked(1000, "bye".into()).unwrap(),
        ));
        connection.wake();
        let (all, whole) = held.end().await;
        assert!(
            all.contains("event: openline-close\ndata: {\"code\":1000,\"reason\":\"bye\"") && whole,
            "{all}"
        );
        ended(&host, "operator", 1).await;
        drop(peer);
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_not_whole_does_not_look_so() {
    for is_http2 in [false, true] {
        let host = host(PLAIN).start().await;
        for (code, is_whole) in [(1000, true), (1011, false)] {
            let (_, mut held) = Held::ask(&host, "/hold/stream?first=a", is_http2).await;
            held.until("a").await;
            let connection = connection(&host, PLAIN);
            connection.push(Message::Text("b".into()));
            connection.end(CloseReason::Function(
                CloseInfo::checked(code, String::new()).unwrap(),
            ));
            connection.wake();
            let (all, whole) = held.end().await;
            assert_eq!((&*all, whole), ("ab", is_whole), "HTTP/2: {is_http2}");
            host.nothing_is_left().await;
        }
    }
}

#[tokio::test]
async fn a_poll_waits_for_a_message() {
    for (component, is_http2) in [(PLAIN, false), (ASYNC, true)] {
        let host = host(component).start().await;
        let asking = async {
            let (answer, held) =
                Held::ask(&host, "/hold/poll?timeout=600000&channel=c", is_http2).await;
            (answer.status().as_u16(), held.end().await.0)
        };
        let publishing = async {
            let function = host.function(name(component));
            eventually("a poll", || function.hub().connections() == 1).await;
            assert_eq!(host.gateway.requests(), 0, "it counts as a connection");
            let mut peer = Peer::connect(&host).await;
            assert_eq!(peer.text("/publish/c?text=news").await.0, 200);
        };
        let (answered, ()) = tokio::join!(asking, publishing);
        assert_eq!(answered, (200, "news".into()));
        let (answer, _) = Held::ask(&host, "/hold/poll?timeout=1", is_http2).await;
        assert_eq!(answer.status(), 204);
        ended(&host, "answered", 2).await;
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_peer_that_leaves_is_noticed_over_both_versions() {
    for (is_http2, path) in [
        (false, "/hold/events"),
        (true, "/hold/events"),
        (true, "/hold/stream?first=a"),
    ] {
        let host = host(ASYNC).start().await;
        let (_, mut held) = Held::ask(&host, path, is_http2).await;
        piece(&mut held.body).await.unwrap();
        drop(held);
        ended(&host, "lost", 1).await;
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn what_cannot_be_held_is_a_502_and_no_connection() {
    let host = host(PLAIN).limit(|limits| limits.tags = 1).start().await;
    for (path, status) in [
        ("/hold/events?tag=a&tag=b", 502),
        ("/hold/events?first-bytes=65537", 502),
        ("/hold/poll?first=a", 502),
        ("/hold/events?first-bytes=65536", 200),
    ] {
        let (answer, held) = Held::ask(&host, path, false).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        drop(held);
        host.nothing_is_left().await;
    }
    assert_eq!(refused(&host, "bad_answer"), 3);
}

#[tokio::test]
async fn connections_at_their_number_and_past_it() {
    let host = host(PLAIN)
        .limit(|limits| limits.connections = 2)
        .start()
        .await;
    let mut open = Vec::new();
    for is_http2 in [false, true] {
        let (answer, held) = Held::ask(&host, "/hold/events", is_http2).await;
        assert_eq!(answer.status(), 200);
        open.push(held);
    }
    let (answer, _) = Held::ask(&host, "/hold/events", false).await;
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["openline-error-type"].to_str().unwrap()
        ),
        (429, "connections")
    );
    drop(open);
    host.nothing_is_left().await;
    let (answer, _) = Held::ask(&host, "/hold/events", false).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn the_drain_of_the_host_ends_them_with_a_hint_to_come_back() {
    for is_http2 in [false, true] {
        let host = host(ASYNC).start().await;
        let (_, mut held) = Held::ask(&host, "/hold/events", is_http2).await;
        held.until("retry: 3000").await;
        let (left, (all, whole)) = tokio::join!(host.drain(), held.end());
        assert_eq!(left, 0);
        assert!(
            all.contains("\"code\":1001,\"reason\":\"host is shutting down: come back after "),
            "{all}"
        );
        assert!(whole && all.contains("\"reconnect\":\"yes\""), "{all}");
    }
}
