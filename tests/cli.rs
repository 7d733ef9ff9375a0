//! The command: what it prints and where, its exit codes, and how it stops.
//! Runs the real binary in a process of its own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{Client, Closed, HANDSHAKE, Raw, Serving, openline};

/// The exit codes for a wrong command line and a wrong configuration, as in
/// BSD's sysexits.
const USAGE: i32 = 64;
const CONFIG: i32 = 78;

fn is_shut_down(closed: &Closed) -> bool {
    let begin = "host is shutting down: come back after ";
    closed.code == 1001 && closed.reason.starts_with(begin)
}

/// Writes a file and returns its path.
fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().into()
}

/// A configuration of the echo function on a free port, with more keys for it.
fn echo_config(folder: &TempDir, more: &str) -> String {
    let content = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[[function]]\nname = \"echo\"\n\
         component = {:?}\nroute = \"/e\"\n{more}",
        openline_guests::ECHO
    );
    file(folder, "openline.toml", content)
}

// === help and usage ===

#[tokio::test]
async fn help_is_printed_as_data_and_shows_examples() {
    let help = openline(&["--help"]).await;
    assert_eq!((help.code, &*help.stderr), (Some(0), ""));
    assert!(help.stdout.contains("Usage: openline"), "{}", help.stdout);
    for name in [
        "run",
        "serve",
        "check",
        "new",
        "update-sdk",
        "build",
        "dev",
        "bench",
        "deploy",
        "promote",
        "rollback",
        "functions",
        "versions",
        "aliases",
        "keys",
        "publish",
        "subscribe",
        "channels",
        "presence",
        "history",
        "remove",
        "connections",
        "send",
        "close",
    ] {
        assert!(help.stdout.contains(&format!("\n  {name} ")), "{name}");
        let help = openline(&[name, "--help"]).await;
        assert_eq!((help.code, &*help.stderr), (Some(0), ""), "{name}");
        let example = format!("openline {name}");
        let (_, examples) = help
            .stdout
            .split_once("Examples:")
            .unwrap_or_else(|| panic!("{name} has no examples: {}", help.stdout));
        let is_example = |line: &str| line.trim_start().starts_with(&example);
        assert!(examples.lines().any(is_example), "{}", help.stdout);
    }
    let version = openline(&["--version"]).await;
    let expected = format!("openline {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.code, version.stdout), (Some(0), expected));
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_64_and_says_what_is_wrong() {
    let echo = openline_guests::ECHO;
    for (arguments, words) in [
        (&[][..], &["Usage: openline"][..]),
        (&["frobnicate"], &["frobnicate", "--help"]),
        (&["run"], &["<COMPONENT>", "--help"]),
        (&["run", echo, "--port", "1"], &["--port", "--help"]),
        (
            &["run", echo, "--listen", "nowhere"],
            &["nowhere", "--listen"],
        ),
        (&["serve"], &["--config", "--help"]),
        (&["check", "openline.toml"], &["openline.toml", "--help"]),
    ] {
        openline(arguments).await.failed(USAGE, words);
    }
}

// === run ===

#[tokio::test]
async fn run_serves_a_component_and_ends_in_good_order() {
    let host = Serving::start(&["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"]).await;
    let mut client = Client::open(host.address, "/echo", &[]).await.unwrap();
    assert_eq!(client.ask("hello").await, "hello");
    host.signal("TERM").await;
    let closed = client.closed().await;
    assert!(is_shut_down(&closed), "{closed:?}");
    let (status, rest) = host.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(rest, "", "only the address is data");
}

/// With huge pages it keeps memory that it has returned; see its `memory`
/// module.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_that_serves_has_no_huge_pages() {
    let host = Serving::start(&["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"]).await;
    let process = host.process.id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("THP_enabled:"));
    // Kernels without huge pages do not report this.
    assert!(line.is_none_or(|line| line.ends_with('0')), "{line:?}");
}

#[tokio::test]
async fn run_serves_several_components_each_by_its_name_until_interrupted() {
    let echo = openline_guests::ECHO;
    let echo_async = openline_guests::ECHO_ASYNC;
    let arguments = ["run", echo, echo_async, "--listen", "[::1]:0"];
    let mut host = Serving::start(&arguments).await;
    assert!(host.address.is_ipv6());
    host.told("page          http://[::1]:").await;
    host.told("/echo-async").await;
    let mut clients = Vec::new();
    for path in ["/echo", "/echo-async"] {
        let mut client = Client::open(host.address, path, &[]).await.unwrap();
        assert_eq!(client.ask(path).await, path);
        clients.push(client);
    }
    host.signal("INT").await;
    for client in &mut clients {
        let closed = client.closed().await;
        assert!(is_shut_down(&closed), "{closed:?}");
    }
    let (status, _) = host.ended().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_a_peer_that_does_not_answer() {
    let mut host = Serving::start(&["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"]).await;
    // It never answers the close frame, so the host waits for it.
    let _silent = Raw::upgraded(host.address, "/echo").await;
    host.signal("TERM").await;
    host.told("draining").await;
    host.signal("TERM").await;
    host.told("ended without draining").await;
    let (status, _) = host.ended().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_host_that_ends_takes_no_new_connections_and_says_so_to_probes() {
    let host = Serving::start(&["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"]).await;
    let ready = "GET /.openline/ready HTTP/1.1\r\nHost: anybody\r\n\r\n";
    let head = Raw::request(host.address, ready).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // Keeps the host waiting, because it never answers the close frame.
    let mut silent = Raw::upgraded(host.address, "/echo").await;
    host.signal("TERM").await;
    assert_eq!(silent.read_close().await.0, 1001);
    let handshake = HANDSHAKE.replace("{path}", "/echo");
    let head = Raw::request(host.address, &handshake).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("openline-error-type: draining"), "{head}");
    assert!(head.contains("retry-after: "), "{head}");
    let head = Raw::request(host.address, ready).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    // The host has not ended yet: the silent one's stream is still open.
    let still_open = silent.socket.try_read(&mut [0]).unwrap_err();
    assert_eq!(still_open.kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn run_says_what_is_wrong_with_a_component() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.wasm");
    let ended = openline(&["run", missing.to_str().unwrap()]).await;
    ended.failed(CONFIG, &["missing.wasm", "cannot be read", "\nhint: "]);

    let text = file(&folder, "text.wasm", "this is text");
    let ended = openline(&["run", &text]).await;
    let words = [
        "`text`",
        "text.wasm: this is not a WebAssembly file",
        "\nhint: ",
    ];
    ended.failed(CONFIG, &words);

    // All errors are reported at once.
    let ended = openline(&["run", missing.to_str().unwrap(), &text]).await;
    ended.failed(CONFIG, &["missing.wasm", "text.wasm"]);

    let spaces = file(&folder, "not a name.wasm", "");
    let ended = openline(&["run", &spaces]).await;
    ended.failed(1, &["not a name", "\nhint: rename the file"]);
}

#[tokio::test]
async fn run_refuses_two_components_of_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let echo = std::fs::read(openline_guests::ECHO).unwrap();
    let first = file(&folder, "a/echo.wasm", &echo);
    let second = file(&folder, "b/echo.wasm", &echo);
    let ended = openline(&["run", &first, &second, "--listen", "127.0.0.1:0"]).await;
    ended.failed(1, &["two components are named `echo`", "\nhint: "]);
}

#[tokio::test]
async fn a_port_in_use_is_said_with_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = openline(&["run", openline_guests::ECHO, "--listen", &address]).await;
    let what = format!("cannot listen on {address}");
    ended.failed(1, &[&what, "\nhint: ", "in use"]);
}

// === serve and check ===

#[tokio::test]
async fn serve_does_what_its_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let config = echo_config(&folder, "[function.limit]\nmessage_bytes = \"10 B\"\n");
    let host = Serving::start(&["serve", "--config", &config]).await;
    let mut client = Client::open(host.address, "/e", &[]).await.unwrap();
    assert_eq!(client.ask("0123456789").await, "0123456789");
    client.text("0123456789a").await;
    assert_eq!(client.closed().await.code, 1009);
    host.signal("TERM").await;
    assert_eq!(host.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn serve_finds_components_beside_its_configuration_and_keeps_them_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let echo = std::fs::read(openline_guests::ECHO).unwrap();
    file(&folder, "functions/echo.wasm", echo);
    let content = "[server]\nlisten = \"127.0.0.1:0\"\ncache = \"compiled\"\n\n[[function]]\n\
                   name = \"echo\"\ncomponent = \"functions/echo.wasm\"\nroute = \"/echo\"\n";
    let config = file(&folder, "openline.toml", content);
    let host = Serving::start(&["serve", "--config", &config]).await;
    let mut client = Client::open(host.address, "/echo", &[]).await.unwrap();
    assert_eq!(client.ask("x").await, "x");
    let compiled: Vec<_> = std::fs::read_dir(folder.path().join("compiled"))
        .unwrap()
        .collect();
    assert_eq!(compiled.len(), 1);
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_78_a_line_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let config = echo_config(&folder, "rout = \"/x\"\n");
    for name in ["serve", "check"] {
        let ended = openline(&[name, "--config", &config]).await;
        let words = ["openline.toml, line 8: ", "`rout`", "\nhint: "];
        ended.failed(CONFIG, &words);
    }
    let missing = folder.path().join("missing.toml");
    for name in ["serve", "check"] {
        let ended = openline(&[name, "--config", missing.to_str().unwrap()]).await;
        ended.failed(CONFIG, &["missing.toml", "\nhint: "]);
    }
}

#[tokio::test]
async fn a_component_that_cannot_be_a_function_is_blamed_on_its_line() {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "text.wasm", "this is text");
    let content = "[[function]]\nname = \"text\"\nroute = \"/\"\ncomponent = \"text.wasm\"\n";
    let config = file(&folder, "openline.toml", content);
    for name in ["serve", "check"] {
        let ended = openline(&[name, "--config", &config]).await;
        let words = [
            "openline.toml, line 4: ",
            "not a WebAssembly file",
            "\nhint: ",
        ];
        ended.failed(CONFIG, &words);
    }
    // A function that has too little memory, or fuel, to start.
    for (more, what) in [
        (
            "[function.instance]\nmemory_bytes = \"64 KiB\"\n",
            "memory_bytes",
        ),
        ("[function.limit]\nfuel_per_event = 1\n", "fuel_per_event"),
    ] {
        let config = echo_config(&folder, more);
        let ended = openline(&["check", "--config", &config]).await;
        ended.failed(CONFIG, &["does not start", what, "\nhint: "]);
    }
}

#[tokio::test]
async fn check_says_that_all_is_well_and_serves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = echo_config(&folder, "");
    let ended = openline(&["check", "--config", &config]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        ended.stdout,
        format!("{config}: 1 function(s), no errors\n")
    );
}

#[tokio::test]
async fn a_log_filter_that_cannot_be_read_is_said_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = echo_config(&folder, "");
    let ended = openline(&["check", "--config", &config, "--log", "a=b=c"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("`a=b=c` cannot be read"));
    // The log is separate from the data, and can be turned off.
    let ended = openline(&["check", "--config", &config]).await;
    assert!(ended.stderr.contains("loaded"), "{}", ended.stderr);
    let ended = openline(&["check", "--config", &config, "--log", "off"]).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[tokio::test]
async fn the_configuration_of_the_samples_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let config: PathBuf = root.join("guests/openline.toml");
    let ended = openline(&["check", "--config", config.to_str().unwrap()]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

fn document(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The rows of a document's tables whose first cell is code.
fn rows(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .collect()
}

#[tokio::test]
async fn the_reference_has_the_tables_of_limits_and_keys_as_the_command_prints_them() {
    let printed = openline(&["limits", "--markdown"]).await.stdout;
    // A key's first cell is its table, `[server]`; a limit has its name there.
    let (keys, limits): (Vec<_>, Vec<_>) = rows(&printed)
        .into_iter()
        .partition(|row| row.starts_with("| `["));
    assert!(limits.len() > 40 && keys.len() > 20, "{printed}");
    let (of_limits, of_keys) = (
        document("docs/reference/limits.md"),
        document("docs/reference/configuration.md"),
    );
    assert_eq!(rows(&of_limits), limits, "docs/reference/limits.md");
    assert_eq!(rows(&of_keys), keys, "docs/reference/configuration.md");
    for block in printed.split("\n\n") {
        let there = of_limits.contains(block) || of_keys.contains(block);
        assert!(there, "no page of the reference has:\n{block}");
    }
}

#[tokio::test]
async fn the_reference_has_every_close_reason_as_the_command_prints_it() {
    let page = document("docs/reference/close-codes.md");
    let mut rows = rows(&page).into_iter();
    let codes = openline(&["close-codes", "--json"]).await;
    let codes: serde_json::Value = serde_json::from_str(&codes.stdout).unwrap();
    for reason in codes.as_array().unwrap() {
        let row = rows.next().unwrap_or_default();
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        let word = |name: &str| reason[name].as_str();
        assert_eq!(cells[0], format!("`{}`", word("reason").unwrap()));
        assert_eq!(cells[3], word("reconnect").unwrap(), "{row}");
        if let Some(text) = word("text") {
            assert_eq!(cells[1], reason["code"].to_string(), "{row}");
            assert_eq!(cells[2], format!("`{text}`"), "{row}");
        }
    }
    assert_eq!(rows.next(), None, "a reason that does not exist");
}

#[tokio::test]
async fn limits_and_close_codes_are_printed_for_people_and_programs() {
    let limits = openline(&["limits", "message_bytes"]).await;
    assert!(
        limits
            .stdout
            .contains("message_bytes = 6 MiB (1 B to 64 MiB)"),
        "{}",
        limits.stdout
    );
    assert!(!limits.stdout.contains("cpu_timeout"));
    let nothing = openline(&["limits", "mesage"]).await;
    nothing.failed(1, &["no limit and no key is named like `mesage`", "hint:"]);
    let codes = openline(&["close-codes"]).await;
    assert_eq!(codes.code, Some(0));
    assert!(codes.stdout.starts_with("REASON"));
    assert!(codes.stdout.contains("pong_timeout"), "{}", codes.stdout);
}

#[tokio::test]
async fn a_host_ends_in_time_whatever_a_function_does() {
    let folder = TempDir::new().unwrap();
    let component = openline_guests::FAULT_COMPUTE;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ndrain_timeout = \"500 ms\"\n[[function]]\nname = \"compute\"\ncomponent = {component:?}\nroute = \"/compute\"\n[function.limit]\nhandler_timeout = \"1 d\"\ncpu_timeout = \"1 d\"\n"
    );
    let config = file(&folder, "openline.toml", text);
    let mut host = Serving::start(&["serve", "--config", &config]).await;
    let mut client = Client::open(host.address, "/compute", &[]).await.unwrap();
    client.text("compute").await;
    host.signal("TERM").await;
    host.told("still there after drain_timeout").await;
    assert_eq!(host.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_function_that_prints_without_end_does_not_fill_the_log() {
    const LINES: u64 = 20;
    let folder = TempDir::new().unwrap();
    let component = openline_guests::FAULT_FLOOD;
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[[function]]\nname = \"prints\"\n\
         component = {component:?}\nroute = \"/prints\"\n\
         [function.limit]\nlog_lines_per_second = {LINES}\n"
    );
    let config = file(&folder, "openline.toml", config);
    let began = tokio::time::Instant::now();
    let mut host = Serving::start(&["serve", "--config", &config]).await;
    let mut client = Client::open(host.address, "/prints", &[]).await.unwrap();
    client.text("print on").await;
    assert_eq!(client.closed().await.reason, "function fault: cpu_timeout");
    // Before the next line that is shown, the log says how many were not.
    let mut client = Client::open(host.address, "/prints", &[]).await.unwrap();
    let mut shown = 0;
    loop {
        assert_eq!(client.ask("and again").await, "and again");
        let line = host.line().await;
        if line.contains("more lines than are shown (log_lines_per_second)") {
            break;
        }
        shown += u64::from(line.contains("and "));
    }
    let most = LINES + LINES * (began.elapsed().as_secs() + 1);
    assert!((LINES..=most).contains(&shown), "{shown} of {most}");
}
