//! Messages that functions have not handled and messages that are arriving, on
//! all connections together: the host's `received_bytes`.

use std::time::Duration;

use openline_core::close::{CloseInfo, CloseReason};
use openline_core::limits::{
    Compression, RECEIVED_FREE_BYTES, RECEIVED_SHARE_BYTES, RECEIVED_TIME,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Compressing, Host, HostBuilder, Raw, eventually, frame, frame_saying};

const OFFER: &str = "permessage-deflate";
const MIB: usize = 1024 * 1024;
/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(600);

/// A host whose connections hold a megabyte together.
fn small(builder: HostBuilder) -> HostBuilder {
    builder
        .server(|server| server.received_bytes = MIB)
        .limit(|limit| limit.message_bytes = MIB)
}

fn echo() -> HostBuilder {
    small(Host::with(openline_guests::ECHO, "/echo"))
}

/// How many bytes the host holds now.
fn held(host: &Host) -> usize {
    host.gateway.services().budget().received.used()
}

/// What a connection may hold past the host's bytes: a message that is
/// arriving, one that waits, and one that the function has, in whole pieces.
const ONE: usize = 3 * (MIB + RECEIVED_SHARE_BYTES);

#[tokio::test]
async fn many_large_messages_wait_for_room_and_none_is_lost() {
    let host = echo().start().await;
    let text = "x".repeat(MIB - 1000);
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(host.connect("/echo").await);
    }
    let mut tasks = Vec::new();
    for mut client in clients {
        let text = text.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..3 {
                assert!(client.ask(&text).await == text);
            }
            client
        }));
    }
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        let held = held(&host);
        assert!(held <= MIB + ONE, "{held}");
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    host.until("all room to be given back", |state| {
        state["received_bytes"] == 0
    })
    .await;
}

#[tokio::test]
async fn what_small_messages_become_waits_for_room_too() {
    let host = echo()
        .limit(|limit| limit.compression = Compression::Shared)
        .start()
        .await;
    let text = "x".repeat(MIB);
    let mut peers = Vec::new();
    for _ in 0..24 {
        let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
        peer.text(&text).await;
        peers.push(peer);
    }
    for mut peer in peers {
        let held = held(&host);
        assert!(held <= MIB + ONE, "{held}");
        assert!(peer.next_text().await == text);
    }
    host.until("all room to be given back", |state| {
        state["received_bytes"] == 0
    })
    .await;
}

/// Sends all of a large message but for so many bytes.
async fn begin(host: &Host, path: &str, missing: usize) -> Raw {
    let mut raw = Raw::upgraded(host.address, path).await;
    let bytes = u64::try_from(MIB).unwrap();
    let part = vec![0; MIB - missing];
    let frame = frame_saying(0x82, bytes, Some([0; 4]), &part);
    raw.send(&frame).await;
    raw
}

#[tokio::test]
async fn a_peer_that_stops_in_a_message_ends_when_others_wait_for_its_room() {
    let host = echo().start().await;
    let mut stopped = begin(&host, "/echo", 10 * 1024).await;
    eventually("most of a message", || held(&host) >= MIB - MIB / 8).await;
    // This one goes past what there is.
    let mut second = begin(&host, "/echo", 10 * 1024).await;
    eventually("a second one", || held(&host) > MIB).await;
    // Small messages need no room.
    let mut small = host.connect("/echo").await;
    assert_eq!(small.ask("small").await, "small");
    let text = "x".repeat(MIB);
    let mut waiting = host.connect("/echo").await;
    waiting.text(&text).await;
    let begun = tokio::time::Instant::now();
    let (code, reason) = tokio::select! {
        close = stopped.read_close() => close,
        close = second.read_close() => close,
    };
    assert_eq!(code, 1013);
    assert!(reason.contains("others waited"), "{reason}");
    // They had begun a little earlier.
    assert!(begun.elapsed() + Duration::from_secs(5) >= RECEIVED_TIME);
    assert!(waiting.next_text().await == text);
    assert_eq!(small.ask("small").await, "small");
    drop((stopped, second, small, waiting));
    host.nothing_is_left().await;
    assert_eq!(held(&host), 0);
}

#[tokio::test]
async fn peers_that_stop_far_from_the_end_do_not_keep_others_waiting() {
    let host = small(Host::with(openline_guests::FAULT_SLEEP, "/sleep"))
        .server(|server| server.received_bytes = 2 * MIB)
        .limit(|limit| limit.handler_timeout = NEVER)
        .start()
        .await;
    let mut stopped = Vec::new();
    for _ in 0..4 {
        stopped.push(begin(&host, "/sleep", MIB / 2).await);
    }
    eventually("their halves", || held(&host) >= 2 * MIB - MIB / 8).await;
    let text = "x".repeat(MIB);
    // The call of this one does not return, and its next message goes past.
    let mut past = host.connect("/sleep").await;
    past.text("600000").await;
    past.text(&text).await;
    let mut waiting = host.connect("/sleep").await;
    waiting.text(&text).await;
    let closes = stopped.iter_mut().map(|peer| Box::pin(peer.read_close()));
    let ((code, _), ..) = futures_util::future::select_all(closes).await;
    assert_eq!(code, 1013);
    assert!(waiting.next_text().await == text);
}

#[tokio::test]
async fn one_that_waits_and_ends_leaves_the_line() {
    let host = small(Host::with(openline_guests::FAULT_SLEEP, "/sleep"))
        .limit(|limit| limit.handler_timeout = NEVER)
        .server(|server| server.close_timeout = NEVER)
        .start()
        .await;
    let text = "x".repeat(MIB);
    let mut full = Vec::new();
    for _ in 0..2 {
        let mut client = host.connect("/sleep").await;
        client.text("600000").await;
        client.text(&text).await;
        full.push(client);
    }
    eventually("two messages", || held(&host) >= 2 * MIB - MIB / 8).await;
    let mut waiting = begin(&host, "/sleep", 10 * 1024).await;
    let function = host.function("fault-sleep");
    let budget = &host.gateway.services().table().services[0].budget.clone();
    eventually("one that waits", || budget.received.is_wanted()).await;
    for connection in function.hub().snapshot() {
        connection.end(CloseReason::Operator(CloseInfo {
            code: 1000,
            reason: String::new(),
        }));
    }
    assert_eq!(waiting.read_close().await.0, 1000);
    // The peer leaves the close unanswered.
    eventually("nobody to wait", || !budget.received.is_wanted()).await;
    drop((full, waiting));
}

#[tokio::test]
async fn a_peer_that_waits_for_room_is_not_taken_for_dead() {
    let host = echo()
        .limit(|limit| {
            limit.ping_interval = Duration::from_millis(100);
            limit.pong_timeout = Duration::from_millis(100);
        })
        .start()
        .await;
    let first = begin_ponging(&host).await;
    let second = begin_ponging(&host).await;
    eventually("both of them", || held(&host) > MIB).await;
    let text = "x".repeat(MIB);
    let mut waiting = host.connect("/echo").await;
    waiting.text(&text).await;
    // Many times longer than a peer that is heard may be silent.
    tokio::time::sleep(Duration::from_secs(2)).await;
    first.abort();
    assert!(waiting.next_text().await == text);
    second.abort();
}

/// A client in the middle of a large message, which answers pings.
async fn begin_ponging(host: &Host) -> tokio::task::JoinHandle<()> {
    let mut raw = begin(host, "/echo", 10 * 1024).await;
    tokio::spawn(async move {
        loop {
            let (first, payload) = raw.read_frame().await;
            if first == 0x89 {
                raw.send(&frame(0x8a, &payload)).await;
            }
        }
    })
}

#[tokio::test]
async fn a_function_that_holds_much_leaves_room_for_another() {
    let host = small(Host::with(openline_guests::FAULT_SLEEP, "/sleep"))
        .limit(|limit| limit.handler_timeout = NEVER)
        .and(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.message_bytes = MIB)
        .start()
        .await;
    // Messages that wait for a call which does not return.
    let mut holding = Vec::new();
    for _ in 0..4 {
        let mut client = host.connect("/sleep").await;
        client.text("600000").await;
        client.text(&"x".repeat(MIB / 2)).await;
        client.feed(Message::Text("x".repeat(MIB / 2).into())).await;
        holding.push(client);
    }
    let part = |host: &Host| held(host) >= MIB / 2;
    eventually("the function to hold its part", || part(&host)).await;
    let mut other = host.connect("/echo").await;
    let text = "x".repeat(MIB);
    for _ in 0..3 {
        assert!(other.ask(&text).await == text);
    }
    drop(holding);
}

#[tokio::test]
async fn at_what_a_connection_holds_for_free_and_one_past_it() {
    let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
        .limit(|limit| limit.handler_timeout = NEVER)
        .start()
        .await;
    let mut free = host.connect("/sleep").await;
    free.text("600000").await;
    free.text(&"x".repeat(RECEIVED_FREE_BYTES - "600000".len()))
        .await;
    let mut past = host.connect("/sleep").await;
    past.text("600000").await;
    past.text(&"x".repeat(RECEIVED_FREE_BYTES + 1 - "600000".len()))
        .await;
    eventually("one piece", || held(&host) == RECEIVED_SHARE_BYTES).await;
    let mut again = host.connect("/sleep").await;
    assert_eq!(again.ask("again").await, "again");
    assert_eq!(held(&host), RECEIVED_SHARE_BYTES);
}

#[tokio::test]
async fn a_peer_that_is_held_for_its_rate_has_no_more_time_for_its_message() {
    let host = echo()
        .limit(|limit| limit.messages_per_second = 5)
        .start()
        .await;
    // What is missing never comes; pings do, always past the rate.
    let stopped = [begin_pinging(&host).await, begin_pinging(&host).await];
    eventually("both of them", || held(&host) > MIB).await;
    let text = "x".repeat(MIB);
    let mut waiting = host.connect("/echo").await;
    waiting.text(&text).await;
    let (code, ..) = futures_util::future::select_all(stopped).await;
    assert_eq!(code.unwrap(), 1013);
    assert!(waiting.next_text().await == text);
}

/// A client in the middle of a large message that pings ten times as often as
/// its rate allows; the code that ends it.
async fn begin_pinging(host: &Host) -> tokio::task::JoinHandle<u16> {
    let raw = begin(host, "/echo", 10 * 1024).await;
    let (mut reading, mut writing) = raw.socket.into_split();
    let pinging = tokio::spawn(async move {
        while writing.write_all(&frame(0x89, b"")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    tokio::spawn(async move {
        let mut frame = [0; 2];
        loop {
            reading.read_exact(&mut frame).await.unwrap();
            if frame[0] == 0x88 {
                pinging.abort();
                return reading.read_u16().await.unwrap();
            }
            assert_eq!(frame, [0x8a, 0], "a pong");
        }
    })
}
