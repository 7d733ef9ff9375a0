//! What comes before a request where the host speaks TLS: how many handshakes
//! may be in progress, what clients are told that ask for a name which no
//! certificate is for, and what those get that speak no TLS.

use openline_core::config::ServerConfig;
use rustls::AlertDescription;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::tls::{Authority, connect};
use crate::harness::{Host, Raw, eventually, within};

/// The beginning of a client's first message.
const BEGUN: [u8; 5] = [22, 3, 1, 0, 200];

async fn host(authority: &Authority, change: impl FnOnce(&mut ServerConfig)) -> Host {
    Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.certificate = vec![authority.certificate("host", &["localhost"], false)];
            change(server);
        })
        .start()
        .await
}

/// A handshake that does not go on.
async fn begun(host: &Host, peer: u8, now: usize) -> Raw {
    let mut raw = Raw::connect_from([127, 0, 0, peer], host.address).await;
    raw.send(&BEGUN).await;
    eventually("the handshake to begin", || {
        host.gateway.handshakes() == now
    })
    .await;
    raw
}

async fn greets(host: &Host, authority: &Authority) {
    let client = authority.client(&[]);
    connect(host.address, "localhost", client).await.unwrap();
}

#[tokio::test]
async fn as_many_handshakes_as_may_be_in_progress_and_one_more() {
    let authority = Authority::new();
    let host = host(&authority, |server| server.tls_handshakes = 4).await;
    let mut oldest = begun(&host, 2, 1).await;
    let mut second = begun(&host, 2, 2).await;
    // A peer has half: its own oldest makes room.
    let third = begun(&host, 2, 2).await;
    assert!(oldest.is_ended().await);
    let others = (begun(&host, 3, 3).await, begun(&host, 3, 4).await);
    // All are taken: the oldest of the peer with the most makes room.
    let fifth = begun(&host, 4, 4).await;
    assert!(second.is_ended().await);
    // A client that goes on with its handshake finds a place, too.
    greets(&host, &authority).await;
    drop((third, others, fifth));
    eventually("all places to be free", || {
        host.gateway.handshakes() == 0 && host.gateway.sockets() == 0
    })
    .await;
    greets(&host, &authority).await;
}

#[tokio::test]
async fn a_connection_that_is_silent_takes_no_place_of_a_handshake() {
    let authority = Authority::new();
    let host = host(&authority, |server| server.tls_handshakes = 1).await;
    let silent = Raw::connect(host.address).await;
    eventually("the connection", || host.gateway.requests() == 1).await;
    let mut begun = begun(&host, 2, 1).await;
    greets(&host, &authority).await;
    assert!(begun.is_ended().await);
    drop(silent);
}

/// The alert with which a handshake fails.
async fn alert(host: &Host, authority: &Authority, name: &str, alpn: &[&[u8]]) -> AlertDescription {
    let client = authority.client(alpn);
    let error = connect(host.address, name, client).await.unwrap_err();
    let inner = error.get_ref().and_then(|it| it.downcast_ref());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn clients_are_told_why_there_is_no_certificate_for_them() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    for (name, alpn, expected) in [
        (
            "other.example.org",
            &b"h2"[..],
            AlertDescription::UnrecognisedName,
        ),
        // An address is no name.
        ("127.0.0.1", b"h2", AlertDescription::MissingExtension),
        // A validation of a name for which no challenge waits.
        (
            "localhost",
            b"acme-tls/1",
            AlertDescription::NoApplicationProtocol,
        ),
    ] {
        let alert = alert(&host, &authority, name, &[alpn]).await;
        assert_eq!(alert, expected, "{name}");
    }
    // With another protocol beside it, it is none.
    let client = authority.client(&[b"acme-tls/1", b"http/1.1"]);
    let stream = connect(host.address, "localhost", client).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn http_without_tls_gets_an_answer_that_says_so() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "get".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        // With a body that is not read.
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n{}",
            "x".repeat(9999)
        ),
    ] {
        let mut raw = Raw::connect(host.address).await;
        raw.socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within("an answer", raw.socket.read_to_end(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("http/1.1 400 bad request\r\n"), "{head}");
        for header in [
            "openline-error-type: plain_http",
            "openline-error-blame: peer",
            "connection: close",
            "openline-request-id: ",
        ] {
            assert!(head.contains(header), "{head}");
        }
        let length = format!("content-length: {}", body.len());
        assert!(
            head.contains(&length) && body.contains("this port speaks tls"),
            "{answer}"
        );
    }
    assert_eq!(host.gateway.handshakes(), 0);
    assert_eq!(host.gateway.tally().refused()["plain_http"], 4);
    // What is neither HTTP nor TLS gets TLS's own answer.
    let mut raw = Raw::connect(host.address).await;
    raw.send(&[0x80, 1, 2, 3, 4]).await;
    let mut answer = Vec::new();
    let _ = within("the end", raw.socket.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}
