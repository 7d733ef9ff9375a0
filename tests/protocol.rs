//! RFC 6455 from the peer's side, frame by frame: a violation is closed with
//! the right code and does not affect others, unusual but allowed frames are
//! served, and both sides complete the close handshake.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use openline_core::limits::BATCH_MESSAGES_MAX;

use crate::harness::{Host, Raw, frame, within};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first frame of a text in fragments, one in the middle, the last.
const FIRST: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;

/// The largest message of the hosts here, in bytes.
const MESSAGE_BYTES: usize = 1000;

async fn echo() -> Host {
    Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.message_bytes = MESSAGE_BYTES)
        .start()
        .await
}

/// A host whose function closes connections on request, and tells watchers how
/// others ended.
async fn closing() -> Host {
    Host::with(openline_guests::FAULT_CLOSE, "/close")
        .limit(|limit| limit.message_bytes = MESSAGE_BYTES)
        .start()
        .await
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A frame whose header announces `length` bytes, of which none follow.
fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// The bytes of each of these peers end its own connection with `code`, in good
/// order, and the function gets its `close`; another connection notices
/// nothing.
async fn each_is_closed_with(code: u16, peers: Vec<(&str, Vec<u8>)>) {
    let host = closing().await;
    let mut beside = host.connect("/close").await;
    let mut watcher = host.connect("/close?watch").await;
    for (what, bytes) in peers {
        let mut peer = Raw::upgraded(host.address, "/close").await;
        peer.send(&bytes).await;
        let (closed, reason) = peer.read_close().await;
        assert_eq!(closed, code, "{what}: {reason}");
        peer.send(&close(code, b"")).await;
        assert!(peer.is_ended().await, "{what}: the stream was reset");
        let told = watcher.next_text().await;
        assert!(
            told.starts_with(&format!("closed {code} Host ")),
            "{what}: {told}"
        );
        assert_eq!(beside.ask(what).await, what);
        let mut next = host.connect("/close").await;
        assert_eq!(next.ask(what).await, what);
        drop(next);
        assert_eq!(watcher.next_text().await, "closed 1006 Lost ");
    }
}

#[tokio::test]
async fn frames_that_break_the_protocol_are_closed_with_1002() {
    let mut peers = vec![
        ("unmasked", vec![TEXT, 2, b'h', b'i']),
        ("an unmasked ping", vec![PING, 0]),
        ("an unmasked close", vec![CLOSE, 2, 3, 232]),
        ("the first reserved bit", frame(TEXT | 0x40, b"a")),
        ("the second reserved bit", frame(TEXT | 0x20, b"a")),
        ("the third reserved bit", frame(TEXT | 0x10, b"a")),
        ("a reserved bit in a ping", frame(PING | 0x40, b"a")),
        ("a reserved bit in a close", frame(CLOSE | 0x10, &[3, 232])),
        ("a ping of 126 bytes", frame(PING, &[0; 126])),
        ("a pong of 126 bytes", frame(PONG, &[0; 126])),
        ("a close of 126 bytes", close(1000, &[b'r'; 124])),
        ("a ping in fragments", frame(PING & 0x0f, b"a")),
        ("a pong in fragments", frame(PONG & 0x0f, b"a")),
        ("a close in fragments", frame(CLOSE & 0x0f, &[3, 232])),
        ("a middle without a start", frame(MIDDLE, b"a")),
        ("an end without a start", frame(LAST, b"a")),
        (
            "a text within a text",
            [frame(FIRST, b"a"), frame(TEXT, b"b")].concat(),
        ),
        (
            "a binary within a text",
            [frame(FIRST, b"a"), frame(BINARY, b"b")].concat(),
        ),
        (
            "an end after the end",
            [frame(FIRST, b"a"), frame(LAST, b"b"), frame(LAST, b"c")].concat(),
        ),
    ];
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        peers.push(("a reserved opcode", frame(0x80 | opcode, b"a")));
    }
    // Section 5.2: the highest bit of a length is 0, and it takes the fewest
    // bytes.
    let long = [1 << 63, u64::MAX, 0, 125, 126, 0xffff].map(|length| header(BINARY, length));
    let short = [0, 125].map(|length| vec![BINARY, 0x80 | 126, 0, length, 0, 0, 0, 0]);
    peers.extend(long.map(|bytes| ("a length in eight bytes", bytes)));
    peers.extend(short.map(|bytes| ("a length in two bytes", bytes)));
    Box::pin(each_is_closed_with(1002, peers)).await;
}

#[tokio::test]
async fn a_bad_close_frame_is_closed_with_1002() {
    let mut peers = vec![("a close of one byte", frame(CLOSE, &[3]))];
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        peers.push(("a code that is never sent", close(code, b"")));
        peers.push(("the same with a reason", close(code, b"why")));
    }
    Box::pin(each_is_closed_with(1002, peers)).await;
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_closed_with_1007() {
    let peers = vec![
        ("one byte", frame(TEXT, b"\xff")),
        (
            "half a character",
            frame(TEXT, "gr\u{fc}".as_bytes()[..3].as_ref()),
        ),
        ("an overlong form", frame(TEXT, b"\xc0\xaf")),
        ("a surrogate", frame(TEXT, b"\xed\xa0\x80")),
        ("past the last character", frame(TEXT, b"\xf4\x90\x80\x80")),
        (
            "split over fragments",
            [frame(FIRST, b"ok \xce"), frame(LAST, b"\x41")].concat(),
        ),
        (
            "split over three fragments",
            [
                frame(FIRST, b"\xf4"),
                frame(MIDDLE, b"\x90"),
                frame(LAST, b"\x80\x80"),
            ]
            .concat(),
        ),
        (
            "half a character at the end of the fragments",
            [frame(FIRST, b"ok"), frame(LAST, b"\xce")].concat(),
        ),
        ("a reason", close(1000, b"\xff")),
    ];
    Box::pin(each_is_closed_with(1007, peers)).await;
}

#[tokio::test]
async fn a_message_past_its_bytes_is_closed_with_1009() {
    let past = MESSAGE_BYTES + 1;
    let peers = vec![
        ("a text", frame(TEXT, &vec![b'x'; past])),
        ("a binary", frame(BINARY, &vec![0; past])),
        (
            "by its fragments",
            [frame(FIRST, &[b'x'; 600]), frame(LAST, &[b'x'; 401])].concat(),
        ),
        (
            "by its last of many fragments",
            [
                frame(FIRST, b""),
                frame(MIDDLE, &vec![b'x'; past - 1]),
                frame(MIDDLE, b""),
                frame(LAST, b"x"),
            ]
            .concat(),
        ),
        ("by its header alone", header(BINARY, 1 << 40)),
        (
            "by its header, and all of it is there",
            [header(BINARY, 200_000), vec![0; 200_000]].concat(),
        ),
        ("by an absurd header", header(BINARY, u64::MAX >> 1)),
    ];
    Box::pin(each_is_closed_with(1009, peers)).await;
}

#[tokio::test]
async fn a_message_of_just_its_bytes_passes() {
    let host = echo().await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    let most = vec![b'x'; MESSAGE_BYTES];
    peer.send(&frame(TEXT, &most)).await;
    assert_eq!(peer.read_frame().await, (TEXT, most.clone()));
    // Bytes are counted, not characters.
    let wide = "\u{fc}".repeat(MESSAGE_BYTES / 2).into_bytes();
    peer.send(&frame(TEXT, &wide)).await;
    assert_eq!(peer.read_frame().await, (TEXT, wide));
    peer.send(&frame(FIRST, &most[..600])).await;
    peer.send(&frame(LAST, &most[600..])).await;
    assert_eq!(peer.read_frame().await, (TEXT, most));
    peer.send(&frame(BINARY, b"")).await;
    assert_eq!(peer.read_frame().await, (BINARY, Vec::new()));
}

#[tokio::test]
async fn fragments_arrive_as_one_message() {
    let host = echo().await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    peer.send(&frame(FIRST, b"")).await;
    peer.send(&frame(MIDDLE, b"a")).await;
    peer.send(&frame(MIDDLE, b"")).await;
    peer.send(&frame(LAST, b"bc")).await;
    assert_eq!(peer.read_frame().await, (TEXT, b"abc".to_vec()));
    peer.send(&frame(0x02, &[1, 255])).await;
    peer.send(&frame(LAST, b"")).await;
    assert_eq!(peer.read_frame().await, (BINARY, vec![1, 255]));
}

#[tokio::test]
async fn a_character_may_be_split_by_fragments() {
    let host = echo().await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    let text = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5} \u{1f600}";
    peer.send(&frame(FIRST, b"")).await;
    for byte in text.bytes() {
        peer.send(&frame(MIDDLE, &[byte])).await;
    }
    peer.send(&frame(LAST, b"")).await;
    assert_eq!(peer.read_frame().await, (TEXT, text.into()));
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() {
    let host = echo().await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    for payload in [vec![], b"alive?".to_vec(), vec![0xff; 125]] {
        peer.send(&frame(PING, &payload)).await;
        assert_eq!(peer.read_frame().await, (PONG, payload));
    }
    // An unsolicited pong is not answered.
    peer.send(&frame(PONG, b"unasked")).await;
    peer.send(&frame(TEXT, b"next")).await;
    assert_eq!(peer.read_frame().await, (TEXT, b"next".to_vec()));
}

#[tokio::test]
async fn a_ping_is_answered_between_fragments() {
    let host = echo().await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    peer.send(&frame(FIRST, b"a")).await;
    peer.send(&frame(PING, b"between")).await;
    assert_eq!(peer.read_frame().await, (PONG, b"between".to_vec()));
    peer.send(&frame(LAST, b"b")).await;
    assert_eq!(peer.read_frame().await, (TEXT, b"ab".to_vec()));
}

#[tokio::test]
async fn a_ping_is_answered_while_the_function_is_at_work() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/sleep").await;
    // One write: the handler cannot have returned when the ping is read.
    let both = [frame(TEXT, b"1000"), frame(PING, b"busy?")].concat();
    peer.send(&both).await;
    assert_eq!(peer.read_frame().await, (PONG, b"busy?".to_vec()));
    assert_eq!(peer.read_frame().await, (TEXT, b"1000".to_vec()));
}

#[tokio::test]
async fn a_ping_may_be_larger_than_a_message() {
    // `message_bytes` is about messages; RFC 6455 section 5.5 allows every
    // control frame 125 bytes.
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.message_bytes = 10)
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    peer.send(&frame(PING, &[7; 125])).await;
    assert_eq!(peer.read_frame().await, (PONG, vec![7; 125]));
    peer.send(&frame(TEXT, &[b'x'; 11])).await;
    assert_eq!(peer.read_close().await.0, 1009);
}

#[tokio::test]
async fn a_peer_that_sends_byte_by_byte_is_served_like_any_other() {
    let host = echo().await;
    let mut beside = host.connect("/echo").await;
    let mut slow = Raw::connect(host.address).await;
    let head = "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // Between any two bytes another connection makes a round trip, so the host
    // sees each byte alone.
    for byte in head.bytes() {
        slow.send(&[byte]).await;
        assert_eq!(beside.ask("beside").await, "beside");
    }
    assert!(slow.head().await.starts_with("HTTP/1.1 101 "));
    let frames = [
        frame(TEXT, b"slow"),
        frame(FIRST, "\u{fc}".as_bytes()),
        frame(PING, b"p"),
        frame(LAST, &[b'y'; 300]),
        close(1000, b"done"),
    ];
    for byte in frames.concat() {
        slow.send(&[byte]).await;
        assert_eq!(beside.ask("beside").await, "beside");
    }
    assert_eq!(slow.read_frame().await, (TEXT, b"slow".to_vec()));
    assert_eq!(slow.read_frame().await, (PONG, b"p".to_vec()));
    let long = format!("\u{fc}{}", "y".repeat(300)).into_bytes();
    assert_eq!(slow.read_frame().await, (TEXT, long));
    assert_eq!(slow.read_close().await, (1000, "done".into()));
    assert!(slow.is_ended().await);
}

#[tokio::test]
async fn a_close_of_the_peer_is_answered_with_its_code_and_the_stream_ends() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let longest = [b'r'; 123];
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ] {
        let mut peer = Raw::upgraded(host.address, "/close").await;
        peer.send(&close(code, b"bye")).await;
        assert_eq!(peer.read_close().await.0, code);
        assert!(peer.is_ended().await);
        assert_eq!(watcher.next_text().await, format!("closed {code} Peer bye"));
    }
    let mut peer = Raw::upgraded(host.address, "/close").await;
    peer.send(&close(1000, &longest)).await;
    assert_eq!(peer.read_close().await.0, 1000);
    assert!(peer.is_ended().await);
    let told = format!("closed 1000 Peer {}", "r".repeat(123));
    assert_eq!(watcher.next_text().await, told);
}

#[tokio::test]
async fn a_close_without_a_code_is_told_as_1005_and_answered() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let mut peer = Raw::upgraded(host.address, "/close").await;
    peer.send(&frame(CLOSE, b"")).await;
    let (first, payload) = peer.read_frame().await;
    assert_eq!(first, CLOSE);
    // 1005 must not be on the wire (RFC 6455 section 7.4.1).
    assert!(payload.is_empty() || payload == [3, 232], "{payload:?}");
    assert!(peer.is_ended().await);
    assert_eq!(watcher.next_text().await, "closed 1005 Peer ");
}

#[tokio::test]
async fn what_was_sent_right_before_the_peers_close_is_handled() {
    let host = Host::with(openline_guests::CHAT, "/chat/{room}")
        .start()
        .await;
    let mut other = host.connect("/chat/a?nick=other").await;
    assert_eq!(other.next_text().await, "* welcome to a, other: 1 here");
    for ending in [close(1000, b""), Vec::new()] {
        let mut peer = Raw::upgraded(host.address, "/chat/a?nick=ada").await;
        assert_eq!(other.next_text().await, "* ada joined");
        // More than one batch, with the end right after it.
        let mut bytes = Vec::new();
        for number in 0..600 {
            bytes.extend(frame(TEXT, number.to_string().as_bytes()));
        }
        bytes.extend(&ending);
        peer.send(&bytes).await;
        if ending.is_empty() {
            peer.socket.shutdown().await.unwrap();
        }
        for number in 0..600 {
            assert_eq!(other.next_text().await, format!("ada: {number}"));
        }
        assert_eq!(other.next_text().await, "* ada left");
    }
}

#[tokio::test]
async fn what_comes_after_the_peers_close_is_ignored() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let mut peer = Raw::upgraded(host.address, "/close").await;
    let frames = [
        close(1000, b"bye"),
        frame(TEXT, b"4001 late"),
        frame(PING, b"late"),
        // More than one read takes.
        vec![0xff; 100_000],
        close(4002, b"again"),
    ];
    peer.send(&frames.concat()).await;
    assert_eq!(peer.read_close().await, (1000, "bye".into()));
    let mut rest = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut peer.socket, &mut rest);
    within("the end of the stream", reading).await.unwrap();
    assert!(rest.is_empty(), "behind the close frame came {rest:?}");
    assert_eq!(watcher.next_text().await, "closed 1000 Peer bye");
    assert_eq!(watcher.ask("nothing more").await, "nothing more");
}

#[tokio::test]
async fn the_function_closes_with_its_code_and_the_host_waits_for_the_answer() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    for (code, reason) in [
        (1000, ""),
        (1008, "no"),
        (1014, "gateway"),
        (3000, "r"),
        (4999, &*"r".repeat(123)),
    ] {
        let mut peer = Raw::upgraded(host.address, "/close").await;
        // Messages that were sent before the close leave before it.
        peer.send(&frame(TEXT, b"first")).await;
        peer.send(&frame(TEXT, format!("{code} {reason}").as_bytes()))
            .await;
        assert_eq!(peer.read_frame().await, (TEXT, b"first".to_vec()));
        assert_eq!(peer.read_close().await, (code, reason.to_owned()));
        let told = format!("closed {code} Function {reason}");
        assert_eq!(watcher.next_text().await, told);
        // The host has long had the time to end the stream, and has not.
        for _ in 0..20 {
            assert_eq!(watcher.ask("time").await, "time");
        }
        let early = peer.socket.try_read(&mut [0]);
        assert_eq!(
            early.unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock,
            "the stream ended before the peer's answer"
        );
        peer.send(&close(code, b"")).await;
        assert!(peer.is_ended().await);
    }
}

#[tokio::test]
async fn a_close_that_cannot_be_sent_is_refused_and_the_connection_goes_on() {
    let host = closing().await;
    let mut client = host.connect("/close").await;
    for code in ["0", "999", "1004", "1005", "1006", "1015", "2999", "5000"] {
        let answer = client.ask(&format!("{code} bye")).await;
        assert!(
            answer.starts_with("refused ") && answer.contains(code),
            "{answer}"
        );
    }
    let answer = client.ask(&format!("1000 {}", "r".repeat(124))).await;
    assert!(answer.starts_with("refused "), "{answer}");
    assert_eq!(client.ask("still here").await, "still here");
}

#[tokio::test]
async fn the_first_close_wins() {
    let host = closing().await;
    let mut watcher = host.connect("/close?watch").await;
    let mut twice = Raw::upgraded(host.address, "/close").await;
    let both = [frame(TEXT, b"4001 first"), frame(TEXT, b"4002 second")];
    twice.send(&both.concat()).await;
    assert_eq!(twice.read_close().await, (4001, "first".into()));
    assert_eq!(watcher.next_text().await, "closed 4001 Function first");
    // The peer's close is there before the function is asked.
    let mut crossing = Raw::upgraded(host.address, "/close").await;
    let both = [frame(TEXT, b"4001 late"), close(1000, b"early")];
    crossing.send(&both.concat()).await;
    assert_eq!(crossing.read_close().await, (1000, "early".into()));
    assert!(crossing.is_ended().await);
    assert_eq!(watcher.next_text().await, "closed 1000 Peer early");
}

#[tokio::test]
async fn a_peer_that_does_not_answer_a_close_is_dropped() {
    let host = Host::with(openline_guests::FAULT_CLOSE, "/close")
        .hasty()
        .start()
        .await;
    let mut beside = host.connect("/close").await;
    let mut silent = Raw::upgraded(host.address, "/close").await;
    silent.send(&frame(TEXT, b"4001 bye")).await;
    assert_eq!(silent.read_close().await, (4001, "bye".into()));
    silent.is_ended().await;
    // A peer that keeps sending instead gets no more time.
    let mut talking = Raw::upgraded(host.address, "/close").await;
    talking.send(&frame(TEXT, b"4001 bye")).await;
    assert_eq!(talking.read_close().await, (4001, "bye".into()));
    let more = frame(TEXT, &[b'x'; 1000]);
    let writing = async { while talking.socket.write_all(&more).await.is_ok() {} };
    within("the stream to be cut off", writing).await;
    // Nor does one that answers and then keeps its side of the stream open.
    let mut open = Raw::upgraded(host.address, "/close").await;
    open.send(&frame(TEXT, b"4001 bye")).await;
    assert_eq!(open.read_close().await.0, 4001);
    open.send(&close(4001, b"")).await;
    assert!(open.is_ended().await);
    let writing = async { while open.socket.write_all(b"more").await.is_ok() {} };
    within("the stream to be cut off", writing).await;
    assert_eq!(beside.ask("still here").await, "still here");
}

#[tokio::test]
async fn a_close_is_not_delayed_by_a_handler_that_is_at_work() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .limit(|limit| limit.handler_timeout = Duration::from_secs(600))
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/sleep").await;
    // It sleeps for longer than the test waits.
    let both = [frame(TEXT, b"300000"), frame(PING, b"busy?")];
    peer.send(&both.concat()).await;
    assert_eq!(peer.read_frame().await, (PONG, b"busy?".to_vec()));
    peer.send(&close(1000, b"bye")).await;
    assert_eq!(peer.read_close().await, (1000, "bye".into()));
    assert!(peer.is_ended().await);
}

#[tokio::test]
async fn a_peer_that_talks_on_instead_of_answering_a_close_is_cut_off_by_its_bytes() {
    // Longer than the test waits, so only its messages can end it.
    let host = Host::with(openline_guests::FAULT_CLOSE, "/close")
        .server(|server| server.close_timeout = Duration::from_secs(600))
        .start()
        .await;
    let mut talking = Raw::upgraded(host.address, "/close").await;
    talking.send(&frame(TEXT, b"4001 bye")).await;
    assert_eq!(talking.read_close().await, (4001, "bye".into()));
    let more = frame(BINARY, &[0; 60_000]);
    let writing = async { while talking.socket.write_all(&more).await.is_ok() {} };
    within("the stream to be cut off", writing).await;
    let mut next = host.connect("/close").await;
    assert_eq!(next.ask("still here").await, "still here");
}

#[tokio::test]
async fn what_came_before_a_violation_is_answered_before_the_close() {
    // In one write, and so in one read: two valid messages, and a frame with a
    // reserved opcode, a text that is not UTF-8, or a message that is too long.
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.message_bytes = 100)
        .start()
        .await;
    for (wrong, code) in [
        (frame(0x83, b"reserved"), 1002),
        (frame(0x81, b"\xff\xfe"), 1007),
        (frame(0x82, &[0; 101]), 1009),
    ] {
        let mut raw = Raw::upgraded(host.address, "/echo").await;
        let mut bytes = frame(0x81, b"first");
        bytes.extend(frame(0x81, b"second"));
        bytes.extend(wrong);
        raw.send(&bytes).await;
        assert_eq!(raw.read_frame().await, (0x81, b"first".to_vec()));
        assert_eq!(raw.read_frame().await, (0x81, b"second".to_vec()));
        assert_eq!(raw.read_close().await.0, code);
        assert!(raw.is_ended().await);
    }
}

#[tokio::test]
async fn more_than_a_batch_before_a_violation_is_answered() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.message_bytes = 100;
            limit.fragments = 3;
        })
        .start()
        .await;
    // With the smallest messages, so that one read brings more than one batch.
    let before = frame(TEXT, b"").repeat(BATCH_MESSAGES_MAX + 50);
    let fragments = [FIRST, MIDDLE, MIDDLE, MIDDLE].map(|first| frame(first, b"x"));
    for (wrong, code) in [
        (frame(0x83, b"reserved"), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (fragments.concat(), 1008),
        (frame(BINARY, &[0; 101]), 1009),
    ] {
        let mut raw = Raw::upgraded(host.address, "/echo").await;
        raw.send(&[&before[..], &wrong].concat()).await;
        for number in 0..BATCH_MESSAGES_MAX + 50 {
            let answer = raw.read_frame().await;
            assert_eq!(answer, (TEXT, Vec::new()), "{number} before {code}");
        }
        assert_eq!(raw.read_close().await.0, code);
        assert!(raw.is_ended().await);
    }
}
