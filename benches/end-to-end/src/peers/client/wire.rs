//! A WebSocket client of as little as possible, so that what is measured is the
//! server: frames of at most 125 bytes, which must come back as expected. It is
//! not the kit's: that one would be a part of what is measured.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use openline_kit::bytes::{close_frame, frame, handshake, server_frame};
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

/// The first bytes of frames that are a whole message.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
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
        Ok(Self::new(rest[..start].parse()?, &rest[start..]))
    }

    pub(super) fn at(&self, path: &str) -> Self {
        Self::new(self.address, path)
    }

    /// The same with an offer of extensions.
    pub(super) fn offering(&self, offer: &str) -> Self {
        let request = String::from_utf8_lossy(&self.request);
        let line = format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n");
        Self {
            address: self.address,
            request: request.replace("\r\n\r\n", &line).into_bytes(),
        }
    }

    fn new(address: SocketAddr, path: &str) -> Self {
        let request = handshake(path).into_bytes();
        Self { address, request }
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

    /// Reads one frame of at most 64 KiB, whatever it is: its first byte, and how
    /// many bytes it has with its header.
    pub(super) async fn read_any(&mut self) -> anyhow::Result<(u8, u64)> {
        let [first, second] = self.0.read_u16().await?.to_be_bytes();
        ensure!(second < 127, "a longer frame than any here: {second}");
        let (header, payload) = match second {
            126 => (4, self.0.read_u16().await?),
            short => (2, u16::from(short)),
        };
        let mut read = vec![0; usize::from(payload)];
        self.0.read_exact(&mut read).await?;
        Ok((first, header + u64::from(payload)))
    }

    /// Waits for a ping and answers it; nothing else may come.
    pub(super) async fn answer_ping(&mut self) -> anyhow::Result<()> {
        let mut read = [0; FRAME_BYTES];
        let (head, payload) = read.split_at_mut(2);
        self.0.read_exact(head).await?;
        let is_ping = head[0] == PING && usize::from(head[1]) <= PAYLOAD_BYTES;
        ensure!(is_ping, "not a ping: {head:?}");
        let payload = &mut payload[..usize::from(head[1])];
        self.0.read_exact(payload).await?;
        Ok(self.send(&frame(PONG, payload)).await?)
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
        self.send(&close_frame(NORMAL, b"")).await?;
        let mut head = [0; 2];
        self.0.read_exact(&mut head).await?;
        ensure!(head[0] == CLOSE, "no close frame: {head:?}");
        Ok(self.0.set_zero_linger()?)
    }
}

/// A message as a client sends it.
pub(super) fn to_server(is_text: bool, payload: &[u8]) -> Vec<u8> {
    frame(first(is_text, payload), payload)
}

/// A message as a server sends it.
pub(super) fn from_server(is_text: bool, payload: &[u8]) -> Vec<u8> {
    server_frame(first(is_text, payload), payload)
}

fn first(is_text: bool, payload: &[u8]) -> u8 {
    assert!(
        payload.len() <= PAYLOAD_BYTES,
        "a longer payload needs another head"
    );
    if is_text { TEXT } else { BINARY }
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
    use super::{FRAME_BYTES, PAYLOAD_BYTES, Place, from_server, payload};

    #[test]
    fn a_payload_is_a_text_and_a_line_and_fits() {
        let payload = payload(7);
        assert_eq!(payload.len(), PAYLOAD_BYTES);
        assert!(payload.is_ascii() && !payload.contains(&b'\n'));
        assert_eq!(from_server(true, &payload).len(), FRAME_BYTES);
    }

    #[test]
    fn a_place_is_read_from_a_target() {
        let target = "ws://127.0.0.1:8080/echo".parse().unwrap();
        let place = Place::of(&target).unwrap();
        assert_eq!(place.address.port(), 8080);
        assert!(
            place
                .request
                .starts_with(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n")
        );
    }
}
