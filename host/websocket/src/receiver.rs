//! From bytes to messages: fragments are joined, texts are checked, and
//! compressed messages are decompressed.
//!
//! A message is copied once, unmasked on the way, into an allocation of its
//! own. That is made when bytes arrive, and is at most [`GROWTH`] times as
//! large as what has arrived, whatever a header promises; it never exceeds the
//! message's limit. Between messages nothing is allocated.

use bytes::Bytes;
use bytestring::ByteString;

use crate::close::Close;
use crate::decoder::{Decoder, Event, Kind, Payload};
use crate::deflate::{InflateError, Inflater};
use crate::mask::Key;
use crate::message::Message;
use crate::terms::{Limits, Role};
use crate::utf8::{self, Utf8};
use crate::violation::Violation;

/// How much larger than what has arrived the allocation for a message may be.
/// A message that arrives in pieces is moved each time its allocation grows:
/// with a factor of four, that copies a third of its bytes at most.
const GROWTH: usize = 4;

/// Bytes of a frame that have to be missing for [`Receiver::space`]: with less,
/// a read into the caller's buffer also brings what comes after the frame.
const SPACE_BYTES_MIN: u64 = 32 * 1024;

/// A message or control frame that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole message.
    Message(Message),
    /// A whole message that was skipped: see [`Receiver::discard_messages`].
    Skipped,
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
/// // One read from a socket: "Hello" (RFC 6455 section 5.7), and the beginning
/// // of a ping.
/// let mut read: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x85\x37";
/// let received = receiver.receive(&mut read, None).unwrap();
/// assert_eq!(received, Some(Received::Message(Message::from("Hello"))));
/// assert_eq!(receiver.receive(&mut read, None), Ok(None));
/// assert!(read.is_empty());
/// ```
#[derive(Debug)]
pub struct Receiver {
    decoder: Decoder,
    /// The payload of a message so far, compressed if the message is.
    partial: Vec<u8>,
    kind: Kind,
    compressed: bool,
    /// `partial` is a whole message that is not yet decompressed.
    inflating: bool,
    /// Whether the current frame is the message's last.
    is_last: bool,
    /// How far `partial` is known to be UTF-8, if it is a text.
    text: Utf8,
    /// How many bytes of `partial` were checked as pieces of a text, from the
    /// first on; `usize::MAX` if the caller could change them since.
    checked: usize,
    begun: u64,
    /// Messages are skipped.
    discards: bool,
    /// Where in `partial` the caller's bytes begin, if it has been lent.
    lent_from: Option<usize>,
}

impl Receiver {
    /// A receiver at the first byte after the opening handshake.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            decoder: Decoder::new(role, limits),
            partial: Vec::new(),
            kind: Kind::Binary,
            compressed: false,
            inflating: false,
            is_last: false,
            text: Utf8::new(),
            checked: 0,
            begun: 0,
            discards: false,
            lent_from: None,
        }
    }

    /// Whether all that has come are whole messages and control frames.
    pub const fn is_between_messages(&self) -> bool {
        self.decoder.is_between_messages() && !self.inflating
    }

    /// Whether a whole message has come that the decompressor was not
    /// [allowed](Inflater::allow) to decompress to its end. Until it is, `receive`
    /// goes on with it and takes no input.
    pub const fn is_inflating(&self) -> bool {
        self.inflating
    }

    /// Whether a close frame or a violation has come, after which there is
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

    /// Skips messages from now on, the one that is arriving with its bytes so far
    /// as well: only control frames and violations of framing are received. What
    /// skipped texts and compressed messages hold is not looked at.
    pub fn discard_messages(&mut self) {
        self.discards = true;
        self.partial = Vec::new();
        self.inflating = false;
        (self.checked, self.lent_from) = (0, None);
    }

    /// Whether messages are [skipped](Self::discard_messages).
    pub const fn discards_messages(&self) -> bool {
        self.discards
    }

    /// Bytes that have come of a message that has not ended, or not been
    /// decompressed.
    pub const fn arrived_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Bytes allocated for a message that has not ended.
    pub const fn allocated_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes what comes next from the front of `input`. None if all of `input`
    /// has been consumed, or [`is_inflating`](Self::is_inflating).
    ///
    /// `inflater` decompresses, if `permessage-deflate` was agreed on; one
    /// without takeover may serve many connections. With none, a compressed
    /// message is a violation.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] of the stream, after which all input is
    /// discarded. All that came before it has been answered.
    #[inline]
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        inflater: Option<&mut Inflater>,
    ) -> Result<Option<Received>, Violation> {
        if self.inflating {
            return self.inflated(inflater);
        }
        if self.discards {
            return self.receive_in_pieces(input, inflater);
        }
        if let Some((kind, payload)) = self.decoder.next_whole(input) {
            self.begun += 1;
            let mut bytes = Vec::with_capacity(payload.len());
            payload.append_to(&mut bytes);
            return match message(kind, bytes, false) {
                Ok(message) => Ok(Some(Received::Message(message))),
                Err(violation) => Err(self.fail(violation)),
            };
        }
        self.receive_in_pieces(input, inflater)
    }

    /// Where the rest of a large frame can be read to, without a copy in
    /// between: a vector, and how many bytes may be appended to it, which it
    /// has the room for. Call [`filled`](Self::filled) afterwards. None if a
    /// read into a buffer of the caller's is as good.
    ///
    /// ```
    /// use std::io::Read;
    /// use openline_websocket::{Header, Limits, Opcode, Receiver, Role};
    ///
    /// let payload = vec![7; 100_000];
    /// let header = Header::new(Opcode::Binary, payload.len());
    /// let mut socket = &payload[..];
    ///
    /// let mut receiver = Receiver::new(Role::Client, Limits::DEFAULT);
    /// let mut read = [0; 1024];
    /// socket.read_exact(&mut read).unwrap();
    /// receiver.receive(&mut header.as_bytes(), None).unwrap();
    /// receiver.receive(&mut &read[..], None).unwrap();
    /// let message = loop {
    ///     let received = if let Some((buffer, bytes)) = receiver.space() {
    ///         let bytes = u64::try_from(bytes).unwrap();
    ///         socket.by_ref().take(bytes).read_to_end(buffer).unwrap();
    ///         receiver.filled(None)
    ///     } else {
    ///         let bytes = socket.read(&mut read).unwrap();
    ///         receiver.receive(&mut &read[..bytes], None)
    ///     };
    ///     if let Some(message) = received.unwrap() {
    ///         break message;
    ///     }
    /// };
    /// # assert_eq!(message, openline_websocket::Received::Message(payload.into()));
    /// ```
    pub fn space(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let left = self.decoder.data_bytes_left();
        // Before the first byte there is nothing to measure a promise by.
        if left < SPACE_BYTES_MIN || self.partial.is_empty() || self.discards {
            return None;
        }
        let have = self.partial.len();
        if self.partial.capacity() == have {
            self.grow(0, left);
        }
        let room = self.partial.capacity() - have;
        // The caller can change all of it, so the end checks all of it.
        self.checked = usize::MAX;
        let bytes = usize::try_from(left).map_or(room, |left| left.min(room));
        self.lent_from = Some(have);
        Some((&mut self.partial, bytes))
    }

    /// Takes what was appended to [`space`](Self::space). None unless that was
    /// the end of a message. Does nothing if [`receive`](Self::receive) has taken
    /// a part of the message since then: what was appended is gone.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    ///
    /// # Panics
    ///
    /// If more was appended than the frame has, or something was taken away.
    pub fn filled(
        &mut self,
        inflater: Option<&mut Inflater>,
    ) -> Result<Option<Received>, Violation> {
        let Some(start) = self.lent_from.take() else {
            return Ok(None);
        };
        let appended = &mut self.partial[start..];
        let key = self.decoder.take_elsewhere(appended.len());
        if key != Key::default() {
            key.apply(appended);
        }
        if let Err(violation) = self.check_text(start) {
            return Err(self.fail(violation));
        }
        match self.decoder.data_bytes_left() {
            0 => self.receive_in_pieces(&mut &[][..], inflater),
            _ => Ok(None),
        }
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
                Event::Payload(_) if self.discards => continue,
                Event::End if self.discards => return Ok(Some(Received::Skipped)),
                Event::Payload(payload) => match self.payload(payload) {
                    Ok(()) => continue,
                    Err(violation) => return Err(self.fail(violation)),
                },
                Event::End if self.compressed => {
                    self.inflating = true;
                    return self.inflated(inflater.as_deref_mut());
                }
                Event::End => match self.end() {
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

    /// Appends a piece of a message.
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Violation> {
        if let Some(start) = self.lent_from.take() {
            // What was appended without `filled` does not count.
            self.partial.truncate(start);
        }
        let start = self.partial.len();
        if start + payload.len() > self.partial.capacity() {
            self.grow(payload.len(), self.decoder.frame_bytes_left());
        }
        payload.append_to(&mut self.partial);
        // A text in one piece is checked when it becomes a message.
        match start == 0 && self.is_last && self.decoder.frame_bytes_left() == 0 {
            true => Ok(()),
            false => self.check_text(start),
        }
    }

    /// Checks the bytes of a text from `start` on.
    fn check_text(&mut self, start: usize) -> Result<(), Violation> {
        if self.kind == Kind::Text && !self.compressed {
            let checked = self.text.check(&self.partial[start..]);
            checked.map_err(|_| Violation::InvalidText)?;
            if self.checked == start {
                self.checked = self.partial.len();
            }
        }
        Ok(())
    }

    /// Makes room for bytes that have come and for the `left` ones that the
    /// frame promises, but for no more than [`GROWTH`] times what has come.
    fn grow(&mut self, bytes: usize, left: u64) {
        let have = self.partial.len() + bytes;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let promised = have.saturating_add(left);
        let room = match self.is_last {
            true => promised.min(have.saturating_mul(GROWTH)),
            // How much follows the frame is unknown: as vectors grow.
            false => {
                let most = usize::try_from(self.decoder.message_bytes_max());
                let doubled = self.partial.capacity().saturating_mul(2);
                let room = promised.min(have.saturating_mul(2)).max(doubled);
                room.min(most.unwrap_or(usize::MAX))
            }
        };
        self.partial
            .reserve_exact(room.max(have) - self.partial.len());
    }

    /// The message that has ended, which is not compressed.
    fn end(&mut self) -> Result<Message, Violation> {
        let payload = std::mem::take(&mut self.partial);
        let is_checked = std::mem::take(&mut self.checked) == payload.len();
        self.lent_from = None;
        self.text.end().map_err(|_| Violation::InvalidText)?;
        message(self.kind, fitted(payload), is_checked)
    }

    /// The compressed message that has ended, once it is decompressed.
    fn inflated(&mut self, inflater: Option<&mut Inflater>) -> Result<Option<Received>, Violation> {
        (self.checked, self.lent_from) = (0, None);
        let Some(inflater) = inflater else {
            // It was there when the message began.
            return Err(self.fail(Violation::ReservedBits));
        };
        let most = self.decoder.limits().message_bytes;
        let inflated = match inflater.inflate_allowed(&self.partial, most) {
            Ok(Some(inflated)) => inflated,
            Ok(None) => return Ok(None),
            Err(InflateError::Invalid) => return Err(self.fail(Violation::InvalidCompression)),
            Err(InflateError::TooBig) => return Err(self.fail(Violation::MessageTooBig)),
        };
        self.partial = Vec::new();
        self.inflating = false;
        match message(self.kind, fitted(inflated), false) {
            Ok(message) => Ok(Some(Received::Message(message))),
            Err(violation) => Err(self.fail(violation)),
        }
    }

    /// Nothing is kept after a violation.
    #[cold]
    fn fail(&mut self, violation: Violation) -> Violation {
        self.decoder.end();
        self.partial = Vec::new();
        self.inflating = false;
        (self.checked, self.lent_from) = (0, None);
        violation
    }
}

/// `is_checked` says that the payload was found to be UTF-8 in pieces.
#[inline]
fn message(kind: Kind, payload: Vec<u8>, is_checked: bool) -> Result<Message, Violation> {
    if kind == Kind::Binary {
        return Ok(Message::Binary(payload.into()));
    }
    if !is_checked && !utf8::is_text(&payload) {
        return Err(Violation::InvalidText);
    }
    #[expect(
        unsafe_code,
        reason = "checking twice takes up to 0.7 ms for a text of 1 MiB"
    )]
    // SAFETY: it was checked just now, or `Receiver::checked` has counted each
    // byte of it: as a piece that `Utf8` accepted behind those before it, and
    // with the text's end accepted as well.
    let text = unsafe { ByteString::from_bytes_unchecked(payload.into()) };
    Ok(Message::Text(text))
}

/// Without the room that was made for more, if that is worth a copy.
fn fitted(mut payload: Vec<u8>) -> Vec<u8> {
    if payload.capacity() - payload.len() > payload.len() / 4 {
        payload.shrink_to_fit();
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame with a mask of zeros.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(bytes @ ..126) => frame.push(0x80 | bytes),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn messages_are_skipped_and_nothing_of_them_is_kept() {
        let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
        let begun = frame(0x01, &[0xff; 1000]);
        assert_eq!(
            receiver.receive(&mut &frame(0x02, &[7; 500])[..], None),
            Ok(None)
        );
        assert_eq!(receiver.arrived_bytes(), 500);
        receiver.discard_messages();
        assert_eq!(
            (receiver.arrived_bytes(), receiver.allocated_bytes()),
            (0, 0)
        );
        assert!(!receiver.is_between_messages());
        let mut rest = [
            frame(0x80, &[7; 40_000]),
            begun,
            frame(0x80, b""),
            frame(0x89, b"x"),
        ];
        rest[3].extend(frame(0xff, b""));
        let all = rest.concat();
        let mut input = &all[..];
        let mut next = || receiver.receive(&mut input, None);
        assert_eq!(next(), Ok(Some(Received::Skipped)));
        // Neither is the text looked at.
        assert_eq!(next(), Ok(Some(Received::Skipped)));
        assert_eq!(next(), Ok(Some(Received::Ping(Bytes::from_static(b"x")))));
        assert!(next().is_err(), "framing is judged");
        assert_eq!(receiver.allocated_bytes(), 0);
    }

    #[test]
    fn what_is_kept_for_a_connection_is_small() {
        assert!(size_of::<Receiver>() <= 200, "{}", size_of::<Receiver>());
    }
}
