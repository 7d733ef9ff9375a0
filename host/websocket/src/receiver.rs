//! From bytes to messages: fragments are joined, texts are checked, and
//! compressed messages are decompressed.
//!
//! A message is copied once, unmasked on the way, into an allocation of its
//! own. That is made when bytes arrive, and is at most [`GROWTH`] times as
//! large as what has arrived, whatever a header promises; it never exceeds the
//! message's limit. Between messages nothing is allocated.

use bytes::Bytes;

use crate::close::Close;
use crate::decoder::{Decoder, Event, Kind, Payload};
use crate::deflate::{InflateError, Inflater};
use crate::message::Message;
use crate::terms::{Limits, Role};
use crate::utf8::Utf8;
use crate::violation::Violation;

/// How much larger than what has arrived the allocation for a message may be.
/// A message of known length that arrives in pieces is moved as it grows: with
/// four, at most a third of its bytes are.
const GROWTH: usize = 4;

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole message.
    Message(Message),
    /// A ping: to be answered with a pong of the same payload, unless a close
    /// frame has been sent.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame, to be answered with one of the same code. It is the last
    /// that is received.
    Close(Option<Close<'static>>),
}

/// Receives messages.
///
/// ```
/// use openline_websocket::{Limits, Message, Received, Receiver, Role};
///
/// let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
/// // What a read from a socket may bring: "Hello" (RFC 6455 section 5.7), and
/// // the beginning of a ping.
/// let mut read: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x85\x37";
/// let received = receiver.receive(&mut read, None).unwrap();
/// assert_eq!(received, Some(Received::Message(Message::from("Hello"))));
/// assert_eq!(receiver.receive(&mut read, None), Ok(None));
/// assert!(read.is_empty());
/// ```
#[derive(Debug)]
pub struct Receiver {
    decoder: Decoder,
    /// What has come of a message: its payload, compressed if it is.
    partial: Vec<u8>,
    kind: Kind,
    compressed: bool,
    /// Whether the current frame is the message's last.
    is_last: bool,
    /// How far `partial` is known to be UTF-8, if it is a text.
    text: Utf8,
    begun: u64,
}

impl Receiver {
    /// A receiver at the first byte behind the opening handshake.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            decoder: Decoder::new(role, limits),
            partial: Vec::new(),
            kind: Kind::Binary,
            compressed: false,
            is_last: false,
            text: Utf8::new(),
            begun: 0,
        }
    }

    /// Whether all that has come are whole messages and control frames.
    pub const fn is_between_messages(&self) -> bool {
        self.decoder.is_between_messages()
    }

    /// Whether a close frame or a violation has come, behind which there is
    /// nothing.
    pub const fn is_over(&self) -> bool {
        self.decoder.is_over()
    }

    /// Messages that have begun, and control frames that have come, since this
    /// was last asked: what a limit on a peer's rate should count, because
    /// each costs something whether or not it ends.
    pub const fn take_begun(&mut self) -> u64 {
        std::mem::replace(&mut self.begun, 0)
    }

    /// Bytes allocated for a message that has not ended.
    pub const fn allocated_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes what comes next from the front of `input`. None if all of `input`
    /// has been consumed.
    ///
    /// `inflater` decompresses, if `permessage-deflate` was agreed on; one
    /// without takeover may serve many connections. With none, a compressed
    /// message is a violation.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] of the stream, behind which all input is
    /// discarded. All that came before it has been answered.
    #[inline]
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        inflater: Option<&mut Inflater>,
    ) -> Result<Option<Received>, Violation> {
        if let Some((kind, payload)) = self.decoder.next_whole(input) {
            self.begun += 1;
            let mut bytes = Vec::with_capacity(payload.len());
            payload.append_to(&mut bytes);
            return match message(kind, bytes) {
                Ok(message) => Ok(Some(Received::Message(message))),
                Err(violation) => Err(self.fail(violation)),
            };
        }
        self.receive_in_pieces(input, inflater)
    }

    fn receive_in_pieces(
        &mut self,
        input: &mut &[u8],
        mut inflater: Option<&mut Inflater>,
    ) -> Result<Option<Received>, Violation> {
        self.decoder.set_compression(inflater.is_some());
        loop {
            let event = match self.decoder.next(input) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(violation) => return Err(self.fail(violation)),
            };
            let received = match event {
                Event::Frame(frame) => {
                    self.begun += u64::from(frame.number == 1);
                    (self.kind, self.compressed) = (frame.kind, frame.compressed);
                    self.is_last = frame.is_last;
                    continue;
                }
                Event::Payload(payload) => match self.payload(payload) {
                    Ok(()) => continue,
                    Err(violation) => return Err(self.fail(violation)),
                },
                Event::End => match self.end(inflater.as_deref_mut()) {
                    Ok(message) => return Ok(Some(Received::Message(message))),
                    Err(violation) => return Err(self.fail(violation)),
                },
                Event::Ping(payload) => Received::Ping(payload),
                Event::Pong(payload) => Received::Pong(payload),
                Event::Close(close) => Received::Close(close),
            };
            self.begun += 1;
            return Ok(Some(received));
        }
    }

    /// Appends what has come of a message.
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Violation> {
        let start = self.partial.len();
        self.grow(payload.len());
        payload.append_to(&mut self.partial);
        let is_whole = start == 0 && self.is_last && self.decoder.frame_bytes_left() == 0;
        if self.kind == Kind::Text && !self.compressed && !is_whole {
            let checked = self.text.check(&self.partial[start..]);
            checked.map_err(|_| Violation::InvalidText)?;
        }
        Ok(())
    }

    /// Makes room for the next bytes, and for those behind them that are known
    /// to come.
    fn grow(&mut self, bytes: usize) {
        let have = self.partial.len() + bytes;
        if have <= self.partial.capacity() {
            return;
        }
        let left = usize::try_from(self.decoder.frame_bytes_left()).unwrap_or(usize::MAX);
        let room = match self.is_last {
            true => have.saturating_add(left).min(have.saturating_mul(GROWTH)),
            // How much follows is unknown: as vectors grow.
            false => have.saturating_add(left.min(have)),
        };
        let most = usize::try_from(self.decoder.message_bytes_max()).unwrap_or(usize::MAX);
        let room = match self.is_last {
            true => room,
            false => room
                .max(self.partial.capacity().saturating_mul(2))
                .min(most),
        };
        self.partial
            .reserve_exact(room.max(have) - self.partial.len());
    }

    /// The message that has ended.
    fn end(&mut self, inflater: Option<&mut Inflater>) -> Result<Message, Violation> {
        let payload = std::mem::take(&mut self.partial);
        if !self.compressed {
            self.text.end().map_err(|_| Violation::InvalidText)?;
            return message(self.kind, fitted(payload));
        }
        let Some(inflater) = inflater else {
            // It was there when the message began.
            return Err(Violation::ReservedBits);
        };
        let limits = self.decoder.limits();
        let inflated = inflater.inflate(&payload, limits.message_bytes);
        drop(payload);
        let inflated = inflated.map_err(|error| match error {
            InflateError::Invalid => Violation::InvalidCompression,
            InflateError::TooBig => Violation::MessageTooBig,
        })?;
        message(self.kind, fitted(inflated))
    }

    /// Nothing is kept behind a violation.
    #[cold]
    fn fail(&mut self, violation: Violation) -> Violation {
        self.decoder.end();
        self.partial = Vec::new();
        violation
    }
}

#[inline]
fn message(kind: Kind, payload: Vec<u8>) -> Result<Message, Violation> {
    Ok(match kind {
        Kind::Binary => Message::Binary(payload.into()),
        Kind::Text => {
            let text = String::from_utf8(payload).map_err(|_| Violation::InvalidText)?;
            Message::Text(text.into())
        }
    })
}

/// Without the room that was made for more, if that is worth a copy.
fn fitted(mut payload: Vec<u8>) -> Vec<u8> {
    if payload.capacity() - payload.len() > payload.len() / 4 {
        payload.shrink_to_fit();
    }
    payload
}
