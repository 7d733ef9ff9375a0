//! Clients of Centrifugo that come back again and again, and what each of their
//! subscriptions is told.

use openline_core::name::ChannelName;
use serde_json::{Value, json};

use super::centrifugo::publish;
use super::outside::{self, ask};
use super::{Speaker, good, host, host_of_tokens};
use crate::harness::{Host, eventually};

/// Publishes on `tagged`.
async fn publish_tagged(host: &Host, key: &str, value: &str) {
    let body = json!({"channel": "tagged", "text": "1", "tags": {"k": value}});
    let (status, answer) = ask(host, key, "POST /v1/publish", &body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
}

/// What a client remembers of a subscription, as Centrifugo's do.
struct Remembered {
    channel: &'static str,
    filter: Value,
    epoch: String,
    offset: u64,
}

impl Remembered {
    async fn new(host: &Host, channel: &'static str, filter: Value) -> Self {
        let mut peer = Speaker::connect(host).await;
        let wanted = json!({"channel": channel, "tf": filter});
        let reply = peer.ask("subscribe", wanted).await;
        let result = &reply["subscribe"];
        peer.client.vanish();
        Self {
            channel,
            filter,
            epoch: result["epoch"].as_str().unwrap().to_owned(),
            offset: result["offset"].as_u64().unwrap_or(0),
        }
    }

    /// Comes back, and goes at once; the offsets that it gets, if it recovers.
    async fn comes_back(&mut self, host: &Host) -> Option<Vec<u64>> {
        let mut peer = Speaker::connect(host).await;
        let wanted = json!({
            "channel": self.channel,
            "recover": true,
            "epoch": self.epoch,
            "offset": self.offset,
            "tf": self.filter,
        });
        let reply = peer.ask("subscribe", wanted).await;
        let result = &reply["subscribe"];
        assert_eq!(result["was_recovering"], true, "{reply}");
        let missed = result["publications"].as_array();
        let missed = missed.into_iter().flatten();
        let missed: Vec<_> = missed.map(|it| it["offset"].as_u64().unwrap()).collect();
        self.offset = result["offset"].as_u64().unwrap_or(0);
        if let Some(last) = missed.last() {
            self.offset = *last;
        }
        peer.client.vanish();
        (result["recovered"] == true).then_some(missed)
    }
}

#[tokio::test]
async fn whoever_comes_back_again_and_again_gets_each_publication_once() {
    let host = host().await;
    let mut client = Remembered::new(&host, "news", Value::Null).await;
    // Also before the first publication, and without any since.
    for _ in 0..3 {
        assert_eq!(client.comes_back(&host).await, Some(vec![]));
    }
    for number in 1..=3 {
        publish(&host, "news", "1");
        assert_eq!(client.comes_back(&host).await, Some(vec![number]));
        assert_eq!(client.comes_back(&host).await, Some(vec![]));
    }
    // What the client has may be evicted; nothing that it misses is.
    for _ in 4..=6 {
        publish(&host, "news", "1");
    }
    assert_eq!(client.comes_back(&host).await, Some(vec![4, 5, 6]));
    for _ in 7..=10 {
        publish(&host, "news", "1");
    }
    assert_eq!(client.comes_back(&host).await, None, "7 is evicted");
    assert_eq!(client.comes_back(&host).await, Some(vec![]));
}

#[tokio::test]
async fn publications_that_a_client_skips_are_not_missed() {
    let (host, key) = outside::host().await;
    let filter = json!({"key": "k", "cmp": "eq", "val": "mine"});
    let mut client = Remembered::new(&host, "tagged", filter).await;
    publish_tagged(&host, &key, "mine").await;
    publish_tagged(&host, &key, "other").await;
    assert_eq!(client.comes_back(&host).await, Some(vec![1]));
    // More than the channel keeps, but never more since it was last there.
    for round in 0..4 {
        publish_tagged(&host, &key, "other").await;
        publish_tagged(&host, &key, "other").await;
        assert_eq!(client.comes_back(&host).await, Some(vec![]), "{round}");
    }
    publish_tagged(&host, &key, "mine").await;
    assert_eq!(client.comes_back(&host).await, Some(vec![11]));
}

#[tokio::test]
async fn a_user_with_several_connections_comes_once_and_goes_once() {
    let host = host_of_tokens().await;
    let wanted = json!({"channel": "users", "join_leave": true});
    let connect = async |user: &str| {
        let token = good(user, 600);
        Speaker::connect_with(&host, json!({"token": token})).await
    };
    let mut ann = connect("ann").await;
    ann.ask("subscribe", wanted).await;
    assert_eq!(ann.next().await["push"]["join"]["info"]["user"], "ann");
    let mut tabs = Vec::new();
    for _ in 0..3 {
        let mut tab = connect("bob").await;
        tab.ask("subscribe", json!({"channel": "users"})).await;
        tabs.push(tab);
    }
    let join = ann.next().await;
    assert_eq!(join["push"]["join"]["info"]["user"], "bob", "{join}");
    let stats = async |ann: &mut Speaker| {
        let reply = ann.ask("presence_stats", json!({"channel": "users"})).await;
        let stats = &reply["presence_stats"];
        (stats["num_clients"].clone(), stats["num_users"].clone())
    };
    assert_eq!(stats(&mut ann).await, (json!(4), json!(2)));
    // One leaves by itself, one comes back in between, one vanishes.
    let mut first = tabs.remove(0);
    first.ask("unsubscribe", json!({"channel": "users"})).await;
    first.ask("subscribe", json!({"channel": "users"})).await;
    first.client.close(1000, "").await;
    tabs.remove(0).client.vanish();
    let id = tabs[0].id().to_owned();
    eventually("one of them to be left", || {
        let function = host.deployer.triggers().remove(0).1;
        let channel = ChannelName::new("users").unwrap();
        function.hub().subscribers(&channel) == 2
    })
    .await;
    // Nothing was told: the next frame is this reply.
    assert_eq!(stats(&mut ann).await, (json!(2), json!(2)));
    tabs.remove(0).client.vanish();
    let leave = ann.next().await;
    let info = &leave["push"]["leave"]["info"];
    assert_eq!(
        (&info["user"], &info["client"]),
        (&json!("bob"), &json!(id))
    );
}

/// Clients that lose track ask twice, or end what they have just asked for.
#[tokio::test]
async fn subscriptions_in_one_frame_are_done_in_turn() {
    let host = host().await;
    let mut peer = Speaker::connect(&host).await;
    let commands = [
        ("subscribe", "news"),
        ("subscribe", "news"),
        ("unsubscribe", "news"),
        ("subscribe", "news"),
        ("subscribe", "plain:1"),
        ("unsubscribe", "plain:1"),
    ];
    let frame = commands
        .iter()
        .enumerate()
        .map(|(number, (method, channel))| {
            let id = number + 10;
            json!({"id": id, *method: {"channel": channel}}).to_string()
        });
    let frame: Vec<_> = frame.collect();
    peer.client.text(&frame.join("\n")).await;
    let mut codes = Vec::new();
    for number in 0..commands.len() {
        let reply = peer.next().await;
        assert_eq!(reply["id"], number + 10);
        codes.push(reply["error"]["code"].as_u64().unwrap_or(0));
    }
    assert_eq!(codes, [0, 105, 0, 0, 0, 0]);
    publish(&host, "plain:1", "1");
    publish(&host, "news", "2");
    // The subscription of the second try is whole, and the other one is gone.
    assert_eq!(peer.publication("news").await["data"], 2);
}
