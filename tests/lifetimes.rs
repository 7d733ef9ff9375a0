//! How long a connection may live, be silent, and leave a ping unanswered:
//! which connections end and how, and which similar ones do not.
//!
//! Times are short where something has to happen, and long compared with the
//! test's own steps where nothing may.

use std::time::Duration;

use futures_util::future::join;
use openline_core::limits::TimeUp;
use openline_core::message::Message as PushedMessage;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Host, PATIENCE, Raw, close_frame, eventually, frame, within};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Makes round trips until `time` has passed since `start`.
async fn talk_until(client: &mut Client, start: Instant, time: Duration) {
    while start.elapsed() < time {
        assert_eq!(client.ask("beside").await, "beside");
        tokio::time::sleep(milliseconds(5)).await;
    }
}

/// The messages to a watcher until its own time is up.
async fn told(watcher: &mut Client) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        match watcher.next().await {
            Message::Text(text) => told.push(text.as_str().to_owned()),
            Message::Close(_) => return told,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_whose_time_is_up_is_closed_with_1001_and_its_function_told_once() {
    let time = milliseconds(1500);
    let host = Host::with(openline_guests::FAULT_CLOSE, "/close")
        .limit(|limit| limit.connection_time = time)
        .start()
        .await;
    let start = Instant::now();
    let mut client = host.connect("/close").await;
    // Traffic does not make it longer. The watcher has the same time, but opens
    // later, so it is still there when the other's time is up.
    talk_until(&mut client, start, time / 2).await;
    let mut watcher = host.connect("/close?watch").await;
    let closed = client.closed().await;
    assert!(start.elapsed() >= time);
    assert_eq!(closed.code, 1001);
    let told_when = closed
        .reason
        .strip_prefix("connection_time is up: come back after ");
    let milliseconds = told_when.and_then(|rest| rest.strip_suffix(" ms"));
    let milliseconds: u32 = milliseconds.unwrap().parse().unwrap();
    assert!((500..=5450).contains(&milliseconds), "{closed:?}");
    drop(client);
    let told = told(&mut watcher).await;
    assert_eq!(told, [format!("closed 1001 Host {}", closed.reason)]);
    drop(watcher);
    let state = host.until("both to be counted", |state| {
        state["connections"]["ended"]["connection_time"] == 2
    });
    state.await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_message_in_flight_when_the_time_is_up_is_still_answered() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .limit(|limit| limit.connection_time = milliseconds(400))
        .start()
        .await;
    let mut client = host.connect("/sleep").await;
    // More than one batch, so the second waits behind the first.
    client.feed(Message::text("1000")).await;
    for number in 0..300 {
        client.feed(Message::text(format!("x{number}"))).await;
    }
    client.flush().await;
    assert_eq!(client.next_text().await, "1000");
    for number in 0..300 {
        assert_eq!(client.next_text().await, format!("x{number}"));
    }
    assert_eq!(client.closed().await.code, 1001);
}

#[tokio::test]
async fn time_that_is_up_may_end_a_connection_without_a_close_frame() {
    let time = milliseconds(1500);
    let host = Host::with(openline_guests::FAULT_CLOSE, "/close")
        .limit(|limit| {
            limit.connection_time = time;
            limit.time_up = TimeUp::Abort;
        })
        .start()
        .await;
    let start = Instant::now();
    let mut client = host.connect("/close").await;
    talk_until(&mut client, start, time / 2).await;
    let mut watcher = host.connect("/close?watch").await;
    assert_eq!(client.closed().await.code, 1006);
    assert!(start.elapsed() >= time);
    let told = watcher.next_text().await;
    assert_eq!(told, "closed 1006 Host connection_time is up");
    // Nothing else comes before the watcher's own time is up.
    assert_eq!(watcher.closed().await.code, 1006);
    drop((client, watcher));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn without_a_limit_a_connection_stays() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.connection_time = Duration::ZERO;
            limit.idle_timeout = Duration::ZERO;
            limit.ping_interval = Duration::ZERO;
            // These settings have no effect without the times to which they
            // belong.
            limit.time_warning = milliseconds(10);
            limit.pong_timeout = milliseconds(10);
        })
        .start()
        .await;
    let mut silent = Raw::upgraded(host.address, "/echo").await;
    let mut beside = host.connect("/echo").await;
    talk_until(&mut beside, Instant::now(), milliseconds(500)).await;
    silent.send(&frame(TEXT, b"still here")).await;
    // No ping comes before it.
    assert_eq!(
        silent.read_frame().await,
        (TEXT, b"still here".as_slice().into())
    );
}

#[tokio::test]
async fn a_warning_comes_once_before_the_end() {
    let (time, before) = (milliseconds(1200), milliseconds(600));
    for message in [None, Some("two minutes left")] {
        let host = Host::with(openline_guests::ECHO, "/echo")
            .limit(|limit| {
                limit.connection_time = time;
                limit.time_warning = before;
                if let Some(message) = message {
                    limit.time_warning_message = message.into();
                }
            })
            .start()
            .await;
        let start = Instant::now();
        let mut client = host.connect("/echo").await;
        let warning = message.unwrap_or("{\"type\":\"openline.time-warning\"}");
        assert_eq!(client.next_text().await, warning);
        assert!(start.elapsed() >= time - before);
        // The connection goes on, and the next unrequested frame is its end.
        assert_eq!(client.ask("so soon").await, "so soon");
        let last = client.next().await;
        assert!(matches!(last, Message::Close(Some(_))), "{last:?}");
        assert!(start.elapsed() >= time);
    }
}

#[tokio::test]
async fn a_warning_as_early_as_the_connection_comes_at_once() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.connection_time = Duration::from_secs(600);
            limit.time_warning = Duration::from_secs(700);
            limit.time_warning_message = "soon".into();
        })
        .start()
        .await;
    let mut client = host.connect("/echo").await;
    assert_eq!(client.next_text().await, "soon");
    assert_eq!(client.ask("only once").await, "only once");
}

#[tokio::test]
async fn silence_past_its_time_is_closed_with_1001() {
    let time = milliseconds(800);
    let host = Host::with(openline_guests::FAULT_CLOSE, "/close")
        .limit(|limit| limit.idle_timeout = time)
        .start()
        .await;
    let mut watcher = host.connect("/close?watch").await;
    let start = Instant::now();
    let mut silent = Raw::upgraded(host.address, "/close").await;
    let ended = async {
        let close = silent.read_close().await;
        assert!(start.elapsed() >= time);
        assert_eq!(close, (1001, "nothing came for idle_timeout".into()));
        silent.send(&close_frame(1001, b"")).await;
        assert!(silent.is_ended().await);
    };
    // The watcher sends all the time, and stays.
    let asking = async {
        loop {
            let answer = watcher.ask("beside").await;
            if answer != "beside" {
                return answer;
            }
        }
    };
    let ((), told) = join(ended, asking).await;
    assert_eq!(told, "closed 1001 Host nothing came for idle_timeout");
}

#[tokio::test]
async fn any_frame_or_part_of_one_is_no_silence() {
    let time = milliseconds(700);
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.idle_timeout = time;
            limit.ping_interval = Duration::ZERO;
        })
        .start()
        .await;
    let pong = frame(PONG, b"");
    let ping = frame(PING, b"");
    let message = frame(TEXT, &[b'x'; 100]);
    for kind in [pong.as_slice(), &ping, &message[..1]] {
        let mut peer = Raw::upgraded(host.address, "/echo").await;
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < 2 * time {
            let bytes = if kind.len() == 1 {
                // One byte at a time of a single message.
                &message[sent..=sent]
            } else {
                kind
            };
            peer.send(bytes).await;
            sent += 1;
            tokio::time::sleep(time / 20).await;
        }
        assert!(sent < message.len());
        if kind.len() == 1 {
            peer.send(&message[sent..]).await;
            assert_eq!(peer.read_frame().await, (TEXT, vec![b'x'; 100]));
        }
        peer.send(&close_frame(1000, b"")).await;
        assert_eq!(peer.read_close().await.0, 1000);
    }
}

#[tokio::test]
async fn only_a_silent_peer_is_pinged() {
    for pong_timeout in [Duration::ZERO, 10 * PATIENCE] {
        only_the_silent_is_pinged(pong_timeout).await;
    }
}

async fn only_the_silent_is_pinged(pong_timeout: Duration) {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.ping_interval = milliseconds(500);
            // A long time for the answer does not delay the next ping.
            limit.pong_timeout = pong_timeout;
        })
        .start()
        .await;
    let mut silent = Raw::upgraded(host.address, "/echo").await;
    let mut active = Raw::upgraded(host.address, "/echo").await;
    let start = Instant::now();
    // The library's client would answer pings and hide them.
    while start.elapsed() < milliseconds(1000) {
        active.send(&frame(TEXT, b"x")).await;
        assert_eq!(active.read_frame().await, (TEXT, b"x".into()));
        tokio::time::sleep(milliseconds(10)).await;
    }
    let (first, payload) = silent.read_frame().await;
    assert_eq!(first, PING);
    // There is one ping at a time, and after its answer comes another.
    silent.send(&frame(PONG, &payload)).await;
    let (first, next) = silent.read_frame().await;
    assert_eq!(first, PING);
    assert_ne!(payload, next);
}

#[tokio::test]
async fn a_peer_that_does_not_answer_a_ping_ends_without_a_close_frame() {
    let (interval, patience) = (milliseconds(300), milliseconds(900));
    let host = Host::with(openline_guests::FAULT_CLOSE, "/close")
        .limit(|limit| {
            limit.ping_interval = interval;
            limit.pong_timeout = patience;
        })
        .start()
        .await;
    let mut watcher = host.connect("/close?watch").await;
    let start = Instant::now();
    let mut dead = Raw::upgraded(host.address, "/close").await;
    let mut received = Vec::new();
    // The watcher reads meanwhile, and thereby answers its own pings.
    let (told, read) = join(
        watcher.next_text(),
        within(
            "the end of the dead",
            dead.socket.read_to_end(&mut received),
        ),
    )
    .await;
    assert!(start.elapsed() >= interval + patience);
    assert_eq!(
        told,
        "closed 1006 Host no answer to a ping for pong_timeout"
    );
    // In good order or not: one ping, and no close frame after it.
    let _ = read;
    assert_eq!((received[0], received.len()), (PING, 10));
    assert_eq!(watcher.ask("still here").await, "still here");
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.ping_interval = milliseconds(100);
            limit.pong_timeout = milliseconds(2000);
        })
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    for round in 0..15 {
        let (first, payload) = peer.read_frame().await;
        assert_eq!((first, payload.len()), (PING, 8));
        // Any bytes are an answer, even part of a frame.
        match round % 3 {
            0 => peer.send(&frame(PONG, &payload)).await,
            1 => peer.send(&frame(PONG, b"another")).await,
            _ => {
                let text = frame(TEXT, b"here");
                peer.send(&text[..3]).await;
                let (first, _) = peer.read_frame().await;
                assert_eq!(first, PING);
                peer.send(&text[3..]).await;
                assert_eq!(peer.read_frame().await, (TEXT, b"here".into()));
            }
        }
    }
}

#[tokio::test]
async fn a_peer_that_is_not_read_is_not_taken_for_dead() {
    // While the function is at work and a batch waits behind it, the host does
    // not read: the peer's answers stay in the kernel.
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .limit(|limit| {
            limit.ping_interval = milliseconds(50);
            limit.pong_timeout = milliseconds(150);
            limit.idle_timeout = milliseconds(400);
        })
        .start()
        .await;
    let mut client = host.connect("/sleep").await;
    client.feed(Message::text("2000")).await;
    for number in 0..700 {
        client.feed(Message::text(format!("x{number}"))).await;
    }
    client.flush().await;
    assert_eq!(client.next_text().await, "2000");
    for number in 0..700 {
        assert_eq!(client.next_text().await, format!("x{number}"));
    }
}

#[tokio::test]
async fn a_peer_whose_connection_is_paused_is_not_taken_for_dead() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.ping_interval = milliseconds(50);
            limit.pong_timeout = milliseconds(100);
            limit.idle_timeout = milliseconds(300);
        })
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    let connections = host.function("echo").hub().snapshot();
    connections[0].pause(true);
    connections[0].wake();
    peer.send(&frame(TEXT, b"waits")).await;
    // The peer is silent for several times as long as it may be.
    let mut beside = host.connect("/echo").await;
    talk_until(&mut beside, Instant::now(), milliseconds(1500)).await;
    connections[0].pause(false);
    connections[0].wake();
    loop {
        match peer.read_frame().await {
            (PING, _) => {}
            other => {
                assert_eq!(other, (TEXT, b"waits".into()));
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_paused_peer_is_pinged_and_found_when_it_has_gone() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.ping_interval = milliseconds(50);
            limit.pong_timeout = milliseconds(100);
        })
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    let function = host.function("echo");
    let hub = function.hub();
    let connections = hub.snapshot();
    connections[0].pause(true);
    connections[0].wake();
    // More pings than the one that may have left before the pause, all without
    // an answer.
    for _ in 0..4 {
        assert_eq!(peer.read_frame().await.0, PING);
    }
    assert_eq!(hub.connections(), 1);
    drop(peer);
    eventually("the host to find that it has gone", || {
        hub.connections() == 0
    })
    .await;
}

#[tokio::test]
async fn a_host_that_could_not_run_for_a_while_does_not_blame_its_peers() {
    let patience = milliseconds(500);
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.ping_interval = milliseconds(50);
            limit.pong_timeout = patience;
            limit.idle_timeout = patience;
        })
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    let (first, payload) = peer.read_frame().await;
    assert_eq!(first, PING);
    // The host and this test share one thread. When the host runs again and all
    // its times are over, the peer's answer is in the kernel.
    peer.send(&frame(PONG, &payload)).await;
    peer.send(&frame(TEXT, b"in time")).await;
    #[expect(
        clippy::disallowed_methods,
        reason = "the test needs a thread that serves nothing meanwhile"
    )]
    std::thread::sleep(2 * patience);
    let (first, payload) = peer.read_frame().await;
    let shown = String::from_utf8_lossy(&payload);
    assert_eq!(first, TEXT, "{shown}");
    assert_eq!(shown, "in time");
}

#[tokio::test]
async fn a_peer_that_reads_slowly_but_goes_on_is_not_taken_for_dead() {
    const MESSAGE_BYTES: usize = 16 * 1024;
    // Many times what the kernel takes, which is about 3 MB. The host sees of a
    // peer that only reads that the kernel takes more bytes.
    const MESSAGES: u32 = 768;
    let patience = milliseconds(2000);
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.outbox_bytes = 64 * 1024 * 1024;
            limit.ping_interval = milliseconds(100);
            limit.pong_timeout = patience;
        })
        .start()
        .await;
    let mut peer = Raw::upgraded(host.address, "/echo").await;
    let connections = host.function("echo").hub().snapshot();
    for _ in 0..MESSAGES {
        let message = PushedMessage::Binary(vec![7; MESSAGE_BYTES].into());
        connections[0].push(message);
    }
    connections[0].wake();
    // From here on the peer sends nothing until it has read everything, which
    // takes more than twice the time for the answer to a ping.
    let (start, each) = (Instant::now(), milliseconds(6));
    let (mut read, mut pings) = (0, Vec::new());
    while read < MESSAGES {
        match peer.read_frame().await {
            (PING, payload) => pings.push(payload),
            (CLOSE, payload) => panic!("closed after {read}: {payload:?}"),
            _ => read += 1,
        }
        let ahead = (each * read).saturating_sub(start.elapsed());
        tokio::time::sleep(ahead).await;
    }
    assert!(start.elapsed() >= 2 * patience);
    for payload in pings {
        peer.send(&frame(PONG, &payload)).await;
    }
    peer.send(&frame(TEXT, b"still here")).await;
    while peer.read_frame().await != (TEXT, b"still here".into()) {}
}
