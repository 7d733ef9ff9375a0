//! Centrifugo's own clients, unmodified, for Node and for Python: they connect with
//! tokens, use channels, and recover while the host restarts and is deployed to.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::good;
use crate::authentication::{SECRET, now, token};
use crate::harness::driven::{Driven, fetched, node};
use crate::harness::proxy::{address, is_left_out};
use crate::harness::{Serving, openline_with, variant};
use crate::tidy::root;

/// A client, which is told and tells lines of JSON.
struct Centrifuge(Driven);

impl Centrifuge {
    fn node(url: &str) -> Self {
        let script = root().join("tests/clients/centrifuge/client.cjs");
        Self(Driven::start(node().arg(script).arg(url)))
    }

    fn python(url: &str) -> Self {
        let python = fetched("python/bin/python", "scripts/python.sh");
        let script = root().join("tests/clients/centrifuge/client.py");
        Self(Driven::start(Command::new(python).arg(script).arg(url)))
    }

    async fn say(&mut self, command: Value) {
        self.0.say(command).await;
    }

    /// Reads on to what it tells under this word.
    async fn until(&mut self, word: &str) -> Value {
        let find = |line: String| {
            let told: Value = serde_json::from_str(&line).unwrap();
            if told[0] != word {
                assert_ne!(told[0], "disconnected", "{line}");
                return None;
            }
            Some(told[1].clone())
        };
        self.0.until(&format!("`{word}`"), find).await
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
async fn uses_channels(client: &mut Centrifuge, user: &str) {
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
async fn recovers(client: &mut Centrifuge, url: &str, folder: &Path, address: SocketAddr) {
    let (serving, _) = host(folder, address).await;
    uses_channels(client, "ann").await;
    client.subscribe("forgotten").await;
    let mut serving = serving;
    for (round, signal) in [(2, "TERM"), (3, "KILL")] {
        let mut writer = Centrifuge::node(url);
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
async fn stays_through_a_deploy(client: &mut Centrifuge, folder: &Path, address: SocketAddr) {
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
    let mut client = Centrifuge::node(&url);
    recovers(&mut client, &url, folder.path(), address).await;
}

#[tokio::test]
async fn the_client_for_node_stays_through_a_deploy() {
    if is_left_out() {
        return;
    }
    let (folder, address) = (TempDir::new().unwrap(), address());
    let mut client = Centrifuge::node(&format!("ws://{address}/connection/websocket"));
    stays_through_a_deploy(&mut client, folder.path(), address).await;
}

#[tokio::test]
async fn the_client_for_node_renews_its_token() {
    if is_left_out() {
        return;
    }
    let (folder, address) = (TempDir::new().unwrap(), address());
    let (serving, _) = host(folder.path(), address).await;
    let mut client = Centrifuge::node(&format!("ws://{address}/connection/websocket"));
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

/// A client whose application still has the token of before comes back with the
/// next one, and keeps its subscriptions.
#[tokio::test]
async fn the_client_for_node_survives_a_renewal_with_an_expired_token() {
    if is_left_out() {
        return;
    }
    let (folder, address) = (TempDir::new().unwrap(), address());
    let (serving, _) = host(folder.path(), address).await;
    let mut client = Centrifuge::node(&format!("ws://{address}/connection/websocket"));
    client.ask(json!(["token", good("ann", 4)])).await;
    client.say(json!(["connect"])).await;
    client.until("connected").await;
    client.subscribe("lobby").await;
    let expired = token(&json!({"sub": "ann", "exp": now() - 600}));
    client.ask(json!(["token", expired])).await;
    client.until("token").await;
    client.ask(json!(["token", good("ann", 600)])).await;
    client.until("connected").await;
    client.until("subscribed").await;
    drop(serving);
}

#[tokio::test]
async fn the_client_for_python_recovers_what_it_missed() {
    if is_left_out() {
        return;
    }
    let (folder, address) = (TempDir::new().unwrap(), address());
    let url = format!("ws://{address}/connection/websocket");
    let mut client = Centrifuge::python(&url);
    recovers(&mut client, &url, folder.path(), address).await;
}

#[tokio::test]
async fn the_javascript_client_calls_a_function() {
    if is_left_out() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let address = address();
    let text = format!(
        "[server]\nlisten = \"{address}\"\n[[function]]\nname = \"answers\"\ncomponent = \"{}\"\n\
         [[function.trigger]]\nroute = \"/connection/websocket\"\ndialect = \"centrifugo\"\n\
         auth = \"jwt\"\n[function.trigger.jwt]\nsecret = \"file:{}\"\n",
        openline_guests::FAULT_LISTENER,
        secret.display()
    );
    let path = folder.path().join("openline.toml");
    fs::write(&path, text).unwrap();
    let _host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let mut client = Centrifuge::node(&format!("ws://{address}/connection/websocket"));
    client.ask(json!(["token", good("ann", 600)])).await;
    client.say(json!(["connect"])).await;
    client.until("connected").await;
    let answer = client.ask(json!(["rpc", "echo", {"n": 1}])).await;
    assert_eq!(answer, json!({"data": {"n": 1}}));
    assert_eq!(client.fails(json!(["rpc", "code", 1234])).await, 1234);
    assert_eq!(client.fails(json!(["rpc", "none", 1])).await, 104);
}
