//! Writing: from messages to the socket.
//!
//! What one poll writes is gathered in the thread's buffer, and leaves with one
//! system call; the payload of a large message joins that call by reference.
//! Bounded by [`GATHERED_BYTES`] and one message: only when they have left does
//! the outbox give up more. What the kernel does not take stays with the
//! connection: a copy of the gathered bytes, and a reference to the payload.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use openline_channels::connection::Item;
use openline_core::close::CloseReason;
use openline_core::message::Message;
use openline_websocket::{HEADER_BYTES_MAX, Header, Opcode};

use super::scratch::{self, Scratch, WRITE_BYTES};
use super::{Socket, Wire};

/// How many bytes are gathered before they are written: a peer that does not
/// read has as many taken from its outbox, which no longer counts them.
pub(super) const GATHERED_BYTES: usize = 16 * 1024;

/// The largest payload that is gathered, in bytes; a larger one is written from
/// where it is. To copy 4 KiB takes about as long as one more part of a
/// vectored write does.
pub(super) const COPIED_BYTES_MAX: usize = 4 * 1024;

// The buffer never grows.
const _: () = assert!(GATHERED_BYTES + HEADER_BYTES_MAX + COPIED_BYTES_MAX <= WRITE_BYTES);

/// What the kernel has not taken.
#[derive(Debug)]
pub(super) struct Unsent {
    gathered: Bytes,
    large: Bytes,
}

/// A wire and its thread's buffer, for one poll. Dropping it keeps what has not
/// left.
#[derive(Debug)]
pub(crate) struct Writer<'a, S> {
    wire: &'a mut Wire<S>,
    gathered: Scratch,
    /// The payload that follows what is gathered, if it is a large one.
    large: Bytes,
}

impl<'a, S: Socket> Writer<'a, S> {
    pub(super) fn new(wire: &'a mut Wire<S>) -> Self {
        let mut writer = Self {
            wire,
            gathered: scratch::write(),
            large: Bytes::new(),
        };
        if writer.wire.unsent.is_none() {
            writer.gather_control();
        }
        writer
    }

    /// Ready when there is room for one more item.
    pub(in super::super) fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        let has_room = self.gathered.len() < GATHERED_BYTES && self.large.is_empty();
        let is_stuck = self.wire.unflushed && self.wire.blocked;
        if has_room && self.wire.unsent.is_none() && !is_stuck {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
    }

    /// Adds an item, for which there must be room.
    pub(in super::super) fn start(&mut self, item: Item) {
        let (opcode, payload) = match item {
            Item::Message(Message::Text(text)) => (Opcode::Text, text.into_bytes()),
            Item::Message(Message::Binary(bytes)) => (Opcode::Binary, bytes),
            Item::Ping(payload) => (Opcode::Ping, payload),
        };
        let header = Header::new(opcode, payload.len());
        self.gathered.extend_from_slice(header.as_bytes());
        if payload.len() <= COPIED_BYTES_MAX {
            self.gathered.extend_from_slice(&payload);
        } else {
            self.large = payload;
        }
    }

    /// Ready when the kernel has everything.
    pub(in super::super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        loop {
            let written = if let Some(mut unsent) = self.wire.unsent.take() {
                let written = self.wire.poll_write(cx, &unsent.gathered, &unsent.large);
                if let Poll::Ready(Ok(bytes)) = written {
                    unsent.advance(bytes);
                }
                if unsent.is_empty() {
                    self.gather_control();
                } else {
                    self.wire.unsent = Some(unsent);
                }
                written
            } else if self.is_empty() {
                let flushed = ready!(self.wire.poll_flushed(cx));
                return Poll::Ready(flushed.map_err(|_| CloseReason::Lost));
            } else {
                let written = self.wire.poll_write(cx, &self.gathered, &self.large);
                if let Poll::Ready(Ok(bytes)) = written {
                    self.keep_behind(bytes);
                }
                written
            };
            if ready!(written).is_err() {
                return Poll::Ready(Err(CloseReason::Lost));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.large.is_empty()
    }

    fn gather_control(&mut self) {
        if !self.wire.control.is_empty() {
            let control = std::mem::take(&mut self.wire.control);
            self.gathered.extend_from_slice(&control);
        }
    }
}

impl<S> Writer<'_, S> {
    /// Keeps what is behind the first bytes with the connection.
    fn keep_behind(&mut self, written: usize) {
        let (gathered, large) = (&mut *self.gathered, std::mem::take(&mut self.large));
        let all = gathered.len() + large.len();
        if written < all {
            let of_gathered = written.min(gathered.len());
            self.wire.unsent = Some(Box::new(Unsent {
                gathered: Bytes::copy_from_slice(&gathered[of_gathered..]),
                large: large.slice(written - of_gathered..),
            }));
        }
        gathered.clear();
    }
}

impl<S> Drop for Writer<'_, S> {
    fn drop(&mut self) {
        // Either there was something unsent before and nothing is gathered, or
        // the other way round.
        if !self.gathered.is_empty() || !self.large.is_empty() {
            self.keep_behind(0);
        }
    }
}

// === impl Unsent ===

impl Unsent {
    fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.large.is_empty()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.gathered.len() + self.large.len()
    }

    fn advance(&mut self, bytes: usize) {
        let of_gathered = bytes.min(self.gathered.len());
        self.gathered.advance(of_gathered);
        self.large.advance(bytes - of_gathered);
    }
}

// === impl Wire ===

impl<S: Socket> Wire<S> {
    /// Answers a ping, whose payload has at most 125 bytes. The caller bounds
    /// how many answers wait.
    pub(super) fn pong(&mut self, payload: &Bytes) {
        let header = Header::new(Opcode::Pong, payload.len());
        self.control.extend_from_slice(header.as_bytes());
        self.control.extend_from_slice(payload);
    }

    /// Writes once, at least a byte of both parts together.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = Pin::new(&mut self.socket);
        let polled = if second.is_empty() {
            socket.poll_write(cx, first)
        } else if first.is_empty() {
            socket.poll_write(cx, second)
        } else {
            socket.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)])
        };
        self.unflushed |= S::KEEPS;
        Poll::Ready(match ready!(self.note(polled)) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            written => written,
        })
    }

    /// Ready when the socket keeps nothing of what it has taken.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !S::KEEPS || !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.socket).poll_flush(cx);
        let flushed = ready!(self.note(polled));
        self.unflushed = false;
        Poll::Ready(flushed)
    }

    /// Notes whether the kernel's buffer is full.
    fn note<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        match polled {
            Poll::Pending => self.blocked = true,
            Poll::Ready(_) => self.progress |= std::mem::take(&mut self.blocked),
        }
        polled
    }
}
