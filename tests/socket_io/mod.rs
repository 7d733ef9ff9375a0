//! The sample `socket-io` with Socket.IO's own client, in Node and in a browser:
//! namespaces, acknowledgements, rooms, binary data, the heartbeat, and what
//! survives instances, deploys and restarts. Wrong packets are in `raw`.

mod driver;
mod raw;

use std::fs;
use std::time::Duration;

use openline_core::name::FunctionName;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::driven::fetched;
use crate::harness::{
    Browser, Host, HostBuilder, Serving, deploy_options, eventually, variant, within,
};
use driver::Clients;

const NAME: &str = "socket-io";

/// As in the samples' configuration.
fn sample(route: &str) -> HostBuilder {
    Host::with(openline_guests::SOCKET_IO, route).instance(|instance| instance.instances = 1)
}

async fn host() -> Host {
    sample("/socket.io/").start().await
}

fn clients(host: &Host) -> Option<Clients> {
    Clients::start(&format!("http://{}", host.address), "/socket.io/")
}

/// What others in a room get to know of somebody.
fn about(room: &str, id: &str, name: &str) -> Value {
    json!({"room": room, "id": id, "name": name})
}

fn said(room: &str, id: &str, name: &str, text: &str) -> Value {
    json!({"room": room, "id": id, "name": name, "text": text})
}

#[tokio::test]
async fn a_namespace_opens_with_the_right_credentials_and_else_says_why_not() {
    let host = host().await;
    let Some(mut clients) = clients(&host) else {
        return;
    };
    clients.open("main", "/", json!({"token": "123"})).await;
    clients.connected("main").await;
    clients
        .expect("main", "auth", json!({"token": "123"}))
        .await;

    clients.open("nobody", "/random", json!({})).await;
    let refused = clients.next("nobody").await;
    assert_eq!(refused["what"], "connect_error");
    assert_eq!(refused["message"], "Invalid namespace");

    // On the connection of another namespace, which goes on.
    clients.open_on("unnamed", "main", "/chat", json!({})).await;
    let refused = clients.next("unnamed").await;
    assert_eq!(refused["what"], "connect_error");
    assert_eq!(refused["message"], "Not authorized");
    assert!(refused["data"]["hint"].as_str().unwrap().contains("ada"));
    clients
        .open_on("custom", "main", "/custom", json!({}))
        .await;
    let id = clients.connected("custom").await;
    clients.expect("custom", "auth", json!({})).await;
    let one = |state: &Value| state["connections"]["open"] == 1;
    host.until("one connection for three namespaces", one).await;

    // A namespace is left by itself, and entered again as somebody else.
    clients.close("custom").await;
    let left = clients.next("custom").await;
    assert_eq!(left["reason"], "io client disconnect");
    let answer = clients.ask("main", json!(["message-with-ack", 1])).await;
    assert_eq!(answer, json!([1]));
    clients
        .open_on("custom", "main", "/custom", json!({}))
        .await;
    assert_ne!(clients.connected("custom").await, id);
}

#[tokio::test]
async fn three_clients_share_rooms_and_acknowledge_in_both_directions() {
    let host = host().await;
    let Some(mut clients) = clients(&host) else {
        return;
    };
    let ada = clients.chat("ada").await;
    let bob = clients.chat("bob").await;
    let eve = clients.chat("eve").await;
    for (name, id, hears) in [
        ("bob", &bob, "ada"),
        ("eve", &eve, "ada"),
        ("eve", &eve, "bob"),
    ] {
        let arrived = json!({"id": id, "name": name});
        clients.expect(hears, "arrived", arrived).await;
    }
    clients.join("ada", "red", 1).await;
    let introduce = clients.join("bob", "red", 2).await;
    clients.join("eve", "blue", 1).await;
    clients
        .expect("ada", "joined", about("red", &bob, "bob"))
        .await;
    clients
        .acknowledge(introduce, json!(["I build things"]))
        .await;
    let introduced = said("red", &bob, "bob", "I build things");
    clients.expect("ada", "introduced", introduced).await;

    // Everybody in the room hears it, except who says it, and nobody else.
    let heard = clients.ask("ada", json!(["say", "red", "héllo"])).await;
    assert_eq!(heard, json!([{"ok": true, "heard": 1}]));
    clients
        .expect("bob", "said", said("red", &ada, "ada", "héllo"))
        .await;
    clients.emit("bob", json!(["typing", "red"])).await;
    clients
        .expect("ada", "typing", about("red", &bob, "bob"))
        .await;
    let answer = clients.ask("eve", json!(["say", "red", "let me in"])).await;
    assert_eq!(answer, json!([{"error": "join `red` first"}]));

    let answer = clients.ask("ada", json!(["whisper", eve, "psst"])).await;
    assert_eq!(answer, json!([{"ok": true}]));
    let whispered = json!({"id": ada, "name": "ada", "text": "psst"});
    clients.expect("eve", "whispered", whispered).await;
    let answer = clients
        .ask("ada", json!(["whisper", "nobody", "psst"]))
        .await;
    assert_eq!(answer, json!([{"error": "nobody has this id"}]));

    // Who leaves, or goes, is not told any more.
    clients.ask("bob", json!(["leave", "red"])).await;
    clients
        .expect("ada", "left", about("red", &bob, "bob"))
        .await;
    let heard = clients.ask("ada", json!(["say", "red", "bob?"])).await;
    assert_eq!(heard, json!([{"ok": true, "heard": 0}]));
    clients.join("bob", "blue", 2).await;
    clients
        .expect("eve", "joined", about("blue", &bob, "bob"))
        .await;
    clients.close("bob").await;
    clients
        .expect("eve", "left", about("blue", &bob, "bob"))
        .await;
}

#[tokio::test]
async fn binary_data_comes_back_in_events_and_in_acknowledgements() {
    let host = host().await;
    let Some(mut clients) = clients(&host) else {
        return;
    };
    clients.open("ada", "/", json!({})).await;
    clients.connected("ada").await;
    clients.next("ada").await;
    let large = json!({"bytes": "QUJD".repeat(100_000)});
    let arguments = json!([large, {"b": [{"bytes": ""}, "text"], "a": {"bytes": "AP8="}}, null]);
    let mut event = vec![json!("message")];
    event.extend(arguments.as_array().unwrap().clone());
    clients.emit("ada", json!(event)).await;
    let back = clients.next("ada").await;
    assert_eq!(back["what"], "message-back");
    assert_eq!(back["with"], arguments);
    event[0] = json!("message-with-ack");
    assert_eq!(clients.ask("ada", json!(event)).await, arguments);
    // The most attachments; the client would send more, and is closed then.
    let ten = json!(vec![json!({"bytes": "AQI="}); 10]);
    let answer = clients.ask("ada", json!(["message-with-ack", ten])).await;
    assert_eq!(answer, json!([ten]));
    let eleven = json!(vec![json!({"bytes": "AQI="}); 11]);
    clients.emit("ada", json!(["message", eleven])).await;
    let gone = clients.next("ada").await;
    assert_eq!(gone["reason"], "transport close");
    clients.connected("ada").await;
}

#[tokio::test]
async fn the_heartbeat_goes_on_without_an_instance_in_between() {
    let host = sample("/{ping_interval}/{ping_timeout}/socket.io/")
        .instance(|instance| {
            instance.instances = 1;
            instance.idle_timeout = Duration::from_millis(20);
        })
        .start()
        .await;
    let origin = format!("http://{}", host.address);
    let Some(mut clients) = Clients::start(&origin, "/300/200/socket.io/") else {
        return;
    };
    let id = clients.chat("ada").await;
    let introduce = clients.join("ada", "red", 1).await;
    let alias = host.function(NAME);
    for _ in 0..4 {
        let ping = clients.next("ada's heart").await;
        assert_eq!(ping["what"], "ping");
        eventually("the instance to be gone", || alias.instances() == 0).await;
    }
    // Neither the room nor what is to be acknowledged was in the instance.
    clients.chat("bob").await;
    clients.join("bob", "red", 2).await;
    clients.next("ada").await;
    clients.next("ada").await;
    eventually("the instance to be gone", || alias.instances() == 0).await;
    clients.acknowledge(introduce, json!(["late"])).await;
    let introduced = said("red", &id, "ada", "late");
    clients.expect("bob", "introduced", introduced).await;
}

#[tokio::test]
async fn a_deploy_closes_nothing_and_loses_nothing() {
    let host = host().await;
    let Some(mut clients) = clients(&host) else {
        return;
    };
    let ada = clients.chat("ada").await;
    clients.chat("bob").await;
    clients.next("ada").await;
    let introduce = clients.join("ada", "red", 1).await;
    clients.join("bob", "red", 2).await;
    clients.next("ada").await;
    let component = fs::read(openline_guests::SOCKET_IO).unwrap();
    let name = FunctionName::new(NAME).unwrap();
    for number in 0..3 {
        let version = variant(&component, number).into();
        let deployed = host.deployer.deploy(&name, version, deploy_options()).await;
        assert!(deployed.unwrap().version_is_new);
        let text = format!("version {number}");
        let heard = clients.ask("ada", json!(["say", "red", text])).await;
        assert_eq!(heard, json!([{"ok": true, "heard": 1}]));
        clients
            .expect("bob", "said", said("red", &ada, "ada", &text))
            .await;
    }
    clients.acknowledge(introduce, json!(["still me"])).await;
    let introduced = said("red", &ada, "ada", "still me");
    clients.expect("bob", "introduced", introduced).await;
}

#[tokio::test]
async fn clients_come_back_after_a_restart_of_the_host() {
    let folder = TempDir::new().unwrap();
    let address = openline_kit::process::unused_address().unwrap();
    let path = folder.path().join("openline.toml");
    let text = format!(
        "[server]\nlisten = \"{address}\"\ndrain_timeout = \"100 ms\"\n\n\
         [[function]]\nname = \"socket-io\"\ncomponent = {:?}\nroute = \"/socket.io/\"\n\
         [function.instance]\ninstances = 1\n",
        openline_guests::SOCKET_IO
    );
    fs::write(&path, text).unwrap();
    let arguments = ["serve", "--config", path.to_str().unwrap()];
    let host = Serving::start(&arguments).await;
    let Some(mut clients) = Clients::start(&format!("http://{address}"), "/socket.io/") else {
        return;
    };
    let before = clients.chat("ada").await;
    clients.join("ada", "red", 1).await;
    host.signal("TERM").await;
    let gone = clients.next("ada").await;
    assert_eq!(gone["reason"], "transport close", "{gone}");
    within("the host to end", host.ended()).await;

    let _host = Serving::start(&arguments).await;
    let after = loop {
        let observed = clients.next("ada").await;
        if observed["what"] == "connect" {
            break observed["id"].clone();
        }
        // It has tried in vain in the meantime.
        assert_eq!(observed["message"], "websocket error", "{observed}");
    };
    assert_ne!(after, before);
    // A new session is in no room, as with the reference server.
    let answer = clients.ask("ada", json!(["say", "red", "back"])).await;
    assert_eq!(answer, json!([{"error": "join `red` first"}]));
    clients.join("ada", "red", 1).await;
}

#[tokio::test]
async fn the_client_works_in_a_browser() {
    if crate::harness::proxy::is_left_out() {
        return;
    }
    let Some(browser) = Browser::start().await else {
        return;
    };
    let host = host().await;
    browser
        .goto(&format!("http://{}/.openline/", host.address))
        .await;
    let client = fetched("npm/node_modules/socket.io-client", "scripts/npm.sh");
    let client = client.join("dist/socket.io.min.js");
    let client = fs::read_to_string(client).unwrap();
    browser.script(&client, json!([])).await;
    let body = "
        window.seen = [];
        const socket = io('/chat', { transports: ['websocket'], auth: { name: 'ada' } });
        socket.on('introduce', (room, answer) => answer('from a browser'));
        socket.emit('join', 'red', (joined) => seen.push(joined));
        const main = io('/', { transports: ['websocket'] });
        main.emit('message-with-ack', new Uint8Array([1, 2, 255]), (back) =>
            seen.push([...new Uint8Array(back)]));
    ";
    browser.script(body, json!([])).await;
    let expected = "[{\"ok\":true,\"here\":1},[1,2,255]]";
    let seen = "return JSON.stringify(seen) === arguments[0]";
    browser.until("both answers", seen, json!([expected])).await;
    // The two namespaces share a connection.
    assert_eq!(host.state().await["connections"]["open"], 1);
}
