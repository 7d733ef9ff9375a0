//! SIGHUP reads the configuration again: changes apply to new connections, and
//! no connection is dropped. Runs the real binary.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::{Client, Serving};

/// A configuration file that tests write again and again.
struct Configured {
    folder: TempDir,
    host: Serving,
}

/// One function of the file.
fn function(name: &str, component: &str, more: &str) -> String {
    format!(
        "[[function]]\nname = \"{name}\"\ncomponent = {component:?}\nroute = \"/{name}\"\n{more}\n"
    )
}

impl Configured {
    async fn start(functions: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("openline.toml");
        write(&path, functions);
        let host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
        Self { folder, host }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("openline.toml")
    }

    async fn connect(&self, path: &str) -> Client {
        Client::open(self.host.address, path, &[]).await.unwrap()
    }

    /// Writes the file again and lets the host read it; returns when the host
    /// has reported the result.
    async fn reload(&mut self, functions: &str, told: &str) {
        write(&self.path(), functions);
        self.host.signal("HUP").await;
        self.host.told(told).await;
    }
}

fn write(path: &std::path::Path, functions: &str) {
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n\n{functions}");
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn routes_limits_and_components_change_for_new_connections_and_none_is_dropped() {
    let echo = openline_guests::ECHO;
    let gone = function("gone", echo, "");
    let limited = |bytes| {
        let limit = format!("[function.limit]\nmessage_bytes = \"{bytes} B\"");
        function("limited", echo, &limit)
    };
    let mut configured = Configured::start(&format!("{gone}{}", limited(4))).await;
    let mut on_gone = configured.connect("/gone").await;
    let mut on_old_limit = configured.connect("/limited").await;

    let added = function("added", openline_guests::ECHO_ASYNC, "");
    let functions = format!("{added}{}", limited(8));
    configured
        .reload(&functions, "changed: limited; added: added; removed: gone")
        .await;

    // New connections get the new settings.
    let mut on_added = configured.connect("/added").await;
    assert_eq!(on_added.ask("new").await, "new");
    let refused = Client::open(configured.host.address, "/gone", &[]).await;
    assert_eq!(refused.err().unwrap().status, 404);
    let mut on_new_limit = configured.connect("/limited").await;
    assert_eq!(on_new_limit.ask("12345678").await, "12345678");
    // Open connections go on as before.
    assert_eq!(on_gone.ask("still here").await, "still here");
    assert_eq!(on_old_limit.ask("1234").await, "1234");
    on_old_limit.text("12345").await;
    assert_eq!(on_old_limit.closed().await.code, 1009);

    // All are drained, even those whose function has no route any more.
    configured.host.signal("TERM").await;
    for mut client in [on_gone, on_added, on_new_limit] {
        assert_eq!(client.closed().await.code, 1001);
    }
    assert_eq!(configured.host.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_bad_file_is_refused_with_its_errors_and_the_old_one_stays() {
    let good = function("echo", openline_guests::ECHO, "");
    let mut configured = Configured::start(&good).await;
    let mut before = configured.connect("/echo").await;
    let damaged = configured.folder.path().join("damaged.wasm");
    fs::write(&damaged, b"\0asm\x0d\0\x01\0 and then nothing").unwrap();
    for (bad, error) in [
        (
            "[[function]]\nnmae = \"echo\"".to_owned(),
            "unknown field `nmae`",
        ),
        (
            function(
                "echo",
                openline_guests::ECHO,
                "[function.limit]\nmessage_bytes = \"0 B\"",
            ),
            "`message_bytes` is 0",
        ),
        (
            format!(
                "{good}{}",
                function("broken", damaged.to_str().unwrap(), "")
            ),
            "damaged",
        ),
        (format!("{good}{good}"), "two functions are named `echo`"),
    ] {
        configured.reload(&bad, error).await;
        configured.host.told("not reloaded").await;
        assert_eq!(before.ask("old").await, "old");
        let mut after = configured.connect("/echo").await;
        assert_eq!(after.ask("as before").await, "as before");
        let refused = Client::open(configured.host.address, "/broken", &[]).await;
        assert_eq!(refused.err().unwrap().status, 404);
    }
    // A file that does not exist.
    fs::remove_file(configured.path()).unwrap();
    configured.host.signal("HUP").await;
    configured.host.told("not reloaded").await;
    assert_eq!(before.ask("old").await, "old");
}

#[tokio::test]
async fn connections_of_the_old_and_the_new_component_reach_each_other() {
    let chat = |component: &str| {
        format!(
            "[[function]]\nname = \"chat\"\ncomponent = {component:?}\nroute = \"/chat/{{room}}\"\n"
        )
    };
    let mut configured = Configured::start(&chat(openline_guests::CHAT)).await;
    let mut old = configured.connect("/chat/lobby").await;
    // The same component with one more custom section: another digest.
    let other = configured.folder.path().join("other.wasm");
    let mut bytes = fs::read(openline_guests::CHAT).unwrap();
    bytes.extend(*b"\0\x02\x01x");
    fs::write(&other, bytes).unwrap();
    let functions = chat(other.to_str().unwrap());
    configured.reload(&functions, "changed: chat;").await;
    let mut new = configured.connect("/chat/lobby").await;
    new.text("hello from the new one").await;
    loop {
        if old.next_text().await.contains("hello from the new one") {
            break;
        }
    }
    old.text("hello from the old one").await;
    loop {
        if new.next_text().await.contains("hello from the old one") {
            break;
        }
    }
}

#[tokio::test]
async fn another_alias_serves_the_component_that_the_file_names() {
    let echo = openline_guests::ECHO;
    let mut configured = Configured::start(&function("echo", echo, "")).await;
    let mut before = configured.connect("/echo").await;
    let staged = function("echo", echo, "alias = \"stage\"");
    configured.reload(&staged, "changed: echo;").await;
    let mut after = configured.connect("/echo").await;
    assert_eq!(after.ask("by the new alias").await, "by the new alias");
    assert_eq!(before.ask("by the old one").await, "by the old one");
}

#[tokio::test]
async fn keys_that_need_a_new_start_are_said() {
    let echo = function("echo", openline_guests::ECHO, "");
    let mut configured = Configured::start(&echo).await;
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\ninstances = 7\n\n{echo}");
    fs::write(configured.path(), text).unwrap();
    configured.host.signal("HUP").await;
    configured
        .host
        .told("`instances` in [server] has changed")
        .await;
    configured
        .host
        .told("reloaded: functions changed: none")
        .await;
}
