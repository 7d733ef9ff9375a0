//! Channels and other ways to reach connections: which get a message, which do
//! not, and how a peer that does not read affects the others.

use openline_core::limits::{CHANNEL_NAME_BYTES_MAX, FunctionLimits, InstancePolicy};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Closed, Host};

/// Bytes of messages that the kernel and the outbox of a slow reader may hold
/// together: more than any default of Linux.
const ABSORBED_BYTES_MAX: usize = 256 * 1024 * 1024;

async fn hub() -> Host {
    Host::with(openline_guests::FAULT_HUB, "/hub").start().await
}

async fn subscriber(host: &Host, channel: &str) -> Client {
    let mut client = host.connect("/hub").await;
    assert_eq!(client.ask(&format!("subscribe {channel}")).await, "ok");
    client
}

/// One connection's messages keep their order, so if nothing comes before the
/// answer to this, the connection did not get an earlier message.
async fn has_got_nothing(client: &mut Client) {
    assert_eq!(client.ask("nothing came before this").await, "what?");
}

#[tokio::test]
async fn a_published_message_reaches_the_subscribers_of_its_channel() {
    let host = hub().await;
    let mut sender = host.connect("/hub").await;
    let mut first = subscriber(&host, "news").await;
    let mut second = subscriber(&host, "news").await;
    let mut elsewhere = subscriber(&host, "other").await;
    assert_eq!(sender.ask("count news").await, "2");
    assert_eq!(sender.ask("publish news one two").await, "2");
    assert_eq!(first.next_text().await, "one two");
    assert_eq!(second.next_text().await, "one two");
    has_got_nothing(&mut elsewhere).await;
    has_got_nothing(&mut sender).await;
    assert_eq!(sender.ask("publish nobody-listens x").await, "0");
}

#[tokio::test]
async fn a_sender_that_subscribes_gets_its_own_message_unless_it_is_left_out() {
    let host = hub().await;
    let mut sender = subscriber(&host, "news").await;
    let mut other = subscriber(&host, "news").await;
    sender.text("publish news all").await;
    assert_eq!(sender.next_text().await, "all");
    assert_eq!(sender.next_text().await, "2");
    assert_eq!(sender.ask("others news rest").await, "1");
    assert_eq!(other.next_text().await, "all");
    assert_eq!(other.next_text().await, "rest");
}

#[tokio::test]
async fn binary_is_published_as_binary() {
    let host = hub().await;
    let mut sender = host.connect("/hub").await;
    let mut reader = subscriber(&host, "news").await;
    assert_eq!(sender.ask("fill news 300").await, "1");
    assert_eq!(reader.next().await, Message::binary(vec![0; 300]));
}

#[tokio::test]
async fn a_broadcast_reaches_all_connections_of_the_function_in_every_instance() {
    // The same component under two names: two functions.
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .instance(|instance| instance.concurrency = 1)
        .and(openline_guests::FAULT_HUB, "/other")
        .start()
        .await;
    let mut sender = host.connect("/hub").await;
    let mut first = host.connect("/hub").await;
    let mut second = host.connect("/hub").await;
    let mut foreign = host.connect("/other").await;
    assert_eq!(host.function("fault-hub").instances(), 3);
    sender.text("broadcast to all").await;
    assert_eq!(sender.next_text().await, "to all");
    assert_eq!(sender.next_text().await, "3");
    assert_eq!(sender.ask("rest to the rest").await, "2");
    for client in [&mut first, &mut second] {
        assert_eq!(client.next_text().await, "to all");
        assert_eq!(client.next_text().await, "to the rest");
    }
    has_got_nothing(&mut foreign).await;
}

#[tokio::test]
async fn functions_have_channels_of_their_own() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .and(openline_guests::FAULT_HUB, "/other")
        .start()
        .await;
    let mut here = subscriber(&host, "news").await;
    let mut there = host.connect("/other").await;
    assert_eq!(there.ask("count news").await, "0");
    assert_eq!(there.ask("publish news x").await, "0");
    has_got_nothing(&mut here).await;
}

#[tokio::test]
async fn who_unsubscribes_gets_nothing_more() {
    let host = hub().await;
    let mut sender = host.connect("/hub").await;
    let mut reader = subscriber(&host, "news").await;
    // Subscribing twice changes nothing: one unsubscribe ends it.
    assert_eq!(reader.ask("subscribe news").await, "ok");
    assert_eq!(sender.ask("publish news once").await, "1");
    assert_eq!(reader.next_text().await, "once");
    assert_eq!(reader.ask("unsubscribe news").await, "ok");
    assert_eq!(reader.ask("unsubscribe never-subscribed").await, "ok");
    assert_eq!(sender.ask("publish news x").await, "0");
    has_got_nothing(&mut reader).await;
}

#[tokio::test]
async fn subscriptions_end_with_their_connection() {
    let host = hub().await;
    let mut sender = host.connect("/hub").await;
    let mut reader = subscriber(&host, "news").await;
    assert_eq!(sender.ask("count news").await, "1");
    reader.close(1000, "").await;
    assert_eq!(reader.closed().await.code, 1000);
    assert_eq!(sender.ask("count news").await, "0");
    assert_eq!(sender.ask("publish news x").await, "0");
}

#[tokio::test]
async fn messages_of_one_sender_arrive_in_order() {
    let host = hub().await;
    let mut sender = host.connect("/hub").await;
    let mut reader = subscriber(&host, "news").await;
    for number in 0..1000 {
        let message = format!("publish news {number}");
        sender.feed(Message::text(message)).await;
    }
    sender.flush().await;
    for number in 0..1000 {
        assert_eq!(reader.next_text().await, number.to_string());
    }
}

#[tokio::test]
async fn a_connection_is_found_by_its_identity_and_sent_to() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .instance(|instance| instance.concurrency = 1)
        .and(openline_guests::FAULT_HUB, "/other")
        .start()
        .await;
    let mut sender = host.connect("/hub").await;
    let mut receiver = host.connect("/hub").await;
    let id = receiver.ask("id").await;
    assert_eq!(id.len(), 32, "{id}");
    assert_ne!(id, sender.ask("id").await);
    assert_eq!(id, receiver.ask("id").await, "it stays the same");
    // Even though another instance serves it.
    assert_eq!(host.function("fault-hub").instances(), 2);
    assert_eq!(sender.ask(&format!("send {id} for you")).await, "Sent");
    assert_eq!(receiver.next_text().await, "for you");
    let unknown = "0".repeat(32);
    for nobody in [&*unknown, &id.to_uppercase(), "x"] {
        assert_eq!(sender.ask(&format!("send {nobody} x")).await, "nobody");
    }
    let mut foreign = host.connect("/other").await;
    assert_eq!(foreign.ask(&format!("send {id} x")).await, "nobody");
    receiver.close(1000, "").await;
    receiver.closed().await;
    assert_eq!(sender.ask(&format!("send {id} x")).await, "nobody");
}

#[tokio::test]
async fn a_slow_subscriber_delays_nobody_and_overflows_alone() {
    const MESSAGE_BYTES: usize = 64 * 1024;
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .limit(|limit| limit.outbox_bytes = 1024 * 1024)
        .start()
        .await;
    let mut sender = host.connect("/hub").await;
    let mut fast = subscriber(&host, "news").await;
    let mut slow = subscriber(&host, "news").await;
    let mut published = 0;
    // One reads each message, the other none.
    let mut reached = "2".to_owned();
    while reached == "2" {
        assert!(published * MESSAGE_BYTES < ABSORBED_BYTES_MAX);
        reached = sender.ask(&format!("fill news {MESSAGE_BYTES}")).await;
        published += 1;
        assert_eq!(fast.next().await.len(), MESSAGE_BYTES);
    }
    // The last message was too much for the slow one's outbox only.
    assert_eq!(reached, "1");
    assert!(published > 16, "its outbox holds fifteen: {published}");
    let overflow = Closed {
        code: 1013,
        reason: "outbox is full: read faster".into(),
    };
    assert_eq!(slow.closed().await, overflow);
    assert_eq!(sender.ask("publish news on we go").await, "1");
    assert_eq!(fast.next_text().await, "on we go");
}

#[tokio::test]
async fn a_connection_has_its_channels_and_not_one_more() {
    let host = hub().await;
    let mut client = host.connect("/hub").await;
    let most = FunctionLimits::default().channels;
    for index in 0..most {
        assert_eq!(client.ask(&format!("subscribe {index}")).await, "ok");
    }
    assert_eq!(client.ask("subscribe 0").await, "ok", "it has this one");
    assert_eq!(client.ask("subscribe one-more").await, "limit");
    assert_eq!(client.ask("count one-more").await, "0");
    assert_eq!(client.ask("unsubscribe 0").await, "ok");
    assert_eq!(client.ask("subscribe one-more").await, "ok");
}

#[tokio::test]
async fn a_function_may_subscribe_a_connection_to_as_many_while_it_accepts() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    let path = |channels: usize| {
        let names: Vec<_> = (0..channels)
            .map(|index| format!("channel={index}"))
            .collect();
        format!("/reject?{}", names.join("&"))
    };
    let most = FunctionLimits::default().channels as usize;
    let mut client = host.connect(&path(most)).await;
    assert_eq!(client.ask("x").await, "x");
    let refused = host.refused(&path(most + 1)).await;
    assert_eq!(refused.status, 502);
    assert_eq!(refused.headers["openline-error-type"], "bad_answer");
    // The refused subscription has left nothing behind.
    assert_eq!(host.function("fault-reject").hub().connections(), 1);
}

#[tokio::test]
async fn a_channels_name_at_its_length_and_past_it() {
    let host = hub().await;
    let mut client = host.connect("/hub").await;
    let longest = "c".repeat(CHANNEL_NAME_BYTES_MAX);
    let too_long = "c".repeat(CHANNEL_NAME_BYTES_MAX + 1);
    assert_eq!(client.ask(&format!("subscribe {longest}")).await, "ok");
    assert_eq!(client.ask(&format!("others {longest} x")).await, "0");
    for name in [&*too_long, ""] {
        assert_eq!(client.ask(&format!("subscribe {name}")).await, "invalid");
        assert_eq!(client.ask(&format!("publish {name} x")).await, "invalid");
        assert_eq!(client.ask(&format!("count {name}")).await, "0");
        assert_eq!(client.ask(&format!("unsubscribe {name}")).await, "ok");
    }
}

#[tokio::test]
async fn an_attachment_at_its_size_and_past_it() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .and(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    let mut client = host.connect("/hub").await;
    let most = FunctionLimits::default().attachment_bytes;
    let more = most + 1;
    assert_eq!(client.ask("attached").await, "0");
    assert_eq!(client.ask(&format!("attach {most}")).await, "ok");
    assert_eq!(client.ask(&format!("attach {more}")).await, "limit");
    assert_eq!(client.ask("attached").await, most.to_string());
    // The same for a subscription that a function adds when it accepts.
    let path = format!("/reject?attachment_bytes={most}");
    assert_eq!(host.connect(&path).await.ask("x").await, "x");
    let path = format!("/reject?attachment_bytes={more}");
    assert_eq!(host.refused(&path).await.status, 502);
}

#[tokio::test]
async fn a_published_message_at_its_size_and_past_it() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .limit(|limit| limit.message_bytes = 1000)
        .start()
        .await;
    let mut sender = host.connect("/hub").await;
    let mut reader = subscriber(&host, "news").await;
    assert_eq!(sender.ask("fill news 1001").await, "limit");
    assert_eq!(sender.ask("fill news 1000").await, "1");
    assert_eq!(reader.next().await.len(), 1000);
}

#[tokio::test]
async fn an_instance_holds_its_handles_and_not_one_more() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        // It makes thousands of calls to the host, on a busy machine.
        .limit(|limit| limit.cpu_timeout = limit.handler_timeout)
        .start()
        .await;
    let mut client = host.connect("/hub").await;
    let most = InstancePolicy::default().handles.to_string();
    assert_eq!(client.ask(&format!("lose {most}")).await, most);
    assert_eq!(client.ask("id").await.len(), 32, "its own are not counted");
    client.text("lose 1").await;
    assert_eq!(client.closed().await.reason, "function fault: trap");
}
