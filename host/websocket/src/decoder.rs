//! From bytes to frames: checks everything that RFC 6455 section 5 asks of a
//! frame, and the limits of a message, before any payload is looked at.
//!
//! The decoder reads from bytes that belong to its caller, in any pieces, and
//! keeps only what cannot be used yet: a header that is cut, and the payload of
//! a control frame that is. Payloads of messages pass as slices, still masked.
//! It allocates for the payloads of control frames, 125 bytes at most, and for
//! nothing else, whatever a header promises.

use bytes::Bytes;

use crate::close::Close;
use crate::header::{self, CONTROL_BYTES_MAX, FIN, HEADER_BYTES_MAX, Opcode, Parsed};
use crate::mask::Key;
use crate::terms::{Limits, Role};
use crate::violation::Violation;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8. The decoder does not check that; [`Receiver`](crate::Receiver)
    /// does.
    Text,
    /// Any bytes.
    Binary,
}

/// The next thing in a stream of frames.
///
/// A message is one or more times `Frame`, each with as many `Payload` as the
/// pieces that its bytes came in, and then `End`. Control frames come where
/// they were, also between the frames of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A frame of a message begins.
    Frame(DataFrame),
    /// The next bytes of the frame, at least one.
    Payload(Payload<'a>),
    /// The message has ended.
    End,
    /// A whole ping.
    Ping(Bytes),
    /// A whole pong.
    Pong(Bytes),
    /// A whole close frame, which is the last frame: what a peer sends after
    /// it is discarded.
    Close(Option<Close<'static>>),
}

/// The beginning of a frame of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataFrame {
    /// The type of the message.
    pub kind: Kind,
    /// Whether the message is compressed.
    pub compressed: bool,
    /// Which frame of its message this is, from 1.
    pub number: u32,
    /// Whether it is the message's last.
    pub is_last: bool,
    /// Its payload, in bytes.
    pub bytes: u64,
}

/// Bytes of a payload as they came: masked, if a client sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    key: Key,
}

/// Reads frames from bytes in any pieces, and checks each before its payload.
///
/// It keeps only what is cut off: a header, or the payload of a control frame.
/// Payloads of messages pass as slices of the caller's bytes.
///
/// ```
/// use openline_websocket::{Decoder, Event, Limits, Role};
///
/// let mut decoder = Decoder::new(Role::Client, Limits::DEFAULT);
/// let mut payload = Vec::new();
/// let mut frames = 0;
/// // "Hello" in two frames, and reads that know nothing of frames.
/// for mut read in [&b"\x01"[..], b"\x03He", b"l\x80\x02lo"] {
///     while let Some(event) = decoder.next(&mut read).unwrap() {
///         match event {
///             Event::Frame(frame) => frames = frame.number,
///             Event::Payload(piece) => piece.append_to(&mut payload),
///             Event::End => assert_eq!((frames, &payload[..]), (2, &b"Hello"[..])),
///             other => unreachable!("{other:?}"),
///         }
///     }
/// }
/// assert!(decoder.is_between_messages());
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    role: Role,
    compression: bool,
    phase: Phase,
    /// A header that is cut.
    head: [u8; HEADER_BYTES_MAX],
    have: u8,
    is_last: bool,
    key: Key,
    /// Bytes of the current frame's payload that have not come.
    left: u64,
    /// The message in progress.
    message: Option<InProgress>,
    /// The payload of a control frame that is cut.
    control: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Within a header or before it.
    Header,
    /// Within the payload of a message's frame.
    Data,
    /// Within the payload of a control frame.
    Control(Opcode),
    /// After a close frame or a violation.
    Over,
}

/// The state of a message that has not ended.
#[derive(Clone, Copy, Debug)]
struct InProgress {
    kind: Kind,
    compressed: bool,
    fragments: u32,
    /// Bytes that the headers so far have promised.
    bytes: u64,
}

impl<'a> Payload<'a> {
    /// How many bytes these are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: each piece of a payload has a byte.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes as they came, and the key to unmask them with; the key does
    /// nothing if they are not masked.
    #[inline]
    pub const fn masked(&self) -> (&'a [u8], Key) {
        (self.bytes, self.key)
    }

    /// Appends the bytes to a vector and unmasks them on the way.
    #[inline]
    pub fn append_to(&self, to: &mut Vec<u8>) {
        if self.key == Key::default() {
            to.extend_from_slice(self.bytes);
        } else {
            self.key.append(self.bytes, to);
        }
    }
}

impl Decoder {
    /// A decoder at the first byte after the opening handshake.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            limits,
            role,
            compression: false,
            phase: Phase::Header,
            head: [0; HEADER_BYTES_MAX],
            have: 0,
            is_last: false,
            key: Key::new([0; 4]),
            left: 0,
            message: None,
            control: Vec::new(),
        }
    }

    /// Says whether `permessage-deflate` was agreed on. Without it, compressed
    /// messages are violations.
    pub const fn set_compression(&mut self, agreed: bool) {
        self.compression = agreed;
    }

    /// The limits that messages are held to.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether all that has come are whole messages and control frames.
    pub const fn is_between_messages(&self) -> bool {
        matches!(self.phase, Phase::Header) && self.have == 0 && self.message.is_none()
    }

    /// Whether a close frame or a violation has come, after which there is
    /// nothing.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Bytes of the current frame's payload that have not come.
    pub const fn frame_bytes_left(&self) -> u64 {
        self.left
    }

    /// Takes so many bytes of the current payload that the caller has elsewhere;
    /// answers their key.
    ///
    /// # Panics
    ///
    /// If the payload has fewer.
    pub(crate) fn take_elsewhere(&mut self, bytes: usize) -> Key {
        assert!(
            matches!(self.phase, Phase::Data) && bytes as u64 <= self.left,
            "the payload of the current frame has fewer bytes"
        );
        let key = self.key;
        self.left -= bytes as u64;
        self.key = key.after(bytes);
        key
    }

    /// Bytes of the current frame's payload that have not come, if it is one
    /// of a message.
    pub(crate) const fn data_bytes_left(&self) -> u64 {
        match self.phase {
            Phase::Data => self.left,
            _ => 0,
        }
    }

    /// Bytes that the message in progress may have on the wire.
    pub(crate) fn message_bytes_max(&self) -> u64 {
        match self.message {
            Some(message) if message.compressed => self.limits.compressed_bytes(),
            _ => self.limits.message_bytes as u64,
        }
    }

    /// Takes nothing more.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Over;
        self.message = None;
        self.control = Vec::new();
    }

    /// Takes the next event from the front of `input`. None if all of it has
    /// been consumed.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] of the stream. It is found as soon as the whole
    /// header is there, for control frames the whole frame. After it, as
    /// after a close frame, all input is discarded.
    #[inline]
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Violation> {
        loop {
            let event = match self.phase {
                Phase::Header => {
                    let Some(parsed) = self.read_header(input) else {
                        return Ok(None);
                    };
                    self.begin(parsed)
                }
                Phase::Data => {
                    if self.left > 0 && input.is_empty() {
                        return Ok(None);
                    }
                    Ok(self.data(input))
                }
                Phase::Control(opcode) => {
                    if self.left > 0 && input.is_empty() {
                        return Ok(None);
                    }
                    self.control(opcode, input)
                }
                Phase::Over => {
                    *input = &[];
                    return Ok(None);
                }
            };
            match event {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(violation) => {
                    self.end();
                    return Err(violation);
                }
            }
        }
    }

    /// Takes a message that begins and ends with the next frame and is whole
    /// in `input`, without the events in between. None, and nothing is taken,
    /// if what comes next is anything else.
    #[inline]
    pub(crate) fn next_whole<'a>(&mut self, input: &mut &'a [u8]) -> Option<(Kind, Payload<'a>)> {
        if !self.is_between_messages() {
            return None;
        }
        let (parsed, size) = Parsed::read(input)?;
        let kind = match parsed.first {
            0x81 => Kind::Text,
            0x82 => Kind::Binary,
            _ => return None,
        };
        let rest = &input[size..];
        let limit = self.limits.message_bytes.min(rest.len()) as u64;
        let right = parsed.masked == (self.role == Role::Server) && !parsed.padded;
        if !right || parsed.length > limit || self.limits.fragments == 0 {
            return None;
        }
        // No more than `rest` has.
        #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
        let (bytes, rest) = rest.split_at(parsed.length as usize);
        *input = rest;
        let key = parsed.key;
        Some((kind, Payload { bytes, key }))
    }

    /// The next header, if it is whole; otherwise its bytes so far are kept.
    #[inline]
    fn read_header(&mut self, input: &mut &[u8]) -> Option<Parsed> {
        if self.have == 0
            && let Some((parsed, size)) = Parsed::read(input)
        {
            *input = &input[size..];
            return Some(parsed);
        }
        self.read_header_in_pieces(input)
    }

    #[cold]
    fn read_header_in_pieces(&mut self, input: &mut &[u8]) -> Option<Parsed> {
        while let Some((byte, rest)) = input.split_first() {
            self.head[usize::from(self.have)] = *byte;
            self.have += 1;
            *input = rest;
            if let Some((parsed, _)) = Parsed::read(&self.head[..usize::from(self.have)]) {
                self.have = 0;
                return Some(parsed);
            }
        }
        None
    }

    /// Checks a header and begins its frame.
    fn begin(&mut self, parsed: Parsed) -> Result<Option<Event<'static>>, Violation> {
        let opcode = Opcode::from_bits(parsed.first)
            .ok_or(Violation::ReservedOpcode(parsed.first & 0x0f))?;
        let (rsv1, is_last) = (parsed.first & header::RSV1 != 0, parsed.first & FIN != 0);
        let begins = matches!(opcode, Opcode::Text | Opcode::Binary);
        if parsed.first & header::RSV_OTHERS != 0 || rsv1 && !(self.compression && begins) {
            return Err(Violation::ReservedBits);
        }
        match (self.role, parsed.masked) {
            (Role::Server, false) => return Err(Violation::Unmasked),
            (Role::Client, true) => return Err(Violation::Masked),
            _ => {}
        }
        if parsed.length > u64::MAX >> 1 {
            return Err(Violation::LengthTopBit);
        }
        if parsed.padded {
            return Err(Violation::LengthNotMinimal);
        }
        (self.left, self.key) = (parsed.length, parsed.key);
        if opcode.is_control() {
            if !is_last {
                return Err(Violation::ControlFragmented);
            }
            if parsed.length > CONTROL_BYTES_MAX as u64 {
                return Err(Violation::ControlTooLong);
            }
            self.phase = Phase::Control(opcode);
            return Ok(None);
        }
        let frame = self.begin_data(opcode, rsv1, is_last)?;
        self.is_last = is_last;
        self.phase = Phase::Data;
        Ok(Some(Event::Frame(frame)))
    }

    /// Checks a frame of a message against the message so far.
    fn begin_data(
        &mut self,
        opcode: Opcode,
        compressed: bool,
        is_last: bool,
    ) -> Result<DataFrame, Violation> {
        let before = match (opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Violation::ContinuationAlone),
            (Opcode::Continuation, Some(message)) => message,
            (_, Some(_)) => return Err(Violation::MessageWithinMessage),
            (_, None) => InProgress {
                kind: match opcode {
                    Opcode::Text => Kind::Text,
                    _ => Kind::Binary,
                },
                compressed,
                fragments: 0,
                bytes: 0,
            },
        };
        let fragments = before.fragments.saturating_add(1);
        if fragments > self.limits.fragments {
            return Err(Violation::TooManyFragments);
        }
        let bytes = before.bytes.saturating_add(self.left);
        self.message = Some(InProgress {
            fragments,
            bytes,
            ..before
        });
        if bytes > self.message_bytes_max() {
            return Err(Violation::MessageTooBig);
        }
        Ok(DataFrame {
            kind: before.kind,
            compressed: before.compressed,
            number: fragments,
            is_last,
            bytes: self.left,
        })
    }

    /// The next piece of a frame's payload, or what comes after it.
    fn data<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        if self.left > 0 {
            let (bytes, key) = self.take(input);
            return Some(Event::Payload(Payload { bytes, key }));
        }
        self.phase = Phase::Header;
        if !self.is_last {
            return None;
        }
        self.message = None;
        Some(Event::End)
    }

    /// The bytes that there are of the current payload, and its key.
    fn take<'a>(&mut self, input: &mut &'a [u8]) -> (&'a [u8], Key) {
        let size = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        let (bytes, rest) = input.split_at(size);
        let key = self.key;
        *input = rest;
        self.left -= size as u64;
        self.key = key.after(size);
        (bytes, key)
    }

    /// A control frame, once it is whole.
    fn control<'a>(
        &mut self,
        opcode: Opcode,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        if self.control.is_empty() {
            // At most 125: its header was checked.
            self.control
                .reserve_exact(usize::try_from(self.left).unwrap_or_default());
        }
        let (bytes, key) = self.take(input);
        key.append(bytes, &mut self.control);
        if self.left > 0 {
            return Ok(None);
        }
        self.phase = Phase::Header;
        let payload = std::mem::take(&mut self.control);
        Ok(Some(match opcode {
            Opcode::Ping => Event::Ping(payload.into()),
            Opcode::Pong => Event::Pong(payload.into()),
            _ => {
                let close = Close::parse(&payload)?.map(Close::into_owned);
                self.phase = Phase::Over;
                Event::Close(close)
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_a_connection_is_small() {
        assert!(size_of::<Decoder>() <= 120, "{}", size_of::<Decoder>());
    }
}
