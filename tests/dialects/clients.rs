//! Centrifugo's own clients, unmodified, for Node and for Python: they connect with
//! tokens, use channels, and recover while the host restarts and is deployed to.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::good;
use crate::authentication::SECRET;
use crate::harness::proxy::{address, is_left_out};
use crate::harness::{Serving, openline_with, program, variant, within};
use crate::tidy::root;

/// Where Debian has packages of Node.
const NODE_PATH: &str = "/usr/share/nodejs";

/// A client in a process of its own; dropped, it is gone.
struct Driven {
    _process: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Driven {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command
            .env("no_proxy", "*")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            stdin: process.stdin.take().unwrap(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            _process: process,
        }
    }

    fn node(url: &str) -> Self {
        let packages = fetched("npm/node_modules/centrifuge", "scripts/npm.sh");
        let node = program(&["node", "nodejs"]).expect("`scripts/edge.sh` installs Node");
        let script = root().join("tests/clients/centrifuge/client.cjs");
        let mut command = Command::new(node);
        let packages = packages.parent().unwrap().to_owned();
        Self::start(
            command
                .env("NODE_PATH", NODE_PATH)
                .arg(script)
                .arg(url)
                .arg(packages),
        )
    }

    fn python(url: &str) -> Self {
        let python = fetched("python/bin/python", "scripts/python.sh");
        let script = root().join("tests/clients/centrifuge/client.py");
        Self::start(Command::new(python).arg(script).arg(url))
    }

    async fn say(&mut self, command: Value) {
        let line = format!("{command}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    /// Reads on to what it tells under this word.
    async fn until(&mut self, word: &str) -> Value {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended without `{word}`"));
                let told: Value = serde_json::from_str(&line).unwrap();
                if told[0] == word {
                    return told[1].clone();
                }
                assert_ne!(told[0], "disconnected", "{line}");
            }
        };
        within(&format!("`{word}`"), reading).await
    }

    /// What it answers to a command.
    async fn ask(&mut self, command: Value) -> Value {
        self.say(command).await;
        self.until("done").await
    }

    async fn fails(&mut self, command: Value) -> Value {
        self.say(command).await;
        self.until("failed").await
    }

    async fn subscribe(&mut self, channel: &str) -> Value {
        self.say(json!(["subscribe", channel])).await;
        self.until("subscribed").await
    }
}

/// Where a script has put something.
fn fetched(path: &str, script: &str) -> PathBuf {
    let found = openline_kit::programs::target().unwrap().join(path);
    assert!(
        found.exists(),
        "a test needs {}: `{script}` installs it; OPENLINE_SKIP_EDGE=1 leaves the test out",
        found.display()
    );
    found
}

/// A host without a function of its own, whose peers have tokens. It keeps one
/// channel on the disk, and forgets another one when it ends.
async fn host(folder: &Path, address: SocketAddr) -> (Serving, String) {
    fs::write(folder.join("secret"), SECRET).unwrap();
    let text = format!(
        r#"
[server]
listen = "{address}"
admin = "127.0.0.1:0"
data = "data"
[[function]]
name = "live"
[[function.trigger]]
route = "/connection/websocket"
dialect = "centrifugo"
auth = "jwt"
[function.trigger.jwt]
secret = "file:{}"
leeway = "0s"
[[function.channel]]
pattern = "kept"
subscribe = "peers"
publish = "peers"
history = {{ count = 100 }}
recovery = true
durable = true
[[function.channel]]
pattern = "forgotten"
subscribe = "peers"
publish = "peers"
history = {{ count = 100 }}
recovery = true
[[function.channel]]
pattern = "lobby"
subscribe = "peers"
presence = true
"#,
        folder.join("secret").display()
    );
    let path = folder.join("openline.toml");
    fs::write(&path, text).unwrap();
    let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let admin = format!("http://{}", host.admin().await);
    (host, admin)
}

/// What every client can do on one connection.
async fn uses_channels(client: &mut Driven, user: &str) {
    client.ask(json!(["token", good(user, 600)])).await;
    client.say(json!(["connect"])).await;
    client.until("connected").await;
    client.subscribe("kept").await;
    client.ask(json!(["publish", "kept", {"n": 1}])).await;
    let history = client.ask(json!(["history", "kept", {"limit": 10}])).await;
    let last = history[0].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last, json!({"n": 1}), "{history}");
    client.subscribe("lobby").await;
    assert_eq!(
        client.ask(json!(["presence", "lobby"])).await,
        json!([user])
    );
    assert_eq!(
        client.ask(json!(["presenceStats", "lobby"])).await,
        json!([1, 1])
    );
    assert_eq!(client.fails(json!(["rpc", "m", {}])).await, 104);
    assert_eq!(client.fails(json!(["publish", "closed", 1])).await, 103);
}

/// A client that stays through restarts, a kill and a deploy: nothing of the kept
/// channel is lost or doubled, and a loss of the other is said.
async fn recovers(client: &mut Driven, url: &str, folder: &Path, address: SocketAddr) {
    let (serving, _) = host(folder, address).await;
    uses_channels(client, "ann").await;
    client.subscribe("forgotten").await;
    let mut serving = serving;
    for (round, signal) in [(2, "TERM"), (3, "KILL")] {
        let mut writer = Driven::node(url);
        writer.ask(json!(["token", good("bob", 600)])).await;
        writer.say(json!(["connect"])).await;
        writer.until("connected").await;
        serving.signal(signal).await;
        serving.ended().await;
        client.until("connecting").await;
        (serving, _) = host(folder, address).await;
        client.until("connected").await;
        // In an order of the client's; the lobby has nothing to recover.
        let mut outcomes = Vec::new();
        for _ in 0..3 {
            outcomes.push(client.until("subscribed").await.to_string());
        }
        outcomes.sort();
        let expected = ["[false,false]", "[true,false]", "[true,true]"];
        assert_eq!(outcomes, expected, "after {signal}");
        writer.until("connected").await;
        writer.ask(json!(["publish", "kept", {"n": round}])).await;
        let published = client.until("publication").await;
        assert_eq!(published, json!([{"n": round}, round]), "after {signal}");
    }
    drop(serving);
}

/// Stays connected while a version is deployed: its line stays.
async fn stays_through_a_deploy(client: &mut Driven, folder: &Path, address: SocketAddr) {
    let (serving, admin) = host(folder, address).await;
    client.ask(json!(["token", good("ann", 600)])).await;
    client.say(json!(["connect"])).await;
    client.until("connected").await;
    client.subscribe("forgotten").await;
    let component = folder.join("echo.wasm");
    let echo = fs::read(openline_guests::ECHO).unwrap();
    fs::write(&component, variant(&echo, 1)).unwrap();
    let component = component.to_str().unwrap();
    let arguments = ["deploy", "live", component];
    let deployed = openline_with(&[("OPENLINE_ADMIN", &admin)], &arguments).await;
    assert_eq!(deployed.code, Some(0), "{}", deployed.stderr);
    client.say(json!(["send", {"now": "a function"}])).await;
    assert_eq!(client.until("message").await, json!({"now": "a function"}));
    client.ask(json!(["publish", "forgotten", 1])).await;
    drop(serving);
}

#[tokio::test]
async fn the_client_for_node_recovers_what_it_missed() {
    if is_left_out() {
        return;
    }
    let (folder, address) = (TempDir::new().unwrap(), address());
    let url = format!("ws://{address}/connection/websocket");
    let mut client = Driven::node(&url);
    recovers(&mut client, &url, folder.path(), address).await;
}

#[tokio::test]
async fn the_client_for_node_stays_through_a_deploy() {
    if is_left_out() {
        return;
    }
    let (folder, address) = (TempDir::new().unwrap(), address());
    let mut client = Driven::node(&format!("ws://{address}/connection/websocket"));
    stays_through_a_deploy(&mut client, folder.path(), address).await;
}

#[tokio::test]
async fn the_client_for_node_renews_its_token() {
    if is_left_out() {
        return;
    }
    let (folder, address) = (TempDir::new().unwrap(), address());
    let (serving, _) = host(folder.path(), address).await;
    let mut client = Driven::node(&format!("ws://{address}/connection/websocket"));
    client.ask(json!(["token", good("ann", 4)])).await;
    client.say(json!(["connect"])).await;
    client.until("connected").await;
    client.ask(json!(["token", good("ann", 600)])).await;
    client.until("token").await;
    client.subscribe("lobby").await;
    // Past the end of the first one it is the same connection.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(
        client.ask(json!(["presence", "lobby"])).await,
        json!(["ann"])
    );
    drop(serving);
}

#[tokio::test]
async fn the_client_for_python_recovers_what_it_missed() {
    if is_left_out() {
        return;
    }
    let (folder, address) = (TempDir::new().unwrap(), address());
    let url = format!("ws://{address}/connection/websocket");
    let mut client = Driven::python(&url);
    recovers(&mut client, &url, folder.path(), address).await;
}
