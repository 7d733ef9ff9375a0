//! The host backs off from a function that keeps failing, and the function
//! recovers by itself.

use std::time::Duration;

use bytes::Bytes;
use openline_control::DeployOptions;
use openline_core::deployment::Migration;
use openline_core::limits::BackoffPolicy;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Host, HostBuilder, deploy_options, eventually, variant};

fn failing() -> HostBuilder {
    Host::with(openline_guests::FAULT_ALWAYS_TRAPS, "/traps").instance(|instance| {
        instance.faults_in_a_row = 3;
        instance.backoff_time = Duration::from_millis(300);
        instance.backoff_time_max = Duration::from_millis(300);
    })
}

/// Longer than any test waits.
const FOR_GOOD: Duration = Duration::from_secs(600);

/// Backs off forever after one fault.
fn failing_for_good(component: &str, route: &str) -> HostBuilder {
    Host::with(component, route).instance(|instance| {
        instance.faults_in_a_row = 1;
        instance.backoff_time = FOR_GOOD;
        instance.backoff_time_max = FOR_GOOD;
    })
}

/// Deploys the same component again, under another digest.
async fn deploy(host: &Host, component: &str, migration: Migration) {
    let bytes = variant(&std::fs::read(component).unwrap(), b'x');
    let name = host.deployer.functions().remove(0).name;
    let options = DeployOptions {
        migration: Some(migration),
        ..deploy_options()
    };
    let deployed = host.deployer.deploy(&name, bytes.into(), options);
    assert!(deployed.await.unwrap().version_is_new);
}

/// Sends a message, and returns when the host has read it.
async fn send_and_be_read(client: &mut Client, text: &str) {
    client.feed(Message::text(text.to_owned())).await;
    client
        .feed(Message::Ping(Bytes::from_static(b"read?")))
        .await;
    client.flush().await;
    let answered = client.next_frame().await;
    assert!(
        matches!(answered, Some(Ok(Message::Pong(_)))),
        "{answered:?}"
    );
}

/// Makes the function fail once, which ends one connection.
async fn fail(client: &mut Client) {
    client.text("trap").await;
    assert_eq!(client.closed().await.code, 1011);
}

fn backed_off(host: &Host) -> bool {
    let view = host.deployer.functions().remove(0);
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
    // Their `close` was handled, and the count starts again in any case.
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
    // All at once, so that no call returns between them.
    for client in &mut clients {
        client.text("trap").await;
    }
    eventually("the back-off", || backed_off(&host)).await;
    let refused = host.refused("/traps").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["openline-error-type"], "backed_off");
    assert!(refused.headers.contains_key("retry-after"));
    // It is answered once the function gets events again.
    assert_eq!(waiting.ask("ok").await, "ok");
    assert!(!backed_off(&host));
    let mut after = host.connect_eventually("/traps").await;
    assert_eq!(after.ask("ok").await, "ok");
}

#[tokio::test]
async fn or_the_connection_is_closed_with_1013() {
    let host = failing()
        .instance(|instance| {
            instance.backoff = BackoffPolicy::Refuse;
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

#[tokio::test]
async fn a_deploy_frees_events_that_wait_for_the_version_before() {
    let component = openline_guests::FAULT_ALWAYS_TRAPS;
    let host = failing_for_good(component, "/traps").start().await;
    let mut waiting = host.connect("/traps").await;
    fail(&mut host.connect("/traps").await).await;
    eventually("the back-off", || backed_off(&host)).await;
    send_and_be_read(&mut waiting, "ok").await;
    deploy(&host, component, Migration::Migrate).await;
    assert_eq!(waiting.next_text().await, "ok");
}

#[tokio::test]
async fn a_connection_whose_event_waits_leaves_when_it_is_told_to() {
    let component = openline_guests::FAULT_ALWAYS_TRAPS;
    let host = failing_for_good(component, "/traps").start().await;
    let mut waiting = host.connect("/traps").await;
    let mut quiet = host.connect("/traps").await;
    fail(&mut host.connect("/traps").await).await;
    eventually("the back-off", || backed_off(&host)).await;
    send_and_be_read(&mut waiting, "ok").await;
    deploy(&host, component, Migration::Drain).await;
    for client in [&mut waiting, &mut quiet] {
        assert_eq!(client.closed().await.code, 1012);
    }
}

#[tokio::test]
async fn a_host_that_drains_has_what_waits_tried_at_once() {
    let component = openline_guests::FAULT_ALWAYS_TRAPS;
    let host = failing_for_good(component, "/traps").start().await;
    let mut waiting = host.connect("/traps").await;
    let mut quiet = host.connect("/traps").await;
    fail(&mut host.connect("/traps").await).await;
    eventually("the back-off", || backed_off(&host)).await;
    send_and_be_read(&mut waiting, "ok").await;
    let leaving = async {
        assert_eq!(waiting.next_text().await, "ok");
        assert_eq!(waiting.closed().await.code, 1001);
        assert_eq!(quiet.closed().await.code, 1001);
    };
    let (left, ()) = tokio::join!(host.drain(), leaving);
    assert_eq!(left, 0);
}

/// A function that reports each close to `watcher`, one connection that has
/// made it fail, and one that leaves during the back-off.
async fn leave_during_the_back_off(host: &Host) {
    let mut failing = host.connect("/sleep").await;
    let mut leaving = host.connect("/sleep").await;
    // Past `handler_timeout`.
    failing.text("600000").await;
    assert_eq!(failing.closed().await.code, 1011);
    leaving.close(1000, "").await;
    assert_eq!(leaving.closed().await.code, 1000);
}

async fn is_told_of_both(watcher: &mut Client) {
    let mut told = [watcher.next_text().await, watcher.next_text().await];
    told.sort();
    assert_eq!(told, ["closed 1000 Peer", "closed 1011 Host"]);
}

#[tokio::test]
async fn closes_wait_for_the_end_of_a_back_off_and_are_not_lost() {
    for backoff in [BackoffPolicy::Wait, BackoffPolicy::Refuse] {
        let host = Host::with(openline_guests::FAULT_SLEEP, "/sleep")
            .limit(|limit| limit.handler_timeout = Duration::from_millis(500))
            .instance(|instance| {
                instance.backoff = backoff;
                instance.faults_in_a_row = 1;
                instance.backoff_time = Duration::from_secs(1);
            })
            .start()
            .await;
        let mut watcher = host.connect("/sleep?watch").await;
        leave_during_the_back_off(&host).await;
        is_told_of_both(&mut watcher).await;
        drop(watcher);
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_deploy_frees_closes_that_wait_for_the_version_before() {
    let component = openline_guests::FAULT_SLEEP;
    let host = failing_for_good(component, "/sleep")
        .limit(|limit| limit.handler_timeout = Duration::from_millis(500))
        .start()
        .await;
    let mut watcher = host.connect("/sleep?watch").await;
    leave_during_the_back_off(&host).await;
    assert!(backed_off(&host));
    deploy(&host, component, Migration::Migrate).await;
    is_told_of_both(&mut watcher).await;
}
