//! Other services' own clients, unmodified: boto3 of Amazon, gripcontrol and
//! pubcontrol of Fanout. Nothing is changed but where they send their requests.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::driven::fetched;
use crate::harness::proxy::{address, is_left_out};
use crate::harness::{Client, Serving, within};
use crate::tidy::root;

const KEY: &str = "sec_0123456789012345678901";
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";
const OTHER: &str = "xJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";

/// A host with a function, a key and a pair, and a listener of publishers.
async fn host(folder: &TempDir) -> (Serving, SocketAddr) {
    let publishers = address();
    for (file, text) in [("key", KEY), ("secret", SECRET)] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let path = |file: &str| folder.path().join(file).display().to_string();
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
admin = "off"
page = "off"
[server.api]
listen = "{publishers}"
[[function]]
name = "chat"
component = {component:?}
route = "/chat"
[function.limit]
message_bytes = "1000 B"
[[function.channel]]
pattern = "news"
history = {{ count = 100 }}
[[key]]
name = "all"
scopes = ["publish", "read", "manage"]
functions = ["chat"]
secret = "file:{key}"
[[key]]
name = "pair"
scopes = ["publish", "read", "manage"]
channels = ["news"]
functions = ["chat"]
secret = "file:{secret}"
access_key_id = "{KEY_ID}"
"#,
        component = openline_guests::ECHO,
        key = path("key"),
        secret = path("secret"),
    );
    let mut serving = super::serve(folder.path(), &text).await;
    serving.told("publishers at").await;
    (serving, publishers)
}

async fn ask(publishers: SocketAddr, path: &str) -> Value {
    let answer = super::ask(publishers, &format!("GET {path}"), KEY, "").await;
    assert_eq!(answer.status, 200, "{path} {answer:?}");
    answer.value()
}

/// Runs a client to its end, and returns what it has told.
async fn run(script: &str, arguments: &[&str]) -> Vec<(String, Value)> {
    let python = fetched("python/bin/python", "scripts/python.sh");
    let script = root().join("tests/clients/publishers").join(script);
    let mut command = Command::new(python);
    command.arg(script).args(arguments).env("no_proxy", "*");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = within("a client", command.output()).await.unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}\n{errors}");
    let told = told.lines().map(|line| serde_json::from_str(line).unwrap());
    told.collect()
}

#[tokio::test]
async fn boto3_reaches_connections() {
    if is_left_out() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (serving, publishers) = host(&folder).await;
    // With the function as stage, its alias, and none.
    for stage in ["", "/chat", "/live"] {
        let mut peer = Client::open(serving.address, "/chat", &[]).await.unwrap();
        let all = ask(publishers, "/v1/connections").await;
        let connection = all["connections"][0]["connection"].as_str().unwrap();
        let endpoint = format!("http://{publishers}{stage}");
        let told = run("aws.py", &[&endpoint, KEY_ID, SECRET, OTHER, connection]).await;
        assert_eq!(peer.next_text().await, "hello");
        assert_eq!(&*peer.next().await.into_data(), b"\xff\x00");
        assert_eq!(peer.next_text().await, "grüße");
        let code = peer.closed().await;
        assert!(format!("{code:?}").contains("1000"), "{code:?}");
        let of = |word: &str| {
            let own = told.iter().filter(|(told, _)| told == word);
            own.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        assert!(of("year")[0].as_u64().unwrap() >= 2025, "{told:?}");
        let wrong = json!(["ClientError", "InvalidSignatureException", 403]);
        assert_eq!(of("wrong"), [wrong]);
        let large = json!(["PayloadTooLargeException", "PayloadTooLargeException", 413]);
        assert_eq!(of("large"), [large]);
        let gone = json!(["GoneException", "GoneException", 410]);
        assert_eq!(of("gone"), vec![gone.clone(); 4]);
        assert_eq!(of("deleted"), [gone]);
        assert_eq!(of("end").len(), 1);
    }
}

#[tokio::test]
async fn gripcontrol_and_pubcontrol_publish() {
    if is_left_out() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (_serving, publishers) = host(&folder).await;
    let told = run(
        "grip.py",
        &[&format!("http://{publishers}"), KEY_ID, SECRET, KEY],
    )
    .await;
    for (word, value) in &told {
        let is_good = *value == json!(true);
        let text = value.as_str().unwrap_or_default();
        match &**word {
            "wrong" => assert!(text.contains("401"), "{told:?}"),
            "elsewhere" => assert!(text.contains("403"), "{told:?}"),
            "end" => {}
            _ => assert!(is_good, "{word} {told:?}"),
        }
    }
    assert_eq!(told.len(), 9);
    let history = ask(publishers, "/v1/channels/news/history").await;
    let kept = history["publications"].as_array().unwrap().iter();
    let kept: Vec<_> = kept
        .map(|it| (it["text"].as_str(), it["base64"].as_str()))
        .collect();
    let expected = [
        (Some("signed"), None),
        (None, Some("/wA=")),
        (Some("by address"), None),
        (Some("bearer"), None),
    ];
    assert_eq!(kept, expected);
}
