//! A WebSocket peer over a blocking socket: the little that is needed to be
//! accepted and to have a short message echoed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use openline_kit::bytes::{frame, handshake, server_frame};

/// How long any answer may take: a host that has to compile is much faster.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer to a handshake.
const HEAD_BYTES_MAX: usize = 4096;
/// FIN and the type of a text message.
const TEXT: u8 = 0x81;

pub(super) struct Peer(TcpStream);

impl Peer {
    pub(super) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("nobody listens")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self(stream))
    }

    pub(super) fn upgrade(&mut self, path: &str) -> anyhow::Result<()> {
        self.ask(path)?;
        self.accepted()
    }

    /// Sends the handshake.
    pub(super) fn ask(&mut self, path: &str) -> anyhow::Result<()> {
        Ok(self.0.write_all(handshake(path).as_bytes())?)
    }

    /// Reads its answer, and does not look for bytes after it: the echo speaks
    /// only when it is spoken to.
    pub(super) fn accepted(&mut self) -> anyhow::Result<()> {
        let mut head = [0; HEAD_BYTES_MAX];
        let mut length = 0;
        while !head[..length].ends_with(b"\r\n\r\n") {
            let read = self.0.read(&mut head[length..])?;
            ensure!(read > 0, "the connection ended within the handshake");
            length += read;
        }
        let text = String::from_utf8_lossy(&head[..length]);
        ensure!(text.starts_with("HTTP/1.1 101 "), "not accepted: {text}");
        Ok(())
    }

    /// Has a short message echoed.
    pub(super) fn exchange(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        self.0.write_all(&frame(TEXT, payload))?;
        let echo = server_frame(TEXT, payload);
        let mut answer = vec![0; echo.len()];
        self.0.read_exact(&mut answer)?;
        ensure!(answer == echo, "not the echo: {answer:?}");
        Ok(())
    }
}
