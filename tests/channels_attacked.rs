//! Channels under bad input and too much of it: names that are none, peers that do
//! not read, and publishers that do not stop.

use openline_core::limits::{CHANNEL_NAME_BYTES_MAX, OutboxOverflow};

use crate::harness::{Closed, Host};

const CHANNELS: &str = r#"
[[function.channel]]
pattern = "room:*"
history = { count = 20000, bytes = "64 MiB" }

[[function.channel]]
pattern = "large"
keyed = { bytes = "16 MiB" }
"#;

/// Bytes that the kernel and the outbox of a slow reader may hold together: more
/// than any default of Linux.
const ABSORBED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The position at the beginning of an answer.
fn position(answer: &str) -> &str {
    answer.split(' ').next().unwrap_or_default()
}

/// A raw peer that does not read has all up to some publication, and then its end:
/// never a gap, whatever the function wants to have dropped.
#[tokio::test]
async fn a_slow_peer_of_a_history_gets_all_or_its_end() {
    const BYTES: usize = 60_000;
    for overflow in [OutboxOverflow::DropOldest, OutboxOverflow::DropNewest] {
        let host = Host::with(openline_guests::FAULT_BROKER, "/broker")
            .limit(|limit| {
                limit.outbox_bytes = 1024 * 1024;
                limit.outbox_overflow = overflow;
            })
            .channels(CHANNELS)
            .start()
            .await;
        let mut writer = host.connect("/broker").await;
        let mut slow = host.connect("/broker").await;
        let start = slow.ask("subscribe room:1").await;
        let start = position(&start).to_owned();
        let (mut published, mut reached) = (0, "1".to_owned());
        while reached == "1" {
            assert!(published * BYTES < ABSORBED_BYTES_MAX);
            published += 1;
            let text = format!("{published:0BYTES$}");
            let answer = writer.ask(&format!("publish room:1 -- {text}")).await;
            answer.rsplit(' ').next().unwrap().clone_into(&mut reached);
        }
        let mut read = 0;
        let end = loop {
            match slow.next_frame().await {
                Some(Ok(message)) if message.is_text() => {
                    read += 1;
                    let text = message.into_text().unwrap();
                    assert_eq!(text.trim_start_matches('0'), read.to_string());
                }
                _ => break slow.closed().await,
            }
        };
        assert!(read < published);
        if end.code != 1006 {
            let reason = "outbox is full: read faster".to_owned();
            assert_eq!(end, Closed { code: 1013, reason });
        }
        // It missed more than one answer may have, and is told so.
        let mut back = host.connect("/broker").await;
        let (epoch, offset) = start.split_once('-').unwrap();
        let has = offset.parse::<usize>().unwrap() + read;
        let since = format!("subscribe room:1 since={epoch}-{has}");
        let answer = back.ask(&since).await;
        assert!(answer.ends_with(" lost 0"), "{answer}");
    }
}

#[tokio::test]
async fn names_that_are_none_and_names_that_look_like_patterns() {
    let host = Host::with(openline_guests::FAULT_BROKER, "/broker")
        .channels(CHANNELS)
        .start()
        .await;
    let mut client = host.connect("/broker").await;
    let longest = "n".repeat(CHANNEL_NAME_BYTES_MAX);
    for bad in [
        "a\u{1}b",
        "a\nb",
        "\u{0}",
        &format!("{longest}n"),
        &"x".repeat(10 * 1024),
    ] {
        for command in ["publish", "subscribe", "history", "values", "presence"] {
            let answer = client.ask(&format!("{command} {bad} -- x")).await;
            assert_eq!(answer.to_lowercase(), "invalid", "{command}");
        }
    }
    assert_eq!(client.ask(&format!("subscribe {longest}")).await, "- - 0");
    // A pattern of a broker is a name like any other.
    for name in ["room:*", "room:{id}", "*", ">", "a.*.b", "#", "$SYS/#"] {
        let answer = client.ask(&format!("subscribe {name}")).await;
        assert!(answer.ends_with(" - 0"), "{name}: {answer}");
    }
    let answer = client.ask("publish room:1 -- x").await;
    assert!(answer.ends_with(" 0"), "{answer}");
    client.text("publish room:* -- y").await;
    assert_eq!(client.next_text().await, "y");
    assert!(client.next_text().await.ends_with(" 1"));
}

/// Ten thousand publications of one function as fast as it can: all of them, in
/// their order, to whoever reads.
#[tokio::test]
async fn ten_thousand_publications_of_one_function_arrive_in_order() {
    const COUNT: usize = 10_000;
    let host = Host::with(openline_guests::FAULT_BROKER, "/broker")
        .channels(CHANNELS)
        .start()
        .await;
    let mut reader = host.connect("/broker").await;
    let start = reader.ask("subscribe room:1").await;
    let mut writer = host.connect("/broker").await;
    let reading = tokio::spawn(async move {
        for number in 0..COUNT {
            assert_eq!(reader.next_text().await, number.to_string());
        }
    });
    for number in 0..COUNT {
        writer.text(&format!("publish room:1 -- {number}")).await;
    }
    reading.await.unwrap();
    for _ in 0..COUNT {
        assert!(writer.next_text().await.ends_with(" 1"));
    }
    let mut late = host.connect("/broker").await;
    let since = format!("subscribe room:1 since={}", position(&start));
    late.text(&since).await;
    for number in 0..COUNT {
        assert_eq!(late.next_text().await, number.to_string());
    }
    let answer = late.next_text().await;
    assert!(answer.ends_with(&format!(" recovered {COUNT}")), "{answer}");
}

/// Values are read in pages of four MiB, so that they fit into an instance.
#[tokio::test]
async fn a_page_of_values_has_so_many_bytes_and_not_more() {
    let host = Host::with(openline_guests::FAULT_BROKER, "/broker")
        .channels(CHANNELS)
        .start()
        .await;
    let mut client = host.connect("/broker").await;
    let value = "v".repeat(1024 * 1024);
    for key in 0..6 {
        let answer = client
            .ask(&format!("publish large key={key} -- {value}"))
            .await;
        assert!(answer.ends_with(" 0"), "{answer}");
    }
    let page = client.ask("values large").await;
    let keys: Vec<_> = page
        .split(' ')
        .map(|it| it.rsplit('=').next().unwrap())
        .collect();
    assert_eq!(keys, ["0", "1", "2", "3"]);
}
