//! Peers whose request becomes no connection: half a head, a handshake that is
//! refused, a look at the page.

use std::io;
use std::time::Duration;

use openline_kit::bytes::{handshake, status};
use openline_kit::exchange::is_whole;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::client::{Client, NotOpened};
use super::{PATIENCE, Peer, Wrong, patience};
use crate::configuration::REQUEST_TIMEOUT;

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A text in the head, its replacement, and the status of the answer.
const REFUSED: [(&str, &str, u16); 10] = [
    ("/echo", "/nowhere", 404),
    ("/echo", "/.openline/nothing", 404),
    ("Upgrade: websocket\r\n", "", 426),
    ("Version: 13", "Version: 8", 426),
    ("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: short", 400),
    ("Connection: Upgrade\r\n", "", 400),
    ("Host: localhost\r\n", "", 400),
    ("GET", "POST", 405),
    (
        "Host: localhost",
        "Host: localhost\r\nContent-Length: 5",
        400,
    ),
    ("GET /echo HTTP/1.1", "this is no request", 400),
];

/// Queries for a function that refuses as it is told, and the status of each
/// answer.
const REJECTED: [(&str, u16); 9] = [
    ("status=403&body=no", 403),
    ("status=503&header=retry-after:1", 503),
    ("status=401&body_bytes=65536", 401),
    ("status=403&body_bytes=65537", 502),
    ("status=101", 502),
    ("status=99", 502),
    ("header=connection:close", 502),
    ("subprotocol=never-offered", 502),
    ("attachment_bytes=16385", 502),
];

/// Sends a part of a head and waits, or sends it byte by byte: the host cuts
/// it off. Or goes before.
pub(super) async fn half_request(peer: &mut Peer) -> Result<(), Wrong> {
    let mut stream = peer.connect().await.map_err(NotOpened::from)?;
    let begun = Instant::now();
    let head = handshake("/echo");
    let half = peer.random.usize(1..head.len() - 4);
    let trickles = peer.random.bool();
    let sent = if trickles { 1 } else { half };
    let _ = stream.write_all(&head.as_bytes()[..sent]).await;
    if peer.random.u8(..4) == 0 {
        tokio::time::sleep_until(peer.until.min(begun + REQUEST_TIMEOUT / 2)).await;
        let _ = stream.set_zero_linger();
        return Ok(());
    }
    for byte in &head.as_bytes()[sent..half] {
        let pause = Duration::from_millis(peer.random.u64(100..1000));
        if !trickles || ended(&mut stream, Instant::now() + pause).await {
            break;
        }
        let _ = stream.write_all(&[*byte]).await;
    }
    // From the first byte on: trickling gives no more time.
    if ended(&mut stream, begun + REQUEST_TIMEOUT + PATIENCE).await {
        Ok(())
    } else {
        Err(Wrong("half a request was left open".to_owned()))
    }
}

/// Reads and drops until the end of the stream, so long.
async fn ended(stream: &mut TcpStream, until: Instant) -> bool {
    let mut buffer = [0; 1024];
    let reading = async { while let Ok(1..) = stream.read(&mut buffer).await {} };
    tokio::time::timeout_at(until, reading).await.is_ok()
}

pub(super) async fn refused(peer: &mut Peer) -> Result<(), Wrong> {
    let (from, to, status) = peer.one_of(&REFUSED);
    let request = handshake("/echo").replacen(from, to, 1);
    let mut stream = peer.connect().await.map_err(NotOpened::from)?;
    let answer = ask(&mut stream, &request).await?;
    if answer != status {
        return Err(Wrong(format!("answered with {answer} and not {status}")));
    }
    // Some keep the connection open for another request.
    if peer.random.bool() {
        tokio::time::sleep_until(peer.until).await;
    }
    Ok(())
}

pub(super) async fn page(peer: &mut Peer) -> Result<(), Wrong> {
    let mut stream = peer.connect().await.map_err(NotOpened::from)?;
    for path in ["/.openline/", "/.openline/functions"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let status = ask(&mut stream, &request).await?;
        if status != 200 {
            return Err(Wrong(format!("{path} was answered with {status}")));
        }
    }
    tokio::time::sleep_until(peer.until).await;
    Ok(())
}

pub(super) async fn reject(peer: &mut Peer) -> Result<(), Wrong> {
    let (query, status) = peer.one_of(&REJECTED);
    let path = format!("/fault-reject?{query}");
    match Client::open(peer, &path).await {
        Err(NotOpened::Refused(answer)) if answer == status => Ok(()),
        Err(other) => {
            let Wrong(what) = Wrong::from(other);
            Err(Wrong(format!("{what} and not {status}")))
        }
        Ok(_) => Err(Wrong(format!("accepted and not refused with {status}"))),
    }
}

/// Sends a request and reads the answer: its status.
async fn ask(stream: &mut TcpStream, request: &str) -> Result<u16, Wrong> {
    let asking = async {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !is_whole(&answer) && answer.len() < ANSWER_BYTES_MAX {
            if stream.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        Ok::<_, io::Error>(answer)
    };
    let answer = match tokio::time::timeout_at(patience(), asking).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Wrong(format!("not answered: {}", error.kind()))),
        Err(_) => return Err(Wrong("not answered".to_owned())),
    };
    status(&answer).ok_or_else(|| Wrong("what came is no response".to_owned()))
}

#[cfg(test)]
mod tests {
    use openline_kit::bytes::handshake;

    use super::REFUSED;

    #[test]
    fn every_refusal_changes_the_head() {
        let head = handshake("/echo");
        for (from, to, _) in REFUSED {
            assert_ne!(head.replacen(from, to, 1), head, "{from}");
        }
    }
}
