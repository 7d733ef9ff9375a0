//! Peers and functions that misbehave, many times and for long: the host
//! refuses it, others are not affected, and nothing is left behind.

use std::time::Duration;

use openline_core::limits::FunctionLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Client, HANDSHAKE, Host, Raw, close_frame, frame, within};

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first frame of a binary in fragments, one in the middle, the last.
const FIRST: u8 = 0x02;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;

/// Makes this many round trips.
async fn is_served(client: &mut Client, times: u32) {
    for _ in 0..times {
        assert_eq!(client.ask("beside").await, "beside");
    }
}

/// The status of an answer; reads its body.
async fn status(raw: &mut Raw) -> u16 {
    let head = raw.head().await;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    within("a body", raw.socket.read_exact(&mut body))
        .await
        .unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn thousands_of_refused_handshakes_leave_nothing() {
    const ROUNDS: u64 = 125;
    const PEERS: u64 = 10;
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    let right = |path: &str| HANDSHAKE.replace("{path}", path);
    let kinds = [
        (right("/nothing"), 404, "not_found"),
        (right("/reject?status=403&body=no"), 403, ""),
        (right("/reject?status=101"), 502, "bad_answer"),
        (
            right("/reject").replace("Version: 13", "Version: 12"),
            426,
            "unsupported_version",
        ),
    ];
    let mut beside = host.connect("/reject").await;
    let before = host.state().await;
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        peers.push(Raw::connect(host.address).await);
    }
    for round in 0..ROUNDS {
        for peer in &mut peers {
            for (request, expected, _) in &kinds {
                peer.send(request.as_bytes()).await;
                assert_eq!(status(peer).await, *expected, "round {round}");
            }
        }
        is_served(&mut beside, 1).await;
    }
    // A peer that was refused this often may still be accepted.
    for peer in &mut peers {
        peer.upgrade("/reject").await;
    }
    drop(peers);
    let only = |state: &serde_json::Value| state["connections"]["open"] == 1;
    let state = host.until("one connection", only).await;
    for (_, _, word) in &kinds[..] {
        let refused = &state["handshakes"]["refused"][word];
        if !word.is_empty() {
            assert_eq!(refused.as_u64(), Some(ROUNDS * PEERS), "{word}");
        }
    }
    let tasks = |state: &serde_json::Value| state["tasks"].as_u64().unwrap();
    let settled = |state: &serde_json::Value| tasks(state) <= tasks(&before);
    host.until("no task to be left", settled).await;
    drop(beside);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_compressed_frame_is_a_violation_as_compression_was_not_agreed() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let mut beside = host.connect("/echo").await;
    let mut peer = Raw::connect(host.address).await;
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let request = HANDSHAKE.replace("{path}", "/echo");
    peer.send(request.replace("\r\n\r\n", offer).as_bytes())
        .await;
    let head = peer.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    // The `Hello` of RFC 7692 section 7.2.3.1.
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    peer.send(&frame(0xc1, &hello)).await;
    assert_eq!(peer.read_close().await.0, 1002);
    peer.send(&close_frame(1002, b"")).await;
    assert!(peer.is_ended().await);
    is_served(&mut beside, 1).await;
    drop((peer, beside));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_and_others_are_served() {
    const PINGS: usize = 100_000;
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let mut beside = host.connect("/echo").await;
    let flooding = Raw::upgraded(host.address, "/echo").await;
    let (mut reading, mut writing) = flooding.socket.into_split();
    let pings = frame(PING, b"alive?").repeat(100);
    let writing = tokio::spawn(async move {
        for _ in 0..PINGS / 100 {
            writing.write_all(&pings).await.unwrap();
        }
        let last = [frame(PING, b"last"), close_frame(1000, b"")];
        writing.write_all(&last.concat()).await.unwrap();
        writing
    });
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        reading.read_to_end(&mut read).await.unwrap();
        read
    });
    is_served(&mut beside, 200).await;
    within("all pings to be sent", writing).await.unwrap();
    let read = within("the answers", reading).await.unwrap();
    // One pong for several pings is allowed (RFC 6455 section 5.5.3); the last
    // is answered, and so is the close after it.
    let tail = [[PONG, 4].as_slice(), b"last", &[0x88, 2, 3, 232]].concat();
    assert!(read.ends_with(&tail), "{:x?}", &read[read.len() - 20..]);
    assert!(read.len() <= PINGS * 8 + tail.len());
    is_served(&mut beside, 1).await;
    drop(beside);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn pongs_for_a_peer_that_does_not_read_are_not_gathered() {
    // The kernels take some megabytes, and this is far more.
    const SENT_BYTES: usize = 48 * 1024 * 1024;
    const KERNEL_BYTES: usize = 24 * 1024 * 1024;
    let host = Host::with(openline_guests::ECHO, "/echo")
        // The maximum, so that only the bound on pings holds.
        .limit(|limit| limit.message_bytes = 64 * 1024 * 1024)
        .start()
        .await;
    let mut beside = host.connect("/echo").await;
    let mut flooding = Raw::upgraded(host.address, "/echo").await;
    let pings = frame(PING, &[7; 125]).repeat(100);
    // Either the host takes them all and answers some, or it stops reading.
    let mut sent = 0;
    while sent < SENT_BYTES {
        let rest = &pings[sent % pings.len()..];
        let writing = flooding.socket.write(rest);
        match tokio::time::timeout(Duration::from_secs(1), writing).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => break,
        }
    }
    is_served(&mut beside, 10).await;
    // When the peer begins to read, it gets what the host has kept, until
    // nothing comes for a while.
    let mut kept = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let reading = flooding.socket.read(&mut buffer);
        match tokio::time::timeout(Duration::from_secs(1), reading).await {
            Ok(read) => {
                let read = read.unwrap();
                assert!(read > 0, "the host ended the connection");
                kept += read;
            }
            Err(_) => break,
        }
        assert!(kept <= KERNEL_BYTES, "of {sent} bytes it kept {kept}");
    }
    drop((flooding, beside));
    host.nothing_is_left().await;
}

/// A message in fragments of one byte.
fn one_byte_fragments(bytes: usize) -> Vec<u8> {
    let mut frames = frame(FIRST, b"x");
    for _ in 0..bytes - 2 {
        frames.extend(frame(MIDDLE, b"x"));
    }
    frames.extend(frame(LAST, b"x"));
    frames
}

#[tokio::test]
async fn a_large_message_in_fragments_of_one_byte_is_whole_where_they_may_be_so_many() {
    const BYTES: usize = 1024 * 1024;
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.fragments = u32::try_from(BYTES).unwrap())
        .start()
        .await;
    let mut beside = host.connect("/echo").await;
    let peer = Raw::upgraded(host.address, "/echo").await;
    let (mut reading, mut writing) = peer.socket.into_split();
    let sending = tokio::spawn(async move {
        let frames = one_byte_fragments(BYTES);
        writing.write_all(&frames).await.unwrap();
        writing
    });
    is_served(&mut beside, 50).await;
    let mut header = [0; 10];
    let answered = async {
        reading.read_exact(&mut header).await.unwrap();
        let mut payload = vec![0; BYTES];
        reading.read_exact(&mut payload).await.unwrap();
        payload
    };
    let payload = within("the answer", answered).await;
    assert_eq!(header[..2], [BINARY, 127]);
    assert_eq!(header[2..], (BYTES as u64).to_be_bytes());
    assert!(payload.iter().all(|byte| *byte == b'x'));
    drop((beside, reading, sending.await.unwrap()));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn fragments_of_one_byte_are_too_many_by_default() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let mut beside = host.connect("/echo").await;
    let most = FunctionLimits::default().fragments as usize;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    let at = one_byte_fragments(most);
    peer.send(&at).await;
    let mut answer = vec![0; 10 + most];
    within("the answer", peer.socket.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer[..2], [BINARY, 127]);
    peer.send(&one_byte_fragments(most + 1)).await;
    let close = peer.read_close().await;
    assert_eq!(
        close,
        (1008, "message has more than fragments frames".into())
    );
    peer.send(&close_frame(1008, b"")).await;
    assert!(peer.is_ended().await);
    is_served(&mut beside, 1).await;
    drop((peer, beside));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_function_that_rejects_with_a_huge_body_is_a_502() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    let mut beside = host.connect("/reject").await;
    for bytes in [10 * 1024 * 1024, 1024 * 1024] {
        let path = format!("/reject?status=403&body_bytes={bytes}");
        let mut raw = Raw::connect(host.address).await;
        let request = HANDSHAKE.replace("{path}", &path);
        raw.send(request.as_bytes()).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert!(head.contains("\r\nopenline-error-type: "), "{head}");
    }
    is_served(&mut beside, 1).await;
    drop(beside);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn peers_that_vanish_in_the_middle_of_anything_leave_nothing() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let mut beside = host.connect("/echo").await;
    let handshake = HANDSHAKE.replace("{path}", "/echo").into_bytes();
    let message = frame(BINARY, &vec![7; 10_000]);
    let all = [handshake, message.clone(), message, close_frame(1000, b"")].concat();
    for round in 0..300 {
        let mut peer = Raw::connect(host.address).await;
        let end = all.len() * round / 299;
        peer.send(&all[..end]).await;
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        if round % 2 == 0 {
            peer.socket.set_zero_linger().unwrap();
        }
        drop(peer);
    }
    is_served(&mut beside, 1).await;
    drop(beside);
    host.nothing_is_left().await;
}

/// Reads this many echoes; each must be the next of a sequence.
async fn reads_echoes_in_order(raw: &mut Raw, echoes: u32) {
    let mut next = 0_u32;
    while next < echoes {
        let (first, payload) = raw.read_frame().await;
        if first == PONG {
            continue;
        }
        assert_eq!(first, BINARY);
        assert_eq!(payload[..4], next.to_be_bytes());
        next += 1;
    }
}

/// A message with its place in a sequence, of this size.
fn numbered(number: u32, bytes: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(bytes.max(4), 0x5a);
    frame(BINARY, &payload)
}

#[tokio::test]
async fn nothing_is_lost_wherever_a_read_ends() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    // Writes of many sizes, up to that of the read buffer, end at every possible
    // place of a frame.
    let mut sent = Vec::new();
    let mut messages = 0;
    for round in 0..400_usize {
        sent.extend(numbered(messages, 4 + round * 37 % 3000));
        messages += 1;
    }
    let mut rest = &sent[..];
    for size in [2047, 2048, 2049, 4096, 8192, 16_384, 32_768, 65_536]
        .into_iter()
        .cycle()
    {
        let (now, later) = rest.split_at(size.min(rest.len()));
        peer.send(now).await;
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    reads_echoes_in_order(&mut peer, messages).await;
}

#[tokio::test]
async fn messages_between_pings_that_are_not_answered_yet_are_not_lost() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let peer = Raw::narrow(host.address, "/echo").await;
    // Far more than the kernels take: see the flood of pings above. Each frame
    // has 128 bytes, so that reads end between two frames.
    const ROUNDS: u32 = 12_000;
    let mut sent = Vec::new();
    for number in 0..ROUNDS {
        sent.extend(frame(PING, &[7; 122]).repeat(20));
        sent.extend(numbered(number, 122));
    }
    let (mut reading, mut writing) = peer.socket.into_split();
    // Until the host stops reading, because its answers are not read.
    let mut at = 0;
    while at < sent.len() {
        let part = &sent[at..sent.len().min(at + 2048)];
        let writing = writing.write(part);
        match tokio::time::timeout(Duration::from_millis(500), writing).await {
            Ok(written) => at += written.unwrap(),
            Err(_) => break,
        }
    }
    assert!(at < sent.len(), "it was not stopped");
    let sending = tokio::spawn(async move {
        for part in sent[at..].chunks(2048) {
            writing.write_all(part).await.unwrap();
        }
        writing
    });
    // The peer reads late, a little each time.
    let mut read = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut echoes = 0;
    while echoes < ROUNDS {
        tokio::task::yield_now().await;
        let some = within("an answer", reading.read(&mut buffer))
            .await
            .unwrap();
        assert!(some > 0, "the host ended the connection after {echoes}");
        read.extend_from_slice(&buffer[..some]);
        let mut at = 0;
        while let Some((frame, bytes)) = parsed(&read[at..]) {
            at += bytes;
            if let Some(number) = frame {
                assert_eq!(number, echoes);
                echoes += 1;
            }
        }
        read.drain(..at);
    }
    drop(within("all to be sent", sending).await.unwrap());
}

/// The number of an echo, or `None` for a pong; and the size of the frame.
fn parsed(bytes: &[u8]) -> Option<(Option<u32>, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, header) = match second {
        126 => (
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
            4,
        ),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(header..header + length)?;
    let number = (first == BINARY).then(|| u32::from_be_bytes(payload[..4].try_into().unwrap()));
    assert!(first == BINARY || first == PONG);
    Some((number, header + length))
}
