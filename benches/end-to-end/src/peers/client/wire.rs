//! A WebSocket client of as little as possible, so that what is measured is the
//! server: frames of at most 125 bytes, which must come back as expected.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use openline_load::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest payload that a frame's first two bytes have room for (RFC 6455,
/// section 5.2), and the payload of every message here.
pub(super) const PAYLOAD_BYTES: usize = 125;

/// A message as a server sends it: two bytes and the payload.
const FRAME_BYTES: usize = 2 + PAYLOAD_BYTES;

/// Room for a read: sixteen frames.
const READ_BYTES: usize = 2 << 10;

/// Longest answer to a handshake that is read.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// The bits of a frame's first byte: the last of a message, and its type.
const FINAL: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
/// The bit of the second byte that says that a mask follows.
const MASKED: u8 = 0x80;
/// Peers here trust each other: it need not be drawn.
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x3e];
/// A normal end (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

/// Where a path is served.
#[derive(Debug, Clone)]
pub(super) struct Place {
    address: SocketAddr,
    /// The handshake's request.
    request: Vec<u8>,
}

impl Place {
    pub(super) fn of(target: &Target) -> anyhow::Result<Self> {
        let url = target.to_string();
        let rest = url.trim_start_matches("ws://");
        let start = rest.find('/').context("the target has no path")?;
        Self::new(rest[..start].parse()?, &rest[start..])
    }

    pub(super) fn at(&self, path: &str) -> anyhow::Result<Self> {
        Self::new(self.address, path)
    }

    fn new(address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        // The key of RFC 6455, section 1.3.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let request = request.into_bytes();
        Ok(Self { address, request })
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Wire(TcpStream);

impl Wire {
    pub(super) async fn open(place: &Place) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(place.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&place.request).await?;
        let mut head = Vec::with_capacity(512);
        while !head.ends_with(b"\r\n\r\n") {
            let read = stream.read_buf(&mut head).await?;
            ensure!(read > 0, "a handshake was not answered");
            ensure!(
                head.len() <= HEAD_BYTES_MAX,
                "an answer to a handshake is too long"
            );
        }
        let status = head.starts_with(b"HTTP/1.1 101 ");
        ensure!(status, "refused: {}", String::from_utf8_lossy(&head));
        Ok(Self(stream))
    }

    pub(super) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.0.write_all(frame).await
    }

    /// Reads this frame and no other.
    pub(super) async fn expect(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let mut read = [0; FRAME_BYTES];
        let read = &mut read[..frame.len()];
        self.0.read_exact(read).await?;
        ensure!(*read == *frame, "not what was sent: {read:?}");
        Ok(())
    }

    /// Reads what is there, at least something, and hands over each message's
    /// frame that is whole; what is not waits in `read`.
    pub(super) async fn read_frames(
        &mut self,
        read: &mut Vec<u8>,
        mut frame: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        read.reserve(READ_BYTES);
        ensure!(self.0.read_buf(read).await? > 0, "the connection has ended");
        let whole = read.chunks_exact(FRAME_BYTES);
        let rest = whole.remainder().len();
        for each in whole {
            frame(each)?;
        }
        read.drain(..read.len() - rest);
        Ok(())
    }

    /// The whole close handshake, then a reset: so neither side keeps the pair
    /// of ports for a minute, and they do not run out.
    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        self.send(&masked(CLOSE, &NORMAL.to_be_bytes())).await?;
        let mut head = [0; 2];
        self.0.read_exact(&mut head).await?;
        ensure!(head[0] == FINAL | CLOSE, "no close frame: {head:?}");
        Ok(self.0.set_zero_linger()?)
    }
}

/// A message as a client sends it.
pub(super) fn to_server(is_text: bool, payload: &[u8]) -> Vec<u8> {
    masked(if is_text { TEXT } else { BINARY }, payload)
}

/// A message as a server sends it.
pub(super) fn from_server(is_text: bool, payload: &[u8]) -> Vec<u8> {
    let kind = if is_text { TEXT } else { BINARY };
    let mut frame = vec![FINAL | kind, length(payload)];
    frame.extend_from_slice(payload);
    frame
}

fn masked(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FINAL | kind, MASKED | length(payload)];
    frame.extend_from_slice(&MASK);
    let bytes = payload.iter().zip(MASK.iter().cycle());
    frame.extend(bytes.map(|(byte, mask)| byte ^ mask));
    frame
}

fn length(payload: &[u8]) -> u8 {
    assert!(
        payload.len() <= PAYLOAD_BYTES,
        "a longer payload needs another head"
    );
    u8::try_from(payload.len()).unwrap_or(u8::MAX)
}

/// The payload of this number: ASCII without an end of line, so that it is a
/// text, and a line, as well.
pub(super) fn payload(number: u64) -> Vec<u8> {
    let mut payload = format!("{number:016x}").into_bytes();
    payload.extend((b'a'..=b'z').cycle().take(PAYLOAD_BYTES - payload.len()));
    payload
}

#[cfg(test)]
mod tests {
    use super::{PAYLOAD_BYTES, Place, from_server, payload, to_server};

    #[test]
    fn a_masked_frame_is_the_servers_when_it_is_unmasked() {
        let payload = payload(7);
        assert_eq!(payload.len(), PAYLOAD_BYTES);
        assert!(!payload.contains(&b'\n'));
        let frame = to_server(true, &payload);
        let (head, rest) = frame.split_at(2);
        let (mask, masked) = rest.split_at(4);
        let bytes = masked.iter().zip(mask.iter().cycle());
        let unmasked: Vec<u8> = bytes.map(|(byte, mask)| byte ^ mask).collect();
        let back = [&[head[0], head[1] & 0x7f], &unmasked[..]].concat();
        assert_eq!(back, from_server(true, &payload));
    }

    #[test]
    fn a_place_is_read_from_a_target() {
        let target = "ws://127.0.0.1:8080/echo".parse().unwrap();
        let place = Place::of(&target).unwrap();
        assert_eq!(place.address.port(), 8080);
        assert!(
            place
                .request
                .starts_with(b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
        );
    }
}
