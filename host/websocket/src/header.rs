//! The header of a frame (RFC 6455 section 5.2): 2 to 14 bytes.

use crate::mask::Key;

/// The longest header, in bytes: two, a length of eight, a key of four.
pub const HEADER_BYTES_MAX: usize = 14;

/// Payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const RSV_OTHERS: u8 = 0x30;
pub(crate) const MASKED: u8 = 0x80;

/// The type of a frame (RFC 6455 section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message.
    Continuation = 0,
    /// Begins a text message.
    Text = 1,
    /// Begins a binary message.
    Binary = 2,
    /// Ends the connection.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping, or says unasked that the sender is there.
    Pong = 10,
}

/// A header that is written: bytes on the stack, to be handed to the system
/// beside the payload.
///
/// ```
/// use openline_websocket::{Header, Opcode};
///
/// let header = Header::new(Opcode::Text, 5);
/// assert_eq!(header.as_bytes(), [0x81, 5]);
/// let part = Header::new(Opcode::Binary, 256).unfinished();
/// assert_eq!(part.as_bytes(), [0x02, 126, 1, 0]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    size: u8,
}

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) first: u8,
    pub(crate) masked: bool,
    /// Whether the length took more bytes than it needs.
    pub(crate) padded: bool,
    pub(crate) length: u64,
    pub(crate) key: Key,
}

impl Opcode {
    #[inline]
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits & 0x0f {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is one of a control frame.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

// === impl Header ===

impl Header {
    /// The header of a frame that is the last or the only one of its message,
    /// neither compressed nor masked, with a payload of so many bytes.
    #[inline]
    pub const fn new(opcode: Opcode, payload_bytes: usize) -> Self {
        let mut bytes = [0; HEADER_BYTES_MAX];
        bytes[0] = FIN | opcode as u8;
        let long = (payload_bytes as u64).to_be_bytes();
        let size = match payload_bytes {
            0..=125 => {
                bytes[1] = long[7];
                2
            }
            126..=0xffff => {
                bytes[1] = 126;
                bytes[2] = long[6];
                bytes[3] = long[7];
                4
            }
            _ => {
                bytes[1] = 127;
                let mut i = 0;
                while i < 8 {
                    bytes[2 + i] = long[i];
                    i += 1;
                }
                10
            }
        };
        Self { bytes, size }
    }

    /// More frames of the message follow.
    #[inline]
    #[must_use]
    pub const fn unfinished(mut self) -> Self {
        self.bytes[0] &= !FIN;
        self
    }

    /// The message that begins with this frame is compressed.
    #[inline]
    #[must_use]
    pub const fn compressed(mut self) -> Self {
        self.bytes[0] |= RSV1;
        self
    }

    /// The payload is masked with this key, as a client has to. The key should
    /// be random and new for each frame (RFC 6455 section 10.3).
    #[inline]
    #[must_use]
    pub const fn masked(mut self, key: [u8; 4]) -> Self {
        if self.bytes[1] & MASKED == 0 {
            self.size += 4;
        }
        self.bytes[1] |= MASKED;
        let mut i = 0;
        while i < 4 {
            self.bytes[self.size as usize - 4 + i] = key[i];
            i += 1;
        }
        self
    }

    /// The key of a payload that is masked; otherwise one that does nothing.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        match self.as_bytes() {
            [_, second, .., a, b, c, d] if second & MASKED != 0 => Key::new([*a, *b, *c, *d]),
            _ => Key::default(),
        }
    }

    /// The bytes to send.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Header({:02x?})", self.as_bytes())
    }
}

// === impl Parsed ===

/// The size of a header whose second byte this is.
#[inline]
pub(crate) const fn size(second: u8) -> usize {
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let key = if second & MASKED == 0 { 0 } else { 4 };
    2 + length + key
}

impl Parsed {
    /// Reads a header from the first of these bytes, with its size; none if it
    /// is not whole.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let [first, second, rest @ ..] = bytes else {
            return None;
        };
        let short = second & 0x7f;
        let (length, padded, rest) = match short {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                let length = u64::from(u16::from_be_bytes(*length));
                (length, length < 126, rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                let length = u64::from_be_bytes(*length);
                (length, length <= 0xffff, rest)
            }
            _ => (u64::from(short), false, rest),
        };
        let masked = second & MASKED != 0;
        let key = match masked {
            true => Key::new(*rest.first_chunk()?),
            false => Key::default(),
        };
        let parsed = Self {
            first: *first,
            masked,
            padded,
            length,
            key,
        };
        Some((parsed, size(*second)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_fewest_bytes_and_are_read_again() {
        for (length, bytes) in [
            (0, 2),
            (125, 2),
            (126, 4),
            (0xffff, 4),
            (0x1_0000, 10),
            (usize::MAX >> 1, 10),
        ] {
            let header = Header::new(Opcode::Binary, length);
            assert_eq!(header.as_bytes().len(), bytes);
            for (header, key) in [
                (header, [0; 4]),
                (header.masked([1, 2, 3, 4]), [1, 2, 3, 4]),
            ] {
                let header = header.as_bytes();
                let wanted = Parsed {
                    first: 0x82,
                    masked: key != [0; 4],
                    padded: false,
                    length: length as u64,
                    key: Key::new(key),
                };
                assert_eq!(Parsed::read(header), Some((wanted, header.len())));
                for end in 0..header.len() {
                    assert_eq!(Parsed::read(&header[..end]), None, "{length} cut at {end}");
                }
            }
        }
    }

    #[test]
    fn a_mask_may_be_given_again() {
        let header = Header::new(Opcode::Text, 300).masked([9; 4]);
        assert_eq!(
            header.masked([1, 2, 3, 4]),
            Header::new(Opcode::Text, 300).masked([1, 2, 3, 4])
        );
    }
}
