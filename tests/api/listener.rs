//! The listener of publishers: it answers for every host, and reaches no function.
//! And requests as no client should send them.

use std::net::SocketAddr;
use std::sync::Arc;

use openline_api::Api;
use openline_core::config::Listener;
use openline_gateway::listen::{self, Answering};
use openline_kit::exchange::with_head;
use openline_kit::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::Outside;
use crate::harness::http2::Http2;

/// A listener of publishers beside that of a host.
struct Own {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Own {
    fn start(outside: &Outside) -> Self {
        let listener = listen::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let answering = Answering {
            reserved: None,
            outside: Some(Arc::new(Api::new(outside.host.deployer.services()))),
        };
        let gateway = Arc::clone(&outside.host.gateway);
        let accepting = listen::accept_at(Listener::Api, listener, gateway, answering);
        Self {
            address,
            accepting: tokio::spawn(accepting),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn status(address: SocketAddr, head: &str) -> u16 {
    with_head(address, head, b"").await.unwrap().status
}

#[tokio::test]
async fn the_listener_of_publishers_reaches_no_function() {
    let outside = Outside::with(|api| api.hosts.all = false).await;
    let own = Own::start(&outside);
    let key = outside.all();
    for host in ["push.example.org", "other:81", "[::1]"] {
        let head =
            format!("GET /v1/channels HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n");
        assert_eq!(status(own.address, &head).await, 200, "{host}");
        // On the other one it is not there.
        assert_eq!(status(outside.host.address, &head).await, 404, "{host}");
    }
    // Functions are on the other one, whichever HTTP asks.
    let upgrade = "GET /broker HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    assert_eq!(status(own.address, upgrade).await, 404);
    let mut peer = Http2::connect(own.address).await;
    let Err(refused) = peer.open("/broker").await else {
        panic!("a function was reached");
    };
    assert_eq!(refused.status(), 404);
    let (answer, _) = peer.get("/broker").await.unwrap();
    assert_eq!(answer.status(), 404);
    let mut peer = Http2::connect(outside.host.address).await;
    assert!(peer.open("/broker").await.is_ok());
    outside.host.drain().await;
}

/// Sends bytes as they are, and reads all that comes.
async fn raw(outside: &Outside, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(outside.host.address).await.unwrap();
    // The host may end the TCP connection before it has read all.
    let _ = stream.write_all(request).await;
    let mut all = Vec::new();
    let _ = within("the answers", stream.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

fn statuses(answers: &str) -> Vec<&str> {
    let heads = answers.match_indices("HTTP/1.1 ");
    heads.map(|(at, _)| &answers[at + 9..at + 12]).collect()
}

#[tokio::test]
async fn requests_come_one_after_the_other_also_after_errors() {
    let outside = Outside::start().await;
    let key = outside.all();
    let publish = |lines: &str, body: &str| {
        format!(
            "POST /v1/publish HTTP/1.1\r\nhost: a\r\n{lines}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let bearer = format!("authorization: Bearer {key}\r\n");
    let last = format!("{bearer}connection: close\r\n");
    let body = r#"{"channel":"news","text":"one"}"#;
    // The body of a refused request is not the next request.
    let smuggled = publish(&bearer, r#"{"channel":"news","text":"smuggled"}"#);
    let requests = [
        publish("", &smuggled),
        publish(&bearer, "{"),
        publish(&bearer, body),
        publish(&last, body),
    ];
    let answers = raw(&outside, requests.concat().as_bytes()).await;
    assert_eq!(
        statuses(&answers),
        ["401", "400", "200", "200"],
        "{answers}"
    );
    let history = outside
        .with_key("GET /v1/channels/news/history", &key, "")
        .await;
    assert!(!history.body.contains("smuggled"), "{history:?}");
    // In chunks.
    let chunked = format!(
        "POST /v1/publish HTTP/1.1\r\nhost: a\r\n{last}transfer-encoding: chunked\r\n\r\n\
         5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &body[..5],
        body.len() - 5,
        &body[5..]
    );
    let answers = raw(&outside, chunked.as_bytes()).await;
    assert_eq!(statuses(&answers), ["200"], "{answers}");
    for twice in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: 3\r\ntransfer-encoding: chunked, gzip\r\n",
    ] {
        let head = format!("POST /v1/publish HTTP/1.1\r\nhost: a\r\n{last}{twice}\r\nabc");
        let answers = raw(&outside, head.as_bytes()).await;
        assert_eq!(statuses(&answers), ["400"], "{answers}");
    }
    // Nobody who has no key is asked for the body.
    let expects = "expect: 100-continue\r\nconnection: close\r\ncontent-length: 9\r\n\r\n";
    let head = format!("POST /v1/publish HTTP/1.1\r\nhost: a\r\n{expects}");
    assert_eq!(statuses(&raw(&outside, head.as_bytes()).await), ["401"]);
}

#[tokio::test]
async fn six_mib_and_one_byte_is_too_large() {
    const MOST: usize = 6 << 20;
    let outside = Outside::start().await;
    let key = outside.all();
    let chunked = |bytes: usize| {
        let head = format!(
            "POST /v1/publish HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\
             connection: close\r\ntransfer-encoding: chunked\r\n\r\n{bytes:x}\r\n"
        );
        [head.as_bytes(), &vec![b' '; bytes], b"\r\n0\r\n\r\n"].concat()
    };
    // Spaces are no JSON.
    let at = raw(&outside, &chunked(MOST)).await;
    assert_eq!(statuses(&at), ["400"], "{at}");
    let past = raw(&outside, &chunked(MOST + 1)).await;
    assert_eq!(statuses(&past), ["413"], "{past}");
    let told = format!(
        "POST /v1/publish HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\
         connection: close\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        MOST + 1
    );
    let past = raw(&outside, told.as_bytes()).await;
    assert_eq!(statuses(&past), ["413"], "{past}");
}
