//! Things that a function keeps with its connections: tags, automatic
//! responses, alarms; and connections that sleep meanwhile.

use std::time::Duration;

use openline_core::auto_response::{AutoResponse, MatchKind};
use openline_core::limits::RateExceeded;
use openline_core::message::Message as Payload;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Closed, Host, HostBuilder, eventually};

const BOTH: [&str; 2] = [
    openline_guests::FAULT_KEEPER,
    openline_guests::FAULT_KEEPER_ASYNC,
];

fn keeper(component: &str) -> HostBuilder {
    Host::with(component, "/keeper")
}

fn name_of(component: &str) -> &str {
    let file = component.rsplit('/').next().unwrap();
    file.strip_suffix(".wasm").unwrap()
}

fn pair(request: &str, reply: &str) -> AutoResponse {
    AutoResponse {
        match_kind: MatchKind::Exact,
        request: Payload::Text(request.into()),
        reply: Payload::Text(reply.into()),
    }
}

/// Waits until none of the function's connections has buffers.
async fn asleep(host: &Host, name: &str) {
    let alias = host.function(name);
    let hub = alias.hub();
    eventually("all connections to sleep", || {
        hub.asleep() == hub.connections()
    })
    .await;
}

/// Waits until no instance of the function is left.
async fn hibernated(host: &Host, name: &str) {
    let alias = host.function(name);
    let commons = alias.commons();
    eventually("all instances to go", || commons.instances() == 0).await;
}

// === tags ===

#[tokio::test]
async fn connections_are_found_by_tag_in_order_and_page_by_page() {
    for component in BOTH {
        let host = keeper(component).start().await;
        let mut clients = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..7 {
            let mut client = host.connect("/keeper?tag=room&tag=all").await;
            ids.push(client.ask("id").await);
            clients.push(client);
        }
        let mut other = host.connect("/keeper?tag=hall").await;
        assert_eq!(other.ask("tags").await, "hall");
        let mut room = ids.clone();
        room.sort();
        assert_eq!(other.ask("by-tag room").await, room.join(" "));
        ids.push(other.ask("id").await);
        ids.sort();
        let first = other.ask("all 3").await;
        assert_eq!(first, ids[..3].join(" "));
        let second = other.ask(&format!("all 5 {}", ids[2])).await;
        assert_eq!(second, ids[3..].join(" "));
        assert_eq!(other.ask(&format!("all 5 {}", ids[7])).await, "");

        // Connections with other tags, or that have ended, are not found any
        // more.
        let leaving = clients[0].ask("id").await;
        assert_eq!(clients[1].ask("tag hall hall").await, "ok");
        assert_eq!(clients[1].ask("tags").await, "hall");
        room.retain(|id| *id != leaving);
        let moved = clients[1].ask("id").await;
        room.retain(|id| *id != moved);
        clients.remove(0).vanish();
        let alias = host.function(name_of(component));
        let hub = alias.hub();
        eventually("it to be gone", || hub.connections() == 7).await;
        assert_eq!(other.ask("by-tag room").await, room.join(" "));
        assert_eq!(other.ask("by-tag hall").await.split(' ').count(), 2);
    }
}

#[tokio::test]
async fn tags_at_their_number_and_one_past_it() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .limit(|limit| limit.tags = 2)
        .start()
        .await;
    let mut client = host.connect("/keeper?tag=a&tag=b").await;
    assert_eq!(client.ask("tag c d").await, "ok");
    assert_eq!(client.ask("tag c d e").await, "limit");
    assert_eq!(client.ask("tags").await, "c d");
    let refused = host.refused("/keeper?tag=a&tag=b&tag=c").await;
    assert_eq!(refused.status, 502, "{refused:?}");
}

#[tokio::test]
async fn what_all_connections_keep_together_at_its_bound_and_past_it() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .server(|server| server.attached_bytes = 4096)
        .start()
        .await;
    let large = "x".repeat(3000);
    let mut first = host.connect(&format!("/keeper?attach={large}")).await;
    let mut second = host.connect("/keeper").await;
    assert_eq!(second.ask(&format!("attach {large}")).await, "limit");
    assert_eq!(second.ask("attachment").await, "");
    assert_eq!(
        second.ask(&format!("auto ping {}", &large[..1500])).await,
        "limit"
    );
    let refused = host.refused(&format!("/keeper?attach={large}")).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(first.ask("attach").await, "ok");
    assert_eq!(second.ask(&format!("attach {large}")).await, "ok");
    // Its bytes are given back with the connection.
    second.vanish();
    let alias = host.function("fault-keeper");
    let hub = alias.hub();
    eventually("it to be gone", || hub.connections() == 1).await;
    assert_eq!(first.ask(&format!("attach {large}")).await, "ok");
}

// === automatic responses ===

#[tokio::test]
async fn the_host_answers_by_itself_and_wakes_no_instance() {
    for component in BOTH {
        let host = keeper(component)
            .instance(|instance| instance.idle_timeout = Duration::from_millis(50))
            .function(|function| function.auto_responses = vec![pair("configured", "yes")])
            .start()
            .await;
        let name = name_of(component);
        let mut client = host.connect("/keeper").await;
        hibernated(&host, name).await;
        assert_eq!(client.ask("configured").await, "yes");
        assert_eq!(host.function(name).commons().instances(), 0);

        assert_eq!(client.ask("auto ping pong").await, "ok");
        hibernated(&host, name).await;
        for _ in 0..3 {
            assert_eq!(client.ask("ping").await, "pong");
        }
        assert_eq!(host.function(name).commons().instances(), 0);
        assert_eq!(client.ask("auto-count").await, "4");
        assert_eq!(client.ask("configured").await, "what?", "it is replaced");
        // Text does not match binary, and a prefix is not an exact match.
        assert_eq!(client.ask("ping!").await, "what?");
        assert_eq!(client.ask("auto he hello prefix").await, "ok");
        assert_eq!(client.ask("help").await, "hello");
        assert_eq!(client.ask("ping").await, "what?");
    }
}

#[tokio::test]
async fn automatic_responses_at_their_number_and_size_and_past_them() {
    let host = keeper(openline_guests::FAULT_KEEPER).start().await;
    let mut client = host.connect("/keeper").await;
    assert_eq!(client.ask("autos 8").await, "ok");
    assert_eq!(client.ask("request-8").await, "reply-8");
    assert_eq!(client.ask("autos 9").await, "limit");
    assert_eq!(client.ask("request-8").await, "reply-8");
    let long = "x".repeat(2048);
    assert_eq!(client.ask(&format!("auto a {long}")).await, "ok");
    assert_eq!(client.ask("a").await, long);
    assert_eq!(client.ask(&format!("auto a {long}x")).await, "limit");
}

#[tokio::test]
async fn a_peer_that_asks_faster_than_it_reads_gets_all_answers_in_order() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .limit(|limit| limit.outbox_bytes = 64 * 1024)
        .start()
        .await;
    let mut client = host.connect("/keeper").await;
    assert_eq!(client.ask("autos 2").await, "ok");
    for round in 0..5_000 {
        let request = format!("request-{}", 1 + round % 2);
        client.feed(Message::text(request)).await;
    }
    client.flush().await;
    for round in 0..5_000 {
        assert_eq!(client.next_text().await, format!("reply-{}", 1 + round % 2));
    }
    assert_eq!(client.ask("auto-count").await, "5000");
}

// === alarms ===

#[tokio::test]
async fn an_alarm_comes_once_and_wakes_an_instance() {
    for component in BOTH {
        let host = keeper(component)
            .instance(|instance| instance.idle_timeout = Duration::from_millis(20))
            .start()
            .await;
        let mut client = host.connect("/keeper").await;
        for (name, time) in [("c", 450), ("a", 150), ("gone", 200), ("b", 9000)] {
            assert_eq!(client.ask(&format!("alarm {name} {time}")).await, "ok");
        }
        // One is moved, and one is cleared.
        assert_eq!(client.ask("alarm b 300").await, "ok");
        assert_eq!(client.ask("clear gone").await, "ok");
        let started = Instant::now();
        hibernated(&host, name_of(component)).await;
        for name in ["a", "b", "c"] {
            assert_eq!(client.next_text().await, format!("alarm {name} 1"));
        }
        assert!(started.elapsed() < Duration::from_secs(8));
        // Nothing else came before this.
        assert_eq!(client.ask("instance").await.len(), 16);
        // An alarm that is due at once goes after messages that wait with it.
        client.feed(Message::text("alarm now 0")).await;
        client.feed(Message::text("tags")).await;
        client.flush().await;
        let mut got = [
            client.next_text().await,
            client.next_text().await,
            client.next_text().await,
        ];
        got.sort();
        assert_eq!(got, ["", "alarm now 1", "ok"]);
    }
}

#[tokio::test]
async fn alarms_at_their_number_and_one_past_it() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .limit(|limit| limit.alarms = 2)
        .start()
        .await;
    let mut client = host.connect("/keeper").await;
    assert_eq!(client.ask("alarm a 100000").await, "ok");
    assert_eq!(client.ask("alarm b 100000").await, "ok");
    assert_eq!(client.ask("alarm c 100000").await, "limit");
    assert_eq!(client.ask("alarm a 200000").await, "ok");
}

#[tokio::test]
async fn an_alarm_comes_while_nothing_is_read() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .limit(|limit| {
            limit.messages_per_second = 1;
            limit.rate_exceeded = RateExceeded::Pause;
        })
        .start()
        .await;
    let mut client = host.connect("/keeper").await;
    // In one write, so that they are read together: reading pauses for half a
    // minute afterwards.
    client.feed(Message::text("alarm a 300")).await;
    for _ in 0..30 {
        client.feed(Message::text("tags")).await;
    }
    client.flush().await;
    let mut got = client.next_text().await;
    while got != "alarm a 1" {
        assert!(got.is_empty() || got == "ok", "{got}");
        got = client.next_text().await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_takes_its_alarms_along() {
    let host = keeper(openline_guests::FAULT_KEEPER).hasty().start().await;
    let mut client = host.connect("/keeper").await;
    assert_eq!(client.ask("alarm trap 1000").await, "ok");
    client.close(1000, "").await;
    assert_eq!(client.closed().await.code, 1000);
    // An alarm that traps would have ended another connection's instance.
    let mut other = host.connect("/keeper").await;
    let instance = other.ask("instance").await;
    assert_eq!(other.ask("alarm later 1500").await, "ok");
    assert_eq!(other.next_text().await, "alarm later 1");
    assert_eq!(other.ask("instance").await, instance);
}

// === terminate ===

#[tokio::test]
async fn a_terminated_connection_ends_without_a_close_frame() {
    for component in BOTH {
        let host = keeper(component).start().await;
        let mut client = host.connect("/keeper").await;
        client.text("terminate").await;
        let closed = client.closed().await;
        let expected = Closed {
            code: 1006,
            reason: String::new(),
        };
        assert_eq!(closed, expected);
        let state = host
            .until("it to be gone", |state| state["connections"]["open"] == 0)
            .await;
        assert_eq!(state["connections"]["ended"]["terminated"], 1, "{state}");
    }
}

// === sleep ===

async fn echo() -> Host {
    Host::with(openline_guests::ECHO, "/echo")
        .instance(|instance| instance.idle_timeout = Duration::from_millis(20))
        .start()
        .await
}

#[tokio::test]
async fn who_sleeps_answers_again_small_large_and_pings() {
    let host = echo().await;
    let mut client = host.connect("/echo").await;
    let large = vec![7; 1 << 20];
    for _ in 0..2 {
        asleep(&host, "echo").await;
        hibernated(&host, "echo").await;
        client.binary(&large).await;
        // Without showing it on failure, because it is a megabyte.
        assert!(client.next().await == Message::binary(large.clone()));
        asleep(&host, "echo").await;
        assert_eq!(client.ask("small").await, "small");
        asleep(&host, "echo").await;
        client.send(Message::Ping("are you there".into())).await;
        let pong = client.next_frame().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()));
    }
    assert_eq!(host.function("echo").hub().connections(), 1);
}

#[tokio::test]
async fn who_sleeps_is_written_to_and_ends_when_it_should() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub").start().await;
    let mut reader = host.connect("/hub").await;
    assert_eq!(reader.ask("subscribe news").await, "ok");
    let mut leaving = host.connect("/hub").await;
    let vanishing = host.connect("/hub").await;
    asleep(&host, "fault-hub").await;
    let mut sender = host.connect("/hub").await;
    assert_eq!(sender.ask("publish news one two").await, "1");
    assert_eq!(reader.next_text().await, "one two");
    leaving.close(4000, "bye").await;
    assert_eq!(leaving.closed().await.code, 4000);
    vanishing.vanish();
    let alias = host.function("fault-hub");
    let hub = alias.hub();
    eventually("two to be left", || hub.connections() == 2).await;
    asleep(&host, "fault-hub").await;
    let (left, closed) = tokio::join!(host.drain(), reader.closed());
    assert_eq!((left, closed.code), (0, 1001));
}

#[tokio::test]
async fn the_limits_of_time_hold_for_who_sleeps() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.ping_interval = Duration::from_millis(3500))
        .start()
        .await;
    let mut pinged = host.connect("/echo").await;
    asleep(&host, "echo").await;
    assert!(matches!(
        pinged.next_frame().await,
        Some(Ok(Message::Ping(_)))
    ));
    assert_eq!(pinged.ask("and on").await, "and on");

    let ended = async |change: fn(&mut openline_core::limits::FunctionLimits)| {
        let host = Host::with(openline_guests::ECHO, "/echo")
            .limit(change)
            .start()
            .await;
        let mut client: Client = host.connect("/echo").await;
        asleep(&host, "echo").await;
        client.closed().await
    };
    let silent = ended(|limit| {
        limit.ping_interval = Duration::from_millis(3500);
        limit.pong_timeout = Duration::from_millis(100);
        limit.connection_time = Duration::from_secs(4);
    });
    let (idle, up, silent) = tokio::join!(
        ended(|limit| limit.idle_timeout = Duration::from_millis(3500)),
        ended(|limit| limit.connection_time = Duration::from_millis(3500)),
        silent,
    );
    assert_eq!(idle.reason, "nothing came for idle_timeout");
    assert!(
        up.reason
            .starts_with("connection_time is up: come back after "),
        "{up:?}"
    );
    // The client answers pings while it waits for the end.
    assert!(
        silent.reason.starts_with("connection_time is up: "),
        "{silent:?}"
    );
}
