//! Writing: from messages to the socket.
//!
//! What one poll writes is gathered in the thread's buffer, and leaves with one
//! system call; the payload of a large message joins that call by reference.
//! Bounded by [`GATHERED_BYTES`] and one message: only when they have left does
//! the outbox give up more. Where compression was agreed on, a message is
//! compressed when it is taken from the outbox; bounded by
//! [`DEFLATED_BYTES_PER_POLL_MAX`] for each poll. The connection keeps the bytes
//! that the kernel does not take: a copy of those that were gathered, and a
//! reference to the payload.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use openline_channels::connection::Item;
use openline_channels::shared::SharedMessage;
use openline_core::close::CloseReason;
use openline_core::message::{Compress, Message};
use openline_websocket::{HEADER_BYTES_MAX, Header, Opcode};

use super::compression::{AT_ONCE_BYTES_MAX, Ready};
use super::scratch::{self, Scratch, WRITE_BYTES};
use super::{Socket, Wire};

/// How many bytes are gathered before they are written: a peer that does not
/// read has as many taken from its outbox, which no longer counts them.
pub(super) const GATHERED_BYTES: usize = 16 * 1024;

/// The largest payload that is gathered, in bytes; a larger one is written from
/// where it is. To copy 4 KiB takes about as long as one more part of a
/// vectored write does.
pub(super) const COPIED_BYTES_MAX: usize = 4 * 1024;

/// How many bytes of messages one poll compresses, before other connections have
/// their turn: a millisecond at the default level, four at the highest. A poll
/// exceeds it by one message that is compressed at once.
pub(super) const DEFLATED_BYTES_PER_POLL_MAX: usize = 64 * 1024;

/// What a message counts in addition to its payload: making the compressor ready
/// takes as long as this many bytes do.
const MESSAGE_OVERHEAD_BYTES: usize = 512;

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
    /// Bytes that this poll may still compress.
    allowed: usize,
    /// A message is being compressed, or this poll has compressed enough.
    stalled: bool,
}

impl<'a, S: Socket> Writer<'a, S> {
    pub(super) fn new(wire: &'a mut Wire<S>) -> Self {
        let stalled = wire.compression.as_ref().is_some_and(|it| it.is_pending());
        let mut writer = Self {
            wire,
            gathered: scratch::write(),
            large: Bytes::new(),
            allowed: DEFLATED_BYTES_PER_POLL_MAX,
            stalled,
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
        if self.stalled {
            ready!(self.poll_stalled(cx))?;
        }
        let has_room = self.gathered.len() < GATHERED_BYTES && self.large.is_empty();
        let is_stuck = self.wire.unflushed && self.wire.blocked;
        if has_room && self.wire.unsent.is_none() && !is_stuck {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
    }

    /// Adds an item, for which there must be room.
    pub(in super::super) fn start(&mut self, item: Item) {
        match item {
            Item::Message(message) => self.start_message(message, Compress::Configured),
            Item::Compress(message) => self.start_message(message, Compress::Always),
            Item::Plain(message) => self.start_message(message, Compress::Never),
            Item::Published(publication) => self.start_published(publication),
            Item::Ping(payload) => self.add(Opcode::Ping, payload),
        }
    }

    #[inline]
    fn start_message(&mut self, message: Message, compress: Compress) {
        let (opcode, payload) = parts(&message);
        if let Some(compression) = &self.wire.compression
            && compression.wants(payload.len(), compress)
        {
            let payload = payload.clone();
            return self.compress(opcode, payload);
        }
        if self.gather(Header::new(opcode, payload.len()), payload) {
            self.large = payload.clone();
        }
    }

    fn start_published(&mut self, publication: Arc<SharedMessage>) {
        let message = publication.message();
        if let Some(compression) = &self.wire.compression
            && compression.wants(message.bytes(), publication.compress())
        {
            return self.compress_published(publication);
        }
        if message.bytes() <= COPIED_BYTES_MAX {
            self.gathered.extend_from_slice(publication.frame(encode));
        } else {
            // Written from where it is, so there is nothing to encode but the
            // header.
            let (opcode, payload) = parts(message);
            self.add(opcode, payload.clone());
        }
    }

    fn add(&mut self, opcode: Opcode, payload: Bytes) {
        self.add_frame(Header::new(opcode, payload.len()), payload);
    }

    /// Adds a frame: a copy of a small payload, a reference to a large one.
    fn add_frame(&mut self, header: Header, payload: Bytes) {
        if self.gather(header, &payload) {
            self.large = payload;
        }
    }

    /// Gathers a header and its payload, unless that is a large one; returns
    /// whether it is.
    #[inline]
    fn gather(&mut self, header: Header, payload: &Bytes) -> bool {
        self.gathered.extend_from_slice(header.as_bytes());
        let is_large = payload.len() > COPIED_BYTES_MAX;
        if !is_large {
            self.gathered.extend_from_slice(payload);
        }
        is_large
    }

    /// Ready when the kernel has everything.
    pub(in super::super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        while self
            .wire
            .compression
            .as_ref()
            .is_some_and(|it| it.is_pending())
        {
            ready!(self.poll_stalled(cx))?;
        }
        self.poll_write_all(cx)
    }

    /// Ready when the kernel has everything that is ready to be sent.
    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
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

    // === compression ===

    /// Compresses a message at once, or begins to if it is a large one.
    #[inline(never)]
    fn compress(&mut self, opcode: Opcode, payload: Bytes) {
        let Some(compression) = &mut self.wire.compression else {
            return self.add(opcode, payload);
        };
        if payload.len() > AT_ONCE_BYTES_MAX {
            compression.begin(opcode, payload);
            self.stalled = true;
            return;
        }
        self.charge(payload.len());
        let mut deflated = scratch::deflated();
        let compression = self.wire.compression.as_mut();
        if !compression.is_some_and(|it| it.deflate(&payload, &mut deflated)) {
            return self.add(opcode, payload);
        }
        let header = Header::new(opcode, deflated.len()).compressed();
        self.gathered.extend_from_slice(header.as_bytes());
        if deflated.len() <= COPIED_BYTES_MAX {
            self.gathered.extend_from_slice(&deflated);
        } else {
            self.large = Bytes::copy_from_slice(&deflated);
        }
    }

    /// Adds the compressed form of a publication that all its receivers share,
    /// or begins to make it. A connection with a compressor of its own
    /// compresses it for itself.
    #[inline(never)]
    fn compress_published(&mut self, publication: Arc<SharedMessage>) {
        let Some(compression) = &mut self.wire.compression else {
            return;
        };
        if compression.compresses_itself() {
            let (opcode, payload) = parts(publication.message());
            return self.compress(opcode, payload.clone());
        }
        if !publication.is_compressed(compression.variant()) {
            self.charge(0);
        }
        let Some(compression) = &mut self.wire.compression else {
            return;
        };
        match compression.advance_published(&publication, &mut self.allowed) {
            Some(ready) => self.add_ready(ready),
            None => {
                compression.begin_published(publication);
                self.stalled = true;
            }
        }
    }

    /// Charges a message to what this poll may compress.
    fn charge(&mut self, bytes: usize) {
        let work = bytes + MESSAGE_OVERHEAD_BYTES;
        self.allowed = self.allowed.saturating_sub(work);
        self.stalled = self.allowed == 0;
    }

    fn add_ready(&mut self, ready: Ready) {
        match ready {
            Ready::Compressed(opcode, payload) => {
                let header = Header::new(opcode, payload.len()).compressed();
                self.add_frame(header, payload);
            }
            Ready::Plain(opcode, payload) => self.add(opcode, payload),
        }
    }

    /// Goes on with the message that is being compressed, when all before it has
    /// left. Ready if that has added it.
    #[cold]
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        ready!(self.poll_write_all(cx))?;
        let compression = self.wire.compression.as_mut();
        if let Some(ready) = compression.and_then(|it| it.advance(&mut self.allowed)) {
            self.add_ready(ready);
            self.stalled = self.allowed == 0;
            return Poll::Ready(Ok(()));
        }
        // This poll has compressed as much as it may.
        cx.waker().wake_by_ref();
        Poll::Pending
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

#[inline]
pub(super) fn parts(message: &Message) -> (Opcode, &Bytes) {
    match message {
        Message::Text(text) => (Opcode::Text, text.as_bytes()),
        Message::Binary(bytes) => (Opcode::Binary, bytes),
    }
}

/// The frame of a publication, for all that write it.
fn encode(message: &Message) -> Bytes {
    let (opcode, payload) = parts(message);
    let header = Header::new(opcode, payload.len());
    [header.as_bytes(), payload].concat().into()
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
