//! A client of Centrifugo's JSON protocol of as little as possible, so that what
//! is measured is the server, and a publisher over HTTP that keeps its connection.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use openline_kit::bytes::{frame, handshake, status};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where both servers take connections.
const PATH: &str = "/connection/websocket";

/// The first byte of a text message (RFC 6455, section 5.2).
const TEXT: u8 = 0x81;
const OPCODES: u8 = 0x0F;
const CLOSE: u8 = 0x08;

/// A ping, and the answer to it.
const PING: &[u8] = b"{}";

/// Room for a read.
const READ_BYTES: usize = 4 << 10;

/// Longest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// An open connection of a peer.
#[derive(Debug)]
pub(super) struct Speaker {
    stream: TcpStream,
    read: Vec<u8>,
    next: u64,
}

impl Speaker {
    /// Opens a connection, and connects without a token.
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(handshake(PATH).as_bytes()).await?;
        let mut read = Vec::new();
        let end = head_end(&mut stream, &mut read).await?;
        let head = String::from_utf8_lossy(&read);
        ensure!(head.starts_with("HTTP/1.1 101 "), "refused: {head}");
        read.drain(..end);
        let mut speaker = Self {
            stream,
            read,
            next: 0,
        };
        speaker.ask("connect", json!({})).await?;
        Ok(speaker)
    }

    /// A command as it is sent.
    pub(super) fn command(&mut self, name: &str, parameters: &Value) -> Vec<u8> {
        self.next += 1;
        let command = json!({ "id": self.next, name: parameters });
        frame(TEXT, command.to_string().as_bytes())
    }

    pub(super) async fn send(&mut self, frames: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(frames).await?)
    }

    /// Sends a command and returns the answer to it; what comes before is passed
    /// over.
    pub(super) async fn ask(&mut self, name: &str, parameters: Value) -> anyhow::Result<Value> {
        let command = self.command(name, &parameters);
        self.send(&command).await?;
        let (id, mut found) = (self.next, None);
        while found.is_none() {
            self.lines(|line| {
                // Most of what comes otherwise are publications.
                if line.starts_with(b"{\"id\"") || line.starts_with(b"{\"error\"") {
                    let answer: Value = serde_json::from_slice(line)?;
                    ensure!(answer["error"].is_null(), "{name}: {answer}");
                    if answer["id"] == json!(id) {
                        found = Some(answer[name].clone());
                    }
                }
                Ok(())
            })
            .await?;
        }
        found.context("an answer")
    }

    /// Reads what is there, at least something, and hands over each message of
    /// the protocol that is whole: frames hold one or more, a line each.
    pub(super) async fn lines(
        &mut self,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.read.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.read).await?;
        ensure!(read > 0, "the connection has ended");
        let (mut at, mut is_asked) = (0, false);
        while let Some((first, payload)) = whole(&self.read[at..]) {
            let text = &self.read[at..][payload.clone()];
            if first & OPCODES == CLOSE {
                let text = String::from_utf8_lossy(text);
                anyhow::bail!("the server has closed: {text}");
            }
            if first == TEXT {
                let lines = text.split(|byte| *byte == b'\n');
                let lines = lines.inspect(|line| is_asked |= *line == PING);
                let lines = lines.filter(|line| *line != PING);
                lines
                    .filter(|line| !line.is_empty())
                    .try_for_each(&mut each)?;
            }
            at += payload.end;
        }
        self.read.drain(..at);
        if is_asked {
            self.send(&frame(TEXT, PING)).await?;
        }
        Ok(())
    }

    /// Ends without more words, so that no pair of ports is kept.
    pub(super) fn reset(self) -> anyhow::Result<()> {
        Ok(self.stream.set_zero_linger()?)
    }
}

/// The first byte of the frame at the beginning, and where its payload is; none
/// where it has not come whole. Servers do not mask.
fn whole(read: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let (&first, &second) = (read.first()?, read.get(1)?);
    let (start, bytes) = match second & 0x7F {
        126 => (
            4,
            u64::from(u16::from_be_bytes(read.get(2..4)?.try_into().ok()?)),
        ),
        127 => (10, u64::from_be_bytes(read.get(2..10)?.try_into().ok()?)),
        bytes => (2, u64::from(bytes)),
    };
    let end = start + usize::try_from(bytes).ok()?;
    (read.len() >= end).then_some((first, start..end))
}

/// Reads until a head is whole, and says where it ends.
async fn head_end(stream: &mut TcpStream, read: &mut Vec<u8>) -> anyhow::Result<usize> {
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            return Ok(end + 4);
        }
        ensure!(read.len() <= HEAD_BYTES_MAX, "an answer is too long");
        ensure!(stream.read_buf(read).await? > 0, "no answer");
    }
}

/// A backend that publishes by Centrifugo's interface, which both servers have.
#[derive(Debug)]
pub(super) struct Backend {
    stream: TcpStream,
    key: String,
}

impl Backend {
    pub(super) async fn open(address: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let key = key.to_owned();
        Ok(Self { stream, key })
    }

    /// Publishes, and returns what the answer says.
    pub(super) async fn publish(&mut self, channel: &str, data: &str) -> anyhow::Result<Value> {
        let body = json!({ "channel": channel, "data": data }).to_string();
        let request = format!(
            "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut read = Vec::with_capacity(512);
        let end = head_end(&mut self.stream, &mut read).await?;
        let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("no length")?.trim().parse()?;
        while read.len() < end + length {
            ensure!(self.stream.read_buf(&mut read).await? > 0, "no answer");
        }
        let text = String::from_utf8_lossy(&read);
        ensure!(status(&read) == Some(200), "{text}");
        let answer: Value = serde_json::from_slice(&read[end..])?;
        ensure!(answer["error"].is_null(), "{answer}");
        Ok(answer["result"].clone())
    }
}

#[cfg(test)]
mod tests {
    use openline_kit::bytes::server_frame;

    use super::whole;

    #[test]
    fn frames_of_all_lengths_are_read() {
        for bytes in [0, 125, 126, 65_535, 65_536] {
            let mut frame = server_frame(0x81, &vec![7; bytes]);
            let (first, payload) = whole(&frame).unwrap();
            assert_eq!(
                (first, payload.len(), payload.end),
                (0x81, bytes, frame.len())
            );
            frame.pop();
            assert_eq!(whole(&frame), None, "{bytes}");
        }
    }
}
