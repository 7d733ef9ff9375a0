//! The limits that the gateway keeps, each at it and one past it: of a
//! handshake, of what a peer sends, of how many there are, and of what waits
//! for a peer that does not read.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

use openline_core::event::SendOutcome;
use openline_core::limits::{OutboxOverflow, RateExceeded};
use openline_core::message::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::harness::{Closed, HANDSHAKE, Host, PATIENCE, Raw, close_frame, frame, within};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first frame of a binary in fragments, one in the middle, the last.
const FIRST: u8 = 0x02;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;

/// Status and `openline-error-type` of the answer to a handshake.
async fn asked(host: &Host, path: &str, header: &str) -> (u16, String) {
    let mut raw = Raw::connect(host.address).await;
    asked_on(&mut raw, path, header).await
}

async fn asked_on(raw: &mut Raw, path: &str, header: &str) -> (u16, String) {
    let request = HANDSHAKE
        .replace("{path}", path)
        .replace("\r\n\r\n", &format!("\r\n{header}\r\n"));
    raw.send(request.as_bytes()).await;
    let head = raw.head().await;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let word = head
        .lines()
        .find_map(|line| line.strip_prefix("openline-error-type: "))
        .unwrap_or_default();
    if status == 429 || status == 503 {
        assert!(head.contains("\r\nretry-after: "), "{head}");
    }
    (status, word.to_owned())
}

fn accepted() -> (u16, String) {
    (101, String::new())
}

fn refused(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

// === the handshake ===

#[tokio::test]
async fn a_handshake_at_its_configured_bytes_and_one_past_them() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.request_header_bytes = 256;
            limit.request_uri_bytes = 64;
        })
        .and(openline_guests::ECHO_ASYNC, "/other")
        .start()
        .await;
    // The names and values of the five headers that a handshake has anyway.
    let have = "Hostlocalhost\
                UpgradewebsocketConnectionUpgrade\
                Sec-WebSocket-Version13Sec-WebSocket-KeydGhlIHNhbXBsZSBub25jZQ==";
    let header = |bytes: usize| format!("X: {}\r\n", "v".repeat(bytes - have.len() - 1));
    let path = |bytes: usize| format!("/echo?{}", "q".repeat(bytes - "/echo?".len()));
    assert_eq!(asked(&host, "/echo", &header(256)).await, accepted());
    let past = asked(&host, "/echo", &header(257)).await;
    assert_eq!(past, refused(400, "request_header_bytes"));
    assert_eq!(asked(&host, &path(64), "").await, accepted());
    let past = asked(&host, &path(65), "").await;
    assert_eq!(past, refused(400, "request_uri_bytes"));
    // Another function has its own.
    assert_eq!(asked(&host, "/other", &header(257)).await, accepted());
}

#[tokio::test]
async fn an_answer_of_the_function_at_its_configured_bytes_and_one_past_them() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .limit(|limit| {
            limit.response_header_bytes = 100;
            limit.rejection_body_bytes = 10;
        })
        .start()
        .await;
    let header = |bytes: usize| format!("header=x-a:{}", "v".repeat(bytes - "x-a".len()));
    for (query, answer) in [
        (header(100), accepted()),
        (header(101), refused(502, "bad_answer")),
        (format!("status=403&{}", header(100)), refused(403, "")),
        (
            format!("status=403&{}", header(101)),
            refused(502, "bad_answer"),
        ),
        ("status=403&body_bytes=10".into(), refused(403, "")),
        (
            "status=403&body_bytes=11".into(),
            refused(502, "bad_answer"),
        ),
    ] {
        let got = asked(&host, &format!("/reject?{query}"), "").await;
        assert_eq!(got, answer, "{query}");
    }
}

// === messages ===

#[tokio::test]
async fn a_message_of_the_function_past_its_bytes_is_dropped_and_the_connection_stays() {
    // What the guest sends.
    const BYTES: usize = 16 * 1024;
    for (message_bytes, arrives) in [(BYTES, true), (BYTES - 1, false)] {
        let host = Host::with(openline_guests::FAULT_FLOOD, "/flood")
            .limit(|limit| {
                limit.message_bytes = message_bytes;
                limit.outbox_bytes = BYTES;
                limit.outbox_overflow = OutboxOverflow::DropNewest;
            })
            .start()
            .await;
        let mut client = host.connect("/flood").await;
        client.text("flood").await;
        if arrives {
            assert_eq!(client.next().await.len(), BYTES);
        }
        assert_eq!(client.ask("next").await, "next", "{message_bytes}");
    }
}

#[tokio::test]
async fn the_fragments_of_a_message_at_their_number_and_one_past_it() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.fragments = 10)
        .start()
        .await;
    let fragments = |count: usize| {
        let mut bytes = frame(FIRST, b"f");
        for _ in 0..count - 2 {
            // Control frames between them do not count.
            bytes.extend(frame(PONG, b""));
            bytes.extend(frame(MIDDLE, b"m"));
        }
        bytes.extend(frame(LAST, b"l"));
        bytes
    };
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    // Each message has its own.
    for _ in 0..3 {
        peer.send(&fragments(10)).await;
        assert_eq!(peer.read_frame().await, (BINARY, b"fmmmmmmmml".into()));
    }
    // What comes before one with too many is answered, and nothing else.
    let both = [frame(TEXT, b"before"), fragments(11), frame(TEXT, b"late")];
    peer.send(&both.concat()).await;
    assert_eq!(peer.read_frame().await, (TEXT, b"before".into()));
    let (first, payload) = peer.read_frame().await;
    assert_eq!((first, &payload[..2]), (0x88, [3, 240].as_slice()));
    assert_eq!(&payload[2..], b"message has more than fragments frames");
    peer.send(&close_frame(1008, b"")).await;
    assert!(peer.is_ended().await);
    drop(peer);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn what_a_peer_sends_in_a_second_at_its_limit_and_one_past_it() {
    let host = Host::with(openline_guests::ECHO, "/messages")
        .limit(|limit| {
            limit.messages_per_second = 10;
            limit.rate_exceeded = RateExceeded::Close;
        })
        .and(openline_guests::ECHO_ASYNC, "/bytes")
        .limit(|limit| {
            limit.bytes_per_second = 1024;
            limit.rate_exceeded = RateExceeded::Close;
        })
        .start()
        .await;
    // With the header of a frame: two bytes, two of length, four of mask.
    let bytes = |count: usize| frame(BINARY, &vec![b'x'; count - 8]);
    let cases = [
        ("/messages", frame(TEXT, b"x").repeat(10), 10, None),
        (
            "/messages",
            frame(TEXT, b"x").repeat(11),
            0,
            Some("more than messages_per_second"),
        ),
        ("/messages", frame(PING, b"").repeat(10), 10, None),
        (
            "/messages",
            frame(PING, b"").repeat(11),
            0,
            Some("more than messages_per_second"),
        ),
        ("/bytes", bytes(1024), 1, None),
        ("/bytes", bytes(1025), 0, Some("more than bytes_per_second")),
    ];
    for (path, sent, answers, closed) in cases {
        let mut peer = Raw::upgraded(host.address, path).await;
        // One write, and so one read: no time passes within it.
        peer.send(&sent).await;
        for _ in 0..answers {
            let (first, _) = peer.read_frame().await;
            assert!([TEXT, BINARY, PONG].contains(&first), "{path}: {first:x}");
        }
        if let Some(reason) = closed {
            assert_eq!(peer.read_close().await, (1008, reason.into()));
            peer.send(&close_frame(1008, b"")).await;
            assert!(peer.is_ended().await);
        }
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_peer_that_sends_too_fast_is_read_more_slowly_and_loses_nothing() {
    let host = Host::with(openline_guests::ECHO, "/messages")
        .limit(|limit| limit.messages_per_second = 500)
        .and(openline_guests::ECHO_ASYNC, "/bytes")
        .limit(|limit| limit.bytes_per_second = 50 * 1024)
        .start()
        .await;
    // What it reads at once before it waits is a batch and a buffer behind it:
    // 256 messages and 2 KiB.
    for (path, count, payload_bytes, least) in [
        // 1500 less a second's worth and 460: about a second.
        ("/messages", 1500, 4, Duration::from_millis(1000)),
        // 150 KiB less a second's worth and 27 KiB: nearly one and a half.
        ("/bytes", 1500, 94, Duration::from_millis(1400)),
    ] {
        let start = Instant::now();
        let mut peer = Raw::upgraded(host.address, path).await;
        let numbered = |number| format!("{number:>payload_bytes$}").into_bytes();
        for number in 0..count {
            peer.send(&frame(TEXT, &numbered(number))).await;
        }
        for number in 0..count {
            assert_eq!(peer.read_frame().await, (TEXT, numbered(number)), "{path}");
        }
        assert!(start.elapsed() >= least, "{path}: {:?}", start.elapsed());
        // One that waits because of its own speed is not in another's way.
        let mut beside = host.connect(path).await;
        assert_eq!(beside.ask("beside").await, "beside");
    }
}

// === how many ===

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
        // Those that are there notice nothing of it.
        assert_eq!(first.ask("first").await, "first");
        assert_eq!(second.ask("second").await, "second");
        // Another function shares only the host's limits.
        let other = asked(&host, "/other", "").await;
        if word.starts_with("host") {
            assert_eq!(other, refused(status, word));
        } else {
            assert_eq!(other, accepted());
        }
        // There is room again for exactly one when one ends.
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
            // More than this test asks for; one it begins is a token.
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
        // Ended at once: it is not their number that is limited.
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
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.requests = 2;
            server.request_timeout = 10 * PATIENCE;
        })
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(host.connect("/echo").await);
    }
    // Two that only sit there are all there may be.
    let first = Raw::connect(host.address).await;
    let second = Raw::connect(host.address).await;
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
    drop(first);
    assert!(third.head().await.starts_with("HTTP/1.1 101 "));
    third.send(&frame(TEXT, b"in")).await;
    assert_eq!(third.read_frame().await, (TEXT, b"in".into()));
    drop((second, third, open));
    host.nothing_is_left().await;
}

// === what waits to be written ===

const PUSHED_BYTES: usize = 16 * 1024;

fn pushed(number: u32) -> Message {
    let mut bytes = vec![0; PUSHED_BYTES];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Message::Binary(bytes.into())
}

fn number_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

/// Sends numbered messages to the only connection of a host, whose peer does
/// not read, until enough of them did not fit or `count` are sent. Says which
/// were taken.
async fn fill(host: &Host, count: u32) -> Vec<u32> {
    let connections = host.function("echo").hub().snapshot();
    let (mut taken, mut dropped) = (Vec::new(), 0);
    for number in 0..count {
        match connections[0].push(pushed(number)) {
            SendOutcome::Sent | SendOutcome::Queued(_) => taken.push(number),
            SendOutcome::Dropped => dropped += 1,
            SendOutcome::Gone => panic!("it was gone before message {number}"),
        }
        if dropped > 20 {
            break;
        }
        // What fits leaves for the kernel.
        connections[0].wake();
        tokio::task::yield_now().await;
    }
    taken
}

async fn filled(policy: OutboxOverflow) -> (Host, Raw) {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.outbox_bytes = 32 * PUSHED_BYTES;
            limit.outbox_overflow = policy;
        })
        .start()
        .await;
    let peer = Raw::narrow(host.address, "/echo").await;
    (host, peer)
}

/// Reads pushed messages until the answer to the last question.
async fn read_until_answered(peer: &mut Raw) -> Vec<u32> {
    let mut read = Vec::new();
    loop {
        match peer.read_frame().await {
            (BINARY, payload) => read.push(number_of(&payload)),
            other => {
                assert_eq!(other, (TEXT, b"still here".into()));
                return read;
            }
        }
    }
}

#[tokio::test]
async fn where_the_newest_is_dropped_the_rest_arrives_in_order() {
    let (host, mut peer) = filled(OutboxOverflow::DropNewest).await;
    let taken = fill(&host, 2000).await;
    // Those behind a dropped one are not dropped as soon as there is room.
    assert!(taken.len() > 32 && *taken.last().unwrap() < 1999);
    let mut read = Vec::new();
    while read.len() < taken.len() {
        read.push(number_of(&peer.read_frame().await.1));
    }
    assert_eq!(read, taken);
    peer.send(&frame(TEXT, b"still here")).await;
    assert_eq!(read_until_answered(&mut peer).await, [0; 0]);
    drop(peer);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn where_the_oldest_is_dropped_the_newest_arrives_in_order() {
    let (host, mut peer) = filled(OutboxOverflow::DropOldest).await;
    let count = 1000;
    let taken = fill(&host, count).await;
    // None was refused, and yet not all can arrive.
    assert_eq!(taken.len(), count as usize);
    let mut read = Vec::new();
    while read.last() != Some(&(count - 1)) {
        read.push(number_of(&peer.read_frame().await.1));
    }
    assert!(read.is_sorted() && read.len() < taken.len());
    // The last ones are all there: as many as the outbox holds, less what 64
    // bytes of bookkeeping for each cost.
    let last: Vec<_> = (count - 31..count).collect();
    assert_eq!(read[read.len() - 31..], last);
    peer.send(&frame(TEXT, b"still here")).await;
    assert_eq!(read_until_answered(&mut peer).await, [0; 0]);
    drop(peer);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn where_a_full_outbox_closes_the_peer_reads_why() {
    let (host, mut peer) = filled(OutboxOverflow::Close).await;
    let connections = host.function("echo").hub().snapshot();
    let filling = async {
        for number in 0.. {
            if connections[0].push(pushed(number)) == SendOutcome::Dropped {
                connections[0].wake();
                return;
            }
            connections[0].wake();
            tokio::task::yield_now().await;
        }
    };
    within("the outbox to be full", filling).await;
    // What had left before is read, then the close frame.
    let close = peer.read_close().await;
    assert_eq!(close, (1013, "outbox is full: read faster".into()));
    peer.send(&close_frame(1013, b"")).await;
    assert!(peer.is_ended().await);
    drop(peer);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn the_hosts_own_ping_does_not_overflow_an_outbox() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.outbox_bytes = 32 * PUSHED_BYTES;
            limit.outbox_overflow = OutboxOverflow::Close;
            limit.ping_interval = Duration::from_millis(100);
            limit.pong_timeout = PATIENCE;
        })
        .start()
        .await;
    let mut peer = Raw::narrow(host.address, "/echo").await;
    let connections = host.function("echo").hub().snapshot();
    let waits = || usize::try_from(connections[0].buffered_bytes()).unwrap();
    // Until the kernel takes no more, and then exactly to the edge: 64 bytes
    // are the bookkeeping of a message.
    let mut number = 0;
    while waits() + PUSHED_BYTES + 64 <= 31 * PUSHED_BYTES {
        connections[0].push(pushed(number));
        number += 1;
        connections[0].wake();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let rest = 32 * PUSHED_BYTES - waits() - 64;
    let last = connections[0].push(Message::Binary(vec![0xff; rest].into()));
    assert!(matches!(last, SendOutcome::Queued(_)), "{last:?}");
    // Some pings are due, and none of them fits.
    let mut beside = host.connect("/echo").await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        assert_eq!(beside.ask("beside").await, "beside");
    }
    for expected in 0..number {
        loop {
            match peer.read_frame().await {
                (PING, _) => {}
                (BINARY, payload) => {
                    assert_eq!(number_of(&payload), expected);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    peer.send(&frame(TEXT, b"still here")).await;
    while peer.read_frame().await != (TEXT, b"still here".into()) {}
}

#[tokio::test]
async fn what_waits_for_all_peers_together_is_bounded() {
    const MEBIBYTE: usize = 1024 * 1024;
    let host = Host::with(openline_guests::ECHO, "/a")
        .and(openline_guests::ECHO_ASYNC, "/b")
        .server(|server| server.outbox_bytes = 2 * MEBIBYTE)
        .start()
        .await;
    let mut first = Raw::narrow(host.address, "/a").await;
    let mut second = Raw::narrow(host.address, "/b").await;
    let connections = [
        host.function("echo").hub().snapshot().remove(0),
        host.function("echo-async").hub().snapshot().remove(0),
    ];
    // In turn, until one of them has no room although it has used less than
    // half of its own 8 MiB.
    let filling = async {
        for number in 0.. {
            for (index, connection) in connections.iter().enumerate() {
                let outcome = connection.push(pushed(number));
                connection.wake();
                if outcome == SendOutcome::Dropped {
                    return index;
                }
                // Counted in pieces; the first 4 KiB of each are free.
                let waits: u64 = connections.iter().map(|each| each.buffered_bytes()).sum();
                assert!(waits <= 2 * (MEBIBYTE + 4096) as u64, "{waits}");
                tokio::task::yield_now().await;
            }
        }
        unreachable!()
    };
    let full = within("the host's outbox to be full", filling).await;
    let waits = connections[1 - full].buffered_bytes();
    assert!(waits > MEBIBYTE as u64 / 2, "{waits}");
    let used = host.state().await["outbox_bytes"].as_u64().unwrap();
    assert!(used >= waits - 4096 && used <= 2 * MEBIBYTE as u64);
    // The one that asked for more is closed, and the other goes on.
    let (closed, stays) = if full == 0 {
        (&mut first, &mut second)
    } else {
        (&mut second, &mut first)
    };
    let close = closed.read_close().await;
    assert_eq!(close, (1013, "the host has too much to write".into()));
    stays.send(&frame(TEXT, b"still here")).await;
    while stays.read_frame().await != (TEXT, b"still here".into()) {}
    drop((first, second));
    host.nothing_is_left().await;
}

// === those who are slow ===

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
    // One answer behind the other, until the kernels take no more.
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
