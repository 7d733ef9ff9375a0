//! A stream whose peer may have answered before it has read everything: it
//! refuses a body by its first line, and closes.
//!
//! Writing fails then, while the answer waits to be read. So a failure that
//! says that the peer has gone is not told: nothing is written any more, and
//! reading finds the answer, or the same failure. Keeps nothing.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose writes do not fail while an answer may wait to be read.
#[derive(Debug)]
pub(super) struct AnsweredEarly<S> {
    stream: S,
    /// The peer reads no more.
    deaf: bool,
}

impl<S: AsyncWrite + Unpin> AnsweredEarly<S> {
    pub(super) fn new(stream: S) -> Self {
        let deaf = false;
        Self { stream, deaf }
    }

    /// Writes for as long as the peer reads. After that it is never ready: who
    /// writes is to wait for what comes by reading.
    fn poll_unless_deaf<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.deaf {
            return Poll::Pending;
        }
        match ready!(write(Pin::new(&mut self.stream), cx)) {
            Err(error) if is_gone(error.kind()) => {
                self.deaf = true;
                // Reading may have been asked before this.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }
}

fn is_gone(cause: ErrorKind) -> bool {
    matches!(cause, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl<S: AsyncRead + Unpin> AsyncRead for AnsweredEarly<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnsweredEarly<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_unless_deaf(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_unless_deaf(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_unless_deaf(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
