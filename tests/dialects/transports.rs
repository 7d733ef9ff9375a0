//! The dialects over everything that carries WebSockets: HTTP/2 streams (RFC
//! 8441), TLS, and both. What a peer hears is the same.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openline_core::config::CertificateConfig;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::centrifugo::publish;
use super::rights::{KEY, narrow};
use super::{JWT, good, host_with};
use crate::harness::http2::{Http2, Stream};
use crate::harness::tls::{Authority, connect};
use crate::harness::{Host, HostBuilder, eventually, within};

/// How a WebSocket is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Http2,
    Tls,
    TlsHttp2,
}

const CARRIERS: [Carrier; 3] = [Carrier::Http2, Carrier::Tls, Carrier::TlsHttp2];

impl Carrier {
    fn has_tls(self) -> bool {
        self != Self::Http2
    }
}

/// A peer, whatever carries its frames.
enum Peer {
    /// With the TCP connection that it is a stream of.
    Stream {
        stream: Box<Stream>,
        _http2: Http2,
    },
    Socket(Box<WebSocketStream<TlsStream<TcpStream>>>),
}

impl Peer {
    async fn open(carrier: Carrier, authority: &Authority, host: &Host, path: &str) -> Self {
        let tls = async |alpn: &[&[u8]]| {
            let client = authority.client(alpn);
            connect(host.address, "localhost", client).await.unwrap()
        };
        let mut http2 = match carrier {
            Carrier::Http2 => Http2::connect(host.address).await,
            Carrier::TlsHttp2 => Http2::over(tls(&[b"h2"]).await, |_| {}).await,
            Carrier::Tls => {
                let url = format!("wss://localhost{path}");
                let opening = tokio_tungstenite::client_async(url, tls(&[]).await);
                let (socket, _) = within("a handshake", Box::pin(opening)).await.unwrap();
                return Self::Socket(Box::new(socket));
            }
        };
        let stream = http2.open(path).await.unwrap();
        Self::Stream {
            stream: Box::new(stream),
            _http2: http2,
        }
    }

    async fn say(&mut self, command: &Value) {
        let text = command.to_string();
        match self {
            Self::Stream { stream, .. } => stream.send(0x81, text.as_bytes()).await,
            Self::Socket(socket) => socket.send(Message::text(text)).await.unwrap(),
        }
    }

    /// The next text, or the code of the close frame.
    async fn frame(&mut self) -> Result<Value, u16> {
        match self {
            Self::Stream { stream, .. } => {
                let (first, payload) = stream.frame().await.expect("a frame");
                match first {
                    0x81 => Ok(serde_json::from_slice(&payload).unwrap()),
                    _ => Err(u16::from_be_bytes([payload[0], payload[1]])),
                }
            }
            Self::Socket(socket) => loop {
                match within("a frame", socket.next()).await.unwrap().unwrap() {
                    Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                    Message::Close(close) => return Err(close.unwrap().code.into()),
                    _ => {}
                }
            },
        }
    }

    async fn next(&mut self) -> Value {
        self.frame().await.unwrap()
    }

    async fn ask(&mut self, command: Value) -> Value {
        self.say(&command).await;
        self.next().await
    }
}

/// A host for a carrier, whose trigger has these lines.
async fn host_for(
    carrier: Carrier,
    lines: &str,
    change: impl FnOnce(HostBuilder) -> HostBuilder,
) -> (Authority, Host) {
    let authority = Authority::new();
    let certificate: Option<CertificateConfig> = carrier
        .has_tls()
        .then(|| authority.certificate("host", &["localhost"], true));
    let host = host_with(openline_guests::ECHO, lines, |host| {
        change(host.server(|server| server.certificate.extend(certificate)))
    });
    let host = host.await;
    (authority, host)
}

/// (The state is only answered over TLS where the host speaks it.)
async fn nothing_is_left(host: &Host) {
    let ledger = host.deployer.services().ledger();
    eventually("everything to be let go", || {
        ledger.connections() == 0 && host.gateway.sockets() == 0 && host.gateway.requests() == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_of_centrifugo_recovers_on_each_carrier() {
    let lines = format!("dialect = \"centrifugo\"\n{JWT}");
    for carrier in CARRIERS {
        let (authority, host) = host_for(carrier, &lines, |host| host).await;
        let mut peer = Peer::open(carrier, &authority, &host, "/reject/a").await;
        let token = good("ann", 600);
        let connected = peer
            .ask(json!({"id": 1, "connect": {"token": token}}))
            .await;
        assert_eq!(connected["connect"]["ping"], 30, "{carrier:?}: {connected}");
        let subscribed = peer
            .ask(json!({"id": 2, "subscribe": {"channel": "news"}}))
            .await;
        let epoch = subscribed["subscribe"]["epoch"].clone();
        // A frame larger than a window of flow control.
        let long = "x".repeat(100_000);
        publish(&host, "news", &format!("{long:?}"));
        let push = peer.next().await;
        assert_eq!(push["push"]["pub"]["data"], long, "{carrier:?}");
        assert_eq!(push["push"]["pub"]["offset"], 1);
        // It is gone without a word, and comes back.
        drop(peer);
        nothing_is_left(&host).await;
        publish(&host, "news", "2");
        let mut peer = Peer::open(carrier, &authority, &host, "/reject/a").await;
        let since = json!({"recover": true, "epoch": epoch, "offset": 1});
        let connect = json!({"token": token, "subs": {"news": since}});
        let connected = peer.ask(json!({"id": 1, "connect": connect})).await;
        let news = &connected["connect"]["subs"]["news"];
        assert_eq!(news["recovered"], true, "{carrier:?}: {connected}");
        assert_eq!(news["publications"][0]["data"], 2);
        // What is no command ends it with a code of its protocol.
        peer.say(&json!("x")).await;
        assert_eq!(peer.frame().await, Err(3501), "{carrier:?}");
        drop(peer);
        nothing_is_left(&host).await;
    }
}

#[tokio::test]
async fn a_client_of_pushflo_is_told_what_it_loses_on_each_carrier() {
    for carrier in CARRIERS {
        let keys = |host: HostBuilder| host.keys(&[("page", "subscribe", "keyed-*", KEY)]);
        let (authority, host) = host_for(carrier, "dialect = \"pushflo\"", keys).await;
        let path = format!("/reject/ws?token={KEY}");
        let mut peer = Peer::open(carrier, &authority, &host, &path).await;
        assert_eq!(peer.next().await["type"], "connected", "{carrier:?}");
        for name in ["keyed-1", "keyed-2"] {
            let subscribe = json!({"type": "subscribe", "channel": name});
            assert_eq!(peer.ask(subscribe).await["type"], "subscribed");
        }
        publish(&host, "keyed-1", "1");
        assert_eq!(peer.next().await["data"], 1);
        narrow(&host, "keyed-2");
        let lost = json!({"type": "unsubscribed", "channel": "keyed-1"});
        assert_eq!(peer.next().await, lost, "{carrier:?}");
        publish(&host, "keyed-1", "2");
        publish(&host, "keyed-2", "3");
        let message = peer.next().await;
        assert_eq!(
            (&message["channel"], &message["data"]),
            (&json!("keyed-2"), &json!(3))
        );
        drop(peer);
        nothing_is_left(&host).await;
    }
}

/// A stream that is not read holds only itself back.
#[tokio::test]
async fn a_slow_stream_ends_and_the_others_of_its_tcp_connection_go_on() {
    let (_, host) = host_for(Carrier::Http2, "dialect = \"centrifugo\"", |host| {
        host.limit(|limit| limit.outbox_bytes = 256 << 10)
    })
    .await;
    let mut http2 = Http2::connect_with(host.address, |builder| {
        // The window of the TCP connection has room for what one stream leaves.
        builder.initial_connection_window_size(16 << 20);
    })
    .await;
    let mut slow = http2.open("/reject/a").await.unwrap();
    let mut quick = http2.open("/reject/a").await.unwrap();
    for stream in [&mut slow, &mut quick] {
        stream.send(0x81, br#"{"id":1,"connect":{}}"#).await;
        stream.frame().await.unwrap();
        stream
            .send(0x81, br#"{"id":2,"subscribe":{"channel":"plain:1"}}"#)
            .await;
        stream.frame().await.unwrap();
    }
    let ledger = host.deployer.services().ledger();
    let data = format!("{:?}", "x".repeat(10_000));
    // However many that takes: its close has a time, and is not counted.
    let publishing = async {
        while ledger.connections() == 2 {
            publish(&host, "plain:1", &data);
            let (first, payload) = quick.frame().await.unwrap();
            assert_eq!(first, 0x81);
            assert!(payload.len() > 10_000);
            tokio::task::yield_now().await;
        }
    };
    within("the slow one to be gone", publishing).await;
    // It hears why, behind what it has not read, if it reads that in time.
    while let Some((first, payload)) = slow.frame().await {
        if first == 0x88 {
            assert_eq!(u16::from_be_bytes([payload[0], payload[1]]), 3008);
        }
    }
    publish(&host, "plain:1", "1");
    let (_, payload) = quick.frame().await.unwrap();
    let push: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(push["push"]["pub"]["data"], 1, "{push}");
    drop((slow, quick));
    http2.vanish();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_host_that_drains_ends_each_with_a_code_after_which_it_comes_back() {
    for carrier in CARRIERS {
        let (authority, host) = host_for(carrier, "dialect = \"centrifugo\"", |host| {
            host.server(|server| server.drain_timeout = Duration::from_secs(5))
        })
        .await;
        let mut peer = Peer::open(carrier, &authority, &host, "/reject/a").await;
        peer.ask(json!({"id": 1, "connect": {}})).await;
        let (left, code) = tokio::join!(host.drain(), async {
            let code = peer.frame().await;
            drop(peer);
            code
        });
        assert_eq!((left, code), (0, Err(3001)), "{carrier:?}");
    }
}
