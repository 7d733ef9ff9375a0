//! Good and bad configuration files.

use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::limits::{TimeUp, Unit};

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

pub(super) fn errors(text: &str) -> Vec<ConfigError> {
    Config::parse(text).unwrap_err()
}

/// A file with one function, whose body ends with `lines`.
pub(super) fn function(lines: &str) -> String {
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
    assert_eq!(chat.instance.affinity, Some("room".into()));
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
fn a_count_that_is_no_number_is_told_what_it_may_be() {
    let long = format!("\"{}\"", "x".repeat(100));
    for (value, shown) in [
        ("\"none\"", "\"none\""),
        ("\"5\"", "\"5\""),
        ("5.5", "5.5"),
        ("-1", "-1"),
        ("true", "true"),
        ("[5]", "a TOML array"),
        (&long, "a TOML string"),
    ] {
        let text = format!("[function.instance]\nfaults_in_a_row = {value}\n");
        let found = errors(&function(&text));
        let expected =
            format!("`faults_in_a_row` is {shown} and must be 1 to 1000000, or 0 for none");
        assert_eq!(found[0].message, expected);
        assert_eq!(
            (found[0].hint.as_str(), found.len()),
            ("the default is 5", 1)
        );
    }
    let found = errors("[maximum.instance]\nfaults_in_a_row = \"none\"\n");
    let expected = "the maximum of `faults_in_a_row` is \"none\" and must be 1 to 1000000";
    assert_eq!(found[0].message, expected);
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
    assert!(messages[3].contains("match the same requests"));
}

#[test]
fn what_is_no_toml_and_what_is_missing() {
    assert!(errors("[server\n")[0].line >= 1);
    assert!(errors("")[0].message.contains("no function"));
    let found = errors("[[function]]\nroute = \"/a\"\n");
    assert!(found[0].message.contains("missing field"), "{found:?}");
    let found = errors("[[function]]\nname = \"a\"\n");
    assert!(
        found[0].message.contains("no route and no trigger"),
        "{found:?}"
    );
    let found = errors("[server]\npage = \"all\"\n");
    assert!(found[0].message.contains("unknown variant"), "{found:?}");
}

/// Every row of every table as a file would have it.
fn with_row(table: &str, name: &str, value: &str) -> String {
    match table {
        "[server]" if name == "watchdog_exit_timeout" => format!(
            "[server]\nwatchdog_timeout = \"1 s\"\n{name} = {value}\n{}",
            function("")
        ),
        "[server]" => format!("[server]\n{name} = {value}\n{}", function("")),
        // Rules between keys have tests of their own.
        _ if name == "cpu_timeout" => function(&format!(
            "{table}\nhandler_timeout = \"1 d\"\n{name} = {value}\n"
        )),
        _ if name == "outbox_bytes" => function(&format!(
            "{table}\nmessage_bytes = \"1 B\"\n{name} = {value}\n"
        )),
        _ if name == "time_warning" => function(&format!(
            "{table}\nconnection_time = \"365 d\"\n{name} = {value}\n"
        )),
        _ if name == "backoff_time" => function(&format!(
            "{table}\nbackoff_time_max = \"1 h\"\n{name} = {value}\n"
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
    // Values at or below the maximum hold; defaults above it come down to it.
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
    // A value above the maximum is refused, and so is 0 where it means no
    // limit.
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

/// A file with a `[server]` table of these lines.
pub(super) fn server(lines: &str) -> String {
    format!("[server]\n{lines}\n{}", function(""))
}

const TOKEN: &str = "0123456789abcdef";

#[test]
fn the_admin_interface_is_not_exposed_without_a_token() {
    let at = |lines: &str| Config::parse(&server(lines)).unwrap().server.admin;
    assert_eq!(at(""), AdminListen::Beside);
    assert_eq!(at("admin = \"off\""), AdminListen::Off);
    for loopback in ["127.0.0.1:18080", "[::1]:8081", "127.0.0.1:0"] {
        let expected = AdminListen::At(loopback.parse().unwrap());
        assert_eq!(at(&format!("admin = \"{loopback}\"")), expected);
    }
    let exposed = "admin = \"0.0.0.0:8081\"";
    let found = errors(&server(exposed));
    assert!(found[0].message.contains("has no token"), "{found:?}");
    assert!(found[0].hint.contains("admin_token"), "{found:?}");
    let token = format!("{exposed}\nadmin_token = \"{TOKEN}\"");
    assert_eq!(at(&token), AdminListen::At("0.0.0.0:8081".parse().unwrap()));
    for (lines, expected) in [
        ("admin = \"8081\"", "is not an address"),
        ("admin = \"127.0.0.1:8080\"", "are both 127.0.0.1:8080"),
        (
            "probes = \"0.0.0.0:8080\"",
            "has the port of `listen` 127.0.0.1:8080",
        ),
    ] {
        let found = errors(&server(lines));
        assert!(found[0].message.contains(expected), "{found:?}");
    }
}

#[test]
fn a_token_at_its_length_and_past_it_is_never_shown() {
    let token = |token: &str| Config::parse(&server(&format!("admin_token = \"{token}\"")));
    let right = token(TOKEN).unwrap();
    assert_eq!(right.server.admin_token.as_deref(), Some(TOKEN));
    for wrong in [&TOKEN[1..], "0123456789 abcdef", "0123456789äabcdef"] {
        let found = token(wrong).unwrap_err();
        assert!(found[0].message.contains("16 visible"), "{found:?}");
        assert!(!found[0].to_string().contains(wrong), "{found:?}");
        assert_eq!(found[0].line, 2);
    }
}

#[test]
fn a_function_may_wait_for_a_deploy() {
    let text = "[server]\ndata = \"data\"\n[[function]]\nname = \"a\"\nroute = \"/a\"\nalias = \"beta\"\nmigration = \"drain\"\n";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.server.data.as_deref(), Some("data".as_ref()));
    let function = &config.functions[0];
    assert_eq!((&function.component, function.component_line), (&None, 4));
    assert_eq!(function.alias.as_str(), "beta");
    assert_eq!(function.migration, Migration::Drain);
    let with = Config::parse(&self::function("")).unwrap();
    assert_eq!(with.functions[0].alias, AliasName::live());
    assert_eq!(with.functions[0].migration, Migration::Migrate);
}

#[test]
fn what_the_host_answers_by_itself() {
    use crate::auto_response::MatchKind;
    use crate::limits::AUTO_RESPONSE_BYTES_MAX;
    use crate::message::Message;

    let pair = |lines: &str| function(&format!("[[function.auto_response]]\n{lines}\n"));
    let config = Config::parse(&pair(
        "text = \"ping\"\nreply = \"pong\"\n[[function.auto_response]]\nbinary_hex = \"00fF\"\nreply_hex = \"\"\nmatch = \"prefix\"",
    ))
    .unwrap();
    let pairs = &config.functions[0].auto_responses;
    assert_eq!(pairs[0].match_kind, MatchKind::Exact);
    assert_eq!(pairs[0].request, Message::Text("ping".into()));
    assert_eq!(pairs[1].match_kind, MatchKind::Prefix);
    assert_eq!(pairs[1].request, Message::Binary(vec![0, 255].into()));
    assert_eq!(pairs[1].reply, Message::Binary(vec![].into()));
    let sized = |bytes: usize| format!("text = \"{}\"\nreply = \"\"", "p".repeat(bytes));
    assert!(Config::parse(&pair(&sized(AUTO_RESPONSE_BYTES_MAX))).is_ok());
    for (lines, expected) in [
        ("reply = \"pong\"", "one of `text` and `binary_hex`"),
        ("text = \"ping\"", "one of `reply` and `reply_hex`"),
        (
            "text = \"\"\nbinary_hex = \"\"\nreply = \"\"",
            "one of `text` and `binary_hex`",
        ),
        (
            "binary_hex = \"0\"\nreply = \"\"",
            "not bytes in hexadecimal",
        ),
        (
            "binary_hex = \"+1\"\nreply = \"\"",
            "not bytes in hexadecimal",
        ),
        (
            "text = \"\"\nreply = \"\"\nmatch = \"prefix\"",
            "an empty one",
        ),
        (
            "text = \"\"\nreply = \"\"\nmatch = \"some\"",
            "unknown variant",
        ),
        (
            &sized(AUTO_RESPONSE_BYTES_MAX + 1),
            "`text` has more than 2 KiB",
        ),
    ] {
        let found = errors(&pair(lines));
        assert!(found[0].message.contains(expected), "{lines}: {found:?}");
        assert!(found[0].line >= 5, "{lines}: {found:?}");
    }
}

#[test]
fn automatic_responses_at_their_number_and_past_it() {
    let pairs = |count: usize| {
        let tables = "[[function.auto_response]]\ntext = \"a\"\nreply = \"b\"\n".repeat(count);
        Config::parse(&function(&tables))
    };
    let most = FunctionLimits::default().auto_responses as usize;
    assert_eq!(pairs(most).unwrap().functions[0].auto_responses.len(), most);
    let found = pairs(most + 1).unwrap_err();
    assert!(found[0].message.contains("more than 8"), "{found:?}");
}

#[test]
fn a_backoff_is_no_longer_than_its_maximum() {
    let policy = |lines: &str| {
        Config::parse(&function(&format!("[function.instance]\n{lines}\n")))
            .map(|config| config.functions[0].instance.clone())
    };
    assert!(policy("backoff_time = \"2 s\"\nbackoff_time_max = \"2 s\"").is_ok());
    let found = policy("backoff_time = \"2 s\"\nbackoff_time_max = \"1999 ms\"").unwrap_err();
    assert!(
        found[0].message.contains("at most `backoff_time_max`"),
        "{found:?}"
    );
    // A default comes down to the maximum.
    let short = policy("backoff_time_max = \"20 ms\"").unwrap();
    assert_eq!(short.backoff_time, Duration::from_millis(20));
}

#[test]
fn the_admin_interface_is_not_where_the_next_host_listens() {
    assert_eq!(admin_port(8080), 18_080);
    assert_eq!(admin_port(55_535), 65_535);
    assert_eq!(admin_port(55_536), 45_536);
    assert!((1..=u16::MAX).all(|listen| admin_port(listen).abs_diff(listen) == 10_000));
}

#[test]
fn every_row_has_a_reason_an_overflow_and_a_default_within_its_range() {
    for (table, rows) in TABLES {
        let mut names = HashSet::new();
        for row in rows {
            assert!(names.insert(row.name), "{table}: {} twice", row.name);
            assert!(row.about.len() > 20, "{table}: {}", row.name);
            assert!(!row.overflow.is_empty(), "{table}: {}", row.name);
            let none = row.zero_is_none && row.default == 0;
            assert!(
                none || (row.least..=row.most).contains(&row.default),
                "{table}: {}",
                row.name
            );
        }
    }
}

#[test]
fn the_hosts_values_are_listed_in_the_order_and_the_units_of_their_rows() {
    for (row, value) in ServerConfig::default().values() {
        assert_eq!(value, row.default, "{}", row.name);
    }
}

#[test]
fn a_folder_that_is_named_has_a_name() {
    for key in ["data", "cache"] {
        let wrong = errors(&server(&format!("{key} = \"\"")));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(wrong[0].message, "the path is empty");
        assert!(!wrong[0].hint.is_empty() && wrong[0].line > 0);
        assert!(Config::parse(&server(&format!("{key} = \"x\""))).is_ok());
    }
}
