//! Channels that remember, as functions and their raw peers use them: history
//! and recovery, current values, presence, keys and versions of publishes, and
//! channels that functions share.

use crate::harness::{Client, Host};

/// A history of three, and what peers miss of it.
const HISTORY: &str = r#"
[[function.channel]]
pattern = "room:*"
history = { count = 3 }

[[function.channel]]
pattern = "value"
latest = true

[[function.channel]]
pattern = "cursors:{document}"
keyed = { keys = 2 }

[[function.channel]]
pattern = "lobby"
presence = true

[[function.channel]]
pattern = "closed"
publish = "nobody"
subscribe = "nobody"
"#;

async fn host() -> Host {
    Host::with(openline_guests::FAULT_BROKER, "/broker")
        .channels(HISTORY)
        .start()
        .await
}

/// The position at the beginning of an answer.
fn position(answer: &str) -> &str {
    answer.split(' ').next().unwrap_or_default()
}

async fn publish(client: &mut Client, channel: &str, text: &str) -> String {
    let answer = client.ask(&format!("publish {channel} -- {text}")).await;
    assert!(answer.contains('-'), "{answer}");
    position(&answer).to_owned()
}

#[tokio::test]
async fn a_peer_that_comes_back_gets_what_it_missed_or_is_told() {
    let host = host().await;
    let mut writer = host.connect("/broker").await;
    let mut reader = host.connect("/broker").await;
    let new = reader.ask("subscribe room:1").await;
    assert!(new.ends_with(" - 0"), "{new}");
    let start = position(&new).to_owned();
    drop(reader);
    publish(&mut writer, "room:1", "one").await;
    let second = publish(&mut writer, "room:1", "two").await;
    publish(&mut writer, "room:1", "three").await;

    // All three are kept: they come before the answer, in order.
    let mut reader = host.connect("/broker").await;
    reader
        .text(&format!("subscribe room:1 since={start}"))
        .await;
    for expected in ["one", "two", "three"] {
        assert_eq!(reader.next_text().await, expected);
    }
    let answer = reader.next_text().await;
    assert!(answer.ends_with(" recovered 3"), "{answer}");
    // A second subscription does nothing.
    assert_eq!(reader.ask("subscribe room:1").await, "- - 0");
    assert_eq!(
        publish(&mut writer, "room:1", "four").await.len(),
        second.len()
    );
    assert_eq!(reader.next_text().await, "four");

    // One is evicted: nothing of the rest is given as if it were all.
    let mut late = host.connect("/broker").await;
    let answer = late.ask(&format!("subscribe room:1 since={start}")).await;
    assert!(answer.ends_with(" lost 0"), "{answer}");
    let mut late = host.connect("/broker").await;
    let wish = format!("subscribe room:1 since={start} last=2");
    late.text(&wish).await;
    assert_eq!(late.next_text().await, "three");
    assert_eq!(late.next_text().await, "four");
    let answer = late.next_text().await;
    assert!(answer.ends_with(" lost 2"), "{answer}");
    // From the middle on, it is all there.
    let mut other = host.connect("/broker").await;
    other
        .text(&format!("subscribe room:1 since={second}"))
        .await;
    assert_eq!(other.next_text().await, "three");
}

#[tokio::test]
async fn positions_that_are_none_of_the_channel_recover_nothing() {
    let host = host().await;
    let mut client = host.connect("/broker").await;
    let here = publish(&mut client, "room:1", "one").await;
    let elsewhere = publish(&mut client, "room:2", "two").await;
    let (epoch, _) = here.split_once('-').unwrap();
    for wrong in [elsewhere, format!("{epoch}-9"), "1-1".to_owned()] {
        let mut reader = host.connect("/broker").await;
        let wish = format!("subscribe room:1 since={wrong}");
        let answer = reader.ask(&wish).await;
        assert!(answer.ends_with(" lost 0"), "{wrong}: {answer}");
        let history = format!("history room:1 since={wrong}");
        assert_eq!(client.ask(&history).await, "Unrecoverable", "{wrong}");
    }
    for none in ["x", "", "1", "-1-1", "1-9007199254740992"] {
        let wish = format!("subscribe room:1 since={none}");
        assert_eq!(client.ask(&wish).await, "invalid", "{none}");
    }
}

#[tokio::test]
async fn a_history_is_read_in_pages_and_says_what_is_gone() {
    let host = host().await;
    let mut client = host.connect("/broker").await;
    assert_eq!(client.ask("history room:1").await, "");
    let first = publish(&mut client, "room:1", "one").await;
    for text in ["two", "three", "four", "five"] {
        publish(&mut client, "room:1", text).await;
    }
    assert_eq!(client.ask("history room:1").await, "three four five");
    assert_eq!(
        client.ask("history room:1 limit=2").await,
        "three four more"
    );
    assert_eq!(
        client.ask("history room:1 limit=2 back=yes").await,
        "five four more"
    );
    let since = format!("history room:1 since={first}");
    assert_eq!(client.ask(&since).await, "three four five gap");
    assert_eq!(client.ask("history plain").await, "NotKept");
    assert_eq!(client.ask("values room:1").await, "NotKept");
    assert_eq!(client.ask("counts room:1").await, "NotKept");
    let id = client
        .ask("publish room:1 id=i event=e sender=yes tag:b=2 tag:a=1 -- x")
        .await;
    assert!(id.ends_with(" 0"), "{id}");
    let last = client.ask("history room:1 limit=1 back=yes").await;
    assert!(last.starts_with("x,event=e,id=i,from="), "{last}");
    assert!(last.ends_with(",a:1,b:2 more"), "{last}");
}

#[tokio::test]
async fn a_current_value_is_the_first_thing_that_a_subscriber_gets() {
    let host = host().await;
    let mut writer = host.connect("/broker").await;
    let mut early = host.connect("/broker").await;
    assert!(early.ask("subscribe value").await.ends_with(" - 0"));
    publish(&mut writer, "value", "1").await;
    let last = publish(&mut writer, "value", "2").await;
    assert_eq!(early.next_text().await, "1");
    assert_eq!(early.next_text().await, "2");
    let mut late = host.connect("/broker").await;
    late.text("subscribe value").await;
    assert_eq!(late.next_text().await, "2");
    assert!(late.next_text().await.ends_with(" - 1"));
    // Whoever has it gets nothing.
    let mut back = host.connect("/broker").await;
    let answer = back.ask(&format!("subscribe value since={last}")).await;
    assert!(answer.ends_with(" recovered 0"), "{answer}");
}

#[tokio::test]
async fn values_by_key_are_a_snapshot_and_changes() {
    let host = host().await;
    let mut writer = host.connect("/broker").await;
    assert_eq!(writer.ask("publish cursors:1 -- no key").await, "invalid");
    assert_eq!(writer.ask("publish room:1 key=a -- a key").await, "invalid");
    let first = writer.ask("publish cursors:1 key=a absent=yes -- 1").await;
    let taken = writer.ask("publish cursors:1 key=a absent=yes -- 2").await;
    assert_eq!(taken, format!("conflict {}", position(&first)));
    let at = position(&first).to_owned();
    writer.ask("publish cursors:1 key=b -- 3").await;
    assert_eq!(writer.ask("publish cursors:1 key=c -- 4").await, "full");
    let changed = writer
        .ask(&format!("publish cursors:1 key=a value-at={at} -- 5"))
        .await;
    assert!(changed.ends_with(" 0"), "{changed}");
    assert_eq!(writer.ask("values cursors:1").await, "3,key=b 5,key=a");
    assert_eq!(writer.ask("value cursors:1 a").await, "5,key=a");
    let mut reader = host.connect("/broker").await;
    reader.text("subscribe cursors:1").await;
    assert_eq!(reader.next_text().await, "3");
    assert_eq!(reader.next_text().await, "5");
    assert!(reader.next_text().await.ends_with(" - 2"));
    assert!(writer.ask("remove cursors:1 b").await.ends_with(" 1"));
    assert_eq!(reader.next().await.len(), 0);
    assert_eq!(writer.ask("value cursors:1 b").await, "none");
    assert!(
        writer
            .ask("publish cursors:1 key=c -- 6")
            .await
            .ends_with(" 1")
    );
}

#[tokio::test]
async fn a_repeated_or_late_publish_is_not_done_again() {
    let host = host().await;
    let mut client = host.connect("/broker").await;
    let first = client.ask("publish room:1 idem=k -- one").await;
    let again = client.ask("publish room:1 idem=k -- two").await;
    assert_eq!(again, format!("{} Repeated", position(&first)));
    client.ask("publish room:1 version=5 epoch=e -- five").await;
    let late = client.ask("publish room:1 version=5 epoch=e -- late").await;
    assert!(late.ends_with(" Stale"), "{late}");
    let other = client.ask("publish room:1 version=1 epoch=f -- new").await;
    assert!(other.ends_with(" 0"), "{other}");
    let at = position(&first).to_owned();
    let moved = client.ask(&format!("publish room:1 at={at} -- no")).await;
    assert_eq!(moved, format!("conflict {}", position(&other)));
    assert_eq!(client.ask("history room:1").await, "one five new");
    // Also on channels that remember nothing else.
    assert_eq!(client.ask("publish plain idem=k -- one").await, "- 0");
    assert_eq!(
        client.ask("publish plain idem=k -- two").await,
        "- Repeated"
    );
}

#[tokio::test]
async fn presence_knows_who_is_there() {
    let host = host().await;
    let mut first = host.connect("/broker").await;
    assert_eq!(first.ask("counts lobby").await, "0 0");
    first.ask("subscribe lobby info=me").await;
    let mut second = host.connect("/broker").await;
    second.ask("subscribe lobby").await;
    assert_eq!(first.ask("counts lobby").await, "2 0");
    let mut members: Vec<_> = {
        let members = first.ask("presence lobby").await;
        members.split(' ').map(str::to_owned).collect()
    };
    members.sort_unstable();
    assert_eq!(members, ["false:-", "true:me"]);
    second.close(1000, "").await;
    second.closed().await;
    // The peer sees the end of TCP after its connection has left.
    assert_eq!(first.ask("counts lobby").await, "1 0");
    let long = format!("subscribe lobby info={}", "i".repeat(4_097));
    let mut third = host.connect("/broker").await;
    assert_eq!(third.ask(&long).await, "limit");
    assert_eq!(third.ask(&long[..long.len() - 1]).await, "- - 0");
}

#[tokio::test]
async fn a_channel_of_nobody_is_not_the_functions() {
    let host = host().await;
    let mut client = host.connect("/broker").await;
    assert_eq!(client.ask("publish closed -- x").await, "denied");
    assert_eq!(client.ask("subscribe closed").await, "invalid");
}

#[tokio::test]
async fn functions_share_the_channels_that_are_configured_as_shared() {
    let host = Host::with(openline_guests::FAULT_BROKER, "/broker")
        .and(openline_guests::FAULT_HUB, "/hub")
        .shared_channels(
            "[[channel]]\npattern = \"all:*\"\nhistory = {}\n\
             [[channel]]\npattern = \"all:inner\"\nfunctions = [\"fault-hub\"]\n",
        )
        .start()
        .await;
    let mut broker = host.connect("/broker").await;
    let mut hub = host.connect("/hub").await;
    assert_eq!(hub.ask("subscribe all:1").await, "ok");
    let said = broker.ask("publish all:1 -- hello").await;
    assert!(said.ends_with(" 1"), "{said}");
    assert_eq!(hub.next_text().await, "hello");
    assert_eq!(broker.ask("history all:1").await, "hello");
    // Another name, and one that is shared with others only.
    for name in ["other", "all:inner"] {
        assert_eq!(hub.ask(&format!("subscribe {name}")).await, "ok");
        assert_eq!(broker.ask(&format!("publish {name} -- x")).await, "- 0");
    }
}
