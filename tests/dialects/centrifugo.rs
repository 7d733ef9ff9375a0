//! Centrifugo's protocol: what its clients ask for, in order, and what they get
//! after a break.

use std::collections::BTreeSet;
use std::sync::Arc;

use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, SocketOwner};
use openline_channels::hub::Hub;
use openline_channels::space::Publishing;
use openline_channels::wakeups::Wakeups;
use openline_core::limits::FunctionLimits;
use openline_core::message::Message;
use openline_core::name::ChannelName;
use serde_json::json;

use super::{Speaker, good, host, host_of_tokens, host_with};
use crate::authentication::end;
use crate::harness::Host;

/// The hub of a host's only function.
pub fn publish(host: &Host, channel: &str, text: &str) {
    let function = host.deployer.triggers().remove(0).1;
    let hub: &Hub = function.hub();
    let channel = ChannelName::new(channel).unwrap();
    let publishing = Publishing::of(Message::Text(text.into()));
    let published = hub.publish(&channel, publishing, &mut Wakeups::default());
    published.now().unwrap();
}

#[tokio::test]
async fn a_peer_subscribes_publishes_and_reads() {
    let host = host().await;
    let mut one = Speaker::connect(&host).await;
    assert_eq!(one.connect["ping"], 30);
    assert_eq!(one.connect["pong"], true);
    assert!(one.connect.get("expires").is_none());
    let mut other = Speaker::connect(&host).await;
    let subscribed = one.ask("subscribe", json!({"channel": "news"})).await;
    assert_eq!(subscribed["subscribe"]["recoverable"], true, "{subscribed}");
    assert_eq!(subscribed["subscribe"]["positioned"], true);
    let data = json!({"text": "é\n", "n": 1});
    let published = other
        .ask("publish", json!({"channel": "news", "data": data}))
        .await;
    assert_eq!(published["publish"], json!({}));
    let publication = one.publication("news").await;
    assert_eq!(publication["data"], data);
    assert_eq!(publication["offset"], 1);
    assert_eq!(publication["info"]["client"], other.id());
    let history = one
        .ask("history", json!({"channel": "news", "limit": -1}))
        .await;
    assert_eq!(history["history"]["publications"][0]["data"], data);
    assert_eq!(history["history"]["offset"], 1);
    let position = one.ask("history", json!({"channel": "news"})).await;
    assert!(
        position["history"]
            .get("publications")
            .is_none_or(|it| it == &json!([]))
    );
    assert_eq!(position["history"]["offset"], 1);
    one.ask("unsubscribe", json!({"channel": "news"})).await;
    other
        .ask("publish", json!({"channel": "news", "data": 2}))
        .await;
    // Nothing came of the channel: the next frame is this reply.
    one.ask("unsubscribe", json!({"channel": "news"})).await;
    drop((one, other));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn subscribers_are_known_and_told_of() {
    let host = host_of_tokens().await;
    let mut ann = Speaker::connect_with(&host, json!({"token": good("ann", 600)})).await;
    assert_eq!(ann.connect["expires"], true);
    ann.ask("subscribe", json!({"channel": "lobby", "join_leave": true}))
        .await;
    let mut bob = Speaker::connect_with(&host, json!({"token": good("bob", 600)})).await;
    bob.ask("subscribe", json!({"channel": "lobby"})).await;
    let join = ann.next().await;
    let join = if join["push"]["join"]["info"]["user"] == "ann" {
        ann.next().await
    } else {
        join
    };
    assert_eq!(join["push"]["join"]["info"]["user"], "bob", "{join}");
    let presence = ann.ask("presence", json!({"channel": "lobby"})).await;
    assert_eq!(
        presence["presence"]["presence"][bob.id()]["user"],
        "bob",
        "{presence}"
    );
    let stats = ann.ask("presence_stats", json!({"channel": "lobby"})).await;
    assert_eq!(
        stats["presence_stats"],
        json!({"num_clients": 2, "num_users": 2})
    );
    drop(bob);
    let leave = ann.next().await;
    assert_eq!(leave["push"]["leave"]["info"]["user"], "bob", "{leave}");
}

#[tokio::test]
async fn a_function_gets_messages_and_its_own_are_wrapped() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    peer.client.text(r#"{"send":{"data":{"a":[1]}}}"#).await;
    assert_eq!(
        peer.next().await,
        json!({"push": {"message": {"data": {"a": [1]}}}})
    );
    assert_eq!(peer.refused("rpc", json!({"method": "m"})).await, 104);
    // Commands behind the first one of a frame are done in their order.
    let frame = "{\"send\":{\"data\":1}}\n{\"id\":9,\"subscribe\":{\"channel\":\"plain:1\"}}";
    peer.client.text(frame).await;
    let mut both = [peer.next().await, peer.next().await].map(|it| it.to_string());
    both.sort();
    let expected = [
        r#"{"id":9,"subscribe":{}}"#,
        r#"{"push":{"message":{"data":1}}}"#,
    ];
    assert_eq!(both, expected);
}

#[tokio::test]
async fn what_was_missed_comes_in_the_reply_before_all_that_is_new() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    let subscribed = peer.ask("subscribe", json!({"channel": "news"})).await;
    let epoch = subscribed["subscribe"]["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    peer.client.vanish();
    for number in 1..=3 {
        publish(&host, "news", &number.to_string());
    }
    let since = |offset, epoch: &str| json!({"channel": "news", "recover": true, "offset": offset, "epoch": epoch});
    let mut peer = Speaker::connect(&host).await;
    let reply = peer.ask("subscribe", since(1, &epoch)).await;
    let result = &reply["subscribe"];
    assert_eq!(
        (&result["recovered"], &result["was_recovering"]),
        (&json!(true), &json!(true))
    );
    let missed = result["publications"].as_array().unwrap();
    let offsets: Vec<_> = missed
        .iter()
        .map(|it| it["offset"].as_u64().unwrap())
        .collect();
    assert_eq!(offsets, [2, 3]);
    publish(&host, "news", "4");
    assert_eq!(peer.publication("news").await["offset"], 4);
    // Evicted, of the future, of another epoch: nothing, and it is said.
    for (offset, epoch) in [
        (0, &*epoch),
        (99, &epoch),
        (2, "1"),
        (2, "x"),
        (u64::MAX, &epoch),
    ] {
        let mut late = Speaker::connect(&host).await;
        let reply = late.ask("subscribe", since(offset, epoch)).await;
        let result = &reply["subscribe"];
        assert!(
            result.get("recovered").is_none(),
            "{offset} {epoch} {reply}"
        );
        assert_eq!(result["was_recovering"], true);
        assert!(result.get("publications").is_none());
        let mut strict = since(offset, epoch);
        strict["flag"] = json!(2);
        let mut late = Speaker::connect(&host).await;
        assert_eq!(late.refused("subscribe", strict).await, 112);
    }
    // Without an epoch it is the one that the channel has.
    let mut any = Speaker::connect(&host).await;
    let reply = any.ask("subscribe", since(3, "")).await;
    assert_eq!(reply["subscribe"]["recovered"], true, "{reply}");
    assert_eq!(reply["subscribe"]["publications"][0]["offset"], 4);
}

/// A client that comes back asks for all its channels in one frame. Each answer is
/// as large as it may be, and they do not fit into the outbox together.
#[tokio::test]
async fn much_that_was_missed_on_many_channels_comes_answer_by_answer() {
    let change = |host: crate::harness::HostBuilder| {
        host.limit(|limit| {
            limit.message_bytes = 200 << 10;
            limit.outbox_bytes = 256 << 10;
        })
    };
    let tables = "[[function.channel]]\npattern = \"log:*\"\nsubscribe = \"peers\"\n\
                  history = { count = 10 }\n";
    let change = |host| change(host).channels(tables);
    let host = host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", change).await;
    let mut peer = Speaker::connect(&host).await;
    let mut epochs = Vec::new();
    let data = format!("{:?}", "x".repeat(90 << 10));
    for number in 0..12 {
        let channel = format!("log:{number}");
        let reply = peer.ask("subscribe", json!({"channel": channel})).await;
        epochs.push(reply["subscribe"]["epoch"].clone());
    }
    peer.client.vanish();
    for number in 0..12 {
        publish(&host, &format!("log:{number}"), &data);
    }
    let mut peer = Speaker::connect(&host).await;
    let commands = epochs.iter().enumerate().map(|(number, epoch)| {
        let channel = format!("log:{number}");
        let since = json!({"channel": channel, "recover": true, "offset": 0, "epoch": epoch});
        json!({"id": number + 10, "subscribe": since}).to_string()
    });
    let history = json!({"channel": "log:0", "limit": 1});
    let history = json!({"id": 90, "history": history}).to_string();
    let frame: Vec<_> = commands.chain(vec![history; 8]).collect();
    peer.client.text(&frame.join("\n")).await;
    for number in 0..12 {
        let reply = peer.next().await;
        assert_eq!(reply["id"], number + 10);
        let result = &reply["subscribe"];
        assert_eq!(result["recovered"], true);
        assert_eq!(result["publications"].as_array().unwrap().len(), 1);
    }
    for _ in 0..8 {
        let reply = peer.next().await;
        assert_eq!(reply["id"], 90);
        assert_eq!(
            reply["history"]["publications"].as_array().unwrap().len(),
            1
        );
    }
    publish(&host, "log:3", "1");
    assert_eq!(peer.publication("log:3").await["offset"], 2);
}

/// The answer to a publish on a durable channel wakes the connection by itself.
#[tokio::test]
async fn a_publish_on_a_durable_channel_is_answered_when_it_is_kept() {
    let tables = "[[function.channel]]\npattern = \"kept\"\npublish = \"peers\"\n\
                  durable = true\nhistory = { count = 10 }\n";
    let folder = tempfile::tempdir().unwrap();
    let store = openline_store::Store::open(folder.path(), 1 << 30).unwrap();
    let change = |host: crate::harness::HostBuilder| host.channels(tables).store(&store);
    let host = host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", change).await;
    let mut peer = Speaker::connect(&host).await;
    let begun = tokio::time::Instant::now();
    for number in 0..10 {
        let publish = json!({"channel": "kept", "data": number});
        let reply = peer.ask("publish", publish).await;
        assert_eq!(reply["publish"], json!({}));
    }
    // The connection's own timer would find each answer after a second.
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    // More than may wait at once, in one frame.
    let command = |id: u32| json!({"id": id, "publish": {"channel": "kept", "data": id}});
    let frame: Vec<_> = (100..500).map(|id| command(id).to_string()).collect();
    peer.client.text(&frame.join("\n")).await;
    let mut answered = std::collections::BTreeSet::new();
    for _ in 100..500 {
        answered.insert(peer.next().await["id"].as_u64().unwrap());
    }
    assert_eq!(answered.len(), 400);
}

#[tokio::test]
async fn channels_of_the_connection_recover_with_its_first_reply() {
    let host = host().await;
    publish(&host, "news", "1");
    let subs = json!({"subs": {"news": {}, "inbox:ann": {}, "plain:1": {}}});
    let peer = Speaker::connect_with(&host, subs).await;
    let subs = &peer.connect["subs"];
    assert!(
        subs["plain:1"].is_object() && subs.get("inbox:ann").is_none(),
        "{subs}"
    );
    let epoch = subs["news"]["epoch"].as_str().unwrap();
    assert_eq!(subs["news"]["offset"], 1);
    publish(&host, "news", "2");
    let again = json!({"subs": {"news": {"recover": true, "offset": 1, "epoch": epoch}}});
    let mut again = Speaker::connect_with(&host, again).await;
    let news = &again.connect["subs"]["news"];
    assert_eq!(news["recovered"], true, "{news}");
    assert_eq!(news["publications"][0]["offset"], 2);
    publish(&host, "news", "3");
    assert_eq!(again.publication("news").await["offset"], 3);
}

#[tokio::test]
async fn a_current_value_follows_the_reply() {
    let host = host().await;
    publish(&host, "value", r#"{"v":1}"#);
    let mut peer = Speaker::connect(&host).await;
    let reply = peer.ask("subscribe", json!({"channel": "value"})).await;
    assert!(reply["subscribe"].is_object());
    assert_eq!(peer.publication("value").await["data"], json!({"v": 1}));
}

#[tokio::test]
async fn thousands_of_commands_in_one_frame_are_answered_in_turn() {
    const COMMANDS: u32 = 2_000;
    let change = |host: crate::harness::HostBuilder| {
        host.limit(|limit| limit.channels = COMMANDS)
            .server(|server| server.channel_bytes = 1 << 30)
    };
    let host = host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", change).await;
    let mut peer = Speaker::connect(&host).await;
    let commands = (0..COMMANDS).map(|number| {
        let id = number + 10;
        json!({"id": id, "subscribe": {"channel": format!("plain:{number}")}}).to_string()
    });
    let frame = commands.collect::<Vec<_>>().join("\n");
    peer.client.text(&frame).await;
    for number in 0..COMMANDS {
        let reply = peer.next().await;
        assert_eq!(reply, json!({"id": number + 10, "subscribe": {}}));
    }
    assert_eq!(
        peer.refused("subscribe", json!({"channel": "plain:more"}))
            .await,
        106
    );
}

#[tokio::test]
async fn commands_of_one_frame_count_as_many_messages() {
    let change = |host: crate::harness::HostBuilder| {
        host.limit(|limit| {
            limit.messages_per_second = 5;
            limit.rate_exceeded = openline_core::limits::RateExceeded::Close;
        })
    };
    let host = host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", change).await;
    let mut peer = Speaker::connect(&host).await;
    let commands = "{\"send\":{\"data\":1}}\n".repeat(9);
    peer.client.text(&commands).await;
    assert_eq!(peer.client.closed().await, end(3013, "too many requests"));
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_gone_and_one_that_does_stays() {
    let change = |host: crate::harness::HostBuilder| {
        host.limit(|limit| {
            limit.ping_interval = std::time::Duration::from_millis(300);
            limit.pong_timeout = std::time::Duration::from_millis(300);
        })
    };
    let host = host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", change).await;
    let mut peer = Speaker::connect(&host).await;
    assert_eq!(peer.connect["ping"], 1);
    for _ in 0..3 {
        assert_eq!(peer.next().await, json!({}));
        peer.client.text("{}").await;
    }
    assert_eq!(peer.client.closed().await, end(3012, "no pong"));
}

/// A list of members, and the news of those who come and go, are in order: with
/// both a peer knows at each moment who is there.
#[tokio::test]
async fn who_comes_and_goes_is_in_order_with_lists_of_members() {
    const STAY: usize = 500;
    const COME_AND_GO: usize = 200;
    let host = host().await;
    let function = host.deployer.triggers().remove(0).1;
    let lobby = ChannelName::new("lobby").unwrap();
    let limits = Arc::new(FunctionLimits::default());
    let budget = HostBudget::new(1 << 20, 1 << 20).function();
    let join = move |hub: &Hub| {
        let member = SocketOwner::new(Facts::default(), Arc::clone(&limits), Arc::clone(&budget));
        hub.join(member.connection());
        hub.subscribe(member.connection(), &lobby, &mut Wakeups::default())
            .unwrap();
        member
    };
    let stay: Vec<_> = (0..STAY).map(|_| join(function.hub())).collect();
    let mut peer = Speaker::connect(&host).await;
    let wanted = json!({"channel": "lobby", "join_leave": true});
    peer.ask("subscribe", wanted).await;
    let mut here: BTreeSet<_> = stay
        .iter()
        .map(|it| it.connection().id().to_string())
        .collect();
    let mut lists = 0;
    for round in 0..20 {
        let (function, join) = (Arc::clone(&function), join.clone());
        let coming = tokio::task::spawn_blocking(move || {
            for _ in 0..COME_AND_GO {
                let member = join(function.hub());
                function.hub().leave(member.connection());
            }
        });
        let asked = [0, 1, 2].map(|number| {
            let id = 1_000 + 10 * round + number;
            json!({"id": id, "presence": {"channel": "lobby"}}).to_string()
        });
        peer.client.text(&asked.join("\n")).await;
        let (mut left, mut answered) = (0, 0);
        while left < COME_AND_GO || answered < asked.len() {
            let frame = peer.next().await;
            let client = |news: &str| frame["push"][news]["info"]["client"].as_str();
            if let Some(client) = client("join") {
                here.insert(client.to_owned());
            } else if let Some(client) = client("leave") {
                here.remove(client);
                left += 1;
            } else {
                let list = frame["presence"]["presence"].as_object().unwrap();
                assert!(list.keys().eq(here.iter()), "round {round}");
                answered += 1;
                lists += usize::from(here.len() > STAY + 1);
            }
        }
        coming.await.unwrap();
    }
    println!("{lists} lists while someone was there who went");
    for member in &stay {
        function.hub().leave(member.connection());
    }
}
