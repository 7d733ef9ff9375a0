//! Alarms that belong to no connection: which instances they wake, how often a
//! failing one is called again, and their bounds.

use std::sync::Arc;
use std::time::Duration;

use openline_engine::runtime::Runtime;
use openline_store::Store;
use tokio::time::Instant;

use crate::harness::{self, Host, HostBuilder, eventually, within};

/// The task of alarms belongs to the runtime of the first test that sets one,
/// and ends with it, so each test has a runtime of its own.
fn runtime(alarms: u32) -> Arc<Runtime> {
    runtime_of(20, alarms)
}

fn runtime_of(instances: u32, alarms: u32) -> Arc<Runtime> {
    harness::runtime(instances, |options| options.alarms = alarms)
}

fn keeper(component: &str) -> HostBuilder {
    Host::with(component, "/keeper/{room}").instance(|instance| {
        instance.affinity = Some("room".into());
        instance.idle_timeout = Duration::from_millis(20);
    })
}

#[tokio::test]
async fn an_alarm_wakes_an_instance_and_is_called_once() {
    for component in [
        openline_guests::FAULT_KEEPER,
        openline_guests::FAULT_KEEPER_ASYNC,
    ] {
        let host = keeper(component).start_on(&runtime(100)).await;
        let mut client = host.connect("/keeper/a").await;
        assert_eq!(client.ask("key-alarm soon 200").await, "ok");
        // Setting an alarm again moves it; a cleared one does not go off.
        assert_eq!(client.ask("key-alarm later 1").await, "ok");
        assert_eq!(client.ask("key-alarm later 300000").await, "ok");
        assert_eq!(client.ask("key-alarm gone 100").await, "ok");
        assert_eq!(client.ask("key-clear gone").await, "ok");
        let name = host.deployer.functions()[0].name.to_string();
        let alias = host.function(&name);
        eventually("its instances to be gone", || alias.instances() == 0).await;
        assert_eq!(client.next_text().await, "key-alarm soon 1");
        assert_eq!(client.ask("tags").await, "");
    }
}

#[tokio::test]
async fn one_in_the_past_is_due_now_and_one_in_the_year_3000_is_refused() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .start_on(&runtime(100))
        .await;
    let mut client = host.connect("/keeper/a").await;
    assert_eq!(client.ask("key-alarm now 0").await, "ok");
    assert_eq!(client.next_text().await, "key-alarm now 1");
    let year = 365 * 24 * 60 * 60 * 1000_u64;
    assert_eq!(client.ask(&format!("key-alarm far {year}")).await, "ok");
    for far in [year + 1, 30_000_000_000_000, u64::MAX] {
        let refused = client.ask(&format!("key-alarm far {far}")).await;
        assert_eq!(refused, "invalid", "{far}");
    }
    let long = "n".repeat(65);
    let refused = client.ask(&format!("key-alarm {long} 1")).await;
    assert_eq!(refused, "invalid");
    assert_eq!(
        client
            .ask(&format!("key-alarm {} 99999", &long[..64]))
            .await,
        "ok"
    );
}

#[tokio::test]
async fn alarms_of_a_value_and_of_the_host_at_their_limits_and_past_them() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .limit(|limit| limit.alarms = 16)
        .start_on(&runtime(20))
        .await;
    let mut client = host.connect("/keeper/a").await;
    for number in 0..16 {
        assert_eq!(client.ask(&format!("key-alarm {number} 99999")).await, "ok");
    }
    assert_eq!(client.ask("key-alarm another 99999").await, "limit");
    // An existing one may be moved.
    assert_eq!(client.ask("key-alarm 3 88888").await, "ok");
    let mut other = host.connect("/keeper/b").await;
    for number in 0..4 {
        assert_eq!(other.ask(&format!("key-alarm {number} 99999")).await, "ok");
    }
    assert_eq!(other.ask("key-alarm 4 99999").await, "limit");
    assert_eq!(client.ask("key-clear 0").await, "ok");
    assert_eq!(other.ask("key-alarm 4 99999").await, "ok");
}

#[tokio::test]
async fn one_that_fails_is_called_again_after_longer_and_longer() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .start_on(&runtime(100))
        .await;
    let mut client = host.connect("/keeper/a").await;
    let began = Instant::now();
    assert_eq!(client.ask("key-alarm trap-twice 1").await, "ok");
    assert_eq!(client.next_text().await, "key-alarm trap-twice 3");
    // Repeated after two seconds, then after four.
    assert!(began.elapsed() >= Duration::from_secs(6));
    // The connection has noticed nothing.
    assert_eq!(client.ask("tags").await, "");
}

#[tokio::test]
async fn one_that_finds_no_room_is_called_when_there_is_some_and_has_not_failed() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .start_on(&runtime_of(1, 100))
        .await;
    let mut owner = host.connect("/keeper/a").await;
    assert_eq!(owner.ask("key-alarm soon 500").await, "ok");
    // When it is due, this room has the only instance that the host may have.
    let mut other = host.connect_eventually("/keeper/b").await;
    other.text("wait 1000").await;
    assert_eq!(owner.next_text().await, "key-alarm soon 1");
    assert_eq!(other.next_text().await, "ok");
}

#[tokio::test]
async fn one_that_waits_behind_the_call_that_takes_it_back_is_not_called() {
    for durable in ["", " durable"] {
        let store = Store::memory(1 << 20);
        let host = keeper(openline_guests::FAULT_KEEPER)
            .store(&store)
            .start_on(&runtime(100))
            .await;
        let mut client = host.connect("/keeper/a").await;
        // In one call, during which both become due.
        client
            .text(&format!(
                "key-alarm cleared 0{durable};key-alarm moved 0{durable};wait 300;\
                 key-clear cleared;key-alarm moved 99999"
            ))
            .await;
        for _ in 0..5 {
            assert_eq!(client.next_text().await, "ok");
        }
        assert_eq!(store.alarms().await, Ok(Vec::new()), "none is durable");
        // The next job in the mailbox comes after them.
        assert_eq!(client.ask("key-alarm next 0").await, "ok");
        assert_eq!(client.next_text().await, "key-alarm next 1");
    }
}

#[tokio::test]
async fn one_of_a_connection_that_another_takes_back_before_its_call_begins_is_not_called() {
    for component in [
        openline_guests::FAULT_KEEPER,
        openline_guests::FAULT_KEEPER_ASYNC,
    ] {
        let host = keeper(component).start_on(&runtime(100)).await;
        let mut owner = host.connect("/keeper/a").await;
        let mut other = host.connect("/keeper/a").await;
        let id = owner.ask("id").await;
        for taken_back in ["clear rings", "alarm rings 99999"] {
            // It becomes due during a call of the other connection, and waits
            // behind that.
            other
                .text(&format!(
                    "of {id} alarm rings 0;wait 300;of {id} {taken_back}"
                ))
                .await;
            for _ in 0..3 {
                assert_eq!(other.next_text().await, "ok");
            }
            // The function goes on, and gets the next one.
            assert_eq!(owner.ask("alarm next 0").await, "ok");
            assert_eq!(owner.next_text().await, "alarm next 1");
        }
    }
}

/// Of as many calls as an instance may have at once, an alarm is one.
#[tokio::test]
async fn one_that_is_being_handled_has_its_seat_until_it_has_returned() {
    let host = Host::with(openline_guests::FAULT_KEEPER_ASYNC, "/keeper")
        .instance(|instance| instance.concurrency = 1)
        .start_on(&runtime(100))
        .await;
    let mut client = host.connect("/keeper").await;
    assert_eq!(client.ask("key-alarm long-1 0").await, "ok");
    assert_eq!(client.ask("key-alarm long-2 0").await, "ok");
    let name = host.deployer.functions()[0].name.to_string();
    let alias = host.function(&name);
    eventually("each to have an instance", || alias.instances() == 3).await;
}

#[tokio::test]
async fn one_that_fails_and_is_taken_back_is_not_called_again() {
    let store = Store::memory(1 << 20);
    let host = keeper(openline_guests::FAULT_KEEPER)
        .store(&store)
        .start_on(&runtime(100))
        .await;
    let mut client = host.connect("/keeper/a").await;
    assert_eq!(client.ask("key-alarm trap 0 durable").await, "ok");
    let attempt = async {
        while store.alarms().await.unwrap()[0].attempt < 2 {
            tokio::task::yield_now().await;
        }
    };
    within("its first failure to be noted", attempt).await;
    assert_eq!(client.ask("key-clear trap").await, "ok");
    assert_eq!(store.alarms().await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_affinity_value_at_its_length_and_past_it() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .limit(|limit| limit.request_uri_bytes = 16 * 1024)
        .start()
        .await;
    let mut client = host.connect(&format!("/keeper/{}", "r".repeat(512))).await;
    assert_eq!(client.ask("tags").await, "");
    for long in [513, 10 * 1024] {
        let refused = host.refused(&format!("/keeper/{}", "r".repeat(long))).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.headers["openline-error-type"], "affinity");
    }
}

#[tokio::test]
async fn a_state_at_its_size_and_past_it_and_its_versions() {
    let host = keeper(openline_guests::FAULT_KEEPER)
        .limit(|limit| limit.state_bytes = 8)
        .start()
        .await;
    let mut client = host.connect("/keeper/a").await;
    assert_eq!(client.ask("save 12345678").await, "1");
    assert_eq!(client.ask("save 123456789").await, "limit");
    assert_eq!(client.ask("load").await, "1 12345678");
    assert_eq!(client.ask("save next 1").await, "2");
    assert_eq!(client.ask("save late 1").await, "conflict 2");
    assert_eq!(client.ask("save absent 0").await, "conflict 2");
    // Another room has alarms of its own.
    let mut other = host.connect("/keeper/b").await;
    assert_eq!(other.ask("load").await, "none");
    assert_eq!(other.ask("save absent 0").await, "1");
    assert_eq!(client.ask("forget").await, "ok");
    assert_eq!(client.ask("load").await, "none");
}
