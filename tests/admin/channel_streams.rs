//! Streams of channels: what comes, who is one of how many, and what ends them.

use std::net::SocketAddr;

use openline_admin::STREAMS_MAX;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::channels::{BROKER, at, get, host, publish, until};
use crate::harness::{AdminHost, Serving, within};

/// A reader of a stream.
struct Reader {
    stream: TcpStream,
    read: String,
    /// How many bytes of that were looked through in vain.
    looked: usize,
}

impl Reader {
    /// Asks for a stream; `lines` are further headers.
    async fn ask(admin: SocketAddr, path: &str, lines: &str) -> Self {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (read, looked) = (String::new(), 0);
        Self {
            stream,
            read,
            looked,
        }
    }

    /// A stream that has begun.
    async fn open(admin: SocketAddr, path: &str) -> Self {
        let mut reader = Self::ask(admin, path, "").await;
        let head = reader.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(
            head.contains("no-store") && !head.contains("content-length"),
            "{head}"
        );
        reader
    }

    /// Reads until a text is there, and takes all up to its end.
    async fn until(&mut self, text: &str) -> String {
        loop {
            // What was looked through before ends in no part of the text.
            let from = self.looked.saturating_sub(text.len());
            if let Some(at) = self.read.get(from..).and_then(|read| read.find(text)) {
                let rest = self.read.split_off(from + at + text.len());
                self.looked = 0;
                return std::mem::replace(&mut self.read, rest);
            }
            self.looked = self.read.len();
            assert!(self.more().await, "the end before {text}");
        }
    }

    /// The next publication.
    async fn next(&mut self) -> Value {
        let block = self.until("\n\n").await;
        let lines = block.lines().filter_map(|line| line.strip_prefix("data: "));
        serde_json::from_str(&lines.collect::<Vec<_>>().join("\n")).unwrap()
    }

    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 256 << 10];
        let length = within("a piece of a stream", self.stream.read(&mut piece)).await;
        let length = length.unwrap_or(0);
        self.read += &String::from_utf8_lossy(&piece[..length]);
        length > 0
    }

    async fn ended(&mut self) {
        while self.more().await {}
    }
}

#[tokio::test]
async fn a_stream_has_what_functions_and_operators_publish_in_its_order() {
    let host = host().await;
    publish(&host, "room:1", json!({"text": "before"})).await;
    let mut reader = Reader::open(host.admin, &at("room:1", "/stream")).await;
    let mut client = host.connect("/broker").await;
    client
        .ask("publish room:1 sender=yes tag:kind=a -- of a function")
        .await;
    let done = publish(&host, "room:1", json!({"json": "[1,\n2]", "event": "e"})).await;
    // The stream is one of the subscribers.
    assert_eq!(done["delivered"], 1);
    publish(&host, "room:1", json!({"base64": "/w=="})).await;
    let first = reader.next().await;
    assert_eq!(
        (&first["text"], &first["tags"]),
        (&json!("of a function"), &json!({"kind": "a"}))
    );
    assert!(first["sender"]["connection"].is_string(), "{first}");
    let second = reader.next().await;
    assert_eq!(
        (&second["data"], &second["event"]),
        (&json!([1, 2]), &json!("e"))
    );
    assert_eq!(second["position"], done["position"]);
    assert_eq!(reader.next().await["base64"], "/w==");
}

/// A channel that is not there comes to be by the stream, and ends with it.
#[tokio::test]
async fn a_stream_needs_no_history_and_is_no_member() {
    let host = host().await;
    let mut plain = Reader::open(host.admin, &at("plain", "/stream")).await;
    publish(&host, "plain", json!({"text": "now"})).await;
    let got = plain.next().await;
    assert_eq!(
        (&got["text"], &got["position"]),
        (&json!("now"), &Value::Null)
    );
    drop(plain);
    until("the channel to go", async || {
        get(&host, &at("plain", "")).await.status == 404
    })
    .await;

    let mut client = host.connect("/broker").await;
    client.ask("subscribe lobby").await;
    let lobby = Reader::open(host.admin, &at("lobby", "/stream")).await;
    let got = get(&host, &at("lobby", "")).await.value();
    assert_eq!(
        (&got["subscribers"], &got["member_connections"]),
        (&json!(2), &json!(1))
    );
    let members = get(&host, &at("lobby", "/members")).await.value();
    assert_eq!(members["members"].as_array().unwrap().len(), 1);
    drop(lobby);
    until("the stream to leave", async || {
        get(&host, &at("lobby", "")).await.value()["subscribers"] == 1
    })
    .await;
    // The member is still one.
    assert_eq!(client.ask("counts lobby").await, "1 0");
}

#[tokio::test]
async fn streams_at_their_number_and_past_it() {
    let host = host().await;
    let path = at("plain", "/stream");
    let mut readers = Vec::new();
    for _ in 0..STREAMS_MAX {
        readers.push(Reader::open(host.admin, &path).await);
    }
    get(&host, &path).await.refused(503, "streams");
    // Others are still answered.
    assert_eq!(
        get(&host, &at("plain", "")).await.value()["subscribers"],
        STREAMS_MAX
    );
    drop(readers.pop());
    // A head takes a place as well, and gives it back at once.
    until("a place for a head", async || {
        let head = host.ask("HEAD", &path, None).await;
        assert_eq!(head.body.len(), 0, "{head:?}");
        head.status == 200
    })
    .await;
    until("the head to leave", async || {
        get(&host, &at("plain", "")).await.value()["subscribers"] == STREAMS_MAX - 1
    })
    .await;
    until("its place to be free", async || {
        let mut reader = Reader::ask(host.admin, &path, "").await;
        let is_open = reader.until("\r\n\r\n").await.starts_with("HTTP/1.1 200 ");
        if is_open {
            readers.push(reader);
        }
        is_open
    })
    .await;
    get(&host, &path).await.refused(503, "streams");
}

#[tokio::test]
async fn a_channel_at_its_subscribers_or_a_host_at_its_bytes_takes_no_stream() {
    let host = AdminHost::with(openline_guests::FAULT_BROKER, "/broker")
        .host(|host| host.limit(|limit| limit.subscribers = 2))
        .start()
        .await;
    let path = at("plain", "/stream");
    let _first = Reader::open(host.admin, &path).await;
    let second = Reader::open(host.admin, &path).await;
    get(&host, &path).await.refused(409, "crowded");
    drop(second);
    until("room for another one", async || {
        get(&host, &at("plain", "")).await.value()["subscribers"] == 1
    })
    .await;
    Reader::open(host.admin, &path).await;

    // A channel takes some hundred bytes.
    for (bytes, is_room) in [(10_000, true), (100, false)] {
        let host = AdminHost::with(openline_guests::FAULT_BROKER, "/broker")
            .host(|host| host.server(|server| server.channel_bytes = bytes))
            .start()
            .await;
        match is_room {
            true => drop(Reader::open(host.admin, &path).await),
            false => get(&host, &path).await.refused(503, "full"),
        }
    }
}

/// Others may publish on the channels of a function before it has a version.
#[tokio::test]
async fn a_function_without_a_version_has_channels() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openline.toml");
    let text = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n\
                [[function]]\nname = \"later\"\nroute = \"/later\"\n";
    std::fs::write(&path, text).unwrap();
    let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let admin: SocketAddr = host.admin().await.parse().unwrap();
    Reader::open(admin, "/v1/channels/room/stream?function=later").await;
    let mut none = Reader::ask(admin, "/v1/channels/room/stream?function=none", "").await;
    let answer = none.until("\"hint\"").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("\"no_function\""), "{answer}");
}

#[tokio::test]
async fn streams_that_cannot_be_are_refused() {
    let host = host().await;
    let shared = "/v1/channels/room:1/stream";
    get(&host, shared).await.refused(404, "not_shared");
    let none = "/v1/channels/room:1/stream?function=none";
    get(&host, none).await.refused(404, "no_function");
    get(&host, &at("%00", "/stream"))
        .await
        .refused(400, "bad_name");
    let query = format!("/v1/channels/room:1/stream?{BROKER}&since=1");
    get(&host, &query).await.refused(400, "bad_query");
    host.ask("POST", &at("room:1", "/stream"), None)
        .await
        .refused(405, "method_not_allowed");
}

/// One who does not read ends alone: the publisher and the others go on. What it
/// reads at last has no gap.
#[tokio::test]
async fn a_stream_that_is_not_read_ends_and_delays_nobody() {
    let host = host().await;
    let path = "/v1/channels/wide/stream";
    let mut slow = Reader::open(host.admin, path).await;
    let mut other = Reader::open(host.admin, path).await;
    // More than an outbox and the buffers of the system hold.
    for number in 0..30 {
        let body = json!({"text": "x".repeat(2_000_000), "event": format!("e{number}")});
        let path = "/v1/channels/wide/publications";
        let got = host.json("POST", path, &body).await;
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(other.next().await["event"], format!("e{number}"));
    }
    slow.ended().await;
    let count = slow.read.matches("\n\n").count();
    assert!((1..30).contains(&count), "{count}");
    for number in 0..count {
        assert_eq!(slow.next().await["event"], format!("e{number}"));
    }
    until("the slow one to go", async || {
        get(&host, "/v1/channels/wide").await.value()["subscribers"] == 1
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_when_the_host_drains() {
    let host = host().await;
    let mut reader = Reader::open(host.admin, &at("room:1", "/stream")).await;
    host.drain().await;
    reader.ended().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_channel_is_another_one_or_the_token_changes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openline.toml");
    let write = |token: &str, more: &str| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nadmin_token = \"{token}\"\n\
             [[function]]\nname = \"broker\"\ncomponent = {:?}\nroute = \"/broker\"\n{more}",
            openline_guests::FAULT_BROKER
        );
        std::fs::write(&path, text).unwrap();
    };
    let (first, second) = ("1".repeat(32), "2".repeat(32));
    write(&first, "");
    let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let admin: SocketAddr = host.admin().await.parse().unwrap();
    let open = async |token: &str| {
        let lines = format!("Authorization: Bearer {token}\r\n");
        let path = "/v1/channels/room/stream?function=broker";
        let mut reader = Reader::ask(admin, path, &lines).await;
        let head = reader.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        reader
    };
    let mut own = open(&first).await;
    // Functions share the name from now on.
    write(&first, "[[channel]]\npattern = \"room\"\n");
    host.signal("HUP").await;
    host.told("reloaded").await;
    own.ended().await;
    let mut of_first = open(&first).await;
    write(&second, "[[channel]]\npattern = \"room\"\n");
    host.signal("HUP").await;
    host.told("reloaded").await;
    of_first.ended().await;
    let mut stays = open(&second).await;
    let mut refused = Reader::ask(admin, "/v1/channels/room/stream", "").await;
    assert!(refused.until("\r\n\r\n").await.starts_with("HTTP/1.1 401 "));
    drop(folder);
    assert_eq!(stays.read, "");
    let body = r#"{"text":"hello"}"#;
    let head = format!(
        "POST /v1/channels/room/publications HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {second}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut publisher = TcpStream::connect(admin).await.unwrap();
    publisher.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(stays.next().await["text"], "hello");
}
