//! The package `reconnecting-websocket` that pages use, as npm has it, against
//! hosts that end, are killed, start again on their port, and are deployed to:
//! our close codes bring it back.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::driven::{Driven, node};
use crate::harness::proxy::{address, is_left_out};
use crate::harness::{Serving, openline_with, variant};

/// Says what happens to it, also that a try has failed, and sends each line of its
/// input. Its delays are shorter than the package's own.
const SCRIPT: &str = "
    const [url] = process.argv.slice(1);
    const ReconnectingWebSocket = require('reconnecting-websocket');
    const socket = new ReconnectingWebSocket(url, [], {
        WebSocket: require('ws').WebSocket,
        minReconnectionDelay: 50,
        maxReconnectionDelay: 200,
    });
    socket.addEventListener('open', () => console.log('open'));
    socket.addEventListener('message', ({ data }) => console.log(`got ${data}`));
    socket.addEventListener('close', ({ code, reason }) => {
        console.log(`closed ${code} ${reason}`);
    });
    const lines = require('readline').createInterface({ input: process.stdin });
    lines.on('line', (line) => (line === 'end' ? socket.close(1000) : socket.send(line)));
    lines.on('close', () => process.exit());
";

/// The client.
struct Reconnecting(Driven);

impl Reconnecting {
    fn start(url: &str) -> Self {
        Self(Driven::start(node().args(["--eval", SCRIPT, "--", url])))
    }

    async fn say(&mut self, line: &str) {
        self.0.say(line).await;
    }

    /// Reads on to a line that begins so.
    async fn until(&mut self, start: &str) -> String {
        let begins = |line: String| line.starts_with(start).then_some(line);
        self.0.until(&format!("`{start}`"), begins).await
    }

    /// It is connected, and the function answers.
    async fn echoes(&mut self, text: &str) {
        self.say(text).await;
        self.until(&format!("got {text}")).await;
    }
}

/// A host with the echo, always on the same address and with the same store.
async fn host(folder: &Path, address: SocketAddr) -> (Serving, String) {
    let text = format!(
        "[server]\nlisten = \"{address}\"\nadmin = \"127.0.0.1:0\"\n\
         [[function]]\nname = \"echo\"\ncomponent = {:?}\nroute = \"/echo\"\n",
        openline_guests::ECHO
    );
    let path = folder.join("openline.toml");
    fs::write(&path, text).unwrap();
    let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let admin = format!("http://{}", host.admin().await);
    (host, admin)
}

#[tokio::test]
async fn it_comes_back_after_restarts_kills_and_deploys() {
    if is_left_out() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let address = address();
    let mut client = Reconnecting::start(&format!("ws://{address}/echo"));

    // It was there before the host.
    let (serving, _) = host(folder.path(), address).await;
    client.until("open").await;
    client.echoes("first").await;

    // A restart: told, and back.
    serving.signal("TERM").await;
    let closed = client.until("closed").await;
    let told = "closed 1001 host is shutting down: come back after ";
    assert!(closed.starts_with(told), "{closed}");
    let (status, _) = serving.ended().await;
    assert!(status.success());
    let (serving, _) = host(folder.path(), address).await;
    client.until("open").await;
    client.echoes("after a restart").await;

    // Killed without a word.
    serving.signal("KILL").await;
    client.until("closed 1006").await;
    serving.ended().await;
    let (serving, admin) = host(folder.path(), address).await;
    client.until("open").await;
    client.echoes("after a kill").await;

    // A deploy that keeps connections, and one that closes them.
    let echo = fs::read(openline_guests::ECHO).unwrap();
    for (number, migration) in [(1, "migrate"), (2, "drain")] {
        let component = folder.path().join(format!("{number}.wasm"));
        fs::write(&component, variant(&echo, number)).unwrap();
        let component = component.to_str().unwrap();
        let arguments = ["deploy", "echo", component, "--migration", migration];
        let deployed = openline_with(&[("OPENLINE_ADMIN", &admin)], &arguments).await;
        assert_eq!(deployed.code, Some(0), "{}", deployed.stderr);
        if migration == "drain" {
            let closed = client.until("closed").await;
            let told = "closed 1012 redeployed: come back after ";
            assert!(closed.starts_with(told), "{closed}");
            client.until("open").await;
        }
        client.echoes(&format!("after a {migration}")).await;
    }

    client.say("end").await;
    client.until("closed 1000").await;
    drop(serving);
}
