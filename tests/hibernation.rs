//! Instances come and go while connections stay: hibernation, what survives it,
//! and how the host makes room for connections that wake.

use std::time::Duration;

use crate::harness::{Client, Host, HostBuilder, eventually};

/// Instances end soon, so that tests are quick.
fn sleepy(component: &str, route: &str) -> HostBuilder {
    Host::with(component, route).instance(|instance| {
        instance.idle_timeout = Duration::from_millis(50);
    })
}

async fn asleep(host: &Host, name: &str) {
    let alias = host.function(name);
    eventually("its instances to be gone", || alias.instances() == 0).await;
}

#[tokio::test]
async fn connections_stay_without_an_instance_and_wake_one() {
    for (component, name) in [
        (openline_guests::ECHO, "echo"),
        (openline_guests::ECHO_ASYNC, "echo-async"),
    ] {
        let host = sleepy(component, "/echo").start().await;
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push(host.connect("/echo").await);
        }
        for round in 0..3 {
            asleep(&host, name).await;
            assert_eq!(host.function(name).hub().connections(), 50);
            for (index, client) in clients.iter_mut().enumerate() {
                let text = format!("{round} {index}");
                assert_eq!(client.ask(&text).await, text);
            }
        }
    }
}

#[tokio::test]
async fn with_no_idle_time_an_instance_goes_with_its_call() {
    for (component, name) in [
        (openline_guests::ECHO, "echo"),
        (openline_guests::ECHO_ASYNC, "echo-async"),
    ] {
        let host = Host::with(component, "/echo")
            .instance(|instance| instance.idle_timeout = Duration::ZERO)
            .start()
            .await;
        let mut client = host.connect("/echo").await;
        for round in 0..100 {
            let text = round.to_string();
            assert_eq!(client.ask(&text).await, text);
        }
        asleep(&host, name).await;
        client.close(1000, "").await;
        assert_eq!(client.closed().await.code, 1000);
    }
}

#[tokio::test]
async fn what_the_host_keeps_survives_and_guest_memory_does_not() {
    for (component, name) in [
        (openline_guests::FAULT_KEEPER, "fault-keeper"),
        (openline_guests::FAULT_KEEPER_ASYNC, "fault-keeper-async"),
    ] {
        let host = sleepy(component, "/keeper").start().await;
        let mut client = host.connect("/keeper?tag=first&attach=kept").await;
        let instance = client.ask("instance").await;
        assert_eq!(client.ask("save remembered").await, "1");
        asleep(&host, name).await;
        assert_ne!(client.ask("instance").await, instance);
        assert_eq!(client.ask("attachment").await, "kept");
        assert_eq!(client.ask("load").await, "1 remembered");
    }
}

#[tokio::test]
async fn a_function_saves_its_state_before_it_goes() {
    for (component, name) in [
        (openline_guests::FAULT_KEEPER, "fault-keeper"),
        (openline_guests::FAULT_KEEPER_ASYNC, "fault-keeper-async"),
    ] {
        let host = sleepy(component, "/keeper").start().await;
        let mut client = host.connect("/keeper").await;
        client.ask("save-on-hibernate words").await;
        asleep(&host, name).await;
        let loaded = client.ask("load").await;
        assert!(loaded.ends_with("hibernated 1 words"), "{loaded}");
    }
}

#[tokio::test]
async fn who_hibernates_for_too_long_goes_without() {
    let host = sleepy(openline_guests::FAULT_HIBERNATE_FOREVER, "/forever")
        .instance(|instance| instance.hibernate_timeout = Duration::from_millis(20))
        .start()
        .await;
    let mut client = host.connect("/forever").await;
    assert_eq!(client.ask("one").await, "one");
    asleep(&host, "fault-hibernate-forever").await;
    assert_eq!(client.ask("two").await, "two");
}

#[tokio::test]
async fn a_rooms_instance_hands_its_count_to_the_next() {
    let host = sleepy(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| instance.affinity = Some("room".into()))
        .start()
        .await;
    let mut client = host.connect("/counter/a").await;
    let mut other = host.connect("/counter/b").await;
    for expected in ["5", "10", "15"] {
        assert_eq!(client.ask("add 5").await, expected);
        asleep(&host, "counter").await;
    }
    assert_eq!(other.ask("get").await, "0");
}

#[tokio::test]
async fn more_connections_wake_than_there_are_seats_and_none_is_refused() {
    for component in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let host = sleepy(component, "/echo")
            .instance(|instance| {
                instance.concurrency = 1;
                instance.instances = 2;
            })
            .start()
            .await;
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..10 {
            clients.push(host.connect_eventually("/echo").await);
        }
        for round in 0..5 {
            for client in &mut clients {
                client.text(&round.to_string()).await;
            }
            for client in &mut clients {
                assert_eq!(client.next_text().await, round.to_string());
            }
        }
    }
}
