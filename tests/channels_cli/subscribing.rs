//! Subscribers that stay: over restarts, beside slow readers, until they are told
//! to stop.

use std::fs;

use serde_json::Value;

use super::{Subscribed, Told};
use crate::harness::{PATIENCE, shell};

#[tokio::test]
async fn data_is_printed_as_it_comes_and_channels_are_told_apart() {
    let told = Told::start().await;
    let mut one = told.subscribe(&["news"], "news", 1).await;
    let mut several = told.subscribe(&["news", "plain"], "plain", 1).await;
    told.known("news", 2).await;
    told.publish("news", "{\"a\": 1}").await;
    assert_eq!(one.next().await, "{\"a\": 1}");
    assert_eq!(several.next().await, "news\t{\"a\": 1}");
    told.publish("plain", "hello").await;
    assert_eq!(several.next().await, "plain\thello");
    let mut json = told
        .subscribe(&["news", "--json", "--count", "2"], "news", 3)
        .await;
    for text in ["x", "y", "z"] {
        told.publish("news", text).await;
    }
    for text in ["x", "y"] {
        let line: Value = serde_json::from_str(&json.next().await).unwrap();
        assert_eq!(
            (&line["channel"], &line["text"]),
            (&"news".into(), &text.into())
        );
    }
    // As many as it was to print.
    let ended = json.ended().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
}

#[tokio::test]
async fn nothing_is_lost_or_printed_twice_while_the_host_is_killed_and_starts_again() {
    let mut told = Told::start().await;
    let mut subscribed = told.subscribe(&["news"], "news", 1).await;
    let mut number = 0;
    for life in 0..3 {
        for _ in 0..4 {
            told.publish("news", &number.to_string()).await;
            number += 1;
        }
        if life > 0 {
            subscribed.told("news: connected again").await;
        }
        told.restart().await;
        // Before the subscriber is back, or after it.
        told.publish("news", &number.to_string()).await;
        number += 1;
    }
    for expected in 0..number {
        assert_eq!(subscribed.next().await, expected.to_string());
    }
    subscribed.told("connecting again").await;
    subscribed.signal("TERM").await;
    let ended = subscribed.ended().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
    assert!(!ended.stderr.contains("lost"), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_recovered_is_told() {
    let mut told = Told::start().await;
    let mut brief = told.subscribe(&["brief"], "brief", 1).await;
    let mut plain = told.subscribe(&["plain"], "plain", 1).await;
    told.publish("brief", "1").await;
    assert_eq!(brief.next().await, "1");
    told.restart().await;
    let line = plain.told("plain: connected again").await;
    assert!(line.contains("keeps no history"), "{line}");
    let line = brief.told("lost").await;
    assert!(
        line.contains("brief: what came after ") && line.contains("is not kept"),
        "{line}"
    );
    told.known("brief", 1).await;
    told.known("plain", 1).await;
    told.publish("brief", "2").await;
    told.publish("plain", "3").await;
    assert_eq!(brief.next().await, "2");
    assert_eq!(plain.next().await, "3");
    // A position that is too old, at the start.
    let since = position(&told, "brief", 0).await;
    for text in ["3", "4", "5"] {
        told.publish("brief", text).await;
    }
    let mut late = told
        .subscribe(&["brief", "--since", &since], "brief", 2)
        .await;
    late.told("is not kept").await;
    told.publish("brief", "6").await;
    assert_eq!(late.next().await, "6");
}

/// The position of a publication that is kept.
async fn position(told: &Told, channel: &str, index: usize) -> String {
    let history = told.done(&["history", channel, "--json"]).await;
    let line: Value = serde_json::from_str(history.lines().nth(index).unwrap()).unwrap();
    line["position"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_it_and_says_so() {
    let mut told = Told::start().await;
    let mut subscribed = told.subscribe(&["news"], "news", 1).await;
    let path = told.path("openline.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("scopes = [\"subscribe\"]", "scopes = [\"manage\"]");
    fs::write(&path, text).unwrap();
    told.host.signal("HUP").await;
    told.host.told("reloaded: ").await;
    subscribed.told("connecting again").await;
    let ended = subscribed.ended().await;
    ended.failed(3, &["the key may not do this", "hint: "]);
}

/// More than the host keeps for all streams, and a pipe that nobody reads.
#[tokio::test]
async fn a_reader_that_is_slow_gets_everything_in_order_and_once() {
    // More than the outbox of a stream and the pipes between hold.
    const LINES: usize = 110;
    let told = Told::start().await;
    let mut subscribed = told.subscribe(&["bulk"], "bulk", 1).await;
    let long = "x".repeat(900 << 10);
    let lines: String = (0..LINES)
        .map(|number| format!("{number} {long}\n"))
        .collect();
    fs::write(told.path("lines"), lines).unwrap();
    let lines = told.path("lines");
    told.done(&["publish", "bulk", "--lines", "--file", &lines])
        .await;
    // The host has given it up, and it has not noticed.
    told.known("bulk", 0).await;
    for number in 0..LINES {
        let line = subscribed.next().await;
        assert!(
            line.starts_with(&format!("{number} x")),
            "{number}: {}",
            &line[..20]
        );
        assert_eq!(line.len(), number.to_string().len() + 1 + long.len());
    }
    subscribed.told("connecting again").await;
    told.publish("bulk", "last").await;
    assert_eq!(subscribed.next().await, "last");
}

#[tokio::test]
async fn an_interrupt_says_how_to_continue_even_if_nobody_reads() {
    let told = Told::start().await;
    let mut subscribed = told.subscribe(&["news"], "news", 1).await;
    told.publish("news", "1").await;
    assert_eq!(subscribed.next().await, "1");
    let blocked = told.subscribe(&["news"], "news", 2).await;
    // More than a pipe holds.
    let long = format!("{:?}", "x".repeat(600 << 10));
    fs::write(told.path("long"), &long).unwrap();
    let path = told.path("long");
    told.done(&["publish", "news", "--file", &path]).await;
    assert_eq!(subscribed.next().await, long);
    told.publish("news", "3").await;
    assert_eq!(subscribed.next().await, "3");
    subscribed.signal("INT").await;
    let since = continued(&mut subscribed).await;
    assert_eq!(subscribed.ended().await.code, Some(0));
    assert_eq!(since, position(&told, "news", 2).await);
    told.publish("news", "4").await;
    let words = ["subscribe", "news", "--since", &since, "--count", "1"];
    let counted = told.run(&words).await;
    assert_eq!((counted.code, &*counted.stdout), (Some(0), "4\n"));
    let at = format!(
        "continue with `--since {}`",
        position(&told, "news", 3).await
    );
    assert!(counted.stderr.contains(&at), "{counted:?}");
    blocked.signal("INT").await;
    let ended = blocked.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn values_have_their_keys_and_a_key_alone_says_that_its_value_is_gone() {
    let told = Told::start().await;
    let mut both = told.subscribe(&["prices", "news"], "prices", 1).await;
    let mut json = told.subscribe(&["prices", "--json"], "prices", 2).await;
    let mut one = told.subscribe(&["prices"], "prices", 3).await;
    let hostile = "a\tb\u{1b}";
    told.done(&["publish", "prices", "17.5", "--key-of-value", "gold"])
        .await;
    told.done(&["publish", "prices", "", "--key-of-value", hostile])
        .await;
    told.done(&["publish", "prices", "--key-of-value", "gold", "--remove"])
        .await;
    for expected in ["gold\t17.5", "a\\tb\\u{1b}\t", "gold"] {
        assert_eq!(one.next().await, expected);
        assert_eq!(both.next().await, format!("prices\t{expected}"));
    }
    for (key, removed) in [
        ("gold", Value::Null),
        (hostile, Value::Null),
        ("gold", true.into()),
    ] {
        let line: Value = serde_json::from_str(&json.next().await).unwrap();
        assert_eq!((&line["key"], &line["removed"]), (&key.into(), &removed));
    }
    let history = told.done(&["history", "prices"]).await;
    let lines: Vec<_> = history.lines().collect();
    assert!(lines[0].contains("KEY"), "{history}");
    assert!(lines[1].contains("  gold  ") && lines[1].ends_with("17.5"));
    assert!(lines[3].contains("  gold  ") && lines[3].ends_with("(removed)"));
}

/// The position that it says to continue with.
async fn continued(subscribed: &mut Subscribed) -> String {
    let line = subscribed.told("continue with").await;
    let (_, since) = line.split_once("`--since ").unwrap();
    since.trim_end_matches('`').to_owned()
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_it() {
    let told = Told::start().await;
    for text in ["1", "2", "3"] {
        told.publish("news", text).await;
    }
    let since = position(&told, "news", 0).await;
    let line = format!("{{ openline subscribe news --since {since}; echo $? >code; }} | head -n 1");
    // It notices at the next publication.
    let reading = shell(told.folder.path(), "127.0.0.1:1", &line, PATIENCE);
    let publishing = async {
        loop {
            told.publish("news", "more").await;
        }
    };
    let ended = tokio::select! {
        ended = reading => ended,
        () = publishing => unreachable!("it goes on"),
    };
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "2\n"), "{ended:?}");
    assert_eq!(ended.stderr, "");
    assert_eq!(fs::read_to_string(told.path("code")).unwrap(), "0\n");
}
