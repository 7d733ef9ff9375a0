//! The stream of a TCP connection over HTTP/2, which says that it ends.
//!
//! hyper drops the stream without a word where a peer breaks HTTP/2. Over TLS
//! the peer could not tell that from an attacker that cuts the stream off (RFC
//! 8446 section 6.1). Bounded: one attempt, which waits for nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Shuts its stream down when it is dropped, as far as that takes no waiting.
#[derive(Debug)]
pub(super) struct Closing<S: AsyncWrite + Unpin>(pub(super) S);

impl<S: AsyncWrite + Unpin> Drop for Closing<S> {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        // A peer that takes no bytes gets none.
        let _ = Pin::new(&mut self.0).poll_shutdown(&mut cx);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Closing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Closing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
