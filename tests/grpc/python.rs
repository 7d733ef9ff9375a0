//! gRPC's own client for Python (`grpcio`, with the library that C++, Ruby and PHP
//! have, too), unmodified.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::*;
use crate::harness::driven::fetched;
use crate::harness::proxy::is_left_out;
use crate::tidy::root;

/// Runs the client to its end.
async fn run(address: &str, authority: Option<&str>) -> Vec<(String, Value)> {
    let python = fetched("python/bin/python", "scripts/python.sh");
    let mut command = Command::new(python);
    command
        .arg(root().join("tests/clients/grpc/greeter.py"))
        .arg(address)
        .args(authority)
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

fn expected() -> Vec<(String, Value)> {
    let all = [
        ("unary", json!("Hello, you!")),
        ("metadata", json!(["text", [0, 255]])),
        ("many in", json!("Hello, a, b!")),
        ("many out", json!(500)),
        (
            "both",
            json!([
                "Hello, 0!",
                "Hello, 1!",
                "Hello, 2!",
                "Hello, 3!",
                "Hello, 4!"
            ]),
        ),
        ("end", json!([[], "OK"])),
        ("hundred", json!(100)),
        ("argument", json!(["INVALID_ARGUMENT", null, "field: name"])),
        ("method", json!(["UNIMPLEMENTED", null, ""])),
        ("large", json!(["RESOURCE_EXHAUSTED", "message_bytes", ""])),
        // Its own clock may come first, and then it tells no word.
        ("deadline", json!("DEADLINE_EXCEEDED")),
        ("cancelled", json!("CANCELLED")),
        ("after", json!("Hello, after!")),
    ];
    all.map(|(word, value)| (word.to_owned(), value)).into()
}

async fn check(address: &str, authority: Option<&str>) {
    let mut told = run(address, authority).await;
    for (word, value) in &mut told {
        if ["deadline", "cancelled"].contains(&word.as_str()) {
            *value = value[0].take();
        }
    }
    assert_eq!(told, expected());
}

#[tokio::test]
async fn grpcio_calls_without_tls() {
    if is_left_out() {
        return;
    }
    let host = greeter().start().await;
    check(&host.address.to_string(), None).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn grpcio_calls_over_tls() {
    if is_left_out() {
        return;
    }
    let authority = Authority::new();
    let host = greeter()
        .server(|server| {
            server.certificate = vec![authority.certificate("host", &["localhost"], true)];
        })
        .start()
        .await;
    let address = format!("localhost:{}", host.address.port());
    let file = authority.path("authority.pem").display().to_string();
    check(&address, Some(&file)).await;
}
