//! Back-pressure as functions see it: bytes in an outbox, waiting for room,
//! pings, and pausing a peer.

use std::fs;
use std::time::Duration;

use futures_util::FutureExt;
use openline_core::limits::{BATCH_MESSAGES_MAX, OUTBOX_LOW_BYTES};
use openline_core::message::Message as Payload;
use openline_engine::inspect;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Closed, Host, HostBuilder, Raw, eventually, frame, runtime, within};

/// The size of the probes' messages, in bytes.
const MESSAGE_BYTES: usize = 16 * 1024;
/// More messages than the kernel holds for a peer that does not read and the
/// default outbox together.
const MANY: usize = 4096;
/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(600);

fn plain() -> HostBuilder {
    Host::with(openline_guests::FAULT_PRESSURE, "/pressure")
}

fn asynchronous() -> HostBuilder {
    Host::with(openline_guests::FAULT_PRESSURE_ASYNC, "/pressure")
}

/// A host with outboxes that hold everything that the probes send, and with
/// time for it.
fn roomy(builder: HostBuilder) -> HostBuilder {
    builder.limit(|limit| {
        limit.outbox_bytes = 2 * MANY * MESSAGE_BYTES;
        limit.cpu_timeout = NEVER;
        limit.handler_timeout = NEVER;
    })
}

/// The largest outbox of the host's connections, in bytes.
fn fullest(host: &Host, name: &str) -> u64 {
    let connections = host.function(name).hub().snapshot();
    let waiting = connections.iter().map(|each| each.buffered_bytes());
    waiting.max().unwrap_or(0)
}

/// Reads this many of the probe's messages.
async fn read(client: &mut Client, messages: usize) {
    for _ in 0..messages {
        assert_eq!(client.next().await.len(), MESSAGE_BYTES);
    }
}

#[tokio::test]
async fn a_function_sees_what_waits_in_an_outbox() {
    let host = roomy(plain()).start().await;
    let mut slow = host.connect("/pressure").await;
    let mut other = host.connect("/pressure").await;
    let id = slow.ask("id").await;
    assert_eq!(other.ask(&format!("buffered {id}")).await, "0");
    slow.text(&format!("flood {MANY}")).await;
    let all = MANY * (MESSAGE_BYTES + 64);
    eventually("the flood", || fullest(&host, "fault-pressure") > 0).await;
    let waiting: usize = other.ask(&format!("buffered {id}")).await.parse().unwrap();
    assert!((OUTBOX_LOW_BYTES..=all).contains(&waiting), "{waiting}");
    read(&mut slow, MANY).await;
    assert_eq!(slow.next_text().await, "ok");
    assert_eq!(other.ask(&format!("buffered {id}")).await, "0");
}

#[tokio::test]
async fn who_waits_for_room_can_send_more_than_an_outbox_holds() {
    for (builder, name) in [
        (plain(), "fault-pressure"),
        (asynchronous(), "fault-pressure-async"),
    ] {
        // Waiting does not count as computing.
        let builder = builder.limit(|limit| limit.cpu_timeout = Duration::from_millis(200));
        let host = builder.start().await;
        let mut slow = host.connect("/pressure").await;
        slow.text(&format!("stream {MANY}")).await;
        let low = u64::try_from(OUTBOX_LOW_BYTES).unwrap();
        eventually("a full outbox", || fullest(&host, name) > low).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        // The mark, and the message that passed it.
        let most = OUTBOX_LOW_BYTES + MESSAGE_BYTES + 64;
        assert!(fullest(&host, name) <= u64::try_from(most).unwrap());
        read(&mut slow, MANY).await;
        assert_eq!(slow.next_text().await, "ok", "{name}");
        assert_eq!(host.function(name).instances(), 1);
    }
}

#[tokio::test]
async fn while_one_asynchronous_call_waits_for_room_the_others_go_on() {
    let host = asynchronous().start().await;
    let mut slow = host.connect("/pressure").await;
    let mut other = host.connect("/pressure").await;
    slow.text(&format!("stream {MANY}")).await;
    let low = u64::try_from(OUTBOX_LOW_BYTES).unwrap();
    let name = "fault-pressure-async";
    eventually("a full outbox", || fullest(&host, name) > low).await;
    for number in 0..20 {
        assert_eq!(other.ask(&number.to_string()).await, number.to_string());
    }
    read(&mut slow, MANY).await;
    assert_eq!(slow.next_text().await, "ok");
    assert_eq!(host.function(name).instances(), 1);
}

#[tokio::test]
async fn waiting_for_room_counts_against_the_call() {
    for (builder, name) in [
        (plain(), "fault-pressure"),
        (asynchronous(), "fault-pressure-async"),
    ] {
        let builder = builder.limit(|limit| limit.handler_timeout = Duration::from_millis(300));
        let host = builder.start().await;
        let mut slow = host.connect("/pressure").await;
        let mut other = host.connect("/pressure").await;
        slow.text(&format!("stream {MANY}")).await;
        eventually("the end of the instance", || {
            host.function(name).instances() == 0
        })
        .await;
        let late = Closed {
            code: 1011,
            reason: "function fault: handler_timeout".into(),
        };
        assert_eq!(slow.closed().await, late, "{name}");
        assert_eq!(other.ask("after").await, "after", "{name}");
    }
}

#[tokio::test]
async fn who_waits_for_a_connection_that_ends_is_told_so() {
    for (builder, name) in [
        (plain(), "fault-pressure"),
        (asynchronous(), "fault-pressure-async"),
    ] {
        let host = roomy(builder).start().await;
        let mut slow = host.connect("/pressure").await;
        let id = slow.ask("id").await;
        let connections = host.function(name).hub().snapshot();
        let mut other = host.connect("/pressure").await;
        // Not through the function, whose instance must be free to wait.
        for _ in 0..MANY {
            connections[0].push(Payload::Binary(vec![0; MESSAGE_BYTES].into()));
        }
        connections[0].wake();
        // Messages that were sent before leave when the wait has begun.
        other.feed(Message::text("begun")).await;
        other.feed(Message::text(format!("wait {id}"))).await;
        other.flush().await;
        assert_eq!(other.next_text().await, "begun");
        slow.vanish();
        assert_eq!(other.next_text().await, "gone", "{name}");
    }
}

/// A call that waits keeps its stack, and each instance can have one.
#[tokio::test]
async fn as_many_calls_wait_at_once_as_there_may_be_instances() {
    const INSTANCES: u32 = 24;
    for (builder, name) in [
        (plain(), "fault-pressure"),
        (asynchronous(), "fault-pressure-async"),
    ] {
        let runtime = runtime(INSTANCES, |_| {});
        let alone = builder.instance(|instance| instance.concurrency = 1);
        let host = roomy(alone).start_on(&runtime).await;
        let mut slow = host.connect("/pressure").await;
        let id = slow.ask("id").await;
        let connections = host.function(name).hub().snapshot();
        for _ in 0..MANY {
            connections[0].push(Payload::Binary(vec![0; MESSAGE_BYTES].into()));
        }
        connections[0].wake();
        let mut waiting = Vec::new();
        for _ in 1..INSTANCES {
            let mut client = host.connect("/pressure").await;
            client.feed(Message::text("begun")).await;
            client.feed(Message::text(format!("wait {id}"))).await;
            client.flush().await;
            assert_eq!(client.next_text().await, "begun", "{name}");
            waiting.push(client);
        }
        assert_eq!(host.function(name).instances(), INSTANCES, "{name}");
        slow.vanish();
        for mut client in waiting {
            assert_eq!(client.next_text().await, "gone", "{name}");
        }
    }
}

#[tokio::test]
async fn a_ping_has_at_most_125_bytes() {
    let host = plain().start().await;
    let mut client = host.connect("/pressure").await;
    assert_eq!(client.ask("ping 125").await, "ok");
    assert_eq!(client.ask("ping 126").await, "invalid");
    assert_eq!(client.ask("ping 0").await, "ok");
}

#[tokio::test]
async fn a_ping_reaches_the_peer_in_its_turn_and_its_answer_is_measured() {
    let host = plain().start().await;
    let mut client = host.connect("/pressure").await;
    assert_eq!(client.ask("round-trip").await, "none");
    client.text("ping 125").await;
    let ping = client.next_frame().await.unwrap().unwrap();
    assert_eq!(ping, Message::Ping(vec![b'p'; 125].into()));
    assert_eq!(client.next_text().await, "ok");
    // The client has answered by itself, before this.
    let nanoseconds: u64 = client.ask("round-trip").await.parse().unwrap();
    assert!(nanoseconds > 0);
    assert!(Duration::from_nanos(nanoseconds) < crate::harness::PATIENCE);
}

#[tokio::test]
async fn a_paused_peer_waits_until_it_is_resumed() {
    let host = plain().start().await;
    let mut paused = host.connect("/pressure").await;
    let mut other = host.connect("/pressure").await;
    let id = paused.ask("id").await;
    assert_eq!(paused.ask("pause").await, "paused");
    paused.text("unread").await;
    for number in 0..20 {
        assert_eq!(other.ask(&number.to_string()).await, number.to_string());
    }
    assert!(paused.next().now_or_never().is_none());
    assert_eq!(other.ask(&format!("resume {id}")).await, "resumed");
    assert_eq!(paused.next_text().await, "unread");
    // Messages of the function still reach it, and its close waits.
    assert_eq!(paused.ask("pause").await, "paused");
    paused.close(1000, "done").await;
    for number in 0..20 {
        assert_eq!(other.ask(&number.to_string()).await, number.to_string());
    }
    assert_eq!(host.function("fault-pressure").hub().connections(), 2);
    assert_eq!(other.ask(&format!("resume {id}")).await, "resumed");
    assert_eq!(paused.closed().await.code, 1000);
}

#[tokio::test]
async fn what_was_read_with_the_batch_that_pauses_waits_as_well() {
    const TEXT: u8 = 0x81;
    let host = plain().start().await;
    let mut paused = Raw::upgraded(host.address, "/pressure").await;
    let mut other = host.connect("/pressure").await;
    paused.send(&frame(TEXT, b"id")).await;
    let id = String::from_utf8(paused.read_frame().await.1).unwrap();
    // One write, and so one read, of more than a batch.
    let count = 2 * BATCH_MESSAGES_MAX;
    let numbered = |number| format!("{number:>4}").into_bytes();
    let numbers: Vec<u8> = (0..count)
        .flat_map(|number| frame(TEXT, &numbered(number)))
        .collect();
    paused
        .send(&[frame(TEXT, b"pause"), numbers].concat())
        .await;
    assert_eq!(paused.read_frame().await, (TEXT, b"paused".into()));
    for number in 0..20 {
        assert_eq!(other.ask(&number.to_string()).await, number.to_string());
    }
    let mut answers = vec![0; 6 * count];
    // An error says that there are none yet.
    let before = paused.socket.try_read(&mut answers).unwrap_or(0);
    assert!(before <= 6 * (BATCH_MESSAGES_MAX - 1), "{before} bytes");
    assert_eq!(other.ask(&format!("resume {id}")).await, "resumed");
    within("the rest", paused.socket.read_exact(&mut answers[before..]))
        .await
        .unwrap();
    for (number, answer) in answers.chunks(6).enumerate() {
        assert_eq!(answer[2..], numbered(number));
    }
}

#[tokio::test]
async fn nothing_is_concluded_from_the_silence_of_a_paused_peer() {
    let host = plain()
        .limit(|limit| {
            limit.ping_interval = Duration::from_millis(50);
            limit.pong_timeout = Duration::from_millis(50);
            limit.idle_timeout = Duration::from_millis(200);
        })
        .start()
        .await;
    let mut paused = host.connect("/pressure").await;
    let id = paused.ask("id").await;
    assert_eq!(paused.ask("pause").await, "paused");
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut other = host.connect("/pressure").await;
    assert_eq!(other.ask(&format!("resume {id}")).await, "resumed");
    assert_eq!(paused.ask("still here").await, "still here");
}

#[tokio::test]
async fn a_function_imports_the_wait_of_its_kind_when_it_waits() {
    const PLAIN: &str = "openline:websocket/backpressure@0.2.0";
    const ASYNCHRONOUS: &str = "openline:websocket/async-backpressure@0.2.0";
    for (path, imported) in [
        (openline_guests::FAULT_PRESSURE, vec![PLAIN]),
        (openline_guests::FAULT_PRESSURE_ASYNC, vec![ASYNCHRONOUS]),
        (openline_guests::ECHO, vec![]),
        (openline_guests::ECHO_ASYNC, vec![]),
    ] {
        let imports = inspect(&fs::read(path).unwrap()).unwrap().imports;
        let waits = imports
            .iter()
            .filter(|import| import.contains("backpressure"));
        assert_eq!(waits.collect::<Vec<_>>(), imported, "{path}");
    }
}
