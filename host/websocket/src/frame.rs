//! Frames to send: a header on the stack, and the payload by reference.
//!
//! A frame of a server can be cloned for any number of peers: the payload is
//! shared. A client's is not: its payload is masked, with another key each
//! time.

use bytes::Bytes;
use bytestring::ByteString;

use crate::close::Close;
use crate::decoder::Kind;
use crate::header::{CONTROL_BYTES_MAX, Header, Opcode};
use crate::mask::Key;
use crate::message::Message;

/// A payload that does not fit into a control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a control frame has at most {CONTROL_BYTES_MAX} bytes, this one has {0}")]
pub struct ControlTooLong(pub usize);

/// One frame as it is sent.
///
/// ```
/// use openline_websocket::{Frame, Message};
///
/// let frame = Frame::from(Message::from("Hello"));
/// // For a vectored write:
/// let [header, payload] = frame.parts();
/// assert_eq!((header, payload), (&b"\x81\x05"[..], &b"Hello"[..]));
/// // For one buffer:
/// let mut buffer = Vec::new();
/// frame.append_to(&mut buffer);
/// assert_eq!(buffer.len(), frame.len());
/// // A client's, with a key that should come from a random source:
/// let masked = frame.masked([0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(masked.parts()[1], b"\x7f\x9f\x4d\x51\x58");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    header: Header,
    payload: Bytes,
}

impl Frame {
    /// A text message.
    #[inline]
    pub fn text(text: impl Into<ByteString>) -> Self {
        Self::new(Opcode::Text, text.into().into_bytes())
    }

    /// A binary message.
    #[inline]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::new(Opcode::Binary, bytes.into())
    }

    /// A message that [`Deflater::deflate`](crate::Deflater::deflate) has
    /// compressed.
    #[inline]
    pub fn compressed(kind: Kind, deflated: impl Into<Bytes>) -> Self {
        let opcode = match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        let mut frame = Self::new(opcode, deflated.into());
        frame.header = frame.header.compressed();
        frame
    }

    /// A ping.
    ///
    /// # Errors
    ///
    /// [`ControlTooLong`] with more than 125 bytes.
    pub fn ping(payload: impl Into<Bytes>) -> Result<Self, ControlTooLong> {
        Self::control(Opcode::Ping, payload.into())
    }

    /// A pong, with the payload of the ping that it answers.
    ///
    /// # Errors
    ///
    /// [`ControlTooLong`] with more than 125 bytes: never with a ping's.
    pub fn pong(payload: impl Into<Bytes>) -> Result<Self, ControlTooLong> {
        Self::control(Opcode::Pong, payload.into())
    }

    /// A close frame: the last that is sent. A reason that is too long is cut.
    pub fn close(close: Option<&Close<'_>>) -> Self {
        let payload = close.map(Close::payload).unwrap_or_default();
        Self::new(Opcode::Close, payload.into())
    }

    fn control(opcode: Opcode, payload: Bytes) -> Result<Self, ControlTooLong> {
        match payload.len() {
            0..=CONTROL_BYTES_MAX => Ok(Self::new(opcode, payload)),
            bytes => Err(ControlTooLong(bytes)),
        }
    }

    #[inline]
    fn new(opcode: Opcode, payload: Bytes) -> Self {
        let header = Header::new(opcode, payload.len());
        Self { header, payload }
    }

    /// The same for a server to read: its payload is copied and masked. One that
    /// is masked already gets this key in place of its own.
    #[must_use]
    pub fn masked(self, key: [u8; 4]) -> Self {
        let mut payload = Vec::with_capacity(self.payload.len());
        let change = self.header.key().and(Key::new(key));
        change.append(&self.payload, &mut payload);
        Self {
            header: self.header.masked(key),
            payload: payload.into(),
        }
    }

    /// Header and payload, to be sent one after the other.
    #[inline]
    pub fn parts(&self) -> [&[u8]; 2] {
        [self.header.as_bytes(), &self.payload]
    }

    /// Bytes of header and payload.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a frame has a header")]
    pub fn len(&self) -> usize {
        self.header.as_bytes().len() + self.payload.len()
    }

    /// Appends header and payload to a buffer: for a small payload that is
    /// cheaper than a part of its own in a vectored write.
    #[inline]
    pub fn append_to(&self, buffer: &mut Vec<u8>) {
        let [header, payload] = self.parts();
        buffer.reserve(header.len() + payload.len());
        buffer.extend_from_slice(header);
        buffer.extend_from_slice(payload);
    }
}

impl From<Message> for Frame {
    #[inline]
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::text(text),
            Message::Binary(bytes) => Self::binary(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_masked_again_has_the_last_key_only() {
        for bytes in [0, 5, 125, 126, 0x1_0000] {
            let frame = Frame::binary(vec![7; bytes]);
            let once = frame.clone().masked([1, 2, 3, 4]);
            let again = frame.masked([9, 8, 7, 6]).masked([1, 2, 3, 4]);
            assert_eq!(again, once, "{bytes}");
        }
    }
}
