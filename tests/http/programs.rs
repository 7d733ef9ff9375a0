//! Requests of programs in Node (`fetch`, `http`, `http2`, `eventsource`) and in Python
//! (`requests`, `httpx`, `aiohttp`, `httpx-sse`): bodies that stream both ways, also at
//! once, and server-sent events.

use std::process::Stdio;

use openline_channels::connection::Connection;
use openline_core::close::{CloseInfo, CloseReason};
use serde_json::json;
use tokio::process::Command;

use super::*;
use crate::harness::driven::{Driven, fetched, node};
use crate::harness::proxy::is_left_out;
use crate::harness::tls::Authority;
use crate::tidy::root;

fn python() -> Command {
    Command::new(fetched("python/bin/python", "scripts/python.sh"))
}

/// Runs a client to its end: what it was told.
async fn run(mut command: Command, script: &str, arguments: &[&str]) -> Vec<(String, Value)> {
    command
        .arg(root().join("tests/clients/http").join(script))
        .args(arguments)
        .env("no_proxy", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = within("a client", command.output()).await.unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}\n{errors}");
    let told = told.lines().map(|line| serde_json::from_str(line).unwrap());
    told.collect()
}

fn expected<const N: usize>(all: [(&str, Value); N]) -> Vec<(String, Value)> {
    all.map(|(word, value)| (word.to_owned(), value)).into()
}

/// One instance, so that it counts all.
fn counting(component: &str) -> HostBuilder {
    host(component).instance(|policy| policy.instances = 1)
}

#[tokio::test]
async fn programs_in_node_stream_both_ways() {
    if is_left_out() {
        return;
    }
    for component in BOTH {
        let host = counting(component).start().await;
        let origin = format!("http://{}", host.address);
        let told = run(node(), "client.cjs", &[&origin]).await;
        let document = json!({"number": 17, "text": "é𝄞"});
        let expected = expected([
            ("fetch up", json!([200, true])),
            ("fetch json", json!(["application/json", document])),
            ("fetch aborted", json!([true, "AbortError"])),
            (
                "keep-alive",
                json!([[200, 6], [200, 7], [404, 0], [200, 8], [200, 6], [200, 6]]),
            ),
            ("connections", json!(1)),
            ("http in turns", json!([true, true, true, true, true])),
            ("http2 in turns", json!([true, true, true, true, true])),
            ("http2 trailers", json!("abc")),
            ("http2 many", json!(["1\n2\n3\n4\n5\n"])),
            ("left", json!(2)),
        ]);
        assert_eq!(told, expected);
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn programs_in_python_stream_both_ways() {
    if is_left_out() {
        return;
    }
    let authority = Authority::new();
    let file = authority.path("authority.pem").display().to_string();
    for is_tls in [false, true] {
        let host = counting(ASYNC)
            .server(|server| {
                if is_tls {
                    server.certificate = vec![authority.certificate("host", &["localhost"], true)];
                }
            })
            .start()
            .await;
        let scheme = if is_tls { "https" } else { "http" };
        let origin = format!("{scheme}://localhost:{}", host.address.port());
        let arguments: Vec<&str> = [&*origin]
            .into_iter()
            .chain(is_tls.then_some(&*file))
            .collect();
        let told = run(python(), "client.py", &arguments).await;
        let document = json!({"number": 17, "text": "é𝄞"});
        let expected = expected([
            ("requests up", json!([200, true])),
            ("requests json", document),
            ("requests lines", json!(["1", "2", "3", "4", "5"])),
            ("httpx", json!(["HTTP/1.1", true])),
            ("httpx lines", json!(["1", "2", "3"])),
            ("httpx left", json!(1)),
            ("httpx http2", json!(["HTTP/2", true])),
            ("httpx http2 lines", json!(["1", "2", "3"])),
            ("httpx http2 left", json!(2)),
            ("aiohttp in turns", json!([[true, true, true, true], true])),
            ("aiohttp many", json!(["1\n2\n3\n4\n5\n"])),
        ]);
        assert_eq!(told, expected);
        eventually("no request", || host.gateway.requests() == 0).await;
    }
}

/// The only connection.
fn connection(host: &Host) -> std::sync::Arc<Connection> {
    let mut all = host.function("fault-web").hub().snapshot();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The next event of a client: its type, its data, and its id.
async fn event(client: &mut Driven) -> Vec<String> {
    let line = client.until("an event", Some).await;
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn programs_come_back_for_the_events_that_they_have_missed() {
    if is_left_out() {
        return;
    }
    for (mut command, script) in [(node(), "events.cjs"), (python(), "events.py")] {
        let host = host(PLAIN)
            .channels("[[function.channel]]\npattern = \"kept-*\"\nhistory = { count = 10 }\n")
            .start()
            .await;
        let url = format!(
            "http://{}/hold/events?channel=kept-a&first=retry:%2050%0A%0A",
            host.address
        );
        let script = root().join("tests/clients/http").join(script);
        let mut client = Driven::start(command.arg(script).arg(url));
        let mut peer = Peer::connect(&host).await;
        let mut ids = Vec::new();
        for round in 0..3 {
            if round > 0 {
                let left = connection(&host);
                left.end(CloseReason::Operator(
                    CloseInfo::checked(1000, "come back".into()).unwrap(),
                ));
                left.wake();
                let told = event(&mut client).await;
                assert_eq!(told[0], "openline-close");
                assert!(told[1].contains("come back"), "{told:?}");
            }
            // Perhaps before it is back.
            let mut publish = async |text: String| {
                let path = format!("/publish/kept-a?text={text}");
                assert_eq!(peer.text(&path).await.0, 200);
            };
            if round > 0 {
                publish(format!("{round}-away")).await;
            }
            assert_eq!(event(&mut client).await, ["open"]);
            publish(format!("{round}-there")).await;
            for when in ["away", "there"].into_iter().skip(usize::from(round == 0)) {
                let told = event(&mut client).await;
                assert_eq!(told[..2], ["message".to_owned(), format!("{round}-{when}")]);
                ids.push(told[2].clone());
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 5);
        drop((client, peer));
        host.nothing_is_left().await;
    }
}
