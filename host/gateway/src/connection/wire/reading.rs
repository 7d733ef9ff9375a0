//! Reading: from the socket to messages.
//!
//! Bounded by [`READ_BYTES_PER_POLL_MAX`] and [`INFLATED_BYTES_PER_POLL_MAX`]
//! for each poll, by the limits of a message, and by the connection's [`Room`].
//! Small messages are copied
//! once, from the thread's buffer; the rest of a large frame is read to where
//! its message is made.

use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes};
use openline_core::close::{CODE_ABSENT, CloseInfo, CloseReason};
use openline_core::limits::RECEIVED_FREE_BYTES;
use openline_core::message::Message;
use openline_websocket::{self as websocket, Close, Inflater, Receiver, Role, Violation};
use tokio::io::{AsyncReadExt, ReadBuf};

use super::super::intake::Room;
use super::scratch::{self, Scratch};
use super::{Hold, Socket, Wire};

/// How many bytes one poll reads before other connections have their turn: a
/// peer that sends as fast as the host reads must not keep a thread busy. One
/// read may exceed it, by what the kernel had.
pub(super) const READ_BYTES_PER_POLL_MAX: usize = 1024 * 1024;

/// How many bytes one poll decompresses; each that is taken counts as 32 (see
/// [`Inflater::allow`]). About a millisecond, and four at the worst.
pub(super) const INFLATED_BYTES_PER_POLL_MAX: usize = 1024 * 1024;

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Message(Message),
    /// A message that was skipped.
    Skipped,
    /// A ping, which [`Reader::pong`] answers.
    Ping(Bytes),
    Pong(Bytes),
    /// Nothing follows. A violation comes in its order, behind all that was
    /// valid before it.
    End(CloseReason),
}

/// A wire and its thread's buffer, for one poll. Dropping it keeps what was
/// read and not parsed, and what has come of a message; most polls leave
/// neither, so the state of the codec needs no place in a connection.
#[derive(Debug)]
pub(crate) struct Reader<'a, S> {
    wire: &'a mut Wire<S>,
    receiver: Receiver,
    /// There only if compression was agreed on.
    inflater: Option<Box<Inflater>>,
    scratch: Scratch,
    /// What of the buffer was read and is not parsed: nothing while the wire
    /// has a rest.
    unparsed: Range<usize>,
    /// Bytes that this poll has read.
    read: usize,
}

impl<'a, S: Socket> Reader<'a, S> {
    pub(super) fn new(wire: &'a mut Wire<S>) -> Self {
        let receiver = match wire.partial.take() {
            Some(partial) => *partial,
            None => Receiver::new(Role::Server, wire.limits),
        };
        let inflater = wire.compression.as_mut().map(|compression| {
            let mut inflater = compression.take_inflater();
            inflater.allow(INFLATED_BYTES_PER_POLL_MAX);
            inflater
        });
        Self {
            wire,
            receiver,
            inflater,
            scratch: scratch::read(),
            unparsed: 0..0,
            read: 0,
        }
    }

    /// What comes next. After [`Received::End`] it must not be called again.
    pub(crate) fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room<'_>,
    ) -> Poll<Received> {
        // Not even begun until there is room.
        if self.is_inflating() && room.is_waiting() {
            ready!(room.poll_more(cx, 0));
        }
        loop {
            if let Some(inflater) = &mut self.inflater {
                inflater.set_room(room.left(self.receiver.arrived_bytes()));
            }
            if let Some(received) = self.parse() {
                return Poll::Ready(received);
            }
            if self.is_inflating() {
                ready!(self.poll_inflating(cx, room));
            } else if let Some(received) = ready!(self.poll_read(cx, room)) {
                return Poll::Ready(received);
            }
        }
    }

    /// Ready when the message that is half decompressed may go on within this
    /// poll, and has room to; otherwise the task is woken then.
    #[cold]
    fn poll_inflating(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<()> {
        let inflater = self.inflater.as_mut().filter(|it| it.needs_room());
        let Some(inflater) = inflater else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        // As much again, so that it is not moved for each piece.
        let made = inflater.made_bytes();
        let polled = room.poll_more(cx, made);
        if polled.is_pending() && made <= RECEIVED_FREE_BYTES {
            // Thousands may wait: then none keeps a decompressor for little.
            inflater.restart();
        }
        polled
    }

    /// Whether a whole message has come that is not yet decompressed. The task is
    /// woken to go on.
    pub(crate) fn is_inflating(&self) -> bool {
        self.receiver.is_inflating()
    }

    /// Skips messages from now on.
    pub(super) fn discard_messages(&mut self) {
        self.receiver.discard_messages();
    }

    /// Answers a ping, before anything that is written later.
    pub(crate) fn pong(&mut self, payload: &Bytes) {
        self.wire.pong(payload);
    }

    /// Whether the last write found the kernel's buffer full.
    pub(crate) fn is_blocked(&self) -> bool {
        self.wire.is_blocked()
    }

    /// The next message or control frame in what was read.
    fn parse(&mut self) -> Option<Received> {
        let Wire { rest, hold, .. } = &mut *self.wire;
        let from_rest = !rest.is_empty();
        let input = match from_rest {
            true => &rest[..],
            false => &self.scratch[self.unparsed.clone()],
        };
        // A message that has come as a whole is handled even if reading is held.
        let has_more = !input.is_empty() && *hold != Hold::Everything;
        if !has_more && !self.receiver.is_inflating() {
            return None;
        }
        let mut left = input;
        let received = self
            .receiver
            .receive(&mut left, self.inflater.as_deref_mut());
        let parsed = input.len() - left.len();
        match (from_rest, left.is_empty()) {
            (true, true) => *rest = Bytes::new(),
            (true, false) => rest.advance(parsed),
            (false, _) => self.unparsed.start += parsed,
        }
        if self.receiver.is_over() {
            *rest = Bytes::new();
            self.unparsed = 0..0;
        }
        convert(received)
    }

    /// Reads once, into the thread's buffer or into a large message; `None` if
    /// that ended nothing.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<Option<Received>> {
        let Wire {
            socket,
            hold,
            counted,
            ..
        } = &mut *self.wire;
        // No waker is registered: the code that lifts the hold reads again.
        if *hold != Hold::Nothing {
            return Poll::Pending;
        }
        if self.read >= READ_BYTES_PER_POLL_MAX {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // What is skipped needs no room.
        let left = match self.receiver.discards_messages() {
            true => usize::MAX,
            false => ready!(poll_room(&mut self.receiver, cx, room)),
        };
        let (read, is_message) = match self.receiver.space() {
            Some((message, bytes)) => {
                let mut to = message.limit(bytes.min(left));
                (ready!(pin!(socket.read_buf(&mut to)).poll(cx)), true)
            }
            None => {
                let bytes = room.read_bytes(self.scratch.len(), left);
                let scratch = &mut self.scratch[..bytes];
                (ready!(poll_fill(socket, cx, scratch)), false)
            }
        };
        let Ok(bytes @ 1..) = read else {
            return Poll::Ready(Some(Received::End(CloseReason::Lost)));
        };
        self.read += bytes;
        counted.bytes += bytes as u64;
        if !is_message {
            self.unparsed = 0..bytes;
            return Poll::Ready(None);
        }
        Poll::Ready(convert(self.receiver.filled(self.inflater.as_deref_mut())))
    }
}

impl<S> Drop for Reader<'_, S> {
    fn drop(&mut self) {
        self.wire.counted.frames += self.receiver.take_begun();
        if let (Some(inflater), Some(compression)) =
            (self.inflater.take(), &mut self.wire.compression)
        {
            self.wire.counted.bytes += compression.give_back(inflater);
        }
        if self.receiver.is_over() {
            self.wire.over = true;
        } else if !self.receiver.is_between_messages() {
            let fresh = Receiver::new(Role::Server, self.wire.limits);
            let partial = std::mem::replace(&mut self.receiver, fresh);
            self.wire.partial = Some(Box::new(partial));
        }
        if !self.unparsed.is_empty() {
            self.wire.rest = Bytes::copy_from_slice(&self.scratch[self.unparsed.clone()]);
        }
    }
}

/// Ready when there is room to read, with its bytes.
fn poll_room(receiver: &mut Receiver, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<usize> {
    loop {
        let left = room.left(receiver.arrived_bytes());
        if left > 0 {
            return Poll::Ready(left);
        }
        let wanted = receiver.space().map_or(0, |(_, bytes)| bytes);
        ready!(room.poll_more(cx, wanted));
    }
}

/// Reads once into the beginning of a buffer; 0 is the end of the stream.
pub(super) fn poll_fill<S: Socket>(
    socket: &mut S,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// From the codec's types to ours.
#[inline]
fn convert(received: Result<Option<websocket::Received>, Violation>) -> Option<Received> {
    let received = match received {
        Ok(received) => received?,
        Err(violation) => return Some(Received::End(reason_of(violation))),
    };
    Some(match received {
        websocket::Received::Message(websocket::Message::Text(text)) => {
            Received::Message(Message::Text(text))
        }
        websocket::Received::Message(websocket::Message::Binary(bytes)) => {
            Received::Message(Message::Binary(bytes))
        }
        websocket::Received::Skipped => Received::Skipped,
        websocket::Received::Ping(payload) => Received::Ping(payload),
        websocket::Received::Pong(payload) => Received::Pong(payload),
        websocket::Received::Close(close) => Received::End(closed_by_peer(close)),
    })
}

fn closed_by_peer(close: Option<Close<'_>>) -> CloseReason {
    CloseReason::Peer(match close {
        None => CloseInfo {
            code: CODE_ABSENT,
            reason: String::new(),
        },
        Some(close) => CloseInfo {
            code: close.code,
            reason: close.reason.into_owned(),
        },
    })
}

fn reason_of(violation: Violation) -> CloseReason {
    match violation {
        Violation::InvalidText => CloseReason::InvalidText,
        Violation::MessageTooBig => CloseReason::MessageTooBig,
        Violation::TooManyFragments => CloseReason::Fragments,
        Violation::InvalidCompression => CloseReason::InvalidCompression,
        _ => CloseReason::Protocol,
    }
}
