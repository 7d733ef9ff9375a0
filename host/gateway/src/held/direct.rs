//! The socket of a held answer over HTTP/1.1, to which its task writes without
//! hyper: pieces of the body as chunks (RFC 9112 section 7.1), or as they are for a
//! peer of HTTP/1.0.
//!
//! Bounded by one piece that the kernel has not taken. What the peer sends is
//! discarded, up to [`DISCARDED_MAX`]; past that nothing is read any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::wire::Socket;

/// What a peer may send behind its request, in bytes: clients send nothing, or a
/// request too many.
const DISCARDED_MAX: usize = 64 * 1024;

/// One read of what is discarded.
const READ_BYTES: usize = 1024;

/// Room for the size of a chunk, which may have zeros in front.
const SIZE: &str = "00000000\r\n";

/// The end of the body, if it is whole.
const LAST: &[u8] = b"0\r\n\r\n";

/// How the body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// In chunks.
    #[default]
    Chunked,
    /// Until the TCP connection ends.
    Bare,
}

/// A socket of a peer, of whichever type.
pub(crate) trait HeldSocket: AsyncRead + AsyncWrite + Unpin + Send {
    /// See [`Socket::give_up_after`].
    fn give_up_after(&self, time: Duration);
}

impl<S: Socket + Send> HeldSocket for S {
    fn give_up_after(&self, time: Duration) {
        Socket::give_up_after(self, Some(time));
    }
}

/// A socket and what is on its way to it.
pub(crate) struct Direct {
    socket: Box<dyn HeldSocket>,
    framing: Framing,
    unsent: Bytes,
    /// TLS has bytes that it has not given to the kernel.
    is_unflushed: bool,
    discarded: usize,
    /// Whether the kernel has taken something since this was last asked.
    has_moved: bool,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Direct");
        shown.field("framing", &self.framing);
        shown.field("unsent", &self.unsent.len());
        shown.finish_non_exhaustive()
    }
}

impl Direct {
    pub(crate) fn new(socket: Box<dyn HeldSocket>, framing: Framing) -> Box<Self> {
        Box::new(Self {
            socket,
            framing,
            unsent: Bytes::new(),
            is_unflushed: false,
            discarded: 0,
            has_moved: false,
        })
    }

    /// Makes writing fail when the peer's machine acknowledges nothing for so long.
    pub(super) fn give_up_after(&self, time: Duration) {
        self.socket.give_up_after(time);
    }

    /// Whether something waits that the kernel has not taken.
    pub(super) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty() || self.is_unflushed
    }

    /// Whether the kernel has taken something since this was last asked.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Ready when the peer has gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [0; READ_BYTES];
        while self.discarded < DISCARDED_MAX {
            let mut buffer = ReadBuf::new(&mut room);
            match Pin::new(&mut *self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.discarded += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// Writes what waits; ready when nothing does.
    pub(super) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut *self.socket).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    let _ = self.unsent.split_to(count);
                    self.is_unflushed = true;
                    self.has_moved = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Without its buffer.
        self.unsent = Bytes::new();
        if self.is_unflushed {
            match Pin::new(&mut *self.socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.is_unflushed = false,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What the bytes of a piece are put behind.
    pub(super) fn piece(&self) -> Vec<u8> {
        match self.framing {
            Framing::Chunked => Vec::from(SIZE),
            Framing::Bare => Vec::new(),
        }
    }

    /// Puts a piece when nothing waits.
    pub(super) fn put(&mut self, piece: Vec<u8>) {
        self.unsent = framed(piece, self.framing);
    }

    /// Ends the body as a whole one.
    pub(super) fn put_end(&mut self) {
        if self.framing == Framing::Chunked {
            self.unsent = Bytes::from_static(LAST);
        }
    }

    /// Ends what is written, and waits until the peer has ended, too: a socket that
    /// is closed with unread bytes takes back what it has sent.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match Pin::new(&mut *self.socket).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => self.poll_gone(cx),
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A piece as it is written: behind [`SIZE`] for one in chunks.
fn framed(mut piece: Vec<u8>, framing: Framing) -> Bytes {
    if framing == Framing::Bare {
        return piece.into();
    }
    let bytes = piece.len() - SIZE.len();
    if bytes == 0 {
        // A chunk without bytes would be the last one.
        return Bytes::new();
    }
    let size = format!("{bytes:08x}");
    piece[..size.len()].copy_from_slice(size.as_bytes());
    piece.extend_from_slice(b"\r\n");
    piece.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_a_chunk_and_an_empty_one_is_nothing() {
        let piece = |bytes: &[u8]| [SIZE.as_bytes(), bytes].concat();
        let chunk = framed(piece(&[b'x'; 300]), Framing::Chunked);
        assert!(chunk.starts_with(b"0000012c\r\nxxx") && chunk.ends_with(b"xxx\r\n"));
        assert_eq!(chunk.len(), 312);
        assert!(framed(piece(b""), Framing::Chunked).is_empty());
        assert_eq!(framed(b"as it is".to_vec(), Framing::Bare), "as it is");
    }
}
