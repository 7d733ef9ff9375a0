//! Functions that channels wake, while what they subscribe to changes, and when
//! they wake each other.

use std::time::Duration;

use openline_channels::space::Publishing;
use openline_channels::wakeups::Wakeups;
use openline_core::message::Message;
use openline_guests::{ECHO, FAULT_LISTENER};
use tokio::time::Instant;

use crate::channel_handlers::{
    ASYNC, channel, counts, heard, host_of, hub, log, name, publish, reload, subscription,
};
use crate::harness::eventually;

#[tokio::test]
async fn a_batch_that_waits_for_room_is_forgotten_with_the_subscriptions() {
    let host = host_of(FAULT_LISTENER);
    let host = host.instance(|instance| instance.faults_in_a_row = 1);
    let host = host.start().await;
    let mut log = log(&host).await;
    publish(&host, "room:1", "panic").await;
    assert_eq!(log.next_text().await, "1 room:1: panic; 0 lost");
    eventually("the fault to be noted", || counts(&host).1 == 1).await;
    // The host backs off: it is tried again, once a second.
    publish(&host, "room:1", "forgotten").await;
    eventually("it to be taken", || hub(&host).queue().is_empty()).await;
    reload(&host, |functions| functions[0].subscriptions.clear())
        .await
        .unwrap();
    reload(&host, |functions| {
        functions[0].subscriptions = vec![subscription("room:*")];
    })
    .await
    .unwrap();
    publish(&host, "room:1", "wanted").await;
    assert_eq!(log.next_text().await, "1 room:1: wanted; 0 lost");
}

#[tokio::test]
async fn two_that_wake_each_other_keep_their_pace_and_end_with_the_host() {
    let host = host_of(FAULT_LISTENER)
        .limit(|limit| limit.channel_calls_per_second = 5)
        .and(ASYNC, "/other")
        .function(|function| function.subscriptions = vec![subscription("room:*")])
        .limit(|limit| limit.channel_calls_per_second = 5)
        .shared_channels("[[channel]]\npattern = \"room:shared\"\n")
        .start()
        .await;
    let mut one = log(&host).await;
    let mut other = host.connect("/other").await;
    let shared = hub(&host);
    let began = Instant::now();
    let publishing = Publishing::of(Message::Text("again".into()));
    let mut wakeups = Wakeups::default();
    let shared = shared.shared();
    let answered = shared.publish(&channel("room:shared"), publishing, &mut wakeups);
    answered.wait().await.unwrap();
    for _ in 0..10 {
        for log in [&mut one, &mut other] {
            assert!(log.next_text().await.contains("room:shared: again"));
        }
    }
    assert!(began.elapsed().as_millis() >= 600, "{:?}", began.elapsed());
    // What others say is heard nevertheless.
    one.text("room:own hello").await;
    while !one.next_text().await.contains("room:own: hello") {}
    drop((one, other));
    let commons = host.function("listener").commons().clone();
    assert_eq!(host.drain().await, 0);
    assert_eq!(commons.instances(), 0);
}

/// Its connection stays meanwhile, and so it is the same function.
#[tokio::test]
async fn a_function_that_comes_back_is_woken_again_and_once() {
    let host = host_of(FAULT_LISTENER).and(ECHO, "/echo").start().await;
    let mut log = log(&host).await;
    publish(&host, "room:1", "one").await;
    assert_eq!(heard(&mut log, 1).await, ["one"]);
    let (held, all) = (hub(&host), host.deployer.configs());
    reload(&host, |functions| functions.retain(|it| it.name != name()))
        .await
        .unwrap();
    let publishing = Publishing::of(Message::Text("not heard".into()));
    let mut wakeups = Wakeups::default();
    let answered = held.publish(&channel("room:1"), publishing, &mut wakeups);
    answered.wait().await.unwrap();
    reload(&host, |functions| *functions = all).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&held, &hub(&host)));
    for text in ["two", "three"] {
        publish(&host, "room:1", text).await;
        assert_eq!(heard(&mut log, 1).await, [text]);
    }
}

#[tokio::test]
async fn a_drain_ends_what_waits() {
    let host = host_of(FAULT_LISTENER).start().await;
    let log = log(&host).await;
    publish(&host, "room:1", "x").await;
    drop(log);
    assert_eq!(host.drain().await, 0);
    // There is no instance any more, and none is made.
    publish(&host, "room:1", "x").await;
    let listener = hub(&host);
    eventually("the queue to be closed", || listener.queue().is_empty()).await;
    assert_eq!(host.function("listener").commons().instances(), 0);
}

#[tokio::test]
async fn a_host_that_ends_while_a_handler_is_busy_waits_for_it_and_drops_the_rest() {
    for component in [FAULT_LISTENER, ASYNC] {
        let host = host_of(component);
        let host = host.limit(|limit| limit.handler_timeout = Duration::from_millis(500));
        let host = host.start().await;
        let mut log = log(&host).await;
        publish(&host, "room:1", "hold").await;
        assert_eq!(log.next_text().await, "1 room:1: hold; 0 lost");
        for number in 0..100 {
            publish(&host, "room:2", &number.to_string()).await;
        }
        let commons = host.function("listener").commons().clone();
        let listener = hub(&host);
        // Nobody opens the gate: its time ends first.
        drop(log);
        assert_eq!(host.drain().await, 0);
        eventually("the instances to end", || commons.instances() == 0).await;
        eventually("the queue to be closed", || listener.queue().is_empty()).await;
        publish(&host, "room:1", "x").await;
        eventually("nothing to wait", || listener.queue().is_empty()).await;
    }
}
