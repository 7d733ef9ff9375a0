//! The end of the host: accepted messages are answered, and all peers are told,
//! at a bounded pace and within a bounded time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::harness::{HANDSHAKE, Host, Raw, close_frame, eventually, frame, within};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Reads and answers the close of a host that shuts down.
async fn leave(mut peer: Raw) {
    let (code, reason) = peer.read_close().await;
    assert_eq!(code, 1001);
    assert!(
        reason.starts_with("host is shutting down: come back after "),
        "{reason}"
    );
    peer.send(&close_frame(1001, b"")).await;
    assert!(peer.is_ended().await);
}

#[tokio::test]
async fn what_has_been_read_when_a_drain_begins_is_answered_before_the_close() {
    for guest in [openline_guests::FAULT_SLEEP, openline_guests::FAULT_ASYNC] {
        let host = Host::with(guest, "/sleep").start().await;
        let mut peer = Raw::upgraded(host.address, "/sleep").await;
        // One call is in flight, and a batch is gathered behind it.
        peer.send(&frame(TEXT, b"700")).await;
        let mut batch = Vec::new();
        for number in 0..100 {
            batch.extend(frame(TEXT, format!("x{number}").as_bytes()));
        }
        batch.extend(frame(PING, b"read?"));
        peer.send(&batch).await;
        assert_eq!(peer.read_frame().await, (PONG, b"read?".into()));
        let answered = async {
            assert_eq!(peer.read_frame().await, (TEXT, b"700".into()));
            for number in 0..100 {
                let expected = format!("x{number}").into_bytes();
                assert_eq!(peer.read_frame().await, (TEXT, expected));
            }
            leave(peer).await;
        };
        let (left, ()) = tokio::join!(host.drain(), answered);
        assert_eq!(left, 0);
    }
}

/// A peer that sends numbered messages without a pause until the host closes,
/// and counts the answers, each of which must be the next one.
async fn numbers(peer: Raw, busy: Arc<AtomicU32>) -> u32 {
    let stop = Arc::new(AtomicBool::new(false));
    let (mut reading, mut writing) = peer.socket.into_split();
    let stopped = Arc::clone(&stop);
    let sending = tokio::spawn(async move {
        for number in 0_u32.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let message = frame(TEXT, format!("{number:08}").as_bytes());
            writing.write_all(&message).await.unwrap();
            // Other connections have their turn, too.
            tokio::task::yield_now().await;
        }
        writing.write_all(&close_frame(1001, b"")).await.unwrap();
        writing
    });
    let counted = async {
        let mut expected = 0;
        loop {
            let mut header = [0; 2];
            reading.read_exact(&mut header).await.unwrap();
            let mut payload = vec![0; usize::from(header[1])];
            reading.read_exact(&mut payload).await.unwrap();
            if header[0] == CLOSE {
                assert_eq!(payload[..2], 1001_u16.to_be_bytes());
                return expected;
            }
            assert_eq!(payload, format!("{expected:08}").into_bytes());
            expected += 1;
            if expected == 10 {
                busy.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let count = within("the close of a drain", counted).await;
    stop.store(true, Ordering::Relaxed);
    let mut rest = Vec::new();
    let ended = reading.read_to_end(&mut rest);
    within("the end of the stream", ended).await.unwrap();
    assert!(rest.is_empty(), "behind the close frame came {rest:?}");
    within("the rest to be sent", sending).await.unwrap();
    count
}

#[tokio::test]
async fn every_accepted_message_is_answered_while_the_host_ends() {
    const PEERS: usize = 50;
    for guest in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let host = Host::with(guest, "/echo").start().await;
        let busy = Arc::new(AtomicU32::new(0));
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            let peer = Raw::upgraded(host.address, "/echo").await;
            peers.push(tokio::spawn(numbers(peer, Arc::clone(&busy))));
        }
        eventually("all to be busy", || {
            busy.load(Ordering::Relaxed) as usize == PEERS
        })
        .await;
        assert_eq!(host.drain().await, 0);
        let mut counts = Vec::new();
        for peer in peers {
            counts.push(peer.await.unwrap());
        }
        assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn what_the_function_has_handled_by_the_end_was_answered() {
    // The counter answers with the number of messages: each message of a peer
    // is handled and answered exactly once.
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/counter/a").await;
    let mut batch = Vec::new();
    for _ in 0..200 {
        batch.extend(frame(TEXT, b"add 1"));
    }
    batch.extend(frame(PING, b"read?"));
    peer.send(&batch).await;
    let counted = async {
        let mut count = 0;
        loop {
            match peer.read_frame().await {
                (PONG, _) => {}
                (CLOSE, _) => break,
                (_, payload) => {
                    count += 1;
                    assert_eq!(payload, count.to_string().into_bytes());
                }
            }
        }
        peer.send(&close_frame(1001, b"")).await;
        assert!(peer.is_ended().await);
        drop(peer);
        count
    };
    let drained = async {
        tokio::task::yield_now().await;
        host.drain().await
    };
    let (left, count) = tokio::join!(drained, counted);
    assert_eq!(left, 0);
    // Sent in one piece, but read in pieces of the host's buffer.
    assert!((0..=200).contains(&count), "{count}");
}

/// Drains a host with this many peers. Returns how long after the beginning
/// each was told.
async fn told_after(per_second: u32, count: usize) -> Vec<Duration> {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.drain_connections_per_second = per_second;
            server.drain_timeout = Duration::from_secs(60);
        })
        .start()
        .await;
    let mut peers = Vec::new();
    for _ in 0..count {
        peers.push(Raw::upgraded(host.address, "/echo").await);
    }
    let start = Instant::now();
    let leaving: Vec<_> = peers
        .into_iter()
        .map(|peer| {
            tokio::spawn(async move {
                leave(peer).await;
                start.elapsed()
            })
        })
        .collect();
    assert_eq!(host.drain().await, 0);
    let mut told = Vec::new();
    for each in leaving {
        told.push(each.await.unwrap());
    }
    told.sort();
    told
}

#[tokio::test]
async fn connections_are_closed_at_the_pace_of_the_configuration() {
    // 50 at 100 a second take half a second, less the first.
    let told = told_after(100, 50).await;
    let spread = told[49] - told[0];
    assert!(spread >= Duration::from_millis(400), "{spread:?}");
    // The middle one comes neither with the first nor with the last.
    let half = told[25] - told[0];
    assert!(half >= Duration::from_millis(150), "{half:?}");
}

#[tokio::test]
async fn a_pace_of_a_few_a_second_is_kept_too() {
    // 11 at 10 a second: one second between the first and the last.
    let told = told_after(10, 11).await;
    let spread = told[10] - told[0];
    assert!(spread >= Duration::from_millis(800), "{spread:?}");
}

#[tokio::test]
async fn a_pace_that_would_take_too_long_is_faster() {
    // One a second would take minutes; half of the time is left for closing.
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.drain_connections_per_second = 1;
            server.drain_timeout = Duration::from_secs(6);
        })
        .start()
        .await;
    let mut leaving = Vec::new();
    for _ in 0..300 {
        let peer = Raw::upgraded(host.address, "/echo").await;
        leaving.push(tokio::spawn(leave(peer)));
    }
    assert_eq!(host.drain().await, 0);
    for each in leaving {
        each.await.unwrap();
    }
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_handler_longer_than_its_time() {
    let time = Duration::from_millis(500);
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .limit(|limit| limit.handler_timeout = Duration::from_secs(600))
        .server(|server| server.drain_timeout = time)
        .start()
        .await;
    let mut busy = Raw::upgraded(host.address, "/sleep").await;
    let both = [frame(TEXT, b"300000"), frame(PING, b"busy?")];
    busy.send(&both.concat()).await;
    assert_eq!(busy.read_frame().await, (PONG, b"busy?".into()));
    let idle = Raw::upgraded(host.address, "/sleep").await;
    let start = Instant::now();
    let (left, ()) = tokio::join!(host.drain(), leave(idle));
    assert_eq!(left, 1);
    assert!(start.elapsed() >= time);
}

#[tokio::test]
async fn a_handshake_that_is_being_decided_when_a_drain_begins_is_told() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .start()
        .await;
    let mut peer = Raw::connect(host.address).await;
    let request = HANDSHAKE.replace("{path}", "/sleep?decide=500");
    peer.send(request.as_bytes()).await;
    let function = host.function("fault-sleep");
    eventually("the function to be asked", || function.instances() == 1).await;
    let decided = async {
        let head = peer.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        leave(peer).await;
    };
    let (left, ()) = tokio::join!(host.drain(), decided);
    assert_eq!(left, 0);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn connections_that_are_not_read_are_told_too() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .and(openline_guests::ECHO_ASYNC, "/slow")
        .limit(|limit| limit.messages_per_second = 1)
        .start()
        .await;
    // One is paused, one has sent too fast, and one has sent half a message.
    let paused = Raw::upgraded(host.address, "/echo").await;
    let connections = host.function("echo").hub().snapshot();
    connections[0].pause(true);
    connections[0].wake();
    let mut fast = Raw::upgraded(host.address, "/slow").await;
    for _ in 0..50 {
        fast.send(&frame(TEXT, b"x")).await;
    }
    assert_eq!(fast.read_frame().await, (TEXT, b"x".into()));
    let mut half = Raw::upgraded(host.address, "/echo").await;
    half.send(&frame(TEXT, b"half of a message")[..9]).await;
    let told = async {
        tokio::join!(leave(paused), leave(fast), leave(half));
    };
    let (left, ()) = tokio::join!(host.drain(), told);
    assert_eq!(left, 0);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_host_without_connections_ends_at_once() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| server.drain_timeout = Duration::from_secs(600))
        .start()
        .await;
    assert_eq!(host.drain().await, 0);
    // A second call has nothing to do.
    assert_eq!(host.drain().await, 0);
}
