//! Plain HTTP: one request on a TCP connection of its own. Answers are read to
//! the end of their stream, [`ANSWER_BYTES_MAX`] at most; their bodies must not
//! come in chunks.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bytes;

/// The most that is read of an answer: the largest component, and some.
pub const ANSWER_BYTES_MAX: u64 = 128 << 20;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// Asks once, as a program on this machine does. A body comes with its type.
///
/// # Errors
///
/// Where the connection fails, or what comes is no response.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<(&str, &[u8])>,
) -> io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
    if let Some((kind, _)) = body {
        head += &format!("Content-Type: {kind}\r\n");
    }
    let body = body.map_or(&[][..], |(_, body)| body);
    head += &format!("Content-Length: {}\r\n", body.len());
    with_head(address, &head, body).await
}

/// Sends a head without its last lines, then a body, and reads the answer.
///
/// # Errors
///
/// Where the connection fails, or what comes is no response.
pub async fn with_head(address: SocketAddr, head: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let head = format!("{head}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    Answer::read(stream).await
}

impl Answer {
    /// Reads an answer up to the end of its stream.
    ///
    /// # Errors
    ///
    /// Where reading fails, or what comes is no response.
    pub async fn read(stream: impl AsyncRead + Unpin) -> io::Result<Self> {
        let mut all = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut all).await?;
        Self::parse(&all).ok_or_else(|| {
            let said = format!("no response: {:?}", String::from_utf8_lossy(&all));
            io::Error::new(io::ErrorKind::InvalidData, said)
        })
    }

    /// Takes an answer apart. None: its head is not whole, or not one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, body) = split(bytes)?;
        Some(Self {
            status: bytes::status(bytes)?,
            head: std::str::from_utf8(head).ok()?.to_ascii_lowercase(),
            body: body.to_vec(),
        })
    }

    /// The body, which must be JSON.
    ///
    /// # Panics
    ///
    /// Where it is not.
    #[must_use]
    #[track_caller]
    pub fn value(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: {text}", self.head))
    }

    /// Asserts that it is refused with a status and a word, and that the error has
    /// its three parts.
    ///
    /// # Panics
    ///
    /// Where that is not so.
    #[track_caller]
    pub fn refused(&self, status: u16, error: &str) {
        let value = self.value();
        assert_eq!(
            (self.status, value["error"].as_str()),
            (status, Some(error)),
            "{value}"
        );
        for part in ["message", "hint"] {
            assert!(
                value[part].as_str().is_some_and(|text| !text.is_empty()),
                "{value}"
            );
        }
    }
}

/// Whether a response has come with as much body as its head says, on a
/// connection that stays open.
#[must_use]
pub fn is_whole(response: &[u8]) -> bool {
    let Some((head, body)) = split(response) else {
        return false;
    };
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A head with the end of its last line, and what follows the empty line.
fn split(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((&response[..end + 2], &response[end + 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";

    #[test]
    fn an_answer_is_whole_with_its_body() {
        assert!(is_whole(WHOLE));
        for bytes in 0..WHOLE.len() {
            assert!(!is_whole(&WHOLE[..bytes]), "{bytes}");
        }
        assert!(is_whole(b"HTTP/1.1 204 No Content\r\n\r\n"));
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = Answer::parse(WHOLE).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (404, &b"no"[..]));
        assert!(answer.head.ends_with("content-length: 2\r\n"));
        for other in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"no response\r\n\r\n"] {
            assert!(Answer::parse(other).is_none());
        }
    }
}
