//! A function that keeps failing is given nothing for a while, and recovers by
//! itself.

use std::time::Duration;

use openline_core::limits::Backoff;

use crate::harness::{Client, Host, HostBuilder, eventually};

const NAME: &str = "fault-always-traps";

fn failing() -> HostBuilder {
    Host::with(openline_guests::FAULT_ALWAYS_TRAPS, "/traps").instance(|instance| {
        instance.faults_in_a_row = 3;
        instance.backoff_time = Duration::from_millis(300);
        instance.backoff_time_max = Duration::from_millis(300);
    })
}

/// Fails once, which ends one connection.
async fn fail(client: &mut Client) {
    client.text("trap").await;
    assert_eq!(client.closed().await.code, 1011);
}

fn backed_off(host: &Host) -> bool {
    let view = host.deployer.functions().remove(0);
    assert_eq!(view.name.as_str(), NAME);
    view.versions[0].backed_off.is_some()
}

#[tokio::test]
async fn faults_in_a_row_at_the_limit_and_one_below_it() {
    let host = failing().start().await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(host.connect("/traps").await);
    }
    let mut fine = clients.pop().unwrap();
    fail(&mut clients[0]).await;
    fail(&mut clients[1]).await;
    // The close of those was handled; so begins the count anew in any case.
    assert_eq!(fine.ask("ok").await, "ok");
    assert!(!backed_off(&host));
}

#[tokio::test]
async fn events_wait_and_upgrades_are_refused_until_it_is_over() {
    let host = failing().start().await;
    let mut waiting = host.connect("/traps").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(host.connect("/traps").await);
    }
    // All at once, so that none returns between them.
    for client in &mut clients {
        client.text("trap").await;
    }
    eventually("the back-off", || backed_off(&host)).await;
    let refused = host.refused("/traps").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["openline-error-type"], "backed_off");
    assert!(refused.headers.contains_key("retry-after"));
    // It is answered, once the function is given events again.
    assert_eq!(waiting.ask("ok").await, "ok");
    assert!(!backed_off(&host));
    let mut after = host.connect_eventually("/traps").await;
    assert_eq!(after.ask("ok").await, "ok");
}

#[tokio::test]
async fn or_the_connection_is_closed_with_1013() {
    let host = failing()
        .instance(|instance| {
            instance.backoff = Backoff::Refuse;
            instance.backoff_time = Duration::from_secs(30);
            instance.backoff_time_max = Duration::from_secs(30);
        })
        .start()
        .await;
    let mut refused = host.connect("/traps").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(host.connect("/traps").await);
    }
    for client in &mut clients {
        client.text("trap").await;
    }
    eventually("the back-off", || backed_off(&host)).await;
    refused.text("ok").await;
    let closed = refused.closed().await;
    assert_eq!(closed.code, 1013);
    assert!(closed.reason.contains("keeps failing"), "{closed:?}");
}
