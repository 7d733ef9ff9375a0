//! A host behind real proxies, nginx and HAProxy, in each way that they can
//! name their peers: functions see the client's address, whatever the client
//! writes into its headers, and connections outlive the proxy's reload.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use openline_control::ConnectionQuery;
use openline_core::config::{HopHeader, ProxyProtocol, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::http2::Http2;
use crate::harness::proxy::{Kind, Proxy};
use crate::harness::tls::Authority;
use crate::harness::{ASK_AGAIN, Host, within};

/// Where clients are, and where proxies ask the host from.
const CLIENT: [u8; 4] = [127, 0, 0, 9];
const HOP: &str = "127.0.0.2";

/// Echoes, and answers a handshake with the peer that it sees.
const PATH: &str = "/reject?show=peer";

/// What a client would like to be.
const FORGED: [(&str, &str); 3] = [
    ("x-forwarded-for", "192.0.2.66, 127.0.0.2"),
    ("forwarded", "for=192.0.2.66;proto=https"),
    ("x-real-ip", "192.0.2.66"),
];

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Both for S {}

/// A WebSocket through a proxy, and what its handshake was answered with.
struct Open {
    socket: WebSocketStream<Box<dyn Both>>,
    headers: HeaderMap,
    /// The client's address as the proxy sees it.
    from: SocketAddr,
}

async fn host(change: impl FnOnce(&mut ServerConfig)) -> Host {
    Host::with(openline_guests::FAULT_REJECT, "/reject")
        .server(|server| {
            server.trusted_hops = vec![format!("{HOP}/32").parse().unwrap()];
            change(server);
        })
        .start()
        .await
}

/// A TCP connection of a client to a proxy.
async fn dial(proxy: &Proxy) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((CLIENT, 0).into()).unwrap();
    let stream = within("a TCP connection", socket.connect(proxy.address)).await;
    let stream = stream.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Opens a WebSocket through a proxy; an error where it is refused.
async fn open(proxy: &Proxy, trust: Option<&Authority>) -> Result<Open, Error> {
    let stream = dial(proxy).await;
    let from = stream.local_addr().unwrap();
    let stream: Box<dyn Both> = match trust {
        None => Box::new(stream),
        Some(authority) => Box::new(secured(stream, authority, &[]).await),
    };
    let mut request = format!("ws://localhost{PATH}")
        .into_client_request()
        .unwrap();
    for (name, value) in FORGED {
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(name, value);
    }
    let opening = tokio_tungstenite::client_async(request, stream);
    let (socket, answer) = within("a handshake", Box::pin(opening)).await?;
    let headers = answer.headers().clone();
    Ok(Open {
        socket,
        headers,
        from,
    })
}

async fn secured(
    stream: TcpStream,
    authority: &Authority,
    alpn: &[&[u8]],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let connector = TlsConnector::from(Arc::new(authority.client(alpn)));
    let name = "localhost".try_into().unwrap();
    within("TLS", connector.connect(name, stream))
        .await
        .unwrap()
}

impl Open {
    async fn echo(&mut self, bytes: usize) {
        let message = Message::binary(vec![b'x'; bytes]);
        within("a message", self.socket.send(message.clone()))
            .await
            .unwrap();
        let answer = within("an answer", self.socket.next()).await;
        let answer = answer.unwrap().unwrap();
        assert!(answer == message, "{} bytes", answer.len());
    }

    /// Reads to the end, which answers the close frame, and ends its side: its
    /// code.
    async fn closed(mut self) -> u16 {
        let mut code = None;
        while let Some(Ok(message)) = within("the end", self.socket.next()).await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code.expect("a close frame")
    }
}

/// The peers of a host's connections.
fn peers(host: &Host) -> Vec<String> {
    let query = ConnectionQuery {
        function: None,
        tag: None,
        after: None,
        limit: 100,
    };
    let page = host.deployer.connections(&query).connections;
    page.into_iter().map(|connection| connection.peer).collect()
}

/// Opens a WebSocket through a proxy. The function and the host see the client
/// where it is, with its port where the proxy names it, and nothing of what
/// the client has made up.
async fn serves(host: &Host, proxy: &Proxy, trust: Option<&Authority>, has_port: bool) -> Open {
    let mut open = open(proxy, trust).await.unwrap();
    let from = match has_port {
        true => open.from.to_string(),
        false => open.from.ip().to_string(),
    };
    assert_eq!(open.headers["shown"], from);
    assert_eq!(peers(host), [from]);
    for bytes in [0, 125, 70_000] {
        open.echo(bytes).await;
    }
    open
}

/// Ends a host behind a proxy: its connection is told.
async fn drains(host: Host, open: Open) {
    let (left, code) = tokio::join!(host.drain(), open.closed());
    assert_eq!((left, code), (0, 1001));
}

/// What a proxy that knows HTTP answers by itself at `/generation`.
async fn generation(proxy: &Proxy) -> String {
    let mut stream = dial(proxy).await;
    let request = "GET /generation HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    within("a request", stream.write_all(request.as_bytes()))
        .await
        .unwrap();
    let mut answer = String::new();
    // A proxy that reloads may reset one that it has just accepted.
    let _ = within("an answer", stream.read_to_string(&mut answer)).await;
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

/// Reloads a proxy while a WebSocket is open through it, which stays, and opens
/// another one through what is there then.
async fn reloads(proxy: &Proxy, open: &mut Open, trust: Option<&Authority>) {
    assert_eq!(generation(proxy).await, "one");
    proxy.reload("one", "two");
    let asking = async {
        while generation(proxy).await != "two" {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    within("a proxy to reload", asking).await;
    open.echo(4096).await;
    let mut after = self::open(proxy, trust).await.unwrap();
    after.echo(4096).await;
    open.echo(125).await;
}

#[tokio::test]
async fn nginx_upgrades_and_names_its_peers_in_a_header() {
    let host = host(|_| {}).await;
    let proxy = Proxy::start(Kind::Nginx, |listen| {
        format!(
            "http {{
                access_log off;
                client_body_temp_path {{folder}};
                proxy_temp_path {{folder}};
                fastcgi_temp_path {{folder}};
                uwsgi_temp_path {{folder}};
                scgi_temp_path {{folder}};
                server {{
                    listen {listen};
                    location = /generation {{ return 200 one; }}
                    location / {{
                        proxy_pass http://{};
                        proxy_bind {HOP};
                        proxy_http_version 1.1;
                        proxy_set_header Host $http_host;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection upgrade;
                        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                        proxy_read_timeout 60s;
                    }}
                }}
            }}",
            host.address
        )
    });
    let Some(proxy) = proxy.await else { return };
    let mut open = serves(&host, &proxy, None, false).await;
    reloads(&proxy, &mut open, None).await;
    drains(host, open).await;
}

#[tokio::test]
async fn nginx_names_its_peers_by_the_proxy_protocol() {
    let host = host(|server| server.proxy_protocol = ProxyProtocol::Required).await;
    let proxy = Proxy::start(Kind::Nginx, |listen| {
        format!(
            "stream {{ server {{
                listen {listen};
                proxy_pass {};
                proxy_bind {HOP};
                proxy_protocol on;
            }} }}",
            host.address
        )
    });
    let Some(proxy) = proxy.await else { return };
    let open = serves(&host, &proxy, None, true).await;
    drains(host, open).await;
}

#[tokio::test]
async fn haproxy_names_its_peers_by_the_second_proxy_protocol() {
    let host = host(|server| server.proxy_protocol = ProxyProtocol::Required).await;
    let proxy = Proxy::start(Kind::Haproxy, |listen| {
        format!(
            "listen front\n    mode tcp\n    bind {listen}\n    \
             server host {} source {HOP} send-proxy-v2 \
             proxy-v2-options crc32c check inter 100ms\n",
            host.address
        )
    });
    let Some(proxy) = proxy.await else { return };
    let open = serves(&host, &proxy, None, true).await;
    drains(host, open).await;
}

/// A certificate with its key in one file, as HAProxy wants them.
fn combined(authority: &Authority, file: &Path) {
    let (certificate, key) = authority.issue(&["localhost"], |_| {});
    fs::write(file, certificate + &key).unwrap();
}

#[tokio::test]
async fn haproxy_ends_tls_and_names_its_peers_in_the_standard_header() {
    let authority = Authority::new();
    let file = authority.path("combined.pem");
    combined(&authority, &file);
    let host = host(|server| server.hop_header = HopHeader::Forwarded).await;
    let proxy = Proxy::start(Kind::Haproxy, |listen| {
        format!(
            "listen front\n    mode http\n    \
             bind {listen} ssl crt {} alpn h2,http/1.1\n    \
             http-request add-header Forwarded \"for=\\\"%[src]:%[src_port]\\\";proto=https\"\n    \
             server host {} source {HOP}\n",
            file.display(),
            host.address
        )
    });
    let Some(proxy) = proxy.await else { return };
    let open = serves(&host, &proxy, Some(&authority), true).await;
    // A client that speaks HTTP/2 to the proxy, which speaks HTTP/1.1 to the host.
    let stream = secured(dial(&proxy).await, &authority, &[b"h2"]).await;
    let mut http2 = Http2::over(stream, |_| {}).await;
    let (head, mut stream) = http2.open_with_head(PATH).await.unwrap();
    let shown = head.headers()["shown"].to_str().unwrap();
    let shown: SocketAddr = shown.parse().unwrap();
    assert_eq!(shown.ip(), std::net::IpAddr::from(CLIENT));
    stream.echo(&[b'x'; 70_000]).await;
    drop(stream);
    http2.vanish();
    host.until("it to be gone", |state| state["connections"]["open"] == 1)
        .await;
    drains(host, open).await;
}

#[tokio::test]
async fn haproxy_passes_tls_on_by_its_name() {
    let authority = Authority::new();
    let host = host(|server| {
        server.proxy_protocol = ProxyProtocol::Required;
        server.certificate = vec![authority.certificate("host", &["localhost"], true)];
    })
    .await;
    let proxy = Proxy::start(Kind::Haproxy, |listen| {
        format!(
            "frontend front\n    mode tcp\n    bind {listen}\n    \
             tcp-request inspect-delay 20s\n    \
             tcp-request content accept if {{ req.ssl_hello_type 1 }}\n    \
             use_backend host if {{ req.ssl_sni -i localhost }}\n\
             backend host\n    mode tcp\n    \
             server host {} source {HOP} send-proxy-v2\n",
            host.address
        )
    });
    let Some(proxy) = proxy.await else { return };
    let open = serves(&host, &proxy, Some(&authority), true).await;
    drains(host, open).await;
}

#[tokio::test]
async fn haproxy_speaks_http2_to_the_host() {
    let host = host(|_| {}).await;
    let proxy = Proxy::start(Kind::Haproxy, |listen| {
        format!(
            "listen front\n    mode http\n    bind {listen}\n    option forwardfor\n    \
             http-reuse always\n    \
             http-request return status 200 content-type text/plain string one \
             if {{ path /generation }}\n    \
             server host {} source {HOP} proto h2\n",
            host.address
        )
    });
    let Some(proxy) = proxy.await else { return };
    let mut first = serves(&host, &proxy, None, false).await;
    let mut more = Vec::new();
    for _ in 0..8 {
        more.push(open(&proxy, None).await.unwrap());
    }
    for each in &mut more {
        each.echo(125).await;
    }
    assert_eq!(peers(&host), vec!["127.0.0.9"; 9]);
    // They are streams, which share TCP connections.
    let sockets = host.gateway.sockets();
    assert!(sockets < 9, "{sockets} TCP connections");
    drop(more);
    reloads(&proxy, &mut first, None).await;
    drains(host, first).await;
}

#[tokio::test]
async fn haproxy_leads_clients_of_a_host_that_drains_to_another() {
    let (one, other) = tokio::join!(host(|_| {}), host(|_| {}));
    let proxy = Proxy::start(Kind::Haproxy, |listen| {
        format!(
            "listen front\n    mode http\n    bind {listen}\n    option forwardfor\n    \
             balance first\n    option httpchk GET /.openline/ready\n    \
             default-server source {HOP} check inter 50ms fall 1 rise 1\n    \
             server one {}\n    server other {}\n",
            one.address, other.address
        )
    });
    let Some(proxy) = proxy.await else { return };
    let first = open(&proxy, None).await.unwrap();
    assert_eq!((peers(&one).len(), peers(&other).len()), (1, 0));
    let (left, code) = tokio::join!(one.drain(), first.closed());
    assert_eq!((left, code), (0, 1001));
    // Until the proxy has noticed, the draining host refuses it.
    let again = async {
        loop {
            match open(&proxy, None).await {
                Ok(open) => return open,
                Err(Error::Http(answer)) => assert_eq!(answer.status(), 503),
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    let mut second = within("the other host", again).await;
    second.echo(125).await;
    assert_eq!((peers(&one).len(), peers(&other).len()), (0, 1));
    drop(second);
    other.nothing_is_left().await;
}
