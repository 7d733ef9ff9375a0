//! Good and bad configuration files.

use std::time::Duration;

use super::*;
use crate::limits::{TABLES, TimeUp, Unit};

const CHAT: &str = r#"
[server]
listen = "127.0.0.1:9090"

[[function]]
name = "chat"
component = "guests/chat.wasm"
route = "/chat/{room}"
[function.instance]
concurrency = 7
affinity = "room"
[function.limit]
message_bytes = "1 MiB"
handler_timeout = "2 s"
"#;

fn errors(text: &str) -> Vec<ConfigError> {
    Config::parse(text).unwrap_err()
}

/// A file with one function, whose body ends with `lines`.
fn function(lines: &str) -> String {
    format!("[[function]]\nname = \"a\"\ncomponent = \"a.wasm\"\nroute = \"/a/{{p}}\"\n{lines}")
}

#[test]
fn a_file_with_some_of_the_keys() {
    let config = Config::parse(CHAT).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:9090".parse().unwrap());
    let chat = &config.functions[0];
    assert_eq!(chat.name.as_str(), "chat");
    assert_eq!(chat.component_line, 7);
    assert_eq!(chat.instance.concurrency, 7);
    assert_eq!(chat.instance.affinity.as_deref(), Some("room"));
    assert_eq!(chat.limit.message_bytes, 1 << 20);
    assert_eq!(chat.limit.handler_timeout, Duration::from_secs(2));
    assert_eq!(
        chat.limit.cpu_timeout,
        FunctionLimits::default().cpu_timeout
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_key_that_was_meant() {
    let found = errors(&function("[function.instance]\nconcurency = 3\n"));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].line, found[0].source.as_str()),
        (6, "concurency = 3")
    );
    assert_eq!(found[0].hint, "did you mean `concurrency`?");
}

#[test]
fn a_wrong_unit_is_named() {
    for (line, expected) in [
        ("message_bytes = \"6 MB/s\"", "is not a size"),
        ("message_bytes = 6", "is not a size"),
        ("handler_timeout = \"10 sec\"", "is not a time"),
        ("handler_timeout = 10", "is not a time"),
        ("handler_timeout = \"0 s\"", "must be 5 ms to 1 d"),
        ("message_bytes = \"0 B\"", "must be 1 B to 64 MiB"),
        (
            "message_bytes = \"2 MiB\"\noutbox_bytes = \"1 MiB\"",
            "at least one message",
        ),
        ("cpu_timeout = \"11 s\"", "at most `handler_timeout`"),
        ("time_warning = \"15 min\"", "less than `connection_time`"),
        (
            "connection_time = \"0\"\ntime_warning = \"1 s\"",
            "which is none",
        ),
    ] {
        let found = errors(&function(&format!("[function.limit]\n{line}\n")));
        assert!(found[0].message.contains(expected), "{line}: {found:?}");
        assert!(found[0].line >= 6, "{line}: {found:?}");
        assert!(!found[0].hint.is_empty());
    }
}

#[test]
fn all_errors_of_a_file_are_shown_at_once() {
    let text = format!(
        "[server]\nlisten = \"localhost\"\n{}{}",
        function("[function.instance]\naffinity = \"room\"\n"),
        function("")
    );
    let found = errors(&text);
    let messages: Vec<_> = found.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(found.len(), 4, "{messages:?}");
    assert!(messages[0].contains("not an address"));
    assert!(messages[1].contains("no parameter `room`"));
    assert!(messages[2].contains("two functions are named `a`"));
    assert!(messages[3].contains("matches the same paths"));
}

#[test]
fn what_is_no_toml_and_what_is_missing() {
    assert!(errors("[server\n")[0].line >= 1);
    assert!(errors("")[0].message.contains("no function"));
    let found = errors("[[function]]\nname = \"a\"\n");
    assert!(found[0].message.contains("missing field"), "{found:?}");
    let found = errors("[server]\npage = \"all\"\n");
    assert!(found[0].message.contains("unknown variant"), "{found:?}");
}

/// Every row of every table as a file would have it.
fn with_row(table: &str, name: &str, value: &str) -> String {
    match table {
        "[server]" => format!("[server]\n{name} = {value}\n{}", function("")),
        // What other keys demand of it is tested apart.
        _ if name == "cpu_timeout" => function(&format!(
            "{table}\nhandler_timeout = \"1 d\"\n{name} = {value}\n"
        )),
        _ if name == "outbox_bytes" => function(&format!(
            "{table}\nmessage_bytes = \"1 B\"\n{name} = {value}\n"
        )),
        _ if name == "time_warning" => function(&format!(
            "{table}\nconnection_time = \"365 d\"\n{name} = {value}\n"
        )),
        _ => function(&format!("{table}\n{name} = {value}\n")),
    }
}

fn written(unit: Unit, number: u64) -> String {
    match unit {
        Unit::Bytes => format!("\"{number} B\""),
        Unit::Time => format!("\"{number} ms\""),
        Unit::Count => number.to_string(),
    }
}

#[test]
fn every_limit_at_both_ends_of_its_range_and_past_them() {
    for (table, rows) in TABLES {
        for row in rows {
            let parse =
                |number| Config::parse(&with_row(table, row.name, &written(row.unit, number)));
            // TOML's numbers end before fuel does.
            let most = row.most.min(i64::MAX as u64);
            for right in [row.least, most] {
                let parsed = parse(right);
                assert!(parsed.is_ok(), "{table} {} {right}: {parsed:?}", row.name);
            }
            if row.zero_is_none {
                assert!(parse(0).is_ok(), "{table} {}", row.name);
            }
            let below = row
                .least
                .checked_sub(1)
                .filter(|less| *less > 0 || !row.zero_is_none);
            let above = (most == row.most).then(|| row.most + 1);
            for wrong in below.into_iter().chain(above) {
                let found = parse(wrong).unwrap_err();
                assert!(
                    found[0].message.contains(&format!("`{}` is ", row.name)),
                    "{table} {wrong}: {found:?}"
                );
                assert!(found[0].hint.contains("the default is"), "{found:?}");
            }
        }
    }
}

#[test]
fn no_function_passes_the_host_s_maximum() {
    let with = |lines: &str| {
        let maximum = "[maximum.limit]\nmessage_bytes = \"1 MiB\"\nconnection_time = \"1 h\"\n[maximum.instance]\ninstances = 7\n";
        Config::parse(&format!("{maximum}{}", function(lines)))
    };
    // At it, below it, and the defaults above it come down to it.
    let config =
        with("[function.limit]\nmessage_bytes = \"1 MiB\"\nconnection_time = \"1 min\"\n").unwrap();
    assert_eq!(
        config.functions[0].limit.connection_time,
        Duration::from_secs(60)
    );
    let config = with("").unwrap();
    assert_eq!(config.functions[0].limit.message_bytes, 1 << 20);
    assert_eq!(
        config.functions[0].limit.connection_time,
        Duration::from_secs(900)
    );
    assert_eq!(config.functions[0].instance.instances, 7);
    // Past it; and none is more than any maximum.
    for (lines, expected) in [
        (
            "[function.limit]\nmessage_bytes = \"1025 KiB\"\n",
            "maximum is 1 MiB",
        ),
        (
            "[function.limit]\nconnection_time = \"0\"\n",
            "`connection_time` is none",
        ),
        ("[function.instance]\ninstances = 8\n", "maximum is 7"),
    ] {
        let found = with(lines).unwrap_err();
        assert!(found[0].message.contains(expected), "{found:?}");
    }
    let found = errors(&format!(
        "[maximum.limit]\nmessage_bytes = \"65 MiB\"\n{}",
        function("")
    ));
    assert!(
        found[0].message.contains("the maximum of `message_bytes`"),
        "{found:?}"
    );
}

#[test]
fn what_happens_past_a_limit_is_a_word() {
    let config = Config::parse(&function("[function.limit]\ntime_up = \"abort\"\n")).unwrap();
    assert_eq!(config.functions[0].limit.time_up, TimeUp::Abort);
    let found = errors(&function("[function.limit]\noutbox_overflow = \"drop\"\n"));
    assert!(found[0].message.contains("`drop-oldest`"), "{found:?}");
}
