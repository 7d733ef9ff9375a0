//! `openline dev`: open connections continue with the new code of a crate. Uses
//! the real binary, cargo and compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::harness::{Client, Raw, Serving, openline_in, within};

/// The longest that a build may take: the first one compiles the SDK.
const BUILD_TIMEOUT: Duration = Duration::from_secs(300);
/// How long to wait before asking the host for its report again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A crate that `openline new` has made, with a handler that answers each
/// message with a word.
struct Written {
    folder: TempDir,
    /// Different in each test, because they share a target folder.
    name: &'static str,
}

impl Written {
    async fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = openline_in(folder.path(), &["new", name]).await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let written = Self { folder, name };
        written.answer("\"first\"");
        written
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// Writes the handler as editors do: to another file, which is then moved
    /// over it.
    fn answer(&self, expression: &str) {
        let text = format!(
            "use openline_sdk::prelude::*;\n\n\
             #[derive(Default)]\nstruct Written;\n\n\
             impl Handler for Written {{\n    \
             fn message(&mut self, connection: &Connection, message: Message) {{\n        \
             let _ = &message;\n        \
             connection.send({expression});\n    }}\n}}\n\n\
             openline_sdk::export!(Written);\n"
        );
        let source = self.directory().join("src");
        fs::write(source.join(".lib.rs.new"), text).unwrap();
        fs::rename(source.join(".lib.rs.new"), source.join("lib.rs")).unwrap();
    }

    async fn develop(&self) -> Serving {
        let directory = self.directory();
        let arguments = ["dev", path(&directory), "--listen", "127.0.0.1:0"];
        Serving::slowly(&arguments, BUILD_TIMEOUT).await
    }
}

/// A file with what a host told people. A test that fails prints it.
struct ShownOnFailure<'a>(&'a Path);

impl Drop for ShownOnFailure<'_> {
    #[expect(clippy::print_stderr, reason = "the runner shows it with the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = fs::read_to_string(self.0).unwrap_or_default();
            eprintln!("the host said:\n{said}");
        }
    }
}

/// The place of the expression of [`Written::answer`].
const LINE: u64 = 9;

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Requests a path of the host itself; returns head and body.
async fn get(host: &Serving, path: &str) -> (String, String) {
    let mut raw = Raw::connect(host.address).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    raw.send(request.as_bytes()).await;
    let head = raw.head().await;
    let mut body = String::new();
    let reading = raw.socket.read_to_string(&mut body);
    within("a body to end", reading).await.unwrap();
    (head, body)
}

/// Requests the report until the condition holds.
async fn report(host: &Serving, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let asking = async {
        loop {
            let (head, body) = get(host, "/.openline/development").await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            last = serde_json::from_str(&body).unwrap();
            if so(&last) {
                return last.clone();
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    match tokio::time::timeout(BUILD_TIMEOUT, asking).await {
        Ok(report) => report,
        Err(_) => panic!("waited in vain for {what}; the last report: {last}"),
    }
}

/// Waits until the report has a line with these words, and returns it.
async fn line(host: &Serving, words: &str) -> Value {
    let texts = |report: &Value| {
        let lines = report["lines"].as_array().unwrap().clone();
        let has = |line: &Value| line["text"].as_str().unwrap().contains(words);
        lines.into_iter().find(has)
    };
    let report = report(host, words, |report| texts(report).is_some()).await;
    texts(&report).unwrap()
}

fn version(report: &Value) -> String {
    report["versions"][0]["version"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_connection_goes_on_with_what_is_written_while_it_is_open() {
    let written = Written::new("written").await;
    let mut host = written.develop().await;
    let mut client = Client::open(host.address, "/written", &[]).await.unwrap();
    assert_eq!(client.ask("1").await, "first");
    let first = version(&report(&host, "a version", |report| report["state"] == "ok").await);

    // New code on the open connection.
    written.answer("{ println!(\"it's <b>new</b>\"); \"second\" }");
    let is_other = |report: &Value| report["state"] == "ok" && version(report) != first;
    let second = version(&report(&host, "another version", is_other).await);
    assert_eq!(client.ask("2").await, "second");
    let printed = line(&host, "it's <b>new</b>").await;
    assert_eq!(
        (&printed["function"], &printed["stream"]),
        (&"written".into(), &"stdout".into())
    );
    host.told("1 connection goes on with it").await;
    host.told("written | it's <b>new</b>").await;

    // A compiler error is shown with its place, and changes nothing.
    written.answer("undefined");
    let failed = report(&host, "an error", |report| report["state"] == "failed").await;
    let error = &failed["errors"][0];
    assert_eq!(
        (&error["file"], &error["line"]),
        (&"src/lib.rs".into(), &LINE.into())
    );
    assert_eq!(
        (&error["level"], &error["code"]),
        (&"error".into(), &"E0425".into())
    );
    let rendered = error["rendered"].as_str().unwrap();
    assert!(
        rendered.contains("src/lib.rs:9:25") && !rendered.contains('\x1b'),
        "{rendered}"
    );
    assert_eq!(version(&failed), second);
    assert_eq!(client.ask("3").await, "second");
    host.told("--> src/lib.rs:9:25").await;
    host.told("not built, 1 error(s)").await;

    // Cargo's own output, too.
    let manifest = fs::read_to_string(written.directory().join("Cargo.toml")).unwrap();
    fs::write(written.directory().join("Cargo.toml"), "[package\n").unwrap();
    let is_manifest = |report: &Value| report["errors"][0]["file"] == "Cargo.toml";
    let failed = report(&host, "an error of the manifest", is_manifest).await;
    assert_eq!(version(&failed), second);
    fs::write(written.directory().join("Cargo.toml"), manifest).unwrap();

    // A panic names its line, in its message and in the trap that follows.
    written.answer("if true { panic!(\"what a pity\") } else { \"never\" }");
    let is_other = |report: &Value| report["state"] == "ok" && version(report) != second;
    report(&host, "a third version", is_other).await;
    client.text("4").await;
    assert_eq!(client.closed().await.reason, "function fault: trap");
    let panicked = line(&host, "panicked at src/lib.rs:9:").await;
    assert_eq!(panicked["stream"], "stderr");
    let trapped = line(&host, "    at src/lib.rs:9:").await;
    assert_eq!(trapped["stream"], "host");
    host.told("written | what a pity").await;
    host.told("    at src/lib.rs:9:").await;

    // This host's page shows it.
    let (_, index) = get(&host, "/.openline/").await;
    assert!(index.contains("src=\"development.js\""), "{index}");
    host.signal("INT").await;
    assert_eq!(host.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn neither_its_own_words_nor_what_a_build_writes_start_a_build() {
    let written = Written::new("repeated").await;
    let directory = written.directory();
    // Different content each time, in the folder of the sources.
    let script = "fn main() {\n    \
        let now = std::time::SystemTime::now();\n    \
        std::fs::write(\"src/made.txt\", format!(\"{now:?}\")).unwrap();\n    \
        println!(\"cargo::rerun-if-changed=none\");\n}\n";
    fs::write(directory.join("build.rs"), script).unwrap();
    let said = directory.join("said.txt");
    let _shown = ShownOnFailure(&said);
    let arguments = ["dev", path(&directory), "--listen", "127.0.0.1:0"];
    let host = Serving::slowly_into(&said, &arguments, BUILD_TIMEOUT).await;
    let first = version(&report(&host, "a version", |report| report["state"] == "ok").await);
    written.answer("\"second\"");
    let is_other = |report: &Value| report["state"] == "ok" && version(report) != first;
    report(&host, "another version", is_other).await;
    let said = fs::read_to_string(&said).unwrap();
    let builds: Vec<_> = said
        .lines()
        .filter(|line| line.contains("has changed: building"))
        .collect();
    assert_eq!(builds, ["src/lib.rs has changed: building"]);
    assert!(directory.join("src/made.txt").exists());
}

#[tokio::test]
async fn a_component_that_does_not_load_at_the_start_is_waited_for() {
    let written = Written::new("waited").await;
    let source = written.directory().join("src/lib.rs");
    fs::write(
        &source,
        "#[unsafe(no_mangle)]\npub extern \"C\" fn nothing() {}\n",
    )
    .unwrap();
    let mut host = written.develop().await;
    host.told("the component exports no WebSocket handler")
        .await;
    host.told("nothing serves yet; waiting for a change").await;
    let failed = report(&host, "an error", |report| report["state"] == "failed").await;
    let message = failed["errors"][0]["rendered"].as_str().unwrap();
    assert!(message.contains("export a handler"), "{message}");
    written.answer("\"there\"");
    host.told("waited serves /waited with version").await;
    let mut client = Client::open(host.address, "/waited", &[]).await.unwrap();
    assert_eq!(client.ask("1").await, "there");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_outside_that_changes_when_the_compiler_has_just_read_it_starts_a_build() {
    use std::os::unix::fs::PermissionsExt;

    let written = Written::new("overtaken").await;
    let (root, directory) = (written.folder.path(), written.directory());
    let words = root.join("words.txt");
    fs::write(&words, "one").unwrap();
    // Nothing watches the file yet: only the compiler says that it is read.
    let wrapper = root.join("compile.sh");
    let script = format!(
        "#!/bin/sh\n\"$@\" || exit\ncase \"$*\" in *'--crate-name overtaken'*)\n    \
         if ! test -e '{root}/done'; then touch '{root}/done'; printf two > '{root}/words.txt'; fi;;\n\
         esac\n",
        root = root.display()
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(directory.join(".cargo")).unwrap();
    let config = format!("[build]\nrustc-workspace-wrapper = {:?}\n", path(&wrapper));
    fs::write(directory.join(".cargo/config.toml"), config).unwrap();
    written.answer("include_str!(\"../../words.txt\")");
    let host = written.develop().await;
    let mut client = Client::open(host.address, "/overtaken", &[]).await.unwrap();
    let asking = async {
        while client.ask("?").await != "two" {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    let built = tokio::time::timeout(BUILD_TIMEOUT, asking).await;
    built.expect("the file that has changed is built");
}

#[tokio::test]
async fn what_is_outside_of_the_crate_starts_builds_too() {
    let written = Written::new("outer").await;
    let (root, directory) = (written.folder.path(), written.directory());
    let write = |name: &str, text: &str| {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
    };
    let dependency = "[package]\nname = \"dependency\"\nedition = \"2024\"\n";
    let number = |number: u32| format!("pub const NUMBER: u32 = {number};\n");
    write("dependency/Cargo.toml", dependency);
    write("dependency/src/lib.rs", &number(1));
    write("words/said.txt", "one");
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"outer\", \"dependency\"]\nexclude = [\"outer/vendor\"]\n";
    write("Cargo.toml", workspace);
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
    // The profiles, and that it is a workspace itself, are the root's matter.
    let (manifest, _) = manifest.split_once("\n[profile.release]").unwrap();
    write(
        "outer/Cargo.toml",
        &format!("{manifest}dependency = {{ path = \"../dependency\" }}\n"),
    );
    written
        .answer("format!(\"{} {}\", include_str!(\"../../words/said.txt\"), dependency::NUMBER)");
    let mut host = written.develop().await;
    let mut client = Client::open(host.address, "/outer", &[]).await.unwrap();
    assert_eq!(client.ask("?").await, "one 1");
    let mut last = version(&report(&host, "a version", |it| it["state"] == "ok").await);
    let mut built = async |host: &Serving| {
        let is_other = |report: &Value| report["state"] == "ok" && version(report) != last;
        last = version(&report(host, "another version", is_other).await);
    };
    write("words/said.txt", "two");
    built(&host).await;
    assert_eq!(client.ask("?").await, "two 1");

    // A manifest that cargo cannot read, of a dependency and of the workspace.
    for (name, text) in [
        ("dependency/Cargo.toml", dependency),
        ("Cargo.toml", workspace),
    ] {
        write(name, "[package\n");
        report(&host, "an error", |it| it["state"] == "failed").await;
        host.told(&format!("{name} has changed: building")).await;
        write(name, text);
        report(&host, "a mended manifest", |it| it["state"] == "ok").await;
        host.told(&format!("{name} has changed: building")).await;
    }
    write("dependency/src/lib.rs", &number(2));
    built(&host).await;
    assert_eq!(client.ask("?").await, "two 2");

    // A dependency that goes and comes back.
    fs::rename(root.join("dependency"), root.join("away")).unwrap();
    report(&host, "an error", |it| it["state"] == "failed").await;
    fs::rename(root.join("away"), root.join("dependency")).unwrap();
    report(&host, "all in its place", |it| it["state"] == "ok").await;
    write("dependency/src/lib.rs", &number(3));
    built(&host).await;
    assert_eq!(client.ask("?").await, "two 3");
}

/// Makes of a copy of the SDK one of another release, with another contract and
/// another version. To cargo, which compares times, copies of one version in
/// crates that share a target folder are the same package: with the version left
/// as it is, the crates of other tests would be built with this SDK.
fn outdate(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            outdate(&path);
        } else if path.ends_with("Cargo.toml") {
            let text = fs::read_to_string(&path).unwrap();
            let current = text.lines().find(|it| it.starts_with("version = "));
            let other = text.replacen(current.unwrap(), "version = \"0.1.0\"", 1);
            assert_ne!(other, text);
            fs::write(&path, other).unwrap();
        } else if path.extension().is_some_and(|it| it == "wit" || it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|line| match line.contains("openline:") {
                true => line.replace("@0.2.0", "@0.1.0") + "\n",
                false => line.to_owned() + "\n",
            });
            fs::write(&path, lines.collect::<String>()).unwrap();
        }
    }
}

#[tokio::test]
async fn the_sdk_of_another_release_is_replaced_as_the_hint_says() {
    let written = Written::new("outdated").await;
    let directory = written.directory();
    outdate(&directory.join("vendor/openline-sdk"));
    let mut host = written.develop().await;
    host.told("the component exports no WebSocket handler")
        .await;
    host.told("hint: the SDK in the crate is that of another release")
        .await;
    host.told("nothing serves yet; waiting for a change").await;
    let updated = openline_in(&directory, &["update-sdk"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.stderr);
    report(&host, "a version", |report| report["state"] == "ok").await;
    let mut client = Client::open(host.address, "/outdated", &[]).await.unwrap();
    assert_eq!(client.ask("1").await, "first");
}

#[tokio::test]
async fn a_configuration_is_served_and_followed_without_a_crate() {
    let folder = tempfile::tempdir().unwrap();
    let config = |route: &str| {
        let text = format!(
            "[[function]]\nname = \"echo\"\ncomponent = \"echo.wasm\"\nroute = \"{route}\"\n"
        );
        fs::write(folder.path().join("openline.toml"), text).unwrap();
    };
    config("/one");
    let arguments = ["dev", path(folder.path()), "--listen", "127.0.0.1:0"];
    let mut host = Serving::start(&arguments).await;
    // The component is made later.
    host.told("`echo` is not served until its component is there")
        .await;
    let refused = Client::open(host.address, "/one", &[]).await;
    assert_eq!(refused.err().unwrap().status, 503);
    fs::copy(openline_guests::ECHO, folder.path().join("echo.wasm")).unwrap();
    host.told("echo serves /one with version").await;
    let mut client = Client::open(host.address, "/one", &[]).await.unwrap();
    assert_eq!(client.ask("here").await, "here");

    fs::write(folder.path().join("echo.wasm"), "not wasm").unwrap();
    host.told("not taken: echo").await;
    let failed = report(&host, "an error", |report| report["state"] == "failed").await;
    let message = failed["errors"][0]["rendered"].as_str().unwrap();
    assert!(message.contains("echo.wasm"), "{message}");
    assert_eq!(client.ask("still here").await, "still here");

    fs::copy(openline_guests::ECHO, folder.path().join("echo.wasm")).unwrap();
    host.told("nothing is different").await;
    config("/two");
    host.told("openline.toml has changed").await;
    host.told("loaded in").await;
    let mut moved = Client::open(host.address, "/two", &[]).await.unwrap();
    assert_eq!(moved.ask("there").await, "there");
    assert_eq!(client.ask("and here").await, "and here");
}

#[tokio::test]
async fn nothing_of_it_is_there_in_a_host_that_serves() {
    let host = Serving::start(&["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"]).await;
    for name in ["development", "development.js", "development.css"] {
        let (head, _) = get(&host, &format!("/.openline/{name}")).await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{name}: {head}");
    }
    let (_, index) = get(&host, "/.openline/").await;
    assert!(!index.contains("development"), "{index}");
}
