//! Proxies in front of the host: what trusted hops say about their peers is
//! believed, and what anyone else says is not.

use std::net::SocketAddr;
use std::time::Duration;

use openline_control::ConnectionQuery;
use openline_core::config::{HopHeader, ProxyProtocol, ServerConfig};
use tokio::io::AsyncWriteExt;

use crate::harness::{HANDSHAKE, Host, Raw, within};
use crate::tls::curl;

/// An address of this machine that is a trusted hop, and one that is not.
const HOP: [u8; 4] = [127, 0, 0, 2];
const STRANGER: [u8; 4] = [127, 0, 0, 3];

/// Answers with the peer that it sees.
const PATH: &str = "/reject?status=403&show=peer";

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

async fn host(change: impl FnOnce(&mut ServerConfig)) -> Host {
    Host::with(openline_guests::FAULT_REJECT, "/reject")
        .server(|server| {
            server.trusted_hops = vec!["127.0.0.2/32".parse().unwrap()];
            change(server);
        })
        .start()
        .await
}

fn request(headers: &str) -> String {
    HANDSHAKE
        .replace("{path}", PATH)
        .replace("\r\n\r\n", &format!("\r\n{headers}\r\n"))
}

/// The peer that a function sees; none if the host closes without an answer.
async fn seen(host: &Host, from: [u8; 4], first: &[u8], headers: &str) -> Option<String> {
    let mut raw = Raw::connect_from(from, host.address).await;
    let bytes = [first, request(headers).as_bytes()].concat();
    // A host that does not want the first bytes may already have closed.
    let _ = within("a request", raw.socket.write_all(&bytes)).await;
    let head = raw.head().await;
    let shown = head.lines().find_map(|line| line.strip_prefix("shown: "));
    shown.map(str::to_owned)
}

fn is_at(seen: Option<&str>, ip: [u8; 4]) {
    let address: SocketAddr = seen.unwrap().parse().unwrap();
    assert_eq!(address.ip(), std::net::IpAddr::from(ip));
}

#[tokio::test]
async fn a_header_is_believed_of_a_hop_and_of_no_one_else() {
    let host = host(|_| {}).await;
    let forged = "X-Forwarded-For: 127.0.0.1, 192.0.2.7\r\nForwarded: for=192.0.2.8\r\n";
    let peer = seen(&host, HOP, b"", forged).await;
    assert_eq!(peer.as_deref(), Some("192.0.2.7"));
    is_at(
        seen(&host, STRANGER, b"", forged).await.as_deref(),
        STRANGER,
    );
    // A hop that names no one asks for itself.
    is_at(seen(&host, HOP, b"", "").await.as_deref(), HOP);
}

#[tokio::test]
async fn the_other_header_and_none() {
    let both = "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=\"[2001:db8::8]:80\"\r\n";
    let forwarded = host(|server| server.hop_header = HopHeader::Forwarded).await;
    let peer = seen(&forwarded, HOP, b"", both).await;
    assert_eq!(peer.as_deref(), Some("[2001:db8::8]:80"));
    let off = host(|server| server.hop_header = HopHeader::Off).await;
    is_at(seen(&off, HOP, b"", both).await.as_deref(), HOP);
}

#[tokio::test]
async fn limits_count_the_peer_behind_a_hop() {
    let host = host(|server| server.peer_connections = 1).await;
    let open = async |client: &str| {
        let mut raw = Raw::connect_from(HOP, host.address).await;
        let head = HANDSHAKE.replace("{path}", "/reject").replace(
            "\r\n\r\n",
            &format!("\r\nX-Forwarded-For: {client}\r\n\r\n"),
        );
        raw.send(head.as_bytes()).await;
        let head = raw.head().await;
        (raw, head)
    };
    let (_first, head) = open("192.0.2.7").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (_other, head) = open("192.0.2.8").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let query = ConnectionQuery {
        function: None,
        tag: None,
        after: None,
        limit: 10,
    };
    let page = host.deployer.connections(&query).connections;
    let mut peers: Vec<_> = page.into_iter().map(|connection| connection.peer).collect();
    peers.sort();
    assert_eq!(peers, ["192.0.2.7", "192.0.2.8"]);
    let (_second, head) = open("192.0.2.7").await;
    assert!(
        head.contains("openline-error-type: host_peer_connections"),
        "{head}"
    );
}

#[tokio::test]
async fn a_page_for_this_machine_is_none_for_a_peer_of_a_proxy_on_it() {
    let host = host(|_| {}).await;
    let ask = async |headers: &str| {
        let mut raw = Raw::connect_from(HOP, host.address).await;
        let head = format!(
            "GET /.openline/state HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Connection: close\r\n\r\n"
        );
        raw.send(head.as_bytes()).await;
        raw.answer().await.status
    };
    assert_eq!(ask("").await, 200);
    assert_eq!(ask("X-Forwarded-For: 192.0.2.7\r\n").await, 404);
}

#[tokio::test]
async fn headers_of_the_proxy_protocol() {
    let host = host(|server| server.proxy_protocol = ProxyProtocol::Required).await;
    let binary = [
        SIGNATURE,
        &[
            0x21, 0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80,
        ],
    ];
    let local = [SIGNATURE, &[0x20, 0x00, 0, 0]].concat();
    for header in [LINE, &binary.concat()] {
        let peer = seen(&host, HOP, header, "").await;
        assert_eq!(peer.as_deref(), Some("192.0.2.7:12345"), "{header:?}");
    }
    for header in [&local, &b"PROXY UNKNOWN\r\n"[..]] {
        is_at(seen(&host, HOP, header, "").await.as_deref(), HOP);
    }
    // The peer that a hop has named is no hop: its own header means nothing.
    let forged = "X-Forwarded-For: 192.0.2.9\r\n";
    let peer = seen(&host, HOP, LINE, forged).await;
    assert_eq!(peer.as_deref(), Some("192.0.2.7:12345"));
    // Unless it is one.
    let inner = b"PROXY TCP4 127.0.0.2 10.0.0.1 12345 80\r\n";
    let peer = seen(&host, HOP, inner, forged).await;
    assert_eq!(peer.as_deref(), Some("192.0.2.9"));
}

#[tokio::test]
async fn a_proxy_header_of_a_stranger_or_none_of_a_hop_ends_the_connection() {
    let required = host(|server| server.proxy_protocol = ProxyProtocol::Required).await;
    assert_eq!(seen(&required, STRANGER, LINE, "").await, None);
    assert_eq!(seen(&required, STRANGER, b"", "").await, None);
    assert_eq!(seen(&required, HOP, b"", "").await, None);
    assert_eq!(
        seen(&required, HOP, b"PROXY UDP4 1 2 3 4\r\n", "").await,
        None
    );
    required.deployer.drain().await;

    let hops = host(|server| server.proxy_protocol = ProxyProtocol::Hops).await;
    is_at(seen(&hops, STRANGER, b"", "").await.as_deref(), STRANGER);
    let peer = seen(&hops, HOP, LINE, "").await;
    assert_eq!(peer.as_deref(), Some("192.0.2.7:12345"));
    // For a stranger it is an ordinary request, and no valid one.
    assert_eq!(seen(&hops, STRANGER, LINE, "").await, None);
    hops.nothing_is_left().await;
}

#[tokio::test]
async fn a_hop_that_sends_its_header_too_slowly_is_closed() {
    let host = host(|server| {
        server.proxy_protocol = ProxyProtocol::Hops;
        server.request_timeout = Duration::from_millis(200);
    })
    .await;
    let mut raw = Raw::connect_from(HOP, host.address).await;
    raw.send(&LINE[..20]).await;
    assert!(raw.is_ended().await);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_peer_behind_a_proxy_has_its_own_share_of_requests() {
    let host = host(|server| {
        server.proxy_protocol = ProxyProtocol::Hops;
        server.requests = 8;
        server.peer_requests = 1;
    })
    .await;
    let line = |last: u8| format!("PROXY TCP4 192.0.2.{last} 10.0.0.1 12345 80\r\n");
    // More than one peer may have, all through one proxy.
    let mut others = Vec::new();
    for last in 1..4 {
        let mut raw = Raw::connect_from(HOP, host.address).await;
        raw.send(line(last).as_bytes()).await;
        others.push(raw);
    }
    host.until("all to have come", |state| state["sockets"] == 4)
        .await;
    // A peer's second one takes the place of its first, which waits.
    let mut second = Raw::connect_from(HOP, host.address).await;
    second.send(line(2).as_bytes()).await;
    assert!(others[1].is_ended().await);
    for raw in [&mut others[0], &mut second] {
        raw.send(request("").as_bytes()).await;
        assert!(raw.head().await.starts_with("HTTP/1.1 403 "));
    }
}

#[tokio::test]
async fn curl_speaks_the_proxy_protocol() {
    let host = host(|server| {
        server.trusted_hops = vec!["127.0.0.1/32".parse().unwrap()];
        server.proxy_protocol = ProxyProtocol::Required;
    })
    .await;
    let url = format!("http://{}/.openline/live", host.address);
    if let Some(said) = curl(&["--haproxy-protocol", &url]).await {
        assert_eq!(said, "live\n");
    }
}
