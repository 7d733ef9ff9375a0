//! Peers that break the rules of permessage-deflate, or send bombs.

use std::iter;

use openline_core::limits::{Compression, RateExceeded};

use super::{OFFER, echo, noise, words};
use crate::harness::{Compressing, Host, TEXT, close_frame, frame};

/// Frames of which a compressed text may consist.
const TEXT_BEGINS: u8 = 0x41;
const CONTINUES: u8 = 0x00;
const ENDS: u8 = 0x80;

/// A host that compresses, and a peer of it.
async fn pair() -> (Host, Compressing) {
    let host = echo(Compression::Shared).hasty().start().await;
    let peer = Compressing::open(host.address, "/echo", OFFER).await;
    (host, peer)
}

/// The code that the host answers to these bytes, behind a good message.
async fn code_for(host: &Host, bytes: &[u8]) -> u16 {
    let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
    let good = frame(TEXT, &peer.deflated(b"good"));
    peer.raw.send(&[&good[..], bytes].concat()).await;
    assert_eq!(peer.next_text().await, "good", "before a violation");
    let (code, _) = peer.raw.read_close().await;
    peer.raw.send(&close_frame(code, b"")).await;
    assert!(peer.raw.is_ended().await);
    code
}

#[tokio::test]
async fn each_frame_that_is_wrong_is_answered_with_its_code() {
    let (host, mut peer) = pair().await;
    let text = peer.deflated(words(1000).as_bytes());
    let (first, second) = text.split_at(text.len() / 2);
    // What cannot be a deflate stream: the third type of block does not exist.
    let third_type = [0b111, 0, 0];
    let not_utf8 = peer.deflated(b"caf\xe9");
    let half_utf8 = peer.deflated(&"ä".as_bytes()[..1]);
    let tail = [&text[..], &[0, 0, 0xff, 0xff]].concat();
    let cases: [(&str, Vec<u8>, u16); 12] = [
        (
            "RSV1 on a continuation",
            [frame(TEXT_BEGINS, first), frame(0xc0, second)].concat(),
            1002,
        ),
        ("a compressed ping", frame(0xc9, &text[..100]), 1002),
        ("a compressed close", frame(0xc8, &[3, 232]), 1002),
        ("RSV2", frame(0xa1, &text), 1002),
        ("RSV1 and RSV3", frame(0xd1, &text), 1002),
        ("no deflate stream", frame(TEXT, &third_type), 1007),
        ("a stream that ends early", frame(TEXT, first), 1007),
        ("a tail that should be left out", frame(TEXT, &tail), 1007),
        ("a payload without a byte", frame(TEXT, b""), 1007),
        ("noise", frame(0xc2, &noise(1000)), 1007),
        ("a text that is none", frame(TEXT, &not_utf8), 1007),
        ("half a letter", frame(TEXT, &half_utf8), 1007),
    ];
    for (what, bytes, code) in cases {
        assert_eq!(code_for(&host, &bytes).await, code, "{what}");
    }
    let ended = host.state().await["connections"]["ended"].clone();
    assert_eq!(ended["invalid_compression"], 5, "{ended}");
    assert_eq!(ended["protocol"], 5, "{ended}");
    assert_eq!(ended["invalid_text"], 2, "{ended}");
    peer.text("served").await;
    assert_eq!(peer.next_text().await, "served");
}

#[tokio::test]
async fn unusual_streams_are_read() {
    let (_host, mut peer) = pair().await;
    let text = words(1000);
    let deflated = peer.deflated(text.as_bytes());
    // Stored blocks, one for each byte.
    let mut stored: Vec<u8> = Vec::new();
    for byte in text.bytes() {
        stored.extend([0, 1, 0, 0xfe, 0xff, byte]);
    }
    stored.push(0);
    // A stream that ends with its message (RFC 7692 section 7.2.3.4).
    let mut ended = vec![1];
    let bytes = u16::try_from(text.len()).unwrap();
    ended.extend(bytes.to_le_bytes());
    ended.extend((!bytes).to_le_bytes());
    ended.extend(text.bytes());
    for payload in [deflated, stored, ended.clone(), [&ended[..], &[0]].concat()] {
        peer.raw.send(&frame(TEXT, &payload)).await;
        assert_eq!(peer.next_text().await, text);
    }
}

#[tokio::test]
async fn a_message_may_be_cut_anywhere_into_frames_and_reads() {
    let (_host, mut peer) = pair().await;
    let text = "Grüße, κόσμε 🎈";
    let deflated = peer.deflated(text.as_bytes());
    for cut in 0..=deflated.len() {
        let (first, second) = deflated.split_at(cut);
        let first = frame(TEXT_BEGINS, first);
        let empty = frame(CONTINUES, b"");
        // A ping may come in between, and is never compressed.
        let ping = frame(0x89, b"");
        let last = frame(ENDS, second);
        peer.raw.send(&[&first[..], &empty].concat()).await;
        peer.raw.send(&[&ping[..], &last].concat()).await;
        assert_eq!(peer.raw.read_frame().await, (0x8a, Vec::new()));
        assert_eq!(peer.next_text().await, text, "{cut}");
    }
    // And each byte comes by itself.
    for byte in frame(TEXT, &deflated) {
        peer.raw.send(&[byte]).await;
    }
    assert_eq!(peer.next_text().await, text);
}

/// A stream that becomes so many MiB of zeros, and is a thousandth of that.
fn bomb(peer: &mut Compressing, mebibytes: usize) -> Vec<u8> {
    let mut block = peer.deflated(&vec![0; 1024 * 1024]);
    block.extend([0, 0, 0xff, 0xff]);
    block.repeat(mebibytes)
}

#[tokio::test]
async fn a_gigabyte_behind_a_megabyte_is_refused_and_others_are_served() {
    let (host, mut peer) = pair().await;
    let bomb = bomb(&mut peer, 1024);
    assert!(bomb.len() < 1_200_000, "{}", bomb.len());
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let mut attacker = Compressing::open(host.address, "/echo", OFFER).await;
        attacker.raw.send(&frame(0xc2, &bomb)).await;
        attackers.push(attacker);
    }
    for number in 0..20 {
        let text = format!("served {number}");
        peer.text(&text).await;
        assert_eq!(peer.next_text().await, text);
    }
    for mut attacker in attackers {
        assert_eq!(attacker.raw.read_close().await.0, 1009);
    }
    drop(peer);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_message_is_as_large_as_message_bytes_after_decompression_and_no_larger() {
    let host = echo(Compression::Shared)
        .limit(|limit| limit.message_bytes = 1_000_000)
        .hasty()
        .start()
        .await;
    let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
    let text = "a".repeat(1_000_000);
    peer.text(&text).await;
    assert!(peer.next_text().await == text);
    peer.text(&format!("{text}a")).await;
    assert_eq!(peer.raw.read_close().await.0, 1009);
}

#[tokio::test]
async fn a_stream_that_never_ends_is_cut_off() {
    let host = echo(Compression::Shared)
        .limit(|limit| limit.message_bytes = 10_000)
        .hasty()
        .start()
        .await;
    let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
    // Empty blocks: five bytes each that become nothing.
    let blocks: Vec<u8> = iter::repeat_n([0, 0, 0, 0xff, 0xff], 200)
        .flatten()
        .collect();
    peer.raw.send(&frame(0x42, &blocks)).await;
    for _ in 0..20 {
        peer.raw.send(&frame(CONTINUES, &blocks)).await;
    }
    assert_eq!(peer.raw.read_close().await.0, 1009);
}

#[tokio::test]
async fn a_rate_counts_what_messages_become() {
    let host = echo(Compression::Shared)
        .limit(|limit| {
            limit.bytes_per_second = 200_000;
            limit.rate_exceeded = RateExceeded::Close;
        })
        .hasty()
        .start()
        .await;
    let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
    let text = "a".repeat(150_000);
    peer.text(&text).await;
    assert!(peer.next_text().await == text);
    // Both have less than a kilobyte on the wire.
    peer.text(&format!("{text}{text}")).await;
    let (code, reason) = peer.raw.read_close().await;
    assert_eq!((code, &*reason), (1008, "more than bytes_per_second"));
}
