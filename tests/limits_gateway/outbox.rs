//! Messages that wait for peers that do not read, of one connection and of the
//! whole host; and what happens to those that do not fit.

use std::time::Duration;

use openline_core::event::SendOutcome;
use openline_core::limits::OutboxOverflow;
use openline_core::message::Message;
use tokio::time::Instant;

use crate::harness::{Host, PATIENCE, Raw, close_frame, frame, within};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

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
/// not read, until enough of them did not fit or `count` are sent. Returns the
/// accepted ones.
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
        // Messages that fit leave for the kernel.
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
    // Messages after a dropped one are accepted as soon as there is room.
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
    // The host refused no message, and yet not all can arrive.
    assert_eq!(taken.len(), count as usize);
    let mut read = Vec::new();
    while read.last() != Some(&(count - 1)) {
        read.push(number_of(&peer.read_frame().await.1));
    }
    assert!(read.is_sorted() && read.len() < taken.len());
    // The last ones all arrive: as many as the outbox holds with 64 bytes of
    // bookkeeping for each.
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
    // Messages that had left before are read, and then the close frame.
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
    // Until the kernel takes no more, and then exactly to the edge; the
    // bookkeeping of a message is 64 bytes.
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
    // The peer shows that it is alive, so that another ping is due soon, which
    // does not fit.
    peer.send(&frame(PONG, b"")).await;
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
    // In turn, until one of them has no room although it uses less than half of
    // its own 8 MiB.
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
    // The connection that needed more is closed, and the other goes on.
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
