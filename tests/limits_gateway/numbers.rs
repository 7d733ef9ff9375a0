//! How many connections, handshakes and requests a function, a host and one
//! peer may have.

#[cfg(target_os = "linux")]
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

#[cfg(target_os = "linux")]
use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::{accepted, asked, asked_on, refused};
use crate::harness::{HANDSHAKE, Host, PATIENCE, Raw, eventually, frame, within};

const TEXT: u8 = 0x81;

#[tokio::test]
async fn connections_at_their_number_and_one_past_it() {
    for (word, status) in [
        ("connections", 429),
        ("peer_connections", 429),
        ("host_connections", 503),
        ("host_peer_connections", 429),
    ] {
        let host = Host::with(openline_guests::ECHO_ASYNC, "/other")
            .and(openline_guests::ECHO, "/echo")
            .limit(|limit| match word {
                "connections" => limit.connections = 2,
                "peer_connections" => limit.peer_connections = 2,
                _ => {}
            })
            .server(|server| match word {
                "host_connections" => server.connections = 2,
                "host_peer_connections" => server.peer_connections = 2,
                _ => {}
            })
            .start()
            .await;
        let mut first = host.connect("/echo").await;
        let mut second = host.connect("/echo").await;
        for _ in 0..3 {
            assert_eq!(asked(&host, "/echo", "").await, refused(status, word));
        }
        // Open connections notice nothing.
        assert_eq!(first.ask("first").await, "first");
        assert_eq!(second.ask("second").await, "second");
        // Another function shares only the host's limits.
        let other = asked(&host, "/other", "").await;
        if word.starts_with("host") {
            assert_eq!(other, refused(status, word));
        } else {
            assert_eq!(other, accepted());
        }
        // When one ends, there is room for exactly one.
        drop(second);
        host.until("one connection", |state| state["connections"]["open"] == 1)
            .await;
        let mut third = host.connect("/echo").await;
        assert_eq!(third.ask("third").await, "third", "{word}");
        assert_eq!(asked(&host, "/echo", "").await, refused(status, word));
        let state = host.state().await;
        assert!(state["handshakes"]["refused"][word].as_u64() >= Some(4));
        drop((first, third));
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn what_a_request_offers_is_not_read_past_a_limit() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.connections = 1)
        .start()
        .await;
    // No token is left, so it is refused as soon as it is read.
    let offer = "Sec-WebSocket-Protocol: a b\r\n";
    let read = asked(&host, "/echo", offer).await;
    assert_eq!(read, refused(400, "bad_handshake"));
    let mut only = host.connect("/echo").await;
    let unread = asked(&host, "/echo", offer).await;
    assert_eq!(unread, refused(429, "connections"));
    assert_eq!(only.ask("still here").await, "still here");
}

/// A socket of another peer; on Linux every address of 127/8 is this machine.
#[cfg(target_os = "linux")]
async fn connect_from(peer: Ipv4Addr, host: &Host) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((peer, 0))).unwrap();
    let socket = socket.connect(host.address).await.unwrap();
    Raw { socket }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_peer_address_has_its_own_numbers() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.peer_connections = 1;
            // More than this test requests; each one that it begins takes a
            // token.
            limit.peer_handshakes_per_second = 3;
        })
        .start()
        .await;
    let mut held = Vec::new();
    for last in 2..6 {
        let peer = Ipv4Addr::new(127, 0, 0, last);
        let mut first = connect_from(peer, &host).await;
        assert_eq!(asked_on(&mut first, "/echo", "").await, accepted());
        let mut second = connect_from(peer, &host).await;
        let answer = asked_on(&mut second, "/echo", "").await;
        assert_eq!(answer, refused(429, "peer_connections"));
        held.push(first);
    }
    drop(held);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn handshakes_of_a_peer_are_as_many_in_a_second_as_they_may_be() {
    const RATE: u32 = 5;
    for word in [
        "peer_handshakes_per_second",
        "host_peer_handshakes_per_second",
    ] {
        let host = Host::with(openline_guests::ECHO, "/echo")
            .limit(|limit| {
                if !word.starts_with("host") {
                    limit.peer_handshakes_per_second = RATE;
                }
            })
            .server(|server| {
                if word.starts_with("host") {
                    server.peer_handshakes_per_second = RATE;
                }
            })
            .start()
            .await;
        let start = Instant::now();
        let mut begun = 0;
        // Ended at once, because their number is not limited.
        let answer = loop {
            let answer = asked(&host, "/echo", "").await;
            if answer != accepted() {
                break answer;
            }
            begun += 1;
            assert!(begun < 1000);
        };
        assert_eq!(answer, refused(429, word));
        assert!(begun >= RATE, "{begun}");
        let most = f64::from(RATE) * (1.0 + start.elapsed().as_secs_f64());
        assert!(f64::from(begun) <= most, "{begun} are more than {most}");
        // It comes back by itself.
        let again = async {
            while asked(&host, "/echo", "").await != accepted() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("another handshake to be allowed", again).await;
    }
}

#[tokio::test]
async fn past_the_requests_peers_wait_and_open_connections_do_not_count() {
    let host = Host::with(openline_guests::FAULT_AWAIT_FOREVER, "/undecided")
        .instance(|instance| instance.concurrency = 1)
        .limit(|limit| limit.upgrade_timeout = 10 * PATIENCE)
        .and(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.requests = 2;
            server.peer_requests = 0;
            server.request_timeout = 10 * PATIENCE;
        })
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(host.connect("/echo").await);
    }
    // Two handshakes that are being decided are the maximum.
    let undecided = host.function("fault-await-forever");
    let mut both = Vec::new();
    for number in 1..=2 {
        let mut raw = Raw::connect(host.address).await;
        let request = HANDSHAKE.replace("{path}", "/undecided?at=upgrade");
        raw.send(request.as_bytes()).await;
        both.push(raw);
        eventually("the function to be asked", || {
            undecided.instances() == number
        })
        .await;
    }
    let mut third = Raw::connect(host.address).await;
    let request = HANDSHAKE.replace("{path}", "/echo");
    third.send(request.as_bytes()).await;
    // The host has long had the time to answer, and has not.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        for client in &mut open {
            assert_eq!(client.ask("open").await, "open");
        }
    }
    let early = third.socket.try_read(&mut [0]);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    both.pop();
    assert!(third.head().await.starts_with("HTTP/1.1 101 "));
    third.send(&frame(TEXT, b"in")).await;
    assert_eq!(third.read_frame().await, (TEXT, b"in".into()));
    drop((both, third, open));
}

#[tokio::test]
async fn a_few_peers_whose_handshakes_wait_make_room_for_others() {
    let host = Host::with(openline_guests::FAULT_AWAIT_FOREVER, "/undecided")
        .instance(|instance| instance.concurrency = 1)
        .limit(|limit| {
            limit.upgrade_timeout = 10 * PATIENCE;
            limit.handler_timeout = 10 * PATIENCE;
        })
        .and(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.requests = 4;
            server.request_timeout = 10 * PATIENCE;
        })
        .start()
        .await;
    let undecided = host.function("fault-await-forever");
    let mut waiting = Vec::new();
    for (number, last) in (1..).zip([2, 3, 2, 3]) {
        let mut raw = Raw::connect_from([127, 0, 0, last], host.address).await;
        let request = HANDSHAKE.replace("{path}", "/undecided?at=upgrade");
        raw.send(request.as_bytes()).await;
        waiting.push(raw);
        eventually("the function to be asked", || {
            undecided.instances() == number
        })
        .await;
    }
    // One of a third peer is served in place of the newest.
    let mut client = host.connect("/echo").await;
    assert_eq!(client.ask("served").await, "served");
    let mut newest = waiting.pop().unwrap();
    let head = newest.head().await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("openline-error-type: requests"), "{head}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
    // The others are still being decided.
    for raw in &waiting {
        let early = raw.socket.try_read(&mut [0]);
        assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
