//! Every error has a hint that fits its cause: the tests provoke each with the
//! real binary and compare the text. The unit tests of `causes` have the errors
//! that cannot be provoked here, because the tests may run as a user with all
//! rights.

use std::fs;
use std::path::Path;

use openline_core::escape;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[cfg(target_os = "linux")]
use crate::harness::openline_that_may_not_execute;
use crate::harness::{Ended, Serving, openline, openline_in, openline_with};

const CONFIG: i32 = 78;

fn written(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A configuration of the echo function with more in [server].
fn echo(server: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{server}\n[[function]]\nname = \"echo\"\n\
         route = \"/echo\"\ncomponent = {:?}\n",
        openline_guests::ECHO
    )
}

#[tokio::test]
async fn a_configuration_that_is_no_text_of_one() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str, content: &[u8]| written(folder.path(), name, content);
    let utf_16: Vec<u8> = "\u{feff}[server]"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let missing = folder
        .path()
        .join("missing.toml")
        .to_str()
        .unwrap()
        .to_owned();
    for (path, what, hint) in [
        (
            missing,
            "cannot be read",
            "give the path of a configuration file",
        ),
        (
            folder.path().to_str().unwrap().to_owned(),
            "cannot be read",
            "a folder: name the file in it",
        ),
        (
            "/dev/null".to_owned(),
            "cannot be read",
            "a device or a pipe: name a file",
        ),
        (at("16.toml", &utf_16), "this is UTF-16", "save it as UTF-8"),
        (
            at("latin.toml", b"# a\n# caff\xe8\n"),
            "line 2 is not UTF-8",
            "save it as UTF-8",
        ),
        (
            at("c.toml", b"\0asm\x0d\0\x01\0"),
            "this is a WebAssembly file",
            "openline run",
        ),
        (
            at("large.toml", &vec![b'#'; (1 << 20) + 1]),
            "more than 1 MiB",
            "name another file",
        ),
        (
            at("empty.toml", b""),
            "no function is configured",
            "add a [[function]] table",
        ),
        (at("text.toml", b"Dear all"), "line 1", "the file is TOML"),
    ] {
        for command in ["serve", "check"] {
            let ended = openline(&[command, "--config", &path]).await;

            ended.failed(CONFIG, &[what, "\nhint: ", hint]);
        }
    }
    // A byte order mark is not part of the text.
    let path = at("marked.toml", format!("\u{feff}{}", echo("")).as_bytes());
    let ended = openline(&["check", "--config", &path]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn what_a_configuration_says_is_not_obeyed_by_a_terminal() {
    let folder = TempDir::new().unwrap();
    for text in [
        "[server]\n\"\\u001b[2J\" = 1\n",
        "[[function]]\nname = \"\\u001b[2J\"\nroute = \"/a\"\n",
        "[[function]]\nname = \"a\"\nroute = \"/a\"\ncomponent = \"\\u001b[2J\"\n",
    ] {
        let path = written(folder.path(), "openline.toml", text.as_bytes());
        let ended = openline(&["check", "--config", &path]).await;
        // `failed` checks in any case that no escape comes through.
        ended.failed(CONFIG, &["\\u{1b}[2J", "\nhint: "]);
    }
    // Nor does one from the command line.
    let missing = folder.path().join("\u{1b}[2J.toml");
    let ended = openline(&["check", "--config", missing.to_str().unwrap()]).await;
    ended.failed(CONFIG, &["\\u{1b}[2J", "\nhint: "]);
}

#[tokio::test]
async fn what_a_configuration_says_forges_no_line() {
    let folder = TempDir::new().unwrap();
    for text in [
        "[server]\n\"x\\nERROR forged\" = 1\n",
        "[server]\nconnections = \"x\\nERROR forged\"\n",
        "[server]\nlisten = \"x\\nERROR forged\"\n",
        "[server]\nlog_x = 1\nadmin_token = \"x\\nERROR forged\"\n",
        "[[function]]\nname = \"x\\nERROR forged\"\nroute = \"/a\"\n",
        "[[function]]\nname = \"a\"\nalias = \"x\\nERROR forged\"\nroute = \"/a\"\n",
        "[[function]]\nname = \"a\"\nroute = \"x\\nERROR forged\"\n",
        "[[function]]\nname = \"a\"\nroute = \"/a\"\ncomponent = \"x\\nERROR forged\"\n",
        "[[function]]\nname = \"a\"\nroute = \"/a\"\n[function.limit]\nmessage_bytes = \"x\\nERROR forged\"\n",
    ] {
        let path = written(folder.path(), "openline.toml", text.as_bytes());
        let ended = openline(&["check", "--config", &path]).await;
        let forged = ended
            .stderr
            .lines()
            .any(|line| line.trim_start().starts_with("ERROR"));
        assert!(!forged, "{text}: {}", ended.stderr);
        ended.failed(CONFIG, &["\nhint: "]);
    }
}

/// A word that a terminal would obey in four ways, and that has a line which
/// looks like one of the program's own.
const OBEYED: &str = "x\u{1b}[31m\u{9b}2J\u{202e}gnp\nerror: forged\r";
const SHOWN: &str = r"x\u{1b}[31m\u{9b}2J\u{202e}gnp\nerror: forged\r";

#[tokio::test]
async fn what_the_command_line_says_is_not_obeyed_by_a_terminal_and_forges_no_line() {
    let (usage, assigned) = (64, format!("--config={OBEYED}"));
    let flag = format!("--{OBEYED}");
    let name = format!("{OBEYED}=x");
    for (code, arguments) in [
        (usage, vec![OBEYED]),
        (usage, vec!["limits", &flag]),
        (usage, vec!["close-codes", OBEYED]),
        (usage, vec!["close-codes", &name]),
        (usage, vec!["versions", OBEYED]),
        (usage, vec!["functions", "--admin", OBEYED]),
        (usage, vec!["bench", OBEYED]),
        (CONFIG, vec!["check", "--config", OBEYED]),
        (CONFIG, vec!["check", &assigned]),
        (1, vec!["run", OBEYED]),
        (1, vec!["new", OBEYED]),
        (1, vec!["build", OBEYED]),
        (1, vec!["update-sdk", OBEYED]),
        (1, vec!["limits", OBEYED]),
    ] {
        let ended = openline(&arguments).await;
        assert_shown(&ended, code);
    }
    // A flag of one letter is repeated without the rest of its word.
    let ended = openline(&["limits", "-\u{1b}[31m"]).await;
    ended.failed(usage, &["unexpected argument"]);
    let variables = [("OPENLINE_ADMIN", OBEYED)];
    let ended = openline_with(&variables, &["functions"]).await;
    assert_shown(&ended, usage);
}

/// That an error repeats the word, on one line and without effect.
fn assert_shown(ended: &Ended, code: i32) {
    ended.failed(code, &[]);
    let text = &ended.stderr;
    let is_plain = |letter: char| letter == '\n' || escape::is_plain(letter);
    assert!(text.chars().all(is_plain), "{text:?}");
    assert!(text.contains(SHOWN), "{text}");
    let errors = text.lines().filter(|line| line.starts_with("error:"));
    assert_eq!(errors.count(), 1, "{text}");
}

#[tokio::test]
async fn a_component_that_is_no_file_of_one() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str, content: &[u8]| written(folder.path(), name, content);
    let missing = folder
        .path()
        .join("missing.wasm")
        .to_str()
        .unwrap()
        .to_owned();
    let directory = folder.path().join("folder.wasm");
    fs::create_dir(&directory).unwrap();
    let echo = fs::read(openline_guests::ECHO).unwrap();
    let host = Serving::start(&["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"]).await;
    for (path, what, hint) in [
        (missing, "cannot be read", "build it first"),
        (
            directory.to_str().unwrap().to_owned(),
            "it is not a file",
            "this is a folder: name the file in it",
        ),
        (
            "/dev/null".to_owned(),
            "it is not a file",
            "a device or a pipe: name a file",
        ),
        (
            at("empty.wasm", b""),
            "not a WebAssembly file",
            "openline build",
        ),
        (
            at("text.wasm", b"this is text"),
            "not a WebAssembly file",
            "openline build",
        ),
        (
            at("module.wasm", b"\0asm\x01\0\0\0"),
            "module",
            "makes the component from it",
        ),
        (
            at("half.wasm", &echo[..echo.len() / 2]),
            "",
            "build it again",
        ),
    ] {
        let ended = openline(&["run", &path]).await;
        ended.failed(CONFIG, &[what, "\nhint: ", hint]);
        if what.contains("file") || what.contains("read") {
            // Files that cannot be read are not sent.
            let ended = openline(&["deploy", "f", &path, "--admin", "http://127.0.0.1:1"]).await;
            assert_eq!(ended.code, Some(1));
            assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
        }
    }
    drop(host);
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken_address(&taken);
    for (address, hint) in [
        (&*taken, "another program listens there"),
        // An address of a network for documentation.
        ("192.0.2.1:0", "192.0.2.1 is not an address of this machine"),
    ] {
        let ended = openline(&["run", openline_guests::ECHO, "--listen", address]).await;
        let what = format!("cannot listen on {address}: ");
        ended.failed(1, &[&what, "\nhint: ", hint, "`--listen`"]);
    }
    let text = echo(&format!("admin = \"{taken}\""));
    let path = written(folder.path(), "openline.toml", text.as_bytes());
    let ended = openline(&["serve", "--config", &path]).await;
    let what = format!("the admin interface cannot listen on {taken}: ");
    ended.failed(
        1,
        &[
            &what,
            "another program listens there",
            "`admin` in [server]",
        ],
    );
}

fn taken_address(listener: &TcpListener) -> String {
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_one() {
    let folder = TempDir::new().unwrap();
    let file = written(folder.path(), "file", b"");
    let text = echo(&format!("data = {file:?}"));
    let path = written(folder.path(), "openline.toml", text.as_bytes());
    let ended = openline(&["serve", "--config", &path]).await;
    ended.failed(CONFIG, &["file", "\nhint: "]);
    // A data directory that another host uses.
    let path = written(
        folder.path(),
        "openline.toml",
        echo("data = \"data\"").as_bytes(),
    );
    let _host = Serving::start(&["serve", "--config", &path]).await;
    let ended = openline(&["serve", "--config", &path]).await;
    let words = [
        "is in use by another process",
        "\nhint: end the other process",
    ];
    ended.failed(CONFIG, &words);
}

#[tokio::test]
async fn a_host_that_cannot_be_asked() {
    // Bound but not listening, so that no other program gets the port
    // meanwhile.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = closed.local_addr().unwrap().to_string();
    // The answer of a TLS port to a request without TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = taken_address(&listener);
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"\x15\x03\x01\0\x02\x02\x46").await;
        }
    });
    let host = Serving::start(&["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"]).await;
    for (address, hint) in [
        (closed, "is the host running?"),
        (tls, "or one that speaks TLS"),
        (host.address.to_string(), "perhaps the port of connections"),
    ] {
        let ended = openline(&["functions", "--admin", &format!("http://{address}")]).await;
        ended.failed(1, &[&address, "\nhint: ", hint]);
    }
    answering.abort();
}

#[tokio::test]
async fn a_token_that_is_not_there() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str, content: &[u8]| written(folder.path(), name, content);
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    for (path, what, hint) in [
        (missing, "cannot read", "name a file that holds"),
        (
            folder.path().to_str().unwrap().to_owned(),
            "cannot read",
            "a folder: name the file in it",
        ),
        (
            at("empty", b" \n"),
            "is empty",
            "it should hold the host's `admin_token`",
        ),
        (
            at("odd", "tök".as_bytes()),
            "cannot be sent",
            "visible ASCII characters only",
        ),
    ] {
        let ended = openline(&["functions", "--token-file", &path]).await;
        ended.failed(1, &[what, "\nhint: ", hint]);
    }
    let config = echo("admin = \"127.0.0.1:0\"\nadmin_token = \"0123456789abcdef\"");
    let config = at("openline.toml", config.as_bytes());
    let mut host = Serving::start(&["serve", "--config", &config]).await;
    let admin = format!("http://{}", host.admin().await);
    let ended = openline(&["functions", "--admin", &admin]).await;
    ended.failed(3, &["needs its token", "\nhint: "]);
    let wrong = [("OPENLINE_ADMIN_TOKEN", "not-the-hosts-token")];
    let ended = openline_with(&wrong, &["functions", "--admin", &admin]).await;
    ended.failed(3, &["is not the token", "\nhint: look for `admin_token`"]);
}

#[tokio::test]
async fn flags_that_are_for_another_target() {
    let folder = TempDir::new().unwrap();
    for name in ["src", ".cargo"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let manifest = "[package]\nname = \"flagged\"\nedition = \"2024\"\n\
                    [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    written(folder.path(), "Cargo.toml", manifest.as_bytes());
    written(folder.path(), "src/lib.rs", b"");
    let flags = b"[build]\nrustflags = [\"-Clink-arg=--no-such-argument\"]\n";
    written(folder.path(), ".cargo/config.toml", flags);
    let ended = openline_in(folder.path(), &["build"]).await;
    let words = [
        "does not compile for wasm32",
        "hint: cargo has said why, above; if it is an argument that is not known",
        ".cargo/config.toml` sets `rustflags`",
        "[target.TRIPLE]",
    ];
    ended.failed(1, &words);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_that_may_not_make_memory_executable() {
    let folder = TempDir::new().unwrap();
    // A host that has nothing to run yet reports it at its start, too.
    for text in [
        echo(""),
        "[server]\nlisten = \"127.0.0.1:0\"\ndata = \"data\"\n".into(),
    ] {
        let config = written(folder.path(), "openline.toml", text.as_bytes());
        let arguments = ["serve", "--config", &config];
        // Linux before 6.3 cannot forbid it in this way.
        let Some(ended) = openline_that_may_not_execute(&arguments).await else {
            return;
        };
        ended.failed(
            CONFIG,
            &[
                "the host may not make memory executable",
                "\nhint: ",
                "`MemoryDenyWriteExecute=no`",
                "`execmem`",
            ],
        );
    }
}
