//! Compressing messages.

use flate2::{Compress, Compression, FlushCompress};

use super::{TAIL, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::decoder::Kind;
use crate::frame::Frame;
use crate::message::Message;

/// Most servers use zlib's level 6. This one makes messages 1 to 2 %
/// larger than that, and takes a fifth less time for 8 KB of JSON; level 1 makes
/// them 30 to 50 % larger and takes a third of the time. For messages below a
/// kilobyte, resetting the compressor is a large part (2 µs), at any level.
pub const LEVEL_DEFAULT: u8 = 4;

/// The least room that is made for output at once, in bytes.
const ROOM_BYTES_MIN: usize = 64;

/// A compressor. Its memory is allocated with the first message.
///
/// One with takeover belongs to a connection, and has to see all of its
/// compressed messages in the order in which they are sent. One without serves
/// any number of connections with the same window.
#[derive(Debug)]
pub struct Deflater {
    state: Option<Compress>,
    level: u8,
    window_bits: u8,
    takeover: bool,
}

impl Deflater {
    /// `level` is zlib's, 1 to 9; the window a power of two, 9 to 15. Other
    /// values are taken for the nearest of these.
    pub fn new(level: u8, window_bits: u8, takeover: bool) -> Self {
        Self {
            state: None,
            level: level.clamp(1, 9),
            window_bits: window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX),
            takeover,
        }
    }

    /// Compresses a message: appends the payload of its frame to `to`, for
    /// [`Frame::compressed`](crate::Frame::compressed).
    ///
    /// A message compressed with takeover has to be sent: the peer's
    /// decompressor would miss what the next message refers to. So decide by a
    /// message's size before, not by what this makes of it.
    pub fn deflate(&mut self, message: &[u8], to: &mut Vec<u8>) {
        // RFC 7692 section 7.2.3.6. The compressor has nothing to flush.
        if message.is_empty() {
            to.push(0);
            return;
        }
        let state = self.state.get_or_insert_with(|| {
            let level = Compression::new(u32::from(self.level));
            Compress::new_with_window_bits(level, false, self.window_bits)
        });
        let before = state.total_in();
        let mut rest = message;
        to.reserve(message.len() / 2 + ROOM_BYTES_MIN);
        loop {
            let status = state.compress_vec(rest, to, FlushCompress::Sync);
            status.expect("a compressor that was made well takes any bytes");
            let taken = usize::try_from(state.total_in() - before);
            rest = &message[taken.expect("no more than the message")..];
            // It writes as long as there is room: with room left, it is done.
            if to.len() < to.capacity() {
                break;
            }
            to.reserve(rest.len() / 2 + ROOM_BYTES_MIN);
        }
        debug_assert!(rest.is_empty() && to.ends_with(&TAIL));
        to.truncate(to.len() - TAIL.len());
        if !self.takeover {
            state.reset();
        }
    }

    /// The frame of a compressed message. The same holds for it as for
    /// [`deflate`](Self::deflate).
    pub fn frame(&mut self, message: &Message) -> Frame {
        let kind = match message {
            Message::Text(_) => Kind::Text,
            Message::Binary(_) => Kind::Binary,
        };
        let mut deflated = Vec::new();
        self.deflate(message.payload(), &mut deflated);
        Frame::compressed(kind, deflated)
    }

    /// Gives the memory back. With takeover the next message refers to none
    /// before it, which the peer need not know.
    pub fn release(&mut self) {
        self.state = None;
    }

    /// Bytes that are allocated now.
    pub fn allocated_bytes(&self) -> usize {
        match self.state {
            Some(_) => Self::memory_bytes(self.window_bits),
            None => 0,
        }
    }

    /// Bytes that a compressor with such a window takes once it is used: 245
    /// KiB for hashes and for output that waits, and four bytes for each byte
    /// of the window; 373 KiB for the largest.
    pub const fn memory_bytes(window_bits: u8) -> usize {
        FIXED_BYTES + (4 << window_bits)
    }
}

/// Measured: `tests/allocations.rs`.
const FIXED_BYTES: usize = 245 * 1024;
