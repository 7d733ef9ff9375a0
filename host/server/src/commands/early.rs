//! A stream whose peer may answer and close before it has read everything, for
//! example to refuse a body.
//!
//! Writing then fails while the answer waits to be read. So this stream hides a
//! write error which says that the peer has gone: it writes nothing more, and
//! reading finds the answer or the same error. It buffers nothing.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose writes do not fail while an answer may wait to be read.
#[derive(Debug)]
pub(super) struct AnsweredEarly<S> {
    stream: S,
    /// Whether the peer has stopped reading.
    deaf: bool,
}

impl<S: AsyncWrite + Unpin> AnsweredEarly<S> {
    pub(super) fn new(stream: S) -> Self {
        let deaf = false;
        Self { stream, deaf }
    }

    /// Writes while the peer reads. After that it stays pending, and the caller
    /// finds the answer by reading.
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
                // The read may have been polled before this.
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
