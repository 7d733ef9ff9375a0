//! Good and bad configuration files.

use super::*;

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
    assert_eq!(chat.instance.concurrency.get(), 7);
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
        ("handler_timeout = \"0 s\"", "at least 1 ms"),
        ("message_bytes = \"0 B\"", "outside of"),
        ("message_bytes = \"65 MiB\"", "outside of"),
        (
            "message_bytes = \"2 MiB\"\noutbox_bytes = \"1 MiB\"",
            "outside of",
        ),
        ("cpu_timeout = \"1 ms\"", "cpu_timeout is 1 ms"),
        ("cpu_timeout = \"11 s\"", "cpu_timeout is 11000 ms"),
        ("fuel_per_event = 0", "no call can run"),
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

#[test]
fn instances_of_all_functions_at_their_limit_and_past_it() {
    let with = |instances: u32| {
        let table = format!("[function.instance]\ninstances = {instances}\n");
        Config::parse(&function(&table))
    };
    let most = crate::limits::INSTANCES_MAX;
    assert!(with(most).is_ok());
    let found = with(most + 1).unwrap_err();
    assert!(found[0].message.contains("together"), "{found:?}");
}
