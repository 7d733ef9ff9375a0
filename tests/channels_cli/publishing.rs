//! What is published, listed and read.

use std::fmt::Write as _;
use std::fs;

use serde_json::json;

use super::Told;
use crate::harness::{PATIENCE, shell};

#[tokio::test]
async fn what_is_published_is_kept_listed_and_read_in_either_order() {
    let told = Told::start().await;
    let printed = told.done(&["publish", "news", "{\"n\": 1}"]).await;
    assert!(printed.starts_with("published  news at "), "{printed}");
    assert!(printed.ends_with(": delivered to 0 here\n"), "{printed}");
    let second = told.json(&["publish", "news", "two", "--event", "e", "--tag", "a=b"]);
    let second = second.await;
    assert_eq!(second["delivered"], 0, "{second}");
    told.publish("news", "3").await;
    let history = async |words: &[&str]| -> Vec<serde_json::Value> {
        let words = [&["history", "news", "--json"], words].concat();
        let printed = told.done(&words).await;
        let lines = printed.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    };
    let all = history(&[]).await;
    assert_eq!(all.len(), 3);
    assert_eq!(all[0]["data"], json!({"n": 1}));
    assert_eq!(
        (&all[1]["text"], &all[1]["event"]),
        (&json!("two"), &json!("e"))
    );
    assert_eq!(all[1]["tags"], json!({"a": "b"}));
    assert_eq!(all[1]["position"], second["position"]);
    let newest = history(&["--reverse", "--limit", "2"]).await;
    assert_eq!(newest, [all[2].clone(), all[1].clone()]);
    let since = all[0]["position"].as_str().unwrap();
    assert_eq!(history(&["--since", since]).await, all[1..]);
    assert!(history(&["--limit", "0"]).await.is_empty());
    for (words, more) in [
        (&["--limit", "3"][..], ""),
        (&["--limit", "2"], "there are newer ones: raise `--limit`"),
        (&["--limit", "0"], "there are newer ones"),
        (&["--limit", "3", "--reverse"], ""),
        (&["--limit", "2", "--reverse"], "there are older ones"),
        (&["--since", since, "--limit", "2"], ""),
    ] {
        let ended = told.run(&[&["history", "news"], words].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stderr.is_empty(), more.is_empty(), "{ended:?}");
        assert!(ended.stderr.contains(more), "{ended:?}");
    }
    let table = told.done(&["history", "news"]).await;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("POSITION"), "{table}");
    assert!(
        lines[1].ends_with("-      {\"n\": 1}") && lines[2].ends_with("e      two"),
        "{table}"
    );

    told.publish("room:1", "1").await;
    let listed = told.done(&["channels"]).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let listed = told.json(&["channels", "--pattern", "room:{number}"]).await;
    assert_eq!(listed[0]["channel"], "room:1");
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let one = told.run(&["channels", "--limit", "1"]).await;
    assert_eq!(one.stdout.lines().count(), 2, "{one:?}");
    assert!(one.stderr.contains("raise `--limit`"), "{one:?}");
}

/// More than one answer of the host has.
#[tokio::test]
async fn lists_and_histories_of_several_pages() {
    let told = Told::start().await;
    let lines: String = (0..2_500).map(|number| format!("{number}\n")).collect();
    fs::write(told.path("lines"), lines).unwrap();
    let printed = told
        .done(&["publish", "bulk", "--lines", "--file", &told.path("lines")])
        .await;
    assert!(printed.ends_with(": 2500 lines\n"), "{printed}");
    let numbers = async |words: &[&str]| -> Vec<u64> {
        let words = [&["history", "bulk", "--json", "--limit"], words].concat();
        let printed = told.done(&words).await;
        let number = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["data"].as_u64().unwrap()
        };
        printed.lines().map(number).collect()
    };
    assert_eq!(numbers(&["2400"]).await, (0..2_400).collect::<Vec<_>>());
    let newest: Vec<_> = (100..2_500).rev().collect();
    assert_eq!(numbers(&["2400", "--reverse"]).await, newest);
    assert_eq!(numbers(&["9999"]).await.len(), 2_500);
    // At the end of a page, and of the whole.
    for (limit, is_more) in [("1000", true), ("2499", true), ("2500", false)] {
        let ended = told.run(&["history", "bulk", "--limit", limit]).await;
        let rows: usize = limit.parse().unwrap();
        assert_eq!(ended.stdout.lines().count(), rows + 1);
        assert_eq!(ended.stderr.contains("there are newer ones"), is_more);
    }
}

#[tokio::test]
async fn repetitions_late_versions_and_wrong_positions_publish_nothing() {
    let told = Told::start().await;
    let twice = ["publish", "news", "1", "--idempotency-key", "k"];
    let first = told.json(&twice).await;
    let second = told.run(&twice).await;
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(
        second.stdout.starts_with("repeated   news at "),
        "{second:?}"
    );
    assert!(second.stderr.contains("nothing is published"), "{second:?}");
    told.json(&["publish", "news", "2", "--version", "2"]).await;
    let stale = told.run(&["publish", "news", "3", "--version", "1"]).await;
    assert!(stale.stdout.starts_with("stale      news"), "{stale:?}");
    let at = first["position"].as_str().unwrap();
    told.run(&["publish", "news", "4", "--expect", at])
        .await
        .failed(
            3,
            &["is not at the expected position: it is at ", "\nhint: "],
        );
    let history = told.done(&["history", "news", "--json"]).await;
    assert_eq!(history.lines().count(), 2, "{history}");
    // One value a key, which is removed.
    let set = ["publish", "values", "1", "--key-of-value", "a"];
    told.done(&set).await;
    told.done(&["publish", "values", "--key-of-value", "a", "--remove"])
        .await;
    let listed = told.json(&["channels", "--pattern", "values"]).await;
    assert_eq!(listed[0]["kept"], 0, "{listed}");
}

#[tokio::test]
async fn data_comes_from_files_and_from_other_programs() {
    let told = Told::start().await;
    fs::write(told.path("bytes"), b"\xff\0\n").unwrap();
    let bytes = told.path("bytes");
    told.done(&["publish", "news", "--file", &bytes]).await;
    told.run(&["publish", "news", "--text", "--file", &bytes])
        .await
        .failed(
            1,
            &["the data is no text", "hint: publish it with `--binary`"],
        );
    let line = "echo hello | openline publish news && echo 7 | openline publish news - && \
                printf 'a\\n\\n{\"b\":1}\\r\\nlast' | openline publish news --lines --event e";
    let ended = shell(told.folder.path(), "127.0.0.1:1", line, PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let history = told.done(&["history", "news", "--json"]).await;
    let expected = [
        r#""base64":"/wAK""#,
        r#""text":"hello""#,
        r#""data":7"#,
        r#""event":"e","text":"a""#,
        r#""event":"e","data":{"b":1}"#,
        r#""event":"e","text":"last""#,
    ];
    assert_eq!(history.lines().count(), expected.len(), "{history}");
    for (line, part) in history.lines().zip(expected) {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn lines_wait_when_the_host_asks_for_it() {
    let told = Told::with("requests_per_second = 1").await;
    let lines: String = (0..2_001).map(|number| format!("{number}\n")).collect();
    fs::write(told.path("lines"), lines).unwrap();
    let lines = told.path("lines");
    let ended = told
        .run(&["publish", "bulk", "--lines", "--file", &lines])
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("the host asks to wait"), "{ended:?}");
    assert!(ended.stdout.ends_with(": 2001 lines\n"), "{ended:?}");
}

#[tokio::test]
async fn a_line_that_is_refused_is_named_with_those_that_were_published() {
    let told = Told::with("body_bytes = \"64 KiB\"").await;
    let mut lines = String::new();
    for number in 0..3 {
        writeln!(lines, "{number}").unwrap();
    }
    // A key of a value is for other channels, and a name without one is none.
    fs::write(told.path("lines"), &lines).unwrap();
    let path = told.path("lines");
    let words = [
        "publish",
        "news",
        "--lines",
        "--file",
        &path,
        "--skip-connection",
        "x",
    ];
    let ended = told.run(&words).await;
    ended.failed(
        3,
        &[
            "line 1: ",
            "2 more of the same batch",
            "0 lines were published",
            "hint: ",
        ],
    );
    // The second batch is larger than the host takes.
    lines += &format!("{}\n", "x".repeat(100 << 10));
    fs::write(told.path("lines"), &lines).unwrap();
    let ended = told
        .run(&["publish", "news", "--lines", "--file", &path])
        .await;
    ended.failed(3, &["0 lines were published", "larger", "`body_bytes`"]);
    lines = "x".repeat((1 << 20) + 1);
    fs::write(told.path("lines"), format!("1\n{lines}\n2\n")).unwrap();
    let ended = told
        .run(&["publish", "news", "--lines", "--file", &path])
        .await;
    ended.failed(
        1,
        &[
            "line 2 has more than 1048576 bytes",
            "1 lines were published",
        ],
    );
}

/// Each request fits into what a host takes by default, whatever JSON makes of the
/// lines and however often the options are sent.
#[tokio::test]
async fn lines_that_are_long_as_json_or_have_many_tags_are_published() {
    let told = Told::start().await;
    let path = told.path("lines");
    let publish = ["publish", "bulk", "--lines", "--text", "--file", &path];
    let tags: Vec<_> = (0..32)
        .map(|number| format!("--tag={number}={}", "v".repeat(250)))
        .collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    fs::write(&path, "x\n".repeat(1_000)).unwrap();
    let printed = told.done(&[&publish[..], &tags].concat()).await;
    assert!(printed.ends_with(": 1000 lines\n"), "{printed}");
    // The second one just fits, if it is alone.
    let control = (6 * (1 << 20) - r#"{"publications":[{"channel":"bulk","text":""}]}"#.len()) / 6;
    let lines = |bytes: usize| [vec![b'a'; (256 << 10) - 1], vec![1; bytes]].join(&b'\n');
    fs::write(&path, lines(control)).unwrap();
    let printed = told.done(&publish).await;
    assert!(printed.ends_with(": 2 lines\n"), "{printed}");
    fs::write(&path, lines(control + 1)).unwrap();
    told.run(&publish).await.failed(
        1,
        &[
            "1 lines were published",
            "line 2 has ",
            "bytes as JSON",
            "hint: publish the lines with `--binary`",
        ],
    );
    let printed = told
        .done(&[&publish[..3], &["--binary", "--file", &path]].concat())
        .await;
    assert!(printed.ends_with(": 2 lines\n"), "{printed}");
}

/// The host decides about what is read whole.
#[tokio::test]
async fn a_file_at_its_bytes_and_past_them() {
    let told = Told::start().await;
    let path = told.path("zeros");
    let file = fs::File::create(&path).unwrap();
    let publish = ["publish", "news", "--binary", "--file", &path];
    for (bytes, code, words) in [
        (64 << 20, 3, "the data is larger than the host allows"),
        ((64 << 20) + 1, 1, "zeros has more than 64 MiB"),
    ] {
        file.set_len(bytes).unwrap();
        told.run(&publish).await.failed(code, &[words, "hint: "]);
    }
}

#[tokio::test]
async fn subscribers_are_listed_with_their_number() {
    let told = Told::start().await;
    let first = told.subscribe(&["lobby"], "lobby", 1).await;
    let second = told.subscribe(&["lobby", "plain"], "lobby", 2).await;
    let present = told.json(&["presence", "lobby"]).await;
    assert_eq!(present["connections"], 2, "{present}");
    assert_eq!(present["members"].as_array().unwrap().len(), 2);
    let one = told.run(&["presence", "lobby", "--limit", "1"]).await;
    assert_eq!(one.stdout.lines().count(), 2, "{one:?}");
    assert!(one.stderr.contains("2 connections"), "{one:?}");
    assert!(one.stderr.contains("raise `--limit`"), "{one:?}");
    drop((first, second));
    told.run(&["presence", "news"])
        .await
        .failed(3, &["presence", "hint: set `presence = true`"]);
}
