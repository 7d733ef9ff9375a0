//! Event streams and polls: the same publications as over WebSockets, recovered
//! in the same way.

use std::net::SocketAddr;

use futures_util::future::join_all;
use openline_core::key::Scope;
use openline_core::name::KeyName;
use openline_kit::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Outside;

/// A reader of an event stream.
pub(super) struct Reader {
    stream: TcpStream,
    read: String,
}

impl Reader {
    async fn open(outside: &Outside, path: &str, lines: &str) -> Self {
        Self::at(outside.host.address, path, lines).await
    }

    pub(super) async fn at(address: SocketAddr, path: &str, lines: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: push.example.org\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let read = String::new();
        Self { stream, read }
    }

    /// Reads until a text is there, and takes all up to its end.
    pub(super) async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.read.find(text) {
                let rest = self.read.split_off(at + text.len());
                return std::mem::replace(&mut self.read, rest);
            }
            assert!(self.more().await, "the end before {text}: {}", self.read);
        }
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        let length = within("a piece of a stream", self.stream.read(&mut piece)).await;
        let length = length.unwrap();
        self.read += &String::from_utf8_lossy(&piece[..length]);
        length > 0
    }

    pub(super) async fn ended(&mut self) {
        while self.more().await {}
    }
}

fn id_of(event: &str) -> String {
    let line = event.lines().rfind(|line| line.starts_with("id: "));
    line.unwrap()[4..].to_owned()
}

#[tokio::test]
async fn a_stream_gets_what_comes_and_recovers_what_it_missed() {
    let outside = Outside::start().await;
    let key = outside.all();
    let publish = async |text: &str| {
        let body = format!(r#"{{"channel":"news","text":"{text}"}}"#);
        let got = outside.with_key("POST /v1/publish", &key, &body).await;
        assert_eq!(got.status, 200, "{got:?}");
    };
    let path = format!("/v1/channels/news/events?key={key}");
    let mut reader = Reader::open(&outside, &path, "").await;
    let head = reader.until("retry: 3000\n\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/event-stream"), "{head}");
    let start = id_of(&reader.until("\n\n").await);
    publish("one").await;
    let one = reader.until("\n\n").await;
    assert!(one.contains(r#""text":"one""#), "{one}");
    let seen = id_of(&one);
    assert_ne!(start, seen);
    drop(reader);
    publish("two").await;
    publish("three").await;
    let lines = format!("last-event-id: {seen}\r\nauthorization: Bearer {key}\r\n");
    let mut reader = Reader::open(&outside, "/v1/channels/news/events", &lines).await;
    reader.until("retry: 3000\n\n").await;
    for text in ["two", "three"] {
        let event = reader.until("\n\n").await;
        assert!(event.contains(&format!(r#""text":"{text}""#)), "{event}");
    }
    drop(reader);
    // Three are kept.
    publish("four").await;
    let mut reader = Reader::open(&outside, "/v1/channels/news/events", &lines).await;
    reader.until("retry: 3000\n\n").await;
    reader.until("\n\n").await;
    publish("five").await;
    reader.until("five").await;
    let lines = format!("last-event-id: {start}\r\nauthorization: Bearer {key}\r\n");
    let mut late = Reader::open(&outside, "/v1/channels/news/events", &lines).await;
    late.until("retry: 3000\n\n").await;
    let lost = late.until("\n\n").await;
    assert!(lost.contains("event: openline-lost"), "{lost}");
    drop((reader, late));
    outside.host.nothing_is_left().await;
}

/// Events, polls and histories say which value has changed, and how.
#[tokio::test]
async fn changes_of_values_have_their_keys() {
    let outside = Outside::start().await;
    let key = outside.all();
    let path = format!("/v1/channels/values/events?key={key}");
    let mut reader = Reader::open(&outside, &path, "").await;
    reader.until("retry: 3000\n\n").await;
    let start = id_of(&reader.until("\n\n").await);
    for body in [
        r#"{"channel":"values","data":1,"key":"a\"b"}"#,
        r#"{"channel":"values","key":"a\"b","remove":true}"#,
    ] {
        let got = outside.with_key("POST /v1/publish", &key, body).await;
        assert_eq!(got.status, 200, "{got:?}");
    }
    let set = reader.until("\n\n").await;
    assert!(
        set.contains(r#""key":"a\"b","data":1,"#) && !set.contains("removed"),
        "{set}"
    );
    let removed = reader.until("\n\n").await;
    assert!(
        removed.contains(r#""key":"a\"b","removed":true,"text":"","#),
        "{removed}"
    );
    for path in [
        "GET /v1/channels/values/history".to_owned(),
        format!("GET /v1/channels/values/poll?since={start}"),
    ] {
        let got = outside.with_key(&path, &key, "").await.json();
        let all = &got["publications"];
        assert_eq!(
            (&all[0]["key"], &all[0]["data"]),
            (&"a\"b".into(), &1.into())
        );
        assert!(all[0].get("removed").is_none(), "{got}");
        assert_eq!(
            (&all[1]["key"], &all[1]["removed"]),
            (&"a\"b".into(), &true.into())
        );
    }
}

#[tokio::test]
async fn a_position_that_cannot_be_continued_is_told() {
    let outside = Outside::start().await;
    let key = outside.all();
    for (channel, since, expected) in [
        ("news", "1-5", "openline-lost"),
        ("news", "here", "400"),
        // It keeps nothing, so nobody knows what was missed.
        ("plain", "1-5", "id: \nevent: openline-lost"),
    ] {
        let lines = format!("authorization: Bearer {key}\r\n");
        let path = format!("/v1/channels/{channel}/events?since={since}");
        let mut reader = Reader::open(&outside, &path, &lines).await;
        reader.until(expected).await;
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_revoked_and_when_the_host_drains() {
    let outside = Outside::start().await;
    let key = outside.key("reader", &[Scope::Subscribe], &["news"]);
    let other = outside.key("other", &[Scope::Subscribe], &["news"]);
    let open = async |key: &str| {
        let path = format!("/v1/channels/news/events?key={key}");
        let mut reader = Reader::open(&outside, &path, "").await;
        reader.until("retry: 3000\n\n").await;
        reader
    };
    let (mut reader, mut stays) = (open(&key).await, open(&other).await);
    let keys = outside.host.gateway.services().keys();
    keys.revoke(&KeyName::new("reader").unwrap()).unwrap();
    reader.ended().await;
    assert!(!stays.read.contains("HTTP"));
    let path = format!("GET /v1/channels/news/events?key={key}");
    let got = outside.ask(&path, "", b"").await;
    assert_eq!(got.code(), (401, "unauthorized".to_owned()));
    outside.host.drain().await;
    stays.ended().await;
}

#[tokio::test]
async fn streams_at_their_number_and_past_it() {
    let outside = Outside::with(|api| api.streams = 1).await;
    let key = outside.all();
    let path = format!("/v1/channels/plain/events?key={key}");
    let mut first = Reader::open(&outside, &path, "").await;
    first.until("retry: 3000\n\n").await;
    let got = outside.ask(&format!("GET {path}"), "", b"").await;
    assert_eq!(got.code(), (503, "full".to_owned()));
    drop(first);
}

#[tokio::test]
async fn a_poll_waits_and_loses_nothing() {
    let outside = Outside::start().await;
    let key = outside.all();
    let poll = async |query: &str| {
        let path = format!("GET /v1/channels/news/poll?{query}");
        outside.with_key(&path, &key, "").await.json()
    };
    let start = poll("").await;
    assert_eq!(start["recovered"], true);
    let start = start["position"].as_str().unwrap().to_owned();
    let nothing = poll(&format!("since={start}&wait=0")).await;
    assert_eq!(nothing["position"], *start);
    let query = format!("since={start}&wait=30");
    let publish = async {
        let body = r#"{"channel":"news","text":"one"}"#;
        outside.with_key("POST /v1/publish", &key, body).await;
    };
    let (got, ()) = tokio::join!(poll(&query), publish);
    assert_eq!(got["publications"][0]["text"], "one", "{got}");
    let lost = poll("since=1-5&wait=0").await;
    assert_eq!(lost["recovered"], false);
    assert!(lost["publications"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_ends_when_its_function_is_gone() {
    let outside = Outside::start().await;
    let key = outside.all();
    let path = format!("/v1/channels/news/events?key={key}");
    let mut reader = Reader::open(&outside, &path, "").await;
    reader.until("retry: 3000\n\n").await;
    // The configuration has no function any more.
    outside.without_function().await;
    reader.ended().await;
}

#[tokio::test]
async fn each_of_many_polls_gets_what_came_on_its_channel_at_once() {
    const CHANNELS: usize = 200;
    let outside = Outside::start().await;
    let key = outside.all();
    let poll = async |channel: usize, query: String| {
        let path = format!("GET /v1/channels/room:{channel}/poll?{query}");
        outside.with_key(&path, &key, "").await.json()
    };
    let mut positions = Vec::new();
    for channel in 0..CHANNELS {
        let start = poll(channel, String::new()).await;
        positions.push(start["position"].as_str().unwrap().to_owned());
    }
    for round in 0..3 {
        let waiting = positions.iter().enumerate().map(|(channel, since)| {
            // Longer than a test may wait.
            poll(channel, format!("since={since}&wait=60"))
        });
        let publish = async {
            // Some polls may come only afterwards, and must not wait either.
            let all = (0..CHANNELS).map(|it| format!("\"room:{it}\""));
            let all: Vec<_> = all.collect();
            let body = format!(r#"{{"channels":[{}],"data":{round}}}"#, all.join(","));
            let got = outside.with_key("POST /v1/publish", &key, &body).await;
            assert_eq!(got.status, 200, "{got:?}");
        };
        let all = async { tokio::join!(join_all(waiting), publish).0 };
        let all = within("all polls", all).await;
        for (channel, polled) in all.iter().enumerate() {
            assert_eq!(polled["publications"][0]["data"], round, "{channel}");
        }
        let ends = all.iter().map(|it| it["position"].as_str().unwrap());
        positions = ends.map(str::to_owned).collect();
    }
}
