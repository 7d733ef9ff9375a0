//! The JavaScript client `sdk/js-client` in a real browser, against a host that is
//! killed, restarted and deployed to: it gets every publication once, in order.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::proxy::address;
use crate::harness::{Browser, Client, Serving, openline, program, within};
use crate::tidy::root;

/// The files of the package, on a port of their own.
async fn files() -> (Child, u16) {
    let node = program(&["node", "nodejs"]).expect("`scripts/edge.sh` installs Node");
    let mut serving = Command::new(node)
        .arg(root().join("sdk/js-client/test/server.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serving.stdout.take().unwrap()).lines();
    let port = within("a port", lines.next_line()).await.unwrap();
    (serving, port.unwrap().parse().unwrap())
}

/// A host whose peers subscribe to a channel that a function publishes on.
async fn host(folder: &Path, address: SocketAddr, page: u16) -> (Serving, String) {
    let text = format!(
        r#"
[server]
listen = "{address}"
admin = "127.0.0.1:0"
data = "data"
[[channel]]
pattern = "numbers"
durable = true
history = {{ count = 1000 }}
subscribe = "peers"
[[function]]
name = "live"
[[function.trigger]]
route = "/live"
dialect = "centrifugo"
origins = ["http://127.0.0.1:{page}"]
[[function]]
name = "broker"
component = {:?}
route = "/broker"
"#,
        openline_guests::FAULT_BROKER
    );
    let path = folder.join("openline.toml");
    fs::write(&path, text).unwrap();
    let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let admin = format!("http://{}", host.admin().await);
    (host, admin)
}

/// Publishes the next numbers, each acknowledged.
async fn publish(address: SocketAddr, numbers: std::ops::Range<u32>) {
    let mut publisher = Client::open(address, "/broker", &[]).await.unwrap();
    for number in numbers {
        let answer = publisher.ask(&format!("publish numbers -- {number}")).await;
        assert!(answer.contains('-'), "{answer}");
    }
}

#[tokio::test]
async fn a_page_gets_every_publication_once_and_in_order() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (_files, page) = files().await;
    let address = address();
    let (mut serving, mut admin) = host(folder.path(), address, page).await;
    let options = r#"{"minDelayMs":50,"maxDelayMs":300}"#;
    browser
        .goto(&format!(
            "http://127.0.0.1:{page}/test/browser.html?url=ws://{address}/live&options={options}"
        ))
        .await;
    let subscribed = "return page.state === 'connected subscribed'";
    browser
        .until("the subscription", subscribed, json!([]))
        .await;
    let has = "return page.data.length >= arguments[0]";
    let mut next = 1;
    for signal in ["KILL", "TERM", "KILL"] {
        publish(address, next..next + 10).await;
        browser
            .until("what is published", has, json!([next + 9]))
            .await;
        serving.signal(signal).await;
        serving.ended().await;
        let is_away = "return !page.state.startsWith('connected')";
        browser.until("the break", is_away, json!([])).await;
        (serving, admin) = host(folder.path(), address, page).await;
        // Perhaps before the page is back.
        publish(address, next + 10..next + 15).await;
        next += 15;
        browser
            .until("what was missed", has, json!([next - 1]))
            .await;
        browser
            .until("the subscription", subscribed, json!([]))
            .await;
    }
    let deploy = ["deploy", "live", openline_guests::ECHO, "--admin", &admin];
    let deployed = openline(&deploy).await;
    assert_eq!(deployed.code, Some(0), "{}", deployed.stderr);
    publish(address, next..next + 10).await;
    next += 10;
    browser.until("all", has, json!([next - 1])).await;
    let data = browser.script("return page.data", json!([])).await;
    let expected: Vec<u32> = (1..next).collect();
    assert_eq!(data, json!(expected));
    let missed = browser.script("return page.missed", json!([])).await;
    assert_eq!(missed, json!(0));
    let recovered = browser.script("return page.recovered", json!([])).await;
    assert!(recovered.as_u64().unwrap() >= 3, "{recovered}");
}
