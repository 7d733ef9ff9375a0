//! Functions that fail: what ends, what goes on, and what the peers see.
//!
//! A fault ends one instance. Connections with a call in flight on it are
//! closed with 1011 and a reason that names the limit; every other connection
//! stays, and a new instance handles its next event.

use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Closed, Host, PATIENCE, eventually};

const MEBIBYTE: usize = 1024 * 1024;
/// Longer than any test waits: anything with this limit ends in time only if
/// something else ends it.
const NEVER: Duration = Duration::from_secs(600);

/// The end of a connection whose call failed.
fn fault(what: &str) -> Closed {
    Closed {
        code: 1011,
        reason: format!("function fault: {what}"),
    }
}

/// Opens two connections on one instance and makes one of them fail. The other
/// goes on: an instance is never entered again after a fault, so a new one
/// answers.
async fn one_fails_and_the_other_goes_on(host: &Host, name: &str, message: &str, what: &str) {
    let path = format!("/{name}");
    let mut failing = host.connect(&path).await;
    let mut other = host.connect(&path).await;
    assert_eq!(failing.ask("before").await, "before");
    assert_eq!(other.ask("before").await, "before");
    assert_eq!(host.function(name).instances(), 1);
    failing.text(message).await;
    assert_eq!(failing.closed().await, fault(what), "{name}");
    assert_eq!(other.ask("after").await, "after", "{name}");
    // The fault leaves nothing that ends it later.
    assert_eq!(other.ask("still").await, "still", "{name}");
}

#[tokio::test]
async fn a_trap_ends_only_the_connection_that_caused_it() {
    let host = Host::with(openline_guests::FAULT_TRAP, "/fault-trap")
        .start()
        .await;
    one_fails_and_the_other_goes_on(&host, "fault-trap", "trap", "trap").await;
}

#[tokio::test]
async fn computing_without_end_ends_only_the_connection_that_caused_it() {
    let host = Host::with(openline_guests::FAULT_COMPUTE, "/fault-compute")
        .start()
        .await;
    one_fails_and_the_other_goes_on(&host, "fault-compute", "compute", "cpu_timeout").await;
}

#[tokio::test]
async fn recursing_without_end_ends_only_the_connection_that_caused_it() {
    let host = Host::with(openline_guests::FAULT_RECURSE, "/fault-recurse")
        .start()
        .await;
    one_fails_and_the_other_goes_on(&host, "fault-recurse", "recurse", "stack overflow").await;
}

#[tokio::test]
async fn taking_memory_without_end_ends_only_the_connection_that_caused_it() {
    let host = Host::with(openline_guests::FAULT_MEMORY, "/fault-memory")
        .instance(|instance| instance.memory_bytes = 16 * MEBIBYTE)
        .start()
        .await;
    one_fails_and_the_other_goes_on(&host, "fault-memory", "grow", "memory_bytes").await;
}

#[tokio::test]
async fn waiting_without_end_ends_only_the_connection_that_caused_it() {
    let host = Host::with(openline_guests::FAULT_AWAIT_FOREVER, "/fault-await-forever")
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300))
        .start()
        .await;
    one_fails_and_the_other_goes_on(&host, "fault-await-forever", "await", "handler_timeout").await;
}

#[tokio::test]
async fn spending_the_fuel_of_an_event_ends_only_the_connection_that_caused_it() {
    for (component, name) in [
        (openline_guests::FAULT_COMPUTE, "fault-compute"),
        (openline_guests::FAULT_ASYNC, "fault-async"),
    ] {
        let host = Host::with(component, &format!("/{name}"))
            .limit(|limit| {
                limit.fuel_per_event = 1_000_000;
                limit.cpu_timeout = NEVER;
                limit.handler_timeout = NEVER;
            })
            .start()
            .await;
        one_fails_and_the_other_goes_on(&host, name, "compute", "fuel_per_event").await;
    }
}

#[tokio::test]
async fn each_event_has_its_own_fuel() {
    for component in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let host = Host::with(component, "/echo")
            .limit(|limit| limit.fuel_per_event = 100_000)
            .start()
            .await;
        let mut client = host.connect("/echo").await;
        // Together they need several times the fuel of one event.
        for number in 0..500 {
            assert_eq!(client.ask(&number.to_string()).await, number.to_string());
        }
        assert_eq!(host.function(name_of(component)).instances(), 1);
        // Messages that arrive together are one event, which has no more fuel.
        for _ in 0..256 {
            client.feed(Message::text("x")).await;
        }
        client.flush().await;
        assert_eq!(client.closed().await, fault("fuel_per_event"));
    }
}

fn name_of(component: &str) -> &str {
    let file = component.rsplit('/').next().unwrap();
    file.strip_suffix(".wasm").unwrap()
}

#[tokio::test]
async fn an_instance_has_its_memory_and_not_more() {
    let host = Host::with(openline_guests::FAULT_MEMORY, "/memory")
        .instance(|instance| instance.memory_bytes = 16 * MEBIBYTE)
        .start()
        .await;
    let mut first = host.connect("/memory").await;
    let mut second = host.connect("/memory").await;
    // The function itself needs between one and two pages.
    assert_eq!(first.ask("hold 14").await, "hold 14");
    second.text("hold 2").await;
    assert_eq!(second.closed().await, fault("memory_bytes"));
    // The instance is another one, with all of its memory free.
    assert_eq!(first.ask("hold 14").await, "hold 14");
}

#[tokio::test]
async fn a_plain_call_that_computes_past_its_time_is_late_before_it_is_expensive() {
    let host = Host::with(openline_guests::FAULT_COMPUTE, "/compute")
        .limit(|limit| {
            limit.cpu_timeout = NEVER;
            limit.handler_timeout = Duration::from_millis(200);
        })
        .start()
        .await;
    let mut client = host.connect("/compute").await;
    client.text("compute").await;
    assert_eq!(client.closed().await, fault("handler_timeout"));
}

#[tokio::test]
async fn a_fault_while_opening_closes_the_connection() {
    let host = Host::with(openline_guests::FAULT_TRAP, "/trap")
        .and(openline_guests::FAULT_COMPUTE, "/compute")
        .and(openline_guests::FAULT_AWAIT_FOREVER, "/await")
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300))
        .start()
        .await;
    for (path, what) in [
        ("/trap", "trap"),
        ("/compute", "cpu_timeout"),
        ("/await", "handler_timeout"),
    ] {
        let mut other = host.connect(path).await;
        let mut failing = host.connect(&format!("{path}?at=open")).await;
        assert_eq!(failing.closed().await, fault(what), "{path}");
        assert_eq!(other.ask("after").await, "after", "{path}");
    }
}

#[tokio::test]
async fn a_fault_while_deciding_refuses_the_connection() {
    let host = Host::with(openline_guests::FAULT_TRAP, "/trap")
        .and(openline_guests::FAULT_COMPUTE, "/compute")
        .and(openline_guests::FAULT_AWAIT_FOREVER, "/await")
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300))
        .start()
        .await;
    for (path, status, what) in [
        ("/trap", 502, "trap"),
        ("/compute", 504, "cpu_timeout"),
        ("/await", 504, "handler_timeout"),
    ] {
        let mut other = host.connect(path).await;
        let refused = host.refused(&format!("{path}?at=upgrade")).await;
        assert_eq!(refused.status, status, "{path}");
        assert_eq!(refused.headers["openline-error-type"], what);
        assert!(refused.body.contains(what), "{}", refused.body);
        assert_eq!(other.ask("after").await, "after", "{path}");
    }
}

#[tokio::test]
async fn a_function_that_always_fails_while_closing_hurts_nobody() {
    let host = Host::with(openline_guests::FAULT_TRAP, "/trap")
        .and(openline_guests::FAULT_COMPUTE, "/compute")
        .limit(|limit| limit.cpu_timeout = Duration::from_millis(20))
        .start()
        .await;
    for (path, name) in [("/trap", "fault-trap"), ("/compute", "fault-compute")] {
        let mut other = host.connect(path).await;
        for round in 0..10 {
            let mut closing = host.connect(&format!("{path}?at=close")).await;
            assert_eq!(closing.ask("x").await, "x");
            closing.close(1000, "done").await;
            let done = Closed {
                code: 1000,
                reason: "done".into(),
            };
            assert_eq!(closing.closed().await, done, "{path} {round}");
            assert_eq!(other.ask("after").await, "after", "{path} {round}");
        }
        let hub = host.function(name).hub().clone();
        eventually("the closed connections to be gone", || {
            hub.connections() == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_function_that_never_returns_from_closing_keeps_no_instance() {
    let host = Host::with(openline_guests::FAULT_AWAIT_FOREVER, "/await")
        .limit(|limit| limit.handler_timeout = Duration::from_millis(200))
        .start()
        .await;
    let mut client = host.connect("/await?at=close").await;
    client.close(1000, "").await;
    assert_eq!(client.closed().await.code, 1000);
    // It does not end by being idle, which takes ten seconds: its last call is
    // late.
    let function = host.function("fault-await-forever");
    assert!(function.split().shares[0].0.policy().idle_timeout >= Duration::from_secs(10));
    tokio::time::timeout(
        Duration::from_secs(8),
        eventually("the instance to be ended", || function.instances() == 0),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn what_waited_behind_a_failing_call_is_handled_by_a_new_instance() {
    let host = Host::with(openline_guests::FAULT_COMPUTE, "/compute")
        .limit(|limit| limit.cpu_timeout = Duration::from_millis(500))
        .start()
        .await;
    let mut failing = host.connect("/compute").await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(host.connect("/compute").await);
    }
    failing.text("compute").await;
    // Each of these waits in the mailbox of the instance that computes: two
    // messages, a close, and an upgrade.
    for (number, client) in waiting.iter_mut().enumerate() {
        client.text(&format!("{number} a")).await;
        client.text(&format!("{number} b")).await;
    }
    let mut closing = waiting.pop().unwrap();
    closing.close(1000, "").await;
    let mut late = host.connect("/compute").await;
    for (number, client) in waiting.iter_mut().enumerate() {
        assert_eq!(client.next_text().await, format!("{number} a"));
        assert_eq!(client.next_text().await, format!("{number} b"));
    }
    assert_eq!(late.ask("late").await, "late");
    assert_eq!(failing.closed().await, fault("cpu_timeout"));
    assert_eq!(closing.closed().await.code, 1000);
}

#[tokio::test]
async fn while_one_function_computes_forever_others_are_served() {
    let host = Host::with(openline_guests::FAULT_COMPUTE, "/compute")
        .instance(|instance| instance.concurrency = 1)
        .limit(|limit| {
            limit.cpu_timeout = 3 * PATIENCE;
            limit.handler_timeout = NEVER;
        })
        .and(openline_guests::FAULT_ASYNC, "/async")
        .limit(|limit| {
            limit.cpu_timeout = 3 * PATIENCE;
            limit.handler_timeout = NEVER;
        })
        .and(openline_guests::ECHO, "/echo")
        .start()
        .await;
    // The host and this test share one thread, so progress here shows that
    // guests yield.
    let mut plain = host.connect("/compute").await;
    plain.text("compute").await;
    let mut asynchronous = host.connect("/async").await;
    asynchronous.text("compute").await;
    for _ in 0..5 {
        let mut echo = host.connect("/echo").await;
        assert_eq!(echo.ask("served").await, "served");
    }
    // Another instance of the computing function answers, too.
    let mut same = host.connect("/compute").await;
    assert_eq!(same.ask("served").await, "served");
    assert_eq!(host.function("fault-compute").instances(), 2);
}

#[tokio::test]
async fn a_connection_keeps_what_is_its_own_through_the_end_of_its_instance() {
    let host = Host::with(openline_guests::CHAT, "/chat/{room}")
        .instance(|instance| instance.memory_bytes = 4 * MEBIBYTE)
        .start()
        .await;
    let mut ada = host.connect("/chat/lobby?nick=ada").await;
    let mut bob = host.connect("/chat/lobby?nick=bob").await;
    assert_eq!(ada.next_text().await, "* welcome to lobby, ada: 1 here");
    assert_eq!(ada.next_text().await, "* bob joined");
    assert_eq!(bob.next_text().await, "* welcome to lobby, bob: 2 here");
    // The size is allowed for a message, but the instance has no room for it.
    bob.text(&"b".repeat(5 * MEBIBYTE)).await;
    assert_eq!(bob.closed().await, fault("memory_bytes"));
    // A new instance gets the `close` of the failed connection, and finds its
    // attachment (the nickname) and its route parameter (the room).
    assert_eq!(ada.next_text().await, "* bob left");
    // The other one has kept these too, and its channel.
    assert_eq!(ada.ask("hello").await, "ada: hello");
    assert_eq!(host.function("chat").instances(), 1);
}

#[tokio::test]
async fn an_asynchronous_fault_ends_all_whose_calls_are_in_flight_and_no_other() {
    let host = Host::with(openline_guests::FAULT_ASYNC, "/async")
        .limit(|limit| limit.handler_timeout = NEVER)
        .start()
        .await;
    for (message, what) in [("trap", "trap"), ("compute", "cpu_timeout")] {
        let mut idle = host.connect("/async").await;
        let mut in_flight = Vec::new();
        for _ in 0..3 {
            let mut client = host.connect("/async").await;
            waits_for_a_minute(&mut client).await;
            in_flight.push(client);
        }
        let mut failing = host.connect("/async").await;
        assert_eq!(failing.ask("before").await, "before");
        assert_eq!(host.function("fault-async").instances(), 1);
        failing.text(message).await;
        assert_eq!(failing.closed().await, fault(what));
        for client in &mut in_flight {
            assert_eq!(client.closed().await, fault(what));
        }
        assert_eq!(idle.ask("after").await, "after");
    }
}

/// Makes a call of this connection wait. The first message of its batch comes
/// back when the call has begun.
async fn waits_for_a_minute(client: &mut Client) {
    client.feed(Message::text("begun")).await;
    client.feed(Message::text("60000")).await;
    client.flush().await;
    assert_eq!(client.next_text().await, "begun");
}

#[tokio::test]
async fn a_late_asynchronous_call_ends_the_others_in_flight_with_it() {
    let host = Host::with(openline_guests::FAULT_ASYNC, "/async")
        .limit(|limit| limit.handler_timeout = Duration::from_secs(2))
        .start()
        .await;
    let mut late = host.connect("/async").await;
    let mut in_time = host.connect("/async").await;
    let mut idle = host.connect("/async").await;
    waits_for_a_minute(&mut late).await;
    // This one's second call would return within its own time, but after the
    // other's has passed.
    assert_eq!(in_time.ask("600").await, "600");
    in_time.text("1900").await;
    assert_eq!(idle.ask("meanwhile").await, "meanwhile");
    assert_eq!(late.closed().await, fault("handler_timeout"));
    assert_eq!(in_time.closed().await, fault("handler_timeout"));
    assert_eq!(idle.ask("after").await, "after");
}

#[tokio::test]
async fn flooding_ends_the_connection_that_is_flooded_and_not_its_instance() {
    let host = Host::with(openline_guests::FAULT_FLOOD, "/flood")
        .start()
        .await;
    let mut flooded = host.connect("/flood").await;
    let mut other = host.connect("/flood").await;
    flooded.text("flood").await;
    let overflow = Closed {
        code: 1013,
        reason: "outbox is full: read faster".into(),
    };
    // It reads nothing before the flood has ended, because on a busy machine it
    // could keep up.
    assert_eq!(other.ask("after").await, "after");
    assert_eq!(flooded.closed().await, overflow);
}

#[tokio::test]
async fn flooding_without_end_ends_the_instance_and_hurts_no_other_connection() {
    let host = Host::with(openline_guests::FAULT_FLOOD, "/flood")
        .start()
        .await;
    let mut flooded = host.connect("/flood").await;
    let mut other = host.connect("/flood").await;
    flooded.text("flood on").await;
    // After the flood, it computes until its time is spent.
    assert_eq!(other.ask("after").await, "after");
    assert_eq!(flooded.closed().await.code, 1013);
}
