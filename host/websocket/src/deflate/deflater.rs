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

/// The input of one step, in bytes: a millisecond at the highest level.
const PIECE_BYTES: usize = 16 * 1024;

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

/// A message that [`Deflater::deflate_allowed`] has compressed in part.
#[derive(Debug, Default)]
pub struct Deflating {
    /// Bytes of the message that were taken.
    at: usize,
    to: Vec<u8>,
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
        let state = begun(&mut self.state, self.level, self.window_bits);
        to.reserve(message.len() / 2 + ROOM_BYTES_MIN);
        feed(state, message, to, FlushCompress::Sync);
        self.end(to);
    }

    /// Compresses a message as [`deflate`](Self::deflate) does, until `allowed`
    /// bytes of it have been taken, and takes those from `allowed`. None if that
    /// is not the end: the next call has to have the same message and the same
    /// `so_far`, and goes on. So a large message does not hold a thread. A step
    /// takes up to 16 KiB, even if fewer are allowed.
    ///
    /// Without takeover a part refers to none before it, so nothing but `so_far`
    /// is kept between two calls: the compressor may serve other messages then,
    /// and another one with the same window may go on.
    ///
    /// ```
    /// use openline_websocket::deflate::{Deflater, Deflating, LEVEL_DEFAULT};
    ///
    /// let message = vec![7; 100_000];
    /// let mut deflater = Deflater::new(LEVEL_DEFAULT, 15, false);
    /// let (mut so_far, mut polls) = (Deflating::default(), 0);
    /// let deflated = loop {
    ///     polls += 1;
    ///     if let Some(all) = deflater.deflate_allowed(&message, &mut so_far, &mut 40_000) {
    ///         break all;
    ///     }
    /// };
    /// assert!(deflated.len() < 1000);
    /// assert_eq!(polls, 3);
    /// ```
    pub fn deflate_allowed(
        &mut self,
        message: &[u8],
        so_far: &mut Deflating,
        allowed: &mut usize,
    ) -> Option<Vec<u8>> {
        let Deflating { at, to } = so_far;
        if message.is_empty() {
            self.deflate(message, to);
            return Some(std::mem::take(to));
        }
        let state = begun(&mut self.state, self.level, self.window_bits);
        while *allowed > 0 {
            let piece = &message[*at..];
            let piece = &piece[..piece.len().min(PIECE_BYTES)];
            *at += piece.len();
            *allowed = allowed.saturating_sub(piece.len());
            if *at == message.len() {
                feed(state, piece, to, FlushCompress::Sync);
                self.end(to);
                return Some(std::mem::take(to));
            }
            if *allowed > 0 || self.takeover {
                feed(state, piece, to, FlushCompress::None);
            } else {
                // Whole bytes, behind which another compressor can go on.
                feed(state, piece, to, FlushCompress::Sync);
                state.reset();
            }
        }
        None
    }

    /// Takes the tail of a message that was flushed away.
    fn end(&mut self, to: &mut Vec<u8>) {
        debug_assert!(to.ends_with(&TAIL));
        to.truncate(to.len() - TAIL.len());
        if !self.takeover
            && let Some(state) = &mut self.state
        {
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

/// The compressor, made now if it has not been used.
fn begun(state: &mut Option<Compress>, level: u8, window_bits: u8) -> &mut Compress {
    state.get_or_insert_with(|| {
        let level = Compression::new(u32::from(level));
        Compress::new_with_window_bits(level, false, window_bits)
    })
}

/// Compresses all of these bytes.
fn feed(state: &mut Compress, bytes: &[u8], to: &mut Vec<u8>, flush: FlushCompress) {
    let before = state.total_in();
    let mut rest = bytes;
    loop {
        if to.len() == to.capacity() {
            to.reserve(rest.len() / 2 + ROOM_BYTES_MIN);
        }
        let status = state.compress_vec(rest, to, flush);
        status.expect("a compressor that was made well takes any bytes");
        let taken = usize::try_from(state.total_in() - before);
        rest = &bytes[taken.expect("no more than there are")..];
        // It writes as long as there is room: with room left, it is done.
        if to.len() < to.capacity() {
            debug_assert!(rest.is_empty());
            return;
        }
    }
}

/// Measured: `tests/allocations.rs`.
const FIXED_BYTES: usize = 245 * 1024;
