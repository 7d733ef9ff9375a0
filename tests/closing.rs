//! The end of a connection when both sides or the host act at the same time:
//! half-closed streams, handlers at work, crossing closes, a drain. `protocol`
//! has the cases in which one side acts alone.

use std::time::Duration;

use openline_core::close::{CloseInfo, CloseReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Client, Host, Raw, close_frame, eventually, frame, within};

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// Longer than any test waits: anything that ends does so for another reason.
const NEVER: Duration = Duration::from_secs(600);

/// A host whose function closes connections on request, and tells watchers how
/// others ended. It waits for its peers forever.
async fn closing() -> Host {
    Host::with(openline_guests::FAULT_CLOSE, "/close")
        .server(|server| server.close_timeout = NEVER)
        .start()
        .await
}

/// The same with handlers that take as long as the message says.
async fn sleeping() -> Host {
    Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .limit(|limit| limit.handler_timeout = NEVER)
        .server(|server| server.close_timeout = NEVER)
        .start()
        .await
}

/// Everything that still comes; the stream must end in good order.
async fn rest(peer: &mut Raw) -> Vec<u8> {
    let mut rest = Vec::new();
    within("the end of the stream", peer.socket.read_to_end(&mut rest))
        .await
        .unwrap();
    rest
}

/// Keeps a handler at work for this long, and returns when it has begun.
async fn at_work(peer: &mut Raw, milliseconds: &str) {
    let both = [frame(TEXT, milliseconds.as_bytes()), frame(PING, b"")];
    peer.send(&both.concat()).await;
    assert_eq!(peer.read_frame().await, (PONG, Vec::new()));
}

#[tokio::test]
async fn a_half_closed_stream_ends_and_leaves_nothing() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    for sent in [
        Vec::new(),
        frame(TEXT, b"hello"),
        frame(TEXT, b"hello")[..4].to_vec(),
        frame(PING, b"hello"),
    ] {
        let mut peer = Raw::upgraded(host.address, "/close").await;
        peer.send(&sent).await;
        peer.socket.shutdown().await.unwrap();
        // A peer that ends its stream counts as gone; before the end there may
        // be an answer or nothing.
        let rest = rest(&mut peer).await;
        assert!([0, 7].contains(&rest.len()), "{rest:?}");
        assert_eq!(watcher.next_text().await, "closed 1006 Lost ");
    }
    assert_eq!(watcher.ask("nothing more").await, "nothing more");
    drop(watcher);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_stream_that_is_half_closed_behind_a_close_frame_is_answered() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let mut peer = Raw::upgraded(host.address, "/close").await;
    peer.send(&close_frame(4000, b"bye")).await;
    peer.socket.shutdown().await.unwrap();
    assert_eq!(peer.read_close().await, (4000, "bye".into()));
    assert!(peer.is_ended().await);
    assert_eq!(watcher.next_text().await, "closed 4000 Peer bye");
}

#[tokio::test]
async fn a_peer_that_half_closes_instead_of_answering_a_close_is_not_waited_for() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let mut peer = Raw::upgraded(host.address, "/close").await;
    peer.send(&frame(TEXT, b"4001 bye")).await;
    assert_eq!(peer.read_close().await, (4001, "bye".into()));
    peer.socket.shutdown().await.unwrap();
    assert!(peer.is_ended().await);
    assert_eq!(watcher.next_text().await, "closed 4001 Function bye");
    drop((peer, watcher));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_handler_at_work_finishes_before_it_is_told_of_the_peers_close() {
    let host = sleeping().await;
    let mut watcher = host.connect("/sleep?watch").await;
    // With a close frame, and without one.
    for (polite, told) in [(true, "closed 1000 Peer"), (false, "closed 1006 Lost")] {
        let mut peer = Raw::upgraded(host.address, "/sleep").await;
        at_work(&mut peer, "700").await;
        if polite {
            peer.send(&close_frame(1000, b"")).await;
            // The peer does not wait for the handler.
            assert_eq!(peer.read_close().await.0, 1000);
            assert!(peer.is_ended().await);
        } else {
            peer.socket.shutdown().await.unwrap();
            assert_eq!(rest(&mut peer).await, [0; 0]);
        }
        assert_eq!(watcher.next_text().await, "slept 700");
        assert_eq!(watcher.next_text().await, told);
        assert_eq!(watcher.ask("once").await, "once");
    }
    drop(watcher);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn what_waits_behind_a_handler_at_work_is_handled_before_the_peers_close() {
    let host = sleeping().await;
    let mut watcher = host.connect("/sleep?watch").await;
    let mut peer = Raw::upgraded(host.address, "/sleep").await;
    at_work(&mut peer, "500").await;
    let all = [
        frame(TEXT, b"10"),
        frame(TEXT, b"20"),
        close_frame(1000, b""),
    ];
    peer.send(&all.concat()).await;
    assert_eq!(peer.read_close().await.0, 1000);
    for told in ["slept 500", "slept 10", "slept 20", "closed 1000 Peer"] {
        assert_eq!(watcher.next_text().await, told);
    }
}

#[tokio::test]
async fn when_the_function_closes_what_the_peer_still_sends_is_not_answered() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let mut peer = Raw::upgraded(host.address, "/close").await;
    // In one batch, after it, and after the close frame.
    let mut bytes = frame(TEXT, b"4001 bye");
    bytes.extend(frame(TEXT, b"late").repeat(1000));
    bytes.extend(frame(PING, b"late"));
    peer.send(&bytes).await;
    assert_eq!(peer.read_close().await, (4001, "bye".into()));
    let later = [
        frame(TEXT, b"later"),
        frame(PING, b"later"),
        close_frame(4001, b"bye"),
        close_frame(4002, b"again"),
        frame(TEXT, b"last"),
    ];
    peer.send(&later.concat()).await;
    let rest = rest(&mut peer).await;
    assert!(rest.is_empty(), "behind the close frame came {rest:?}");
    assert_eq!(watcher.next_text().await, "closed 4001 Function bye");
    assert_eq!(watcher.ask("once").await, "once");
    drop((peer, watcher));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn closes_that_cross_end_the_connection_once_and_in_good_order() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let hub = host.function("fault-close").hub().clone();
    let watching = hub.snapshot()[0].id();
    let (mut by_host, mut by_peer) = (0, 0);
    for round in 0..100 {
        let mut peer = Raw::upgraded(host.address, "/close").await;
        let connections = hub.snapshot();
        let ours = connections.iter().find(|each| each.id() != watching);
        let ours = ours.unwrap();
        let closing = CloseReason::Function(CloseInfo {
            code: 4001,
            reason: "ours".into(),
        });
        // The host decides before the peer's frame arrives, or after it: each
        // round lets it get a little further.
        let theirs = close_frame(4002, b"theirs");
        if round % 2 == 0 {
            ours.end(closing);
            ours.wake();
            for _ in 0..round % 8 {
                tokio::task::yield_now().await;
            }
            peer.send(&theirs).await;
        } else {
            peer.send(&theirs).await;
            for _ in 0..round % 8 {
                tokio::task::yield_now().await;
            }
            ours.end(closing);
            ours.wake();
        }
        let seen = peer.read_close().await;
        let rest = rest(&mut peer).await;
        assert!(rest.is_empty(), "behind the close frame came {rest:?}");
        // Both sides have the same reason.
        let told = watcher.next_text().await;
        match seen.0 {
            4001 => {
                by_host += 1;
                assert_eq!(seen.1, "ours");
                assert_eq!(told, "closed 4001 Function ours");
            }
            _ => {
                by_peer += 1;
                assert_eq!(seen, (4002, "theirs".into()));
                assert_eq!(told, "closed 4002 Peer theirs");
            }
        }
        eventually("it to be gone", || hub.connections() == 1).await;
    }
    assert!(by_host > 0 && by_peer > 0, "{by_host} {by_peer}");
    assert_eq!(watcher.ask("once each").await, "once each");
    drop(watcher);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_close_of_the_peer_during_a_drain_ends_in_good_order() {
    let host = sleeping().await;
    let mut peer = Raw::upgraded(host.address, "/sleep").await;
    at_work(&mut peer, "500").await;
    let leaving = async {
        // The host runs between the beginning of the drain and this.
        tokio::task::yield_now().await;
        peer.send(&close_frame(1000, b"bye")).await;
        // The host no longer reads, or has read it; both are correct.
        let mut code = None;
        while code.is_none() {
            match peer.read_frame().await {
                (0x88, payload) => code = Some(u16::from_be_bytes([payload[0], payload[1]])),
                other => assert_eq!(other, (TEXT, b"500".into())),
            }
        }
        assert!([Some(1000), Some(1001)].contains(&code), "{code:?}");
        assert_eq!(rest(&mut peer).await, [0; 0]);
        drop(peer);
    };
    let (left, ()) = tokio::join!(host.drain(), leaving);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_function_that_closes_during_a_drain_has_its_way() {
    let host = closing().await;
    let mut peer = Raw::upgraded(host.address, "/close").await;
    // It is read by the time the drain begins.
    let both = [frame(TEXT, b"4001 mine"), frame(PING, b"")];
    peer.send(&both.concat()).await;
    let closing = async {
        while peer.read_frame().await.0 != 0x88 {}
        peer.send(&close_frame(4001, b"")).await;
        assert_eq!(rest(&mut peer).await, [0; 0]);
        drop(peer);
    };
    let (left, ()) = tokio::join!(host.drain(), closing);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_host_that_ends_a_connection_waits_for_its_peer_as_long_as_it_may() {
    let time = Duration::from_millis(400);
    let host = Host::with(openline_guests::FAULT_CLOSE, "/close")
        .server(|server| server.close_timeout = time)
        .start()
        .await;
    let start = tokio::time::Instant::now();
    let mut silent = Raw::upgraded(host.address, "/close").await;
    silent.send(&frame(TEXT, b"4001 bye")).await;
    assert_eq!(silent.read_close().await, (4001, "bye".into()));
    silent.is_ended().await;
    assert!(start.elapsed() >= time);
    drop(silent);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn codes_that_the_registry_has_added_are_answered() {
    let host = closing().await;
    // 1012 to 1014 are registered, 1015 is reserved and 1016 not assigned.
    for (code, answer) in [
        (1003, 1003),
        (1011, 1011),
        (1012, 1012),
        (1013, 1013),
        (1014, 1014),
        (1015, 1002),
        (1016, 1002),
    ] {
        let mut peer = Raw::upgraded(host.address, "/close").await;
        peer.send(&close_frame(code, b"why")).await;
        assert_eq!(peer.read_close().await.0, answer, "{code}");
        assert_eq!(rest(&mut peer).await, [0; 0]);
    }
}

#[tokio::test]
async fn a_connection_that_ends_while_it_opens_is_told_of_in_order() {
    // The peer's close comes with its handshake: the function still gets `open`
    // first.
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    for _ in 0..20 {
        let mut peer = Raw::connect(host.address).await;
        let request = crate::harness::HANDSHAKE.replace("{path}", "/close");
        let all = [
            request.into_bytes(),
            frame(TEXT, b"hello"),
            close_frame(1000, b"bye"),
        ];
        peer.send(&all.concat()).await;
        assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(peer.read_close().await, (1000, "bye".into()));
        assert_eq!(rest(&mut peer).await, [0; 0]);
        assert_eq!(watcher.next_text().await, "closed 1000 Peer bye");
    }
    let mut client: Client = host.connect("/close").await;
    assert_eq!(client.ask("still here").await, "still here");
    drop((client, watcher));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn what_came_before_a_bad_close_frame_is_answered_by_a_function_that_waits() {
    let host = sleeping().await;
    let bad: [(&[u8], u16); 3] = [(&[3], 1002), (&[3, 232, 0xff], 1007), (&[255, 255], 1002)];
    for (payload, code) in bad {
        let mut peer = Raw::upgraded(host.address, "/sleep").await;
        // One write: the first call has not returned when the rest is read.
        let frames = [
            frame(TEXT, b"200"),
            frame(TEXT, b"1"),
            frame(PING, b"p"),
            frame(0x88, payload),
        ];
        peer.send(&frames.concat()).await;
        assert_eq!(peer.read_frame().await, (PONG, b"p".to_vec()));
        assert_eq!(peer.read_frame().await, (TEXT, b"200".to_vec()));
        assert_eq!(peer.read_frame().await, (TEXT, b"1".to_vec()));
        assert_eq!(peer.read_close().await.0, code, "{payload:?}");
        peer.send(&close_frame(code, b"")).await;
        assert!(peer.is_ended().await, "the stream was reset");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_bad_close_frame_of_a_peer_that_does_not_read_is_what_the_function_is_told() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let mut peer = Raw::narrow(host.address, "/close").await;
    // Their echoes are more than the kernels hold.
    let large = frame(TEXT, &[b'x'; 60_000]);
    peer.send(&[large.repeat(100), close_frame(1005, b"")].concat())
        .await;
    let address = peer.socket.local_addr().unwrap();
    eventually("the host to read all and be stuck with the answers", || {
        let host = queues(host.address.port(), address.port());
        let peer = queues(address.port(), host_port(&peer));
        matches!((host, peer), ((1.., 0), (0, _)))
    })
    .await;
    let answers = rest(&mut peer).await;
    assert!(answers.len() > 60_000, "{}", answers.len());
    assert_eq!(watcher.next_text().await, "closed 1002 Host protocol error");
}

#[cfg(target_os = "linux")]
fn host_port(peer: &Raw) -> u16 {
    peer.socket.peer_addr().unwrap().port()
}

/// The bytes that a socket of this machine has to send, and to be read.
#[cfg(target_os = "linux")]
fn queues(local: u16, remote: u16) -> (u64, u64) {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ports = [local, remote].map(|port| format!(":{port:04X}"));
    let line = sockets.lines().find(|line| {
        let mut words = line.split_whitespace().skip(1);
        ports
            .iter()
            .all(|port| words.next().is_some_and(|it| it.ends_with(port)))
    });
    let queues = line.and_then(|line| line.split_whitespace().nth(4));
    let (to_send, to_read) = queues.unwrap().split_once(':').unwrap();
    let bytes = |text| u64::from_str_radix(text, 16).unwrap();
    (bytes(to_send), bytes(to_read))
}
