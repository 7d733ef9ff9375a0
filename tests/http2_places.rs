//! HTTP/2: TCP connections without a request, their places and their ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::harness::http2::Http2;
use crate::harness::tls::{Authority, connect};
use crate::harness::{Host, Raw, eventually, frame, within};
use crate::http2::{PREFACE, asking, frame_of, next_frame};

/// The host says that it takes no more streams, and waits for a ping's answer
/// until it refuses some.
#[tokio::test]
async fn a_websocket_that_begins_before_the_peer_has_heard_of_the_end_stays() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| server.request_timeout = PATIENCE)
        .start()
        .await;
    let mut raw = Raw::connect(host.address).await;
    raw.send(PREFACE).await;
    // GOAWAY.
    while next_frame(&mut raw).await.0 != 0x7 {}
    raw.send(&frame_of(0x1, 0x4, 1, &asking("/echo"))).await;
    let told = Instant::now();
    while told.elapsed() < 2 * PATIENCE {
        raw.send(&frame_of(0x0, 0, 1, &frame(0x81, b"hello"))).await;
        let payload = loop {
            let (kind, stream, payload) = next_frame(&mut raw).await;
            assert_ne!(kind, 0x3, "{stream} ends");
            if kind == 0x0 {
                break payload;
            }
        };
        assert_eq!(payload, b"\x81\x05hello");
        tokio::time::sleep(PATIENCE / 10).await;
    }
    drop(raw);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn over_tls_one_that_begins_wrongly_is_told_that_the_stream_ends() {
    let authority = Authority::new();
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.certificate = vec![authority.certificate("host", &["localhost"], true)];
        })
        .start()
        .await;
    let connecting = connect(host.address, "localhost", authority.client(&[b"h2"]));
    let mut stream = connecting.await.unwrap();
    let request = b"GET /.openline/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    // Without a word of the end it is an error.
    let mut rest = Vec::new();
    let ended = within("the end", stream.read_to_end(&mut rest)).await;
    ended.unwrap();
    let gateway = &host.gateway;
    eventually("the TCP connection to be forgotten", || {
        gateway.sockets() == 0 && gateway.requests() == 0
    })
    .await;
}

/// With a place each, two would keep all others out.
#[tokio::test]
async fn tcp_connections_with_websockets_only_keep_none_out() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.requests = 4;
            server.peer_requests = 2;
        })
        .start()
        .await;
    let taken = || host.gateway.requests();
    let mut all = Vec::new();
    for _ in 0..6 {
        let mut http2 = Http2::connect(host.address).await;
        let mut stream = http2.open("/echo").await.unwrap();
        stream.echo(b"hello").await;
        eventually("its place to be free", || taken() == 0).await;
        all.push((http2, stream));
    }
    assert_eq!(host.connect("/echo").await.ask("x").await, "x");
    // Requests beside the WebSocket have places.
    let (mut http2, mut stream) = all.pop().unwrap();
    let (answer, _) = http2.get("/.openline/live").await.unwrap();
    assert_eq!(answer.status(), 200);
    eventually("its place to be free", || taken() == 0).await;
    // When it has ended, its TCP connection waits for a request in a place.
    stream.send(0x88, &1000u16.to_be_bytes()).await;
    assert_eq!(stream.closed().await, 1000);
    drop(stream);
    eventually("a place to be taken", || taken() == 1).await;
    http2.open("/echo").await.unwrap().echo(b"again").await;
    for (http2, mut stream) in all {
        stream.echo(b"still here").await;
        http2.vanish();
    }
    http2.vanish();
    host.nothing_is_left().await;
}
