//! A stream of HTTP/2 as the socket of a WebSocket.
//!
//! The library copies what it is given, and keeps up to three writes on their
//! way to a peer without room; each is at most [`WRITE_BYTES`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::wire::Socket;

/// The largest write, in bytes: one frame of the least that HTTP/2 allows.
pub(crate) const WRITE_BYTES: usize = 16 * 1024;

/// The stream of an upgraded request.
#[derive(Debug)]
pub(crate) struct Stream(TokioIo<Upgraded>);

impl Stream {
    pub(crate) fn new(upgraded: Upgraded) -> Self {
        Self(TokioIo::new(upgraded))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = bytes.len().min(WRITE_BYTES);
        Pin::new(&mut self.0).poll_write(cx, &bytes[..most])
    }

    /// The library takes one part at a time.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = parts.iter().find(|part| !part.is_empty());
        self.poll_write(cx, first.map_or(&[], |part| part))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The system's time after which it gives up a peer belongs to the whole TCP
/// connection, whose own pings notice that the peer is gone.
impl Socket for Stream {
    const KEEPS: bool = true;
}
