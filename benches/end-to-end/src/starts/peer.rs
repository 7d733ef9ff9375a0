//! A WebSocket peer over a blocking socket: the little that is needed to be
//! accepted and to have a short message echoed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

/// How long any answer may take: a host that has to compile is much faster.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer to a handshake.
const HEAD_BYTES_MAX: usize = 4096;
/// Payloads up to here have their length in one byte.
const SHORT_BYTES_MAX: usize = 125;
/// FIN and the type of a text message.
const TEXT: u8 = 0x81;
/// A client masks; with zeros, which changes nothing.
const MASKED: u8 = 0x80;

pub(super) struct Peer {
    stream: TcpStream,
    address: SocketAddr,
}

impl Peer {
    pub(super) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("nobody listens")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, address })
    }

    pub(super) fn upgrade(&mut self, path: &str) -> anyhow::Result<()> {
        self.ask(path)?;
        self.accepted()
    }

    /// Sends the handshake.
    pub(super) fn ask(&mut self, path: &str) -> anyhow::Result<()> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        Ok(self.stream.write_all(head.as_bytes())?)
    }

    /// Reads its answer. What is behind that is not looked for: the echo
    /// speaks when it is spoken to.
    pub(super) fn accepted(&mut self) -> anyhow::Result<()> {
        let mut head = [0; HEAD_BYTES_MAX];
        let mut length = 0;
        while !head[..length].ends_with(b"\r\n\r\n") {
            let read = self.stream.read(&mut head[length..])?;
            ensure!(read > 0, "the connection ended within the handshake");
            length += read;
        }
        let text = String::from_utf8_lossy(&head[..length]);
        ensure!(text.starts_with("HTTP/1.1 101 "), "not accepted: {text}");
        Ok(())
    }

    /// Has a short message echoed.
    pub(super) fn exchange(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
        ensure!(
            usize::from(length) <= SHORT_BYTES_MAX,
            "not a short message"
        );
        let mut frame = vec![TEXT, MASKED | length, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)?;
        let mut answer = vec![0; 2 + payload.len()];
        self.stream.read_exact(&mut answer)?;
        ensure!(
            answer[0] == TEXT && answer[1] == length && answer[2..] == *payload,
            "not the echo: {answer:?}"
        );
        Ok(())
    }
}
