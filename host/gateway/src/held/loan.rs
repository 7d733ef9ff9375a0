//! A socket on loan to hyper. hyper keeps 16 KiB of buffers for a TCP connection of
//! HTTP/1.1, many times what a held answer needs. So once it has written the
//! beginning of one, the host takes the socket back, and the task of the answer
//! writes the rest. It also gets every socket back that hyper has done with, to end it
//! as its peer must see it (`ending`).
//!
//! Nothing is locked where bytes travel: the socket comes back when hyper drops it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::slot::Slot;

/// A socket as hyper has it.
#[derive(Debug)]
pub(crate) struct Lent<S> {
    /// There until it is dropped or taken.
    stream: Option<S>,
    loan: Arc<Loan<S>>,
}

/// The lender's side.
#[derive(Debug)]
pub(crate) struct Loan<S> {
    /// The held answer for which the socket is wanted back.
    held: OnceLock<Arc<Slot>>,
    /// hyper has shut it down, which it does behind a whole answer.
    is_shut: AtomicBool,
    back: Mutex<Option<S>>,
}

impl<S> Loan<S> {
    /// Lends a socket.
    pub(crate) fn new(stream: S) -> (Arc<Self>, Lent<S>) {
        let loan = Arc::new(Self {
            held: OnceLock::new(),
            is_shut: AtomicBool::new(false),
            back: Mutex::new(None),
        });
        let lent = Lent {
            stream: Some(stream),
            loan: Arc::clone(&loan),
        };
        (loan, lent)
    }

    /// Notes that the socket is wanted back for a held answer. It is the last of its
    /// TCP connection.
    pub(crate) fn want(&self, slot: &Arc<Slot>) {
        let _ = self.held.set(Arc::clone(slot));
    }

    /// Ready once hyper has nothing left to write of a held answer. To be polled
    /// behind hyper, by the same task.
    pub(crate) fn poll_written(&self) -> Poll<Arc<Slot>> {
        let held = self.held.get().filter(|slot| slot.hand_over());
        held.map_or(Poll::Pending, |slot| Poll::Ready(Arc::clone(slot)))
    }

    /// Whether hyper has shut the socket down.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Relaxed)
    }

    /// The socket, once hyper has dropped it.
    pub(crate) fn take_back(&self) -> Option<S> {
        self.back.lock().take()
    }
}

impl<S> Lent<S> {
    /// The socket, for good.
    pub(crate) fn into_stream(mut self) -> Option<S> {
        self.stream.take()
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        *self.loan.back.lock() = self.stream.take();
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_read(cx, buffer),
            None => Poll::Ready(Err(gone())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_write(cx, bytes),
            None => Poll::Ready(Err(gone())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            None => Poll::Ready(Err(gone())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(AsyncWrite::is_write_vectored)
    }

    /// hyper flushes when it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(gone()));
        };
        ready!(Pin::new(stream).poll_flush(cx))?;
        if let Some(slot) = self.loan.held.get() {
            slot.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(gone()));
        };
        ready!(Pin::new(stream).poll_shutdown(cx))?;
        self.loan.is_shut.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}
