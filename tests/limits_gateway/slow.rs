//! Peers that are slow with a request, an answer, or a frame.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::harness::{Closed, Host, Raw, frame, within};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// The first frame of a binary in fragments.
const FIRST: u8 = 0x02;

#[tokio::test]
async fn a_peer_that_trickles_its_request_is_cut_off_and_others_are_served() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| server.request_timeout = Duration::from_millis(500))
        .start()
        .await;
    let mut trickling = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::connect(host.address).await;
        raw.send(b"GET /echo HTTP/1.1\r\nX-Slow: ").await;
        trickling.push(tokio::spawn(async move {
            // It never stops by itself.
            while raw.socket.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    }
    let mut client = host.connect("/echo").await;
    for _ in 0..100 {
        assert_eq!(client.ask("served").await, "served");
    }
    for each in trickling {
        within("a slow peer to be cut off", each).await.unwrap();
    }
    assert_eq!(client.ask("still here").await, "still here");
    drop(client);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_an_answer_is_cut_off() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| server.request_timeout = Duration::from_millis(200))
        .start()
        .await;
    let mut client = host.connect("/echo").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(host.address).await.unwrap();
    // One answer after the other, until the kernels take no more.
    let request = b"GET /.openline/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let asking = async { while socket.write_all(request).await.is_ok() {} };
    within("the peer to be cut off", asking).await;
    assert_eq!(client.ask("served").await, "served");
    drop((client, socket));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn frames_that_never_end_hold_up_nobody() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let message = frame(TEXT, &[b'x'; 300]);
    let mut promise = vec![BINARY, 0x80 | 127];
    promise.extend((6 * 1024 * 1024_u64).to_be_bytes());
    promise.extend([0; 4]);
    let begun = frame(FIRST, b"the beginning of a message");
    let mut halves = Vec::new();
    for part in [
        &message[..1],
        &message[..4],
        &message[..200],
        &promise,
        &begun,
    ] {
        for _ in 0..20 {
            let mut raw = Raw::upgraded(host.address, "/echo").await;
            raw.send(part).await;
            halves.push(raw);
        }
    }
    let mut client = host.connect("/echo").await;
    for _ in 0..100 {
        assert_eq!(client.ask("served").await, "served");
    }
    // They may go on at any time.
    let mut whole = halves.remove(45);
    whole.send(&message[200..]).await;
    assert_eq!(whole.read_frame().await, (TEXT, vec![b'x'; 300]));
    drop((halves, whole));
    client.close(1000, "").await;
    let closed = Closed {
        code: 1000,
        reason: String::new(),
    };
    assert_eq!(client.closed().await, closed);
    drop(client);
    host.nothing_is_left().await;
}

/// Far longer than the test, so that timeouts of requests do not make room.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Sends a probe on a TCP connection, and reads the answer.
async fn ask(raw: &mut Raw) {
    raw.send(b"GET /.openline/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut body = [0; b"live\n".len()];
    within("the body", raw.socket.read_exact(&mut body))
        .await
        .unwrap();
    assert_eq!(&body, b"live\n");
}

#[tokio::test]
async fn peers_that_send_nothing_make_room_for_one_that_does() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.requests = 4;
            // Its share by itself would make room, too.
            server.peer_requests = 0;
            server.request_timeout = FOR_EVER;
        })
        .start()
        .await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(Raw::connect(host.address).await);
    }
    // One TCP connection has sent a request and may send another; it is
    // accepted, and so are the others.
    let mut asks = silent.pop().unwrap();
    ask(&mut asks).await;
    // One past the number: the one that has waited longest is closed.
    let head = Raw::request(
        host.address,
        "GET /.openline/live HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    .await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(silent.remove(0).is_ended().await);
    // However many there are, others are served.
    for _ in 0..20 {
        silent.push(Raw::connect(host.address).await);
    }
    let mut client = host.connect("/echo").await;
    assert_eq!(client.ask("served").await, "served");
}

/// One past two requests of a peer takes the place of the one that has waited for
/// longest. Answers the others.
async fn two_of_three(host: &Host) -> [Raw; 2] {
    let mut first = Raw::connect(host.address).await;
    let mut second = Raw::connect(host.address).await;
    for raw in [&mut first, &mut second] {
        ask(raw).await;
    }
    let mut third = Raw::connect(host.address).await;
    ask(&mut third).await;
    assert!(first.is_ended().await);
    [second, third]
}

#[tokio::test]
async fn a_peer_has_its_share_of_the_requests_and_no_more() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.peer_requests = 2;
            server.request_timeout = FOR_EVER;
        })
        .start()
        .await;
    // Those that are upgraded do not count.
    let mut upgraded = two_of_three(&host).await;
    for raw in &mut upgraded {
        raw.upgrade("/echo").await;
    }
    let mut client = host.connect("/echo").await;
    assert_eq!(client.ask("served").await, "served");
}

#[tokio::test]
async fn a_share_of_more_than_half_of_the_requests_counts_as_half() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.requests = 4;
            server.request_timeout = FOR_EVER;
        })
        .start()
        .await;
    two_of_three(&host).await;
}
