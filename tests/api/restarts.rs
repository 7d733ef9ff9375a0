//! Event streams and polls of a host that is killed and restarted: a reader gets
//! every publication of a durable channel once and in order, and is told about those
//! of others.

use std::fs;
use std::net::SocketAddr;

use openline_kit::within;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Serving;
use crate::harness::proxy::address;

const KEY: &str = "sec_0123456789012345678901";

async fn host(folder: &TempDir, address: SocketAddr) -> Serving {
    let path = |file: &str| folder.path().join(file).display().to_string();
    fs::write(path("key"), KEY).unwrap();
    let text = format!(
        r#"
[server]
listen = "{address}"
admin = "off"
page = "off"
data = "data"
[server.api]
hosts = ["*"]
[[function]]
name = "live"
component = {:?}
route = "/live"
[[function.channel]]
pattern = "*"
subscribe = "key"
history = {{ count = 100 }}
recovery = true
[[function.channel]]
pattern = "kept"
subscribe = "key"
history = {{ count = 100 }}
recovery = true
durable = true
[[key]]
name = "all"
scopes = ["subscribe", "publish", "read"]
secret = "file:{}"
"#,
        openline_guests::ECHO,
        path("key"),
    );
    super::serve(folder.path(), &text).await
}

async fn ask(address: SocketAddr, request: &str, body: &str) -> Value {
    let answer = super::ask(address, request, KEY, body).await;
    assert_eq!(answer.status, 200, "{request} {answer:?}");
    answer.value()
}

async fn publish(address: SocketAddr, channel: &str, number: u32) {
    let body = json!({"channel": channel, "data": number}).to_string();
    ask(address, "POST /v1/publish", &body).await;
}

/// What browsers do with a stream: it reads events, and goes on after the last id.
struct Source {
    channel: &'static str,
    stream: Option<TcpStream>,
    read: String,
    id: String,
}

impl Source {
    fn of(channel: &'static str) -> Self {
        Self {
            channel,
            stream: None,
            read: String::new(),
            id: String::new(),
        }
    }

    async fn open(&mut self, address: SocketAddr) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Browsers send none that is empty.
        let last = match self.id.is_empty() {
            true => String::new(),
            false => format!("last-event-id: {}\r\n", self.id),
        };
        let head = format!(
            "GET /v1/channels/{}/events?key={KEY} HTTP/1.1\r\nhost: h\r\n{last}\r\n",
            self.channel
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        self.stream = Some(stream);
        self.read.clear();
    }

    /// The next event: its name and its data. None at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                let of = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| line.strip_prefix(name).map(|it| it.trim().to_owned()))
                };
                if let Some(id) = of("id:") {
                    self.id = id;
                }
                if let Some(data) = of("data:") {
                    let data = serde_json::from_str(&data).unwrap_or(Value::Null);
                    return Some((of("event:").unwrap_or_default(), data));
                }
            }
            let mut piece = [0; 4096];
            let reading = self.stream.as_mut().unwrap().read(&mut piece);
            // A host that is killed resets.
            let length = within("an event", reading).await.unwrap_or(0);
            if length == 0 {
                return None;
            }
            self.read += &String::from_utf8_lossy(&piece[..length]);
        }
    }

    /// Reads to the end, without an event.
    async fn ends(&mut self) {
        assert_eq!(self.next().await, None);
    }

    async fn gets(&mut self, number: u32) {
        let (event, data) = self.next().await.unwrap();
        assert_eq!((&*event, &data["data"]), ("", &json!(number)), "{data}");
    }
}

#[tokio::test]
async fn a_stream_recovers_exactly_and_what_is_lost_is_told() {
    let (folder, address) = (TempDir::new().unwrap(), address());
    let mut serving = host(&folder, address).await;
    let (mut kept, mut other) = (Source::of("kept"), Source::of("other"));
    kept.open(address).await;
    other.open(address).await;
    let mut number = 0;
    for (round, signal) in ["KILL", "TERM", "KILL"].iter().enumerate() {
        if round > 0 {
            kept.open(address).await;
            other.open(address).await;
            // What was published while it was away.
            for missed in number - 4..=number {
                kept.gets(missed).await;
            }
            let (event, data) = other.next().await.unwrap();
            assert_eq!((&*event, data), ("openline-lost", Value::Null));
        }
        for _ in 0..5 {
            number += 1;
            publish(address, "kept", number).await;
            publish(address, "other", number).await;
            kept.gets(number).await;
            other.gets(number).await;
        }
        serving.signal(signal).await;
        serving.ended().await;
        kept.ends().await;
        other.ends().await;
        serving = host(&folder, address).await;
        for _ in 0..5 {
            number += 1;
            publish(address, "kept", number).await;
            publish(address, "other", number).await;
        }
    }
    // A reader that has seen nothing gets nothing of the past.
    let mut late = Source::of("kept");
    late.open(address).await;
    kept.open(address).await;
    for missed in number - 4..=number {
        kept.gets(missed).await;
    }
    publish(address, "kept", number + 1).await;
    kept.gets(number + 1).await;
    late.gets(number + 1).await;
}

#[tokio::test]
async fn polls_of_a_burst_get_every_publication_through_a_kill() {
    let (folder, address) = (TempDir::new().unwrap(), address());
    let mut serving = host(&folder, address).await;
    let poll = async |channel: &str, since: &str| {
        let request = format!("GET /v1/channels/{channel}/poll?since={since}&limit=1&wait=1");
        ask(address, &request, "").await
    };
    let start = ask(address, "GET /v1/channels/kept/poll", "").await;
    let other = ask(address, "GET /v1/channels/other/poll", "").await;
    let position = |polled: &Value| polled["position"].as_str().unwrap().to_owned();
    let mut since = position(&start);
    // In one request, so that many have the same time.
    let all: Vec<_> = (0..20)
        .map(|number| json!({"channel": "kept", "data": number}))
        .collect();
    let body = json!({"publications": all}).to_string();
    ask(address, "POST /v1/publish", &body).await;
    for number in 0..20 {
        if number == 10 {
            serving.signal("KILL").await;
            serving.ended().await;
            serving = host(&folder, address).await;
        }
        let polled = poll("kept", &since).await;
        assert_eq!(polled["publications"][0]["data"], number, "{polled}");
        assert_eq!(polled["recovered"], true);
        since = position(&polled);
    }
    let none = poll("kept", &since).await;
    assert_eq!(
        (&none["publications"], position(&none)),
        (&json!([]), since)
    );
    // The other channel began anew.
    let lost = poll("other", &position(&other)).await;
    assert_eq!(lost["recovered"], false, "{lost}");
}
