//! Time limits of guests that try to evade them: guests that block their whole
//! instance, so that its event loop cannot check a clock, or that compute with
//! waits too short to be a rest. And how they affect others.

use std::time::Duration;

use crate::harness::{Closed, Host, PATIENCE, eventually, runtime};

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(600);

fn fault(what: &str) -> Closed {
    Closed {
        code: 1011,
        reason: format!("function fault: {what}"),
    }
}

#[tokio::test]
async fn calls_that_return_one_after_the_other_are_so_many_runs() {
    let host = Host::with(openline_guests::FAULT_ADVERSARY_ASYNC, "/adversary")
        .instance(|instance| instance.instances = 1)
        .limit(|limit| limit.cpu_timeout = Duration::from_millis(200))
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        let mut client = host.connect("/adversary").await;
        assert!(client.next_text().await.starts_with("O "));
        clients.push(client);
    }
    // All of them wait in one mailbox, and take three times `cpu_timeout`.
    for client in &mut clients {
        client.text("1 compute 20").await;
    }
    for client in &mut clients {
        let answer = client.next_text().await;
        assert!(
            answer.starts_with("R 1 1 ") && answer.ends_with(" ok"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_call_that_holds_its_whole_instance_is_late_and_others_go_on() {
    let host = Host::with(openline_guests::FAULT_BLOCK, "/block")
        .limit(|limit| limit.handler_timeout = Duration::from_millis(500))
        .start()
        .await;
    let mut other = host.connect("/block").await;
    let mut failing = host.connect("/block").await;
    assert_eq!(other.ask("before").await, "before");
    failing.text("block").await;
    // Waits in the mailbox, and is handled by the next instance.
    assert_eq!(other.ask("after").await, "after");
    assert_eq!(failing.closed().await, fault("handler_timeout"));
    let mut opening = host.connect("/block?at=open").await;
    assert_eq!(opening.closed().await, fault("handler_timeout"));
    let refused = host.refused("/block?at=upgrade").await;
    assert_eq!(refused.status, 504);
    assert_eq!(refused.headers["openline-error-type"], "handler_timeout");
    let mut closing = host.connect("/block?at=close").await;
    closing.close(1000, "done").await;
    assert_eq!(closing.closed().await.code, 1000);
    let hub = host.function("fault-block").hub().clone();
    eventually("the closed one to be gone", || hub.connections() == 1).await;
    assert_eq!(other.ask("still").await, "still");
}

#[tokio::test]
async fn an_instance_that_is_held_gives_its_place_back() {
    let runtime = runtime(1, |_| {});
    let host = Host::with(openline_guests::FAULT_BLOCK, "/block")
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300))
        .instance(|instance| {
            instance.idle_timeout = Duration::from_millis(50);
            instance.hibernate_timeout = Duration::from_millis(100);
        })
        .and(openline_guests::ECHO, "/echo")
        .instance(|instance| instance.idle_timeout = Duration::ZERO)
        .start_on(&runtime)
        .await;
    // While it hibernates, and in the `close` of a peer that has gone.
    for at in ["hibernate", "close"] {
        let holding = host.connect_eventually(&format!("/block?at={at}")).await;
        assert_eq!(runtime.instances(), 1);
        assert_eq!(host.function("fault-block").instances(), 1);
        holding.vanish();
        // There is only one place.
        let mut echo = host.connect_eventually("/echo").await;
        assert_eq!(echo.ask(at).await, at);
    }
}

#[tokio::test]
async fn alarms_that_hold_their_instances_do_not_keep_those_of_others_from_ringing() {
    /// As many alarms as are handled at once.
    const ALARMS: usize = 64;
    let runtime = runtime(100, |_| {});
    let host = Host::with(openline_guests::FAULT_BLOCK, "/block/{room}")
        .limit(|limit| limit.handler_timeout = Duration::from_secs(1))
        .instance(|instance| instance.affinity = Some("room".into()))
        .and(openline_guests::FAULT_KEEPER, "/keeper")
        .start_on(&runtime)
        .await;
    let mut keeper = host.connect("/keeper").await;
    for room in 0..ALARMS {
        let mut client = host.connect(&format!("/block/{room}")).await;
        client.text("alarm 0").await;
        client.vanish();
    }
    assert_eq!(keeper.ask("key-alarm late 0").await, "ok");
    assert_eq!(keeper.next_text().await, "key-alarm late 1");
}

#[tokio::test]
async fn waits_that_are_no_rest_do_not_renew_the_computing_time() {
    for (component, name) in [
        (openline_guests::FAULT_NAP, "fault-nap"),
        (openline_guests::FAULT_BLOCK, "fault-block"),
    ] {
        let host = Host::with(component, "/nap")
            .limit(|limit| limit.handler_timeout = NEVER)
            .start()
            .await;
        let mut failing = host.connect("/nap").await;
        let mut other = host.connect("/nap").await;
        assert_eq!(host.function(name).instances(), 1);
        failing.text("nap").await;
        assert_eq!(failing.closed().await, fault("cpu_timeout"), "{name}");
        assert_eq!(other.ask("after").await, "after", "{name}");
    }
}

#[tokio::test]
async fn what_rests_for_longer_than_it_computes_may_compute_for_as_long_as_it_likes() {
    for component in [openline_guests::FAULT_NAP, openline_guests::FAULT_BLOCK] {
        let host = Host::with(component, "/nap")
            .limit(|limit| {
                limit.cpu_timeout = Duration::from_millis(50);
                limit.handler_timeout = NEVER;
            })
            .start()
            .await;
        let mut client = host.connect("/nap").await;
        // Four times as much, in all.
        assert_eq!(client.ask("rest 40").await, "rest 40", "{component}");
    }
}

/// On one thread, with a runtime that polls sockets and timers only when it has
/// nothing to run.
#[test]
fn a_function_that_computes_leaves_a_single_thread_to_sockets_between_its_slices() {
    let thread = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(u32::MAX)
        .build()
        .unwrap();
    thread.block_on(async {
        let runtime = runtime(100, |_| {});
        let host = Host::with(openline_guests::FAULT_COMPUTE, "/compute")
            .instance(|instance| instance.concurrency = 1)
            .limit(|limit| {
                limit.cpu_timeout = 2 * PATIENCE;
                limit.handler_timeout = NEVER;
            })
            .and(openline_guests::FAULT_ASYNC, "/async")
            .limit(|limit| {
                limit.cpu_timeout = 2 * PATIENCE;
                limit.handler_timeout = NEVER;
            })
            .and(openline_guests::ECHO, "/echo")
            .start_on(&runtime)
            .await;
        let mut echo = host.connect("/echo").await;
        let mut plain = host.connect("/compute").await;
        let mut asynchronous = host.connect("/async").await;
        plain.text("compute").await;
        asynchronous.text("compute").await;
        for round in 0..3 {
            let text = round.to_string();
            assert_eq!(echo.ask(&text).await, text);
        }
        for name in ["fault-compute", "fault-async"] {
            assert_eq!(host.function(name).instances(), 1, "{name} computes still");
        }
    });
}
