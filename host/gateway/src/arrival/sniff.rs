//! Which HTTP a peer speaks without TLS, or whether it does where it should not.
//! HTTP/2 by prior knowledge begins with
//! words that no request of HTTP/1.1 begins with (RFC 9113 section 3.4).
//!
//! It looks at the first bytes and takes none; the caller bounds the time.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Http;

/// The beginning of the preface that tells it from every request: there is no
/// method of that name.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long to wait before looking again when only a part of the preface has
/// come: at first, and at most. The socket reports that it has bytes as long as
/// those are there. The wait doubles each time: the rest of a real preface comes
/// soon, and peers that send a part and no more must cost little.
const AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Waits for the first bytes and looks at them.
pub(super) async fn http(stream: &TcpStream) -> io::Result<Http> {
    let mut bytes = [0; PREFACE.len()];
    let mut had = 0;
    let mut wait = AGAIN.0;
    loop {
        let peeked = stream.peek(&mut bytes).await?;
        if !PREFACE.starts_with(&bytes[..peeked]) {
            return Ok(Http::One);
        }
        match peeked {
            // The end of the stream, which HTTP/1.1 knows how to meet.
            0 => return Ok(Http::One),
            _ if peeked == PREFACE.len() => return Ok(Http::Two),
            // No more may ever come.
            _ if peeked == had => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN.1);
            }
            _ => had = peeked,
        }
    }
}

/// Waits for the first byte and says whether it begins a request of HTTP without
/// TLS: a method is letters, and no record of TLS begins with one.
pub(super) async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut byte = [0];
    let peeked = stream.peek(&mut byte).await?;
    Ok(peeked == 1 && byte[0].is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_preface_in_any_pieces_is_told_from_requests() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for (sent, expected) in [
            (PREFACE, Http::Two),
            (b"PRI / HTTP/1.1\r\n\r\n", Http::One),
            (b"GET / HTTP/1.1\r\n\r\n", Http::One),
            (b"", Http::One),
        ] {
            let mut peer = TcpStream::connect(address).await.unwrap();
            peer.set_nodelay(true).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let sending = async {
                for byte in sent {
                    peer.write_all(&[*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                if sent.is_empty() {
                    peer.shutdown().await.unwrap();
                }
            };
            let (found, ()) = tokio::join!(http(&stream), sending);
            assert_eq!(found.unwrap(), expected, "{sent:?}");
        }
    }

    #[tokio::test]
    async fn a_peer_that_sends_a_part_and_no_more_is_looked_at_a_few_times() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut peer = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        peer.write_all(b"P").await.unwrap();
        let mut looking = Box::pin(http(&stream));
        let mut polls = 0;
        let counting = poll_fn(|cx| {
            polls += 1;
            looking.as_mut().poll(cx)
        });
        let found = tokio::time::timeout(Duration::from_secs(1), counting).await;
        assert!(found.is_err(), "{found:?}");
        // Without longer waits there are a hundred.
        assert!(polls < 20, "{polls} in a second");
        drop(looking);
        // The rest is still noticed.
        peer.write_all(&PREFACE[1..]).await.unwrap();
        assert_eq!(http(&stream).await.unwrap(), Http::Two);
    }
}
