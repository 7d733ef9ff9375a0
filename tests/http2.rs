//! HTTP/2: WebSockets that are streams of one TCP connection, beside each other
//! and within their limits; peers that misbehave; the drain.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use h2::Reason;
use http::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::http2::{Http2, Stream};
use crate::harness::tls::{Authority, connect};
use crate::harness::{Host, HostBuilder, Raw, eventually, frame, within};
use crate::tls::curl;

/// The beginning of each TCP connection, and empty settings.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn echo() -> HostBuilder {
    Host::with(openline_guests::ECHO, "/echo")
}

/// Opens as many WebSockets, which all must be accepted.
async fn streams(http2: &mut Http2, path: &str, number: usize) -> Vec<Stream> {
    let mut streams = Vec::new();
    for _ in 0..number {
        streams.push(http2.open(path).await.unwrap());
    }
    streams
}

#[tokio::test]
async fn many_websockets_on_one_tcp_connection_beside_requests() {
    let host = echo().start().await;
    let mut http2 = Http2::connect(host.address).await;
    let mut open = streams(&mut http2, "/echo", 50).await;
    for (number, stream) in open.iter_mut().enumerate() {
        stream.echo(format!("message {number}").as_bytes()).await;
    }
    for bytes in [0, 125, 4096, 4097, 16 * 1024, 70_000, 1 << 20] {
        open[0].echo(&vec![b'x'; bytes]).await;
    }
    let (answer, body) = http2.get("/.openline/live").await.unwrap();
    assert_eq!((answer.status().as_u16(), &body[..]), (200, &b"live\n"[..]));
    let state = host.state().await;
    assert_eq!(state["connections"]["open"], 50);
    // The one that asks is the other.
    assert_eq!(state["sockets"], 2);
    // Each ends by itself.
    let mut first = open.swap_remove(0);
    first.send(0x88, &1000u16.to_be_bytes()).await;
    assert_eq!(first.closed().await, 1000);
    open[0].echo(b"still here").await;
    drop(open);
    http2.vanish();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_function_sees_an_ordinary_handshake() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    let mut http2 = Http2::connect(host.address).await;
    for (show, expected) in [("method", "GET"), ("host", "localhost")] {
        let path = format!("/reject?status=403&body=no&show={show}");
        let refused = http2.open(&path).await.err().unwrap();
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.headers()["shown"], expected);
        assert_eq!(&refused.body()[..], b"no");
    }
    let accepted = http2.open("/reject?subprotocol=a").await.err().unwrap();
    assert_eq!(accepted.headers()["openline-error-type"], "bad_answer");
    let offered = http2.ask("/reject?subprotocol=a", |request| {
        let value = HeaderValue::from_static("b, a");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    });
    let (answer, _stream) = offered.await.unwrap();
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "a");
}

#[tokio::test]
async fn requests_that_are_no_handshake() {
    let host = echo().start().await;
    let mut http2 = Http2::connect(host.address).await;
    let (answer, _) = http2.get("/echo").await.unwrap();
    assert_eq!(answer.status(), 426);
    assert_eq!(answer.headers()["openline-error-type"], "upgrade_required");
    assert!(!answer.headers().contains_key("upgrade"));
    let refused = http2.open("/nothing").await.err().unwrap();
    assert_eq!(refused.status(), 404);
    let status = async |http2: &mut Http2, name: &'static str, value: &'static str| {
        let changed = http2.ask("/echo", |request| {
            let name = HeaderName::from_static(name);
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        });
        let (answer, _stream) = changed.await.unwrap();
        within("an answer", answer).await.unwrap().status().as_u16()
    };
    assert_eq!(status(&mut http2, "sec-websocket-version", "8").await, 426);
    assert_eq!(status(&mut http2, "openline-x", "y").await, 400);
    let other = http2.ask("/echo", |request| {
        request
            .extensions_mut()
            .insert(h2::ext::Protocol::from("connect-udp"));
    });
    let (answer, _stream) = other.await.unwrap();
    assert_eq!(within("an answer", answer).await.unwrap().status(), 426);
    http2.open("/echo").await.unwrap().echo(b"hello").await;
}

#[tokio::test]
async fn streams_at_their_number_and_one_more() {
    let host = echo()
        .server(|server| server.http2_streams = 3)
        .start()
        .await;
    // A client that keeps to the number waits.
    let mut http2 = Http2::connect(host.address).await;
    let mut open = streams(&mut http2, "/echo", 3).await;
    open[2].echo(b"hello").await;
    drop(http2.ask("/echo", |_| {}).await.unwrap());
    drop(open);
    // One that does not is refused that stream: three requests and another one,
    // none of which ends.
    let mut raw = Raw::connect(host.address).await;
    raw.send(PREFACE).await;
    for stream in [1, 3, 5, 7] {
        raw.send(&frame_of(0x1, 0x4, stream, &asking("/echo")))
            .await;
    }
    let refused = loop {
        let (kind, stream, payload) = next_frame(&mut raw).await;
        if kind == 0x3 {
            break (stream, payload);
        }
        assert_ne!(kind, 0x7, "the TCP connection ends");
    };
    // REFUSED_STREAM.
    assert_eq!(refused, (7, vec![0, 0, 0, 7]));
    drop(raw);
    http2.vanish();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn by_default_128_streams_pass_and_the_next_one_costs_none_of_them() {
    const LAST: u32 = 2 * 128 - 1;
    let host = echo().start().await;
    let mut raw = Raw::connect(host.address).await;
    raw.send(PREFACE).await;
    let open = |stream| frame_of(0x1, 0x4, stream, &asking("/echo"));
    let asked: Vec<_> = (1..=LAST + 2).step_by(2).flat_map(open).collect();
    raw.send(&asked).await;
    let (mut accepted, mut refused) = (BTreeSet::new(), Vec::new());
    while accepted.len() + refused.len() < 129 {
        let (kind, stream, payload) = next_frame(&mut raw).await;
        match kind {
            0x1 => assert!(accepted.insert(stream), "{stream} is answered twice"),
            0x3 => refused.push((stream, payload)),
            _ => assert_ne!(kind, 0x7, "the TCP connection ends"),
        }
    }
    // REFUSED_STREAM.
    assert_eq!(refused, [(LAST + 2, vec![0, 0, 0, 7])]);
    let all: Vec<_> = (1..=LAST).step_by(2).collect();
    assert_eq!(accepted.into_iter().collect::<Vec<_>>(), all);
    // Each has a WebSocket of its own.
    for stream in &all {
        let message = frame(0x81, format!("stream {stream}").as_bytes());
        raw.send(&frame_of(0x0, 0, *stream, &message)).await;
    }
    let mut echoed = BTreeMap::new();
    while echoed.len() < all.len() {
        let (kind, stream, payload) = next_frame(&mut raw).await;
        match kind {
            0x0 => assert!(echoed.insert(stream, payload).is_none(), "{stream}"),
            _ => assert!(![0x3, 0x7].contains(&kind), "{stream} ends"),
        }
    }
    for (stream, payload) in echoed {
        assert_eq!(payload[2..], *format!("stream {stream}").as_bytes());
    }
    assert_eq!(host.state().await["connections"]["open"], 128);
    // Where one ends (CANCEL), the next one has room.
    raw.send(&frame_of(0x3, 0, 1, &[0, 0, 0, 8])).await;
    raw.send(&open(LAST + 4)).await;
    let (kind, stream) = loop {
        let (kind, stream, _) = next_frame(&mut raw).await;
        if [0x1, 0x3, 0x7].contains(&kind) {
            break (kind, stream);
        }
    };
    assert_eq!((kind, stream), (0x1, LAST + 4));
    drop(raw);
    host.nothing_is_left().await;
}

/// The headers of a handshake, each as a literal.
pub fn asking(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a"),
        ("sec-websocket-version", "13"),
    ] {
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name.as_bytes());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    block
}

/// A frame of HTTP/2.
pub fn frame_of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// The kind, the stream and the payload of the next frame of HTTP/2.
pub async fn next_frame(raw: &mut Raw) -> (u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    within("a frame", raw.socket.read_exact(&mut head))
        .await
        .unwrap();
    let [a, b, c, kind, _, s, t, u, v] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    within("a payload", raw.socket.read_exact(&mut payload))
        .await
        .unwrap();
    (kind, u32::from_be_bytes([s, t, u, v]), payload)
}

#[tokio::test]
async fn limits_of_a_peer_count_its_streams() {
    let host = echo()
        .server(|server| server.peer_connections = 2)
        .start()
        .await;
    let mut http2 = Http2::connect(host.address).await;
    let open = streams(&mut http2, "/echo", 2).await;
    let refused = http2.open("/echo").await.err().unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(
        refused.headers()["openline-error-type"],
        "host_peer_connections"
    );
    drop(open);
    host.until("both to be gone", |state| state["connections"]["open"] == 0)
        .await;
    http2.open("/echo").await.unwrap().echo(b"hello").await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other() {
    let host = Host::with(openline_guests::FAULT_FLOOD, "/flood")
        .and(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let mut http2 = Http2::connect_with(host.address, |builder| {
        // Room for the flood of one stream in the window of all.
        builder
            .initial_window_size(64 * 1024)
            .initial_connection_window_size(1 << 20);
    })
    .await;
    let mut flooded = http2.open("/flood").await.unwrap();
    flooded.send(0x81, b"flood").await;
    let mut beside = http2.open("/echo").await.unwrap();
    for number in 0..100 {
        beside.echo(format!("{number}").as_bytes()).await;
    }
    drop((flooded, beside));
    http2.vanish();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn paused_streams_full_of_the_smallest_messages_end_no_other() {
    const MESSAGES: usize = 8_000;
    // The host does not read from paused ones: a ping tells it that they are
    // gone.
    let host = Host::with(openline_guests::FAULT_PRESSURE, "/pressure")
        .limit(|limit| {
            limit.ping_interval = Duration::from_secs(1);
            limit.pong_timeout = Duration::from_secs(1);
        })
        .and(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let mut http2 = Http2::connect(host.address).await;
    let mut paused = streams(&mut http2, "/pressure", 10).await;
    for stream in &mut paused {
        stream.send(0x81, b"pause").await;
        assert_eq!(stream.frame().await.unwrap().1, b"paused");
        // Nearly a window of them, each in a frame of HTTP/2 of its own.
        for _ in 0..MESSAGES {
            stream.send(0x81, b"x").await;
        }
    }
    let mut beside = http2.open("/echo").await.unwrap();
    for _ in 0..100 {
        beside.echo(b"beside").await;
    }
    drop((paused, beside));
    http2.vanish();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_window_that_never_opens_ends_with_its_stream() {
    let host = echo().hasty().start().await;
    let mut http2 = Http2::connect_with(host.address, |builder| {
        builder.initial_window_size(0);
    })
    .await;
    // The answer to the handshake needs no window; the echo does.
    let mut stuck = http2.open("/echo").await.unwrap();
    stuck.send(0x81, b"hello").await;
    stuck.send(0x88, &1000u16.to_be_bytes()).await;
    host.until("it to be gone", |state| state["connections"]["open"] == 0)
        .await;
    drop(stuck);
    http2.vanish();
    host.nothing_is_left().await;
}

/// Its window is closed from the beginning.
#[tokio::test]
async fn an_answer_that_is_not_read_ends_its_stream() {
    let host = echo()
        .server(|server| server.request_timeout = Duration::from_millis(200))
        .start()
        .await;
    let mut http2 = Http2::connect_with(host.address, |builder| {
        builder.initial_window_size(0);
    })
    .await;
    // A WebSocket keeps it from being idle.
    let open = http2.open("/echo").await.unwrap();
    let asking = tokio::spawn(async move {
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(http2.get("/.openline/live").await.is_err());
        }
        (http2, answers)
    });
    let (http2, failed) = within("an end", asking).await.unwrap();
    assert_eq!(failed, [true, true], "each ends by itself");
    assert!(!http2.is_ended());
    drop((open, http2));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn an_idle_tcp_connection_ends() {
    let host = echo()
        .server(|server| server.request_timeout = Duration::from_millis(200))
        .start()
        .await;
    let mut http2 = Http2::connect(host.address).await;
    http2.get("/.openline/live").await.unwrap();
    // In good order: the host says that it takes no more streams.
    http2.ended().await.unwrap();
    // One that has sent only a beginning.
    for beginning in [&PREFACE[..10], PREFACE] {
        let mut raw = Raw::connect(host.address).await;
        raw.send(beginning).await;
        // Settings, or nothing at all; then the end, or a reset of what was not
        // read.
        let mut rest = Vec::new();
        let _ = within("the end", raw.socket.read_to_end(&mut rest)).await;
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_flood_of_cancelled_requests_ends_the_tcp_connection() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .and(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let mut beside = host.connect("/echo").await;
    let mut http2 = Http2::connect(host.address).await;
    let flooding = async {
        // The function has not decided when they are cancelled.
        while let Ok((answer, mut send)) = http2.ask("/sleep?decide=200", |_| {}).await {
            tokio::task::yield_now().await;
            send.send_reset(Reason::CANCEL);
            drop(answer);
        }
    };
    within("the end of a flood", flooding).await;
    eventually("the TCP connection to end", || http2.is_ended()).await;
    assert_eq!(beside.ask("beside").await, "beside");
    drop(beside);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn requests_are_cancelled_as_often_as_they_may_be_and_once_more() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .and(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let mut http2 = Http2::connect(host.address).await;
    let ledger = host.deployer.services().ledger();
    // The function decides about the first one until the end of the test.
    let path = "/sleep?decide=5000";
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(http2.ask(path, |_| {}).await.unwrap());
    }
    eventually("all to have come", || ledger.connections() == 100).await;
    drop(asked);
    eventually("all to be cancelled", || ledger.connections() == 0).await;
    let mut open = http2.open("/echo").await.unwrap();
    open.echo(b"still here").await;
    let another = http2.ask(path, |_| {}).await.unwrap();
    eventually("another one", || ledger.connections() == 2).await;
    drop(another);
    eventually("the TCP connection to end", || http2.is_ended()).await;
    drop(open);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_thousand_websockets_on_one_tcp_connection() {
    let host = echo()
        .server(|server| server.http2_streams = 1000)
        .start()
        .await;
    // The client's library takes as many small frames that are not read yet as
    // its window allows.
    let mut http2 = Http2::connect_with(host.address, |builder| {
        builder.initial_connection_window_size(1 << 24);
    })
    .await;
    let mut open = streams(&mut http2, "/echo", 1000).await;
    for stream in &mut open {
        stream.send(0x81, b"hello").await;
    }
    for (number, stream) in open.iter_mut().enumerate() {
        let (_, payload) = stream
            .frame()
            .await
            .unwrap_or_else(|| panic!("stream {number} has ended"));
        assert_eq!(payload, b"hello");
    }
    assert_eq!(host.state().await["sockets"], 2);
    drop(open);
    http2.vanish();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_crowd_is_answered_gets_a_publication_and_is_closed() {
    // `benches/end-to-end` does the same with a hundred thousand.
    const TCP_CONNECTIONS: usize = 4;
    const EACH: usize = 250;
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .server(|server| server.http2_streams = 250)
        .start()
        .await;
    let mut shared = Vec::new();
    let mut open = Vec::new();
    for _ in 0..TCP_CONNECTIONS {
        let mut http2 = Http2::connect_with(host.address, |builder| {
            builder.initial_connection_window_size(1 << 24);
        })
        .await;
        open.extend(streams(&mut http2, "/hub", EACH).await);
        shared.push(http2);
    }
    for stream in &mut open {
        stream.send(0x81, b"count nothing").await;
    }
    for stream in &mut open {
        assert_eq!(stream.frame().await, Some((0x81, b"0".to_vec())));
    }
    open[0].send(0x81, b"broadcast to all").await;
    for stream in &mut open {
        let message = Some((0x81, b"to all".to_vec()));
        assert_eq!(stream.frame().await, message);
    }
    let count = (TCP_CONNECTIONS * EACH).to_string().into_bytes();
    assert_eq!(open[0].frame().await, Some((0x81, count)));
    let closing = async {
        for stream in &mut open {
            assert_eq!(stream.closed().await, 1001);
            stream.send(0x88, &1001u16.to_be_bytes()).await;
        }
    };
    let (left, ()) = tokio::join!(host.drain(), closing);
    assert_eq!(left, 0);
    drop(open);
    for http2 in shared {
        http2.ended().await.unwrap();
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn headers_without_end_end_the_tcp_connection() {
    let host = echo().start().await;
    let mut beside = host.connect("/echo").await;
    let mut raw = Raw::connect(host.address).await;
    raw.send(PREFACE).await;
    // HEADERS without their end, and CONTINUATIONs of empty literals.
    raw.send(&frame_of(0x1, 0, 1, &[])).await;
    let piece = frame_of(0x9, 0, 1, &[0, 1, b'a', 0].repeat(1000));
    let flooding = async {
        for _ in 0..10_000 {
            if raw.socket.write_all(&piece).await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(
        within("an end", flooding).await,
        "40 MB of headers were taken"
    );
    assert_eq!(beside.ask("beside").await, "beside");
    drop((raw, beside));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_drain_ends_streams_with_1001_and_then_the_tcp_connection() {
    let host = echo().start().await;
    let mut http2 = Http2::connect(host.address).await;
    let mut open = streams(&mut http2, "/echo", 3).await;
    let closing = async {
        for stream in &mut open {
            assert_eq!(stream.closed().await, 1001);
            stream.send(0x88, &1001u16.to_be_bytes()).await;
            assert_eq!(stream.frame().await, None);
        }
    };
    let (left, ()) = tokio::join!(host.drain(), closing);
    assert_eq!(left, 0);
    drop(open);
    http2.ended().await.unwrap();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn over_tls_the_client_chooses_it_by_name() {
    let authority = Authority::new();
    let host = echo()
        .server(|server| {
            server.certificate = vec![authority.certificate("host", &["localhost"], true)];
        })
        .start()
        .await;
    let stream = connect(host.address, "localhost", authority.client(&[b"h2"]))
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut http2 = Http2::over(stream, |_| {}).await;
    let mut open = streams(&mut http2, "/echo", 10).await;
    for stream in &mut open {
        stream.echo(&vec![b'x'; 70_000]).await;
    }
    // A protocol that it does not speak.
    let other = connect(host.address, "localhost", authority.client(&[b"h3"])).await;
    assert!(other.is_err());
}

#[tokio::test]
async fn curl_knows_it_beforehand() {
    let host = echo().start().await;
    let url = format!("http://{}/.openline/live", host.address);
    let format = "%{http_version} %{http_code}";
    let arguments = [
        "--http2-prior-knowledge",
        "--output",
        "/dev/null",
        "--write-out",
        format,
    ];
    let arguments: Vec<_> = arguments.into_iter().chain([&*url]).collect();
    if let Some(said) = curl(&arguments).await {
        assert_eq!(said, "2 200");
    }
}
