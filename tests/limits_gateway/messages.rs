//! How much a peer and a function may send: bytes, fragments, and rates.

use std::time::Duration;

use openline_core::limits::{BATCH_MESSAGES_MAX, OutboxOverflow, RateExceeded};
use tokio::time::Instant;

use crate::harness::{Host, Raw, close_frame, frame};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first frame of a binary in fragments, one in the middle, the last.
const FIRST: u8 = 0x02;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;

#[tokio::test]
async fn a_message_of_the_function_past_its_bytes_is_dropped_and_the_connection_stays() {
    // Messages of the guest.
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
            // Control frames between fragments do not count.
            bytes.extend(frame(PONG, b""));
            bytes.extend(frame(MIDDLE, b"m"));
        }
        bytes.extend(frame(LAST, b"l"));
        bytes
    };
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    // Each message has fragments of its own.
    for _ in 0..3 {
        peer.send(&fragments(10)).await;
        assert_eq!(peer.read_frame().await, (BINARY, b"fmmmmmmmml".into()));
    }
    // Messages before one with too many fragments are answered, and nothing
    // else is.
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
    // With the header of a frame: two bytes, two for the length, four for the
    // mask.
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
    const COUNT: u32 = 1500;
    const PAYLOAD_BYTES: usize = 94;
    /// With a header and a mask.
    const FRAME_BYTES: u32 = 100;
    const MESSAGES_PER_SECOND: u32 = 500;
    const BYTES_PER_SECOND: u32 = MESSAGES_PER_SECOND * FRAME_BYTES;
    // The most that one poll of a connection delivers is a batch; what it has
    // read besides waits until the batch is paid for. The test does not wait
    // for the pause after the last.
    let read_at_once_max = u32::try_from(BATCH_MESSAGES_MAX).unwrap();
    // About a second and a half. A busy machine only makes it longer.
    let paid = COUNT - MESSAGES_PER_SECOND - read_at_once_max;
    let least = Duration::from_secs(1) * paid / MESSAGES_PER_SECOND;
    let host = Host::with(openline_guests::ECHO, "/messages")
        .limit(|limit| limit.messages_per_second = MESSAGES_PER_SECOND)
        .and(openline_guests::ECHO_ASYNC, "/bytes")
        .limit(|limit| limit.bytes_per_second = BYTES_PER_SECOND as usize)
        .start()
        .await;
    for path in ["/messages", "/bytes"] {
        let numbered = |number| format!("{number:>PAYLOAD_BYTES$}").into_bytes();
        assert_eq!(frame(TEXT, &numbered(0)).len(), FRAME_BYTES as usize);
        let start = Instant::now();
        let mut peer = Raw::upgraded(host.address, path).await;
        for number in 0..COUNT {
            peer.send(&frame(TEXT, &numbered(number))).await;
        }
        for number in 0..COUNT {
            assert_eq!(peer.read_frame().await, (TEXT, numbered(number)), "{path}");
        }
        let elapsed = start.elapsed();
        assert!(elapsed >= least, "{path}: {elapsed:?}, at least {least:?}");
        // A connection that waits because of its own speed does not affect
        // others.
        let mut beside = host.connect(path).await;
        assert_eq!(beside.ask("beside").await, "beside");
    }
}
