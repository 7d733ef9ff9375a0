//! Many connections on one host: peers that vanish, that never read, that are
//! too many, and the end of the host itself.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use openline_core::event::SendOutcome;
use openline_core::message::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::harness::{Client, Closed, Host, Raw, eventually, frame, within};

const TEXT: u8 = 0x81;

async fn echo() -> Host {
    Host::with(openline_guests::ECHO, "/echo").start().await
}

/// A host whose function tells watchers how other connections ended.
async fn closing() -> Host {
    Host::with(openline_guests::FAULT_CLOSE, "/close")
        .start()
        .await
}

/// A connection whose kernel buffers are small.
async fn small(host: &Host, path: &str) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let socket = socket.connect(host.address).await.unwrap();
    let mut raw = Raw { socket };
    raw.upgrade(path).await;
    raw
}

#[tokio::test]
async fn the_function_is_told_once_of_a_peer_that_vanishes() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let half_a_frame = &frame(TEXT, b"4001 never")[..8];
    let half_a_message = &frame(0x01, b"4001 never");
    for sent in [b"".as_slice(), half_a_frame, half_a_message] {
        for reset in [false, true] {
            let mut peer = Raw::upgraded(host.address, "/close").await;
            peer.send(sent).await;
            if reset {
                peer.socket.set_zero_linger().unwrap();
            }
            drop(peer);
            assert_eq!(watcher.next_text().await, "closed 1006 Lost ");
            assert_eq!(watcher.ask("nothing more").await, "nothing more");
        }
    }
    let function = host.function("fault-close");
    eventually("all to be gone", || function.hub().connections() == 1).await;
}

#[tokio::test]
async fn a_peer_that_vanishes_leaves_its_seat() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .instance(|instance| {
            instance.concurrency = 1.try_into().unwrap();
            instance.instances = 1.try_into().unwrap();
        })
        .start()
        .await;
    for _ in 0..20 {
        let mut client = host.connect_eventually("/echo").await;
        assert_eq!(client.ask("mine").await, "mine");
        client.vanish();
    }
}

#[tokio::test]
async fn a_peer_that_never_reads_is_dropped_and_nobody_else_notices() {
    let host = Host::with(openline_guests::FAULT_CLOSE, "/close")
        .limit(|limit| {
            limit.message_bytes = 16 * 1024;
            limit.outbox_bytes = 64 * 1024;
        })
        .hasty()
        .start()
        .await;
    let mut watcher = host.connect("/close?watch").await;
    let mut peer = small(&host, "/close").await;
    // Each echo stays in the kernel until that is full.
    let message = frame(TEXT, &[b'x'; 16 * 1024]);
    let writing =
        tokio::spawn(async move { while peer.socket.write_all(&message).await.is_ok() {} });
    let told = async {
        loop {
            let told = watcher.ask("beside").await;
            if told != "beside" {
                return told;
            }
        }
    };
    assert_eq!(
        within("the end of the peer", told).await,
        "closed 1013 Host outbox is full: read faster"
    );
    within("the peer to be cut off", writing).await.unwrap();
    let function = host.function("fault-close");
    eventually("it to be gone", || function.hub().connections() == 1).await;
}

#[tokio::test]
async fn a_peer_that_is_flooded_is_closed_with_1013() {
    let host = Host::with(openline_guests::FAULT_FLOOD, "/flood")
        .limit(|limit| {
            // Two of its messages at once are too many, so that even a host
            // that gets little CPU reaches this end and no other.
            limit.message_bytes = 16 * 1024;
            limit.outbox_bytes = 20 * 1024;
        })
        .start()
        .await;
    let mut beside = host.connect("/flood").await;
    // The second never stops sending, which is a fault by itself; the first
    // reason counts.
    for how in ["flood", "flood on"] {
        let mut peer = host.connect("/flood").await;
        peer.text(how).await;
        let closed = Closed {
            code: 1013,
            reason: "outbox is full: read faster".into(),
        };
        assert_eq!(peer.closed().await, closed, "{how}");
        assert_eq!(beside.ask("beside").await, "beside");
    }
}

#[tokio::test]
async fn what_waits_for_a_peer_that_never_reads_is_bounded_and_send_says_so() {
    const OUTBOX_BYTES: usize = 512 * 1024;
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.message_bytes = 16 * 1024;
            limit.outbox_bytes = OUTBOX_BYTES;
        })
        .hasty()
        .start()
        .await;
    let mut peer = small(&host, "/echo").await;
    let connections = host.function("echo").hub().snapshot();
    let [connection] = connections.as_slice() else {
        panic!("{connections:?}");
    };
    let too_big = Message::Binary(Bytes::from(vec![0; 16 * 1024 + 1]));
    assert_eq!(connection.push(too_big), SendOutcome::Dropped);
    let message = Message::Binary(Bytes::from(vec![7; 16 * 1024]));
    let (mut sent, mut most) = (0, 0);
    let filling = async {
        loop {
            match connection.push(message.clone()) {
                SendOutcome::Sent => sent += 1,
                SendOutcome::Queued(bytes) => {
                    assert!(bytes > most, "{bytes} wait after {most}");
                    most = bytes;
                }
                SendOutcome::Dropped => return,
                SendOutcome::Gone => panic!("it was gone before it was full"),
            }
            // The owner of the socket writes what the kernel still takes; once
            // that is full, nothing leaves and the outbox only grows.
            if most == 0 {
                connection.wake();
                tokio::task::yield_now().await;
            }
        }
    };
    within("the outbox to be full", filling).await;
    let most = usize::try_from(most).unwrap();
    assert!(sent > 0);
    // Full means that not one more message would have fitted.
    assert!((OUTBOX_BYTES - 17 * 1024..=OUTBOX_BYTES).contains(&most));
    assert_eq!(connection.push(message), SendOutcome::Gone);
    connection.wake();
    let function = host.function("echo");
    eventually("it to be gone", || function.hub().connections() == 0).await;
    // Only messages that had left by then arrive.
    peer.is_ended().await;
}

#[tokio::test]
async fn thousands_of_connections_are_held_at_once() {
    let host = echo().await;
    // Both ends are in this process, and so are other tests.
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let count = if files >= 8192 { 2000 } else { 300 };
    let mut peers = Vec::new();
    for _ in 0..count {
        peers.push(Raw::upgraded(host.address, "/echo").await);
    }
    let function = host.function("echo");
    assert_eq!(function.hub().connections(), count);
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(&frame(TEXT, number.to_string().as_bytes())).await;
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        let expected = number.to_string().into_bytes();
        assert_eq!(peer.read_frame().await, (TEXT, expected));
    }
    drop(peers);
    eventually("all to be gone", || function.hub().connections() == 0).await;
    let mut next = host.connect("/echo").await;
    assert_eq!(next.ask("still here").await, "still here");
}

#[tokio::test]
async fn no_two_connections_have_one_identity_and_none_can_be_guessed() {
    let host = echo().await;
    let mut peers = Vec::new();
    for _ in 0..200 {
        peers.push(Raw::upgraded(host.address, "/echo").await);
    }
    let connections = host.function("echo").hub().snapshot();
    let ids: Vec<_> = connections
        .iter()
        .map(|each| each.id().to_string())
        .collect();
    assert_eq!(ids.len(), 200);
    // Each half is different in all ids, so it is neither a counter nor a
    // clock.
    for part in [0..16, 16..32] {
        let halves: HashSet<_> = ids.iter().map(|id| &id[part.clone()]).collect();
        assert_eq!(halves.len(), 200);
    }
    // Each of the 128 bits is set in some ids; the chance that one is not is 1
    // in 2^200.
    let parsed = ids.iter().map(|id| u128::from_str_radix(id, 16).unwrap());
    let (any, all) = parsed.fold((0, u128::MAX), |(any, all), id| (any | id, all & id));
    assert_eq!((any, all), (u128::MAX, 0));
    assert!(ids.iter().all(|id| id.len() == 32));
}

/// Drains a host while these connections read to their end and go.
async fn drain(host: &Host, clients: Vec<Client>) -> (usize, Vec<Closed>) {
    let reading = async {
        let mut ends = Vec::new();
        for mut client in clients {
            ends.push(client.closed().await);
        }
        ends
    };
    tokio::join!(host.drain(), reading)
}

#[tokio::test]
async fn a_drain_closes_every_connection_with_1001_and_leaves_nobody() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .and(openline_guests::ECHO_ASYNC, "/async")
        .server(|server| server.request_timeout = Duration::from_secs(600))
        .start()
        .await;
    let mut clients = Vec::new();
    for path in ["/echo", "/async"] {
        for _ in 0..20 {
            let mut client = host.connect(path).await;
            assert_eq!(client.ask("hello").await, "hello");
            clients.push(client);
        }
    }
    // TCP connections between two requests have nothing to lose.
    let mut between = Raw::connect(host.address).await;
    between.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(between.head().await.starts_with("HTTP/1.1 404 "));
    let (left, ends) = drain(&host, clients).await;
    assert_eq!(left, 0);
    let told_when = |end: &Closed| {
        let begins = end
            .reason
            .starts_with("host is shutting down: come back after ");
        end.code == 1001 && begins
    };
    assert!(ends.iter().all(told_when), "{ends:?}");
    // Not all come back in the same moment.
    let times: std::collections::BTreeSet<_> = ends.iter().map(|end| &end.reason).collect();
    assert!(times.len() > 1, "{times:?}");
    assert!(between.is_ended().await);
    for name in ["echo", "echo-async"] {
        assert_eq!(host.function(name).hub().connections(), 0);
    }
}

#[tokio::test]
async fn what_waits_in_the_outbox_when_a_drain_begins_still_leaves() {
    let host = Host::with(openline_guests::CHAT, "/chat/{room}")
        .hasty()
        .start()
        .await;
    let mut client = host.connect("/chat/a?nick=ada").await;
    assert_eq!(client.next_text().await, "* welcome to a, ada: 1 here");
    let connections = host.function("chat").hub().snapshot();
    connections[0].push(Message::Text("last words".into()));
    let reading = async {
        let last = client.next_text().await;
        let code = client.closed().await.code;
        client.vanish();
        (last, code)
    };
    let (left, end) = tokio::join!(host.drain(), reading);
    assert_eq!((left, end), (0, ("last words".into(), 1001)));
}

#[tokio::test]
async fn a_drain_gives_up_after_its_time_and_says_how_many_are_left() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.drain_timeout = Duration::from_millis(200);
            server.close_timeout = Duration::from_secs(600);
        })
        .start()
        .await;
    let mut silent = Raw::upgraded(host.address, "/echo").await;
    let clients = vec![host.connect("/echo").await];
    let (left, ends) = drain(&host, clients).await;
    assert_eq!(ends[0].code, 1001);
    assert_eq!(left, 1);
    assert_eq!(silent.read_close().await.0, 1001);
}

#[tokio::test]
async fn a_request_that_arrives_during_a_drain_is_refused_with_503() {
    let host = echo().await;
    let mut beside = host.connect("/echo").await;
    let mut asking = Raw::connect(host.address).await;
    // The host has half of the request when the drain begins: a later round
    // trip of another connection is over.
    asking.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n").await;
    for _ in 0..20 {
        assert_eq!(beside.ask("beside").await, "beside");
    }
    let rest = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let asked = async {
        assert_eq!(beside.closed().await.code, 1001);
        beside.vanish();
        asking.send(rest).await;
        asking.head().await
    };
    let (left, head) = tokio::join!(host.drain(), asked);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(
        head.contains("\r\nopenline-error-type: draining\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nretry-after: "), "{head}");
    assert!(asking.is_ended().await);
    assert_eq!(left, 0);
}
