//! Decompressing messages, each within a bound: more is never produced, so a
//! message that would be a thousand times larger than what was received costs
//! what the bound says.

use flate2::{Decompress, FlushDecompress, Status};

use super::{TAIL, WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// The room that is made for output first: so many times the input, which is
/// what text comes to.
const RATIO: usize = 4;

/// The least room that is made for output at once, in bytes.
const ROOM_BYTES_MIN: usize = 64;

/// Streams in one message, at most. A peer that cannot flush otherwise ends a
/// stream with each message (RFC 7692 section 7.2.3.4); one more may follow it.
/// Each costs a reset of the decompressor and two bytes.
const STREAMS_MAX: u32 = 16;

/// An empty block that ends a stream. A stream that is at the end of a block
/// ends with it, and no other does.
const FINAL: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// Why a message cannot be decompressed. Nothing more can be decompressed
/// after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It is no deflate stream, or not a whole one.
    #[error("not a deflate stream")]
    Invalid,
    /// It is larger than the bound.
    #[error("larger than its bound")]
    TooBig,
}

/// A decompressor. Its memory is allocated with the first message.
///
/// One with takeover belongs to a connection, and has to see all of its
/// compressed messages in their order. One without serves any number of
/// connections, whatever their windows.
#[derive(Debug)]
pub struct Inflater {
    state: Option<Decompress>,
    window_bits: u8,
    takeover: bool,
}

/// One message on its way.
struct Inflating<'a> {
    state: &'a mut Decompress,
    to: Vec<u8>,
    bytes_max: usize,
    streams: u32,
}

/// The result of one call of the decompressor.
struct Step {
    taken: usize,
    status: Status,
    /// There was more room than output.
    is_dry: bool,
}

impl Inflater {
    /// Bytes that a decompressor takes once it is used, whatever its window:
    /// zlib-rs keeps the largest in any case. Measured: `tests/allocations.rs`.
    pub const MEMORY_BYTES: usize = 47 * 1024;

    /// One for peers whose windows are not larger than that power of two, 9 to
    /// 15; other values are taken for the nearest of these. Without takeover
    /// the window is always the largest: there are few of them, and they are
    /// cheaper to reset.
    pub fn new(window_bits: u8, takeover: bool) -> Self {
        let window_bits = match takeover {
            true => window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX),
            false => WINDOW_BITS_MAX,
        };
        Self {
            state: None,
            window_bits,
            takeover,
        }
    }

    /// Decompresses the payload of a message, all of its frames together, to at
    /// most `bytes_max` bytes.
    ///
    /// Without takeover a message that ends in the middle of a block is
    /// refused. With takeover that cannot be told from one that says something
    /// else, and may be found with a later message. A payload without a byte is
    /// refused in any case: an empty message has one (RFC 7692 section 7.2.3.6).
    ///
    /// # Errors
    ///
    /// [`InflateError`]; the connection cannot go on.
    pub fn inflate(&mut self, message: &[u8], bytes_max: usize) -> Result<Vec<u8>, InflateError> {
        // It would be taken for the beginning of a block that ends in the next
        // message.
        if message.is_empty() {
            return Err(InflateError::Invalid);
        }
        let bits = self.window_bits;
        let make = || Decompress::new_with_window_bits(false, bits);
        let state = self.state.get_or_insert_with(make);
        let room = message.len().saturating_mul(RATIO).max(ROOM_BYTES_MIN);
        let mut inflating = Inflating {
            state,
            to: Vec::with_capacity(room.min(bytes_max)),
            bytes_max,
            streams: 0,
        };
        let inflated = inflating.message(message, self.takeover);
        let to = inflating.to;
        if !self.takeover {
            state.reset(false);
        }
        inflated.map(|()| to)
    }

    /// Bytes that are allocated now.
    pub fn allocated_bytes(&self) -> usize {
        match self.state {
            Some(_) => Self::MEMORY_BYTES,
            None => 0,
        }
    }

    /// Gives the memory back, and what a peer with takeover refers to with it:
    /// only for one without, or at the end of a connection.
    pub fn release(&mut self) {
        self.state = None;
    }
}

// === impl Inflating ===

impl Inflating<'_> {
    fn message(&mut self, message: &[u8], takeover: bool) -> Result<(), InflateError> {
        let has_ended = self.feed(message)?;
        // A peer that ends the stream should send one byte more, and need not.
        if has_ended {
            return Ok(());
        }
        self.feed(&TAIL)?;
        match takeover || self.ends_here() {
            true => Ok(()),
            false => Err(InflateError::Invalid),
        }
    }

    /// Ends the stream; answers whether it was at the end of a block.
    fn ends_here(&mut self) -> bool {
        let made = self.state.total_out();
        let mut excess = [0];
        let sync = FlushDecompress::Sync;
        let status = self.state.decompress(&FINAL, &mut excess, sync);
        matches!(status, Ok(Status::StreamEnd)) && self.state.total_out() == made
    }

    /// Decompresses a part of the stream; answers whether the stream ends with
    /// it.
    fn feed(&mut self, mut part: &[u8]) -> Result<bool, InflateError> {
        loop {
            let step = self.step(part)?;
            part = &part[step.taken..];
            if step.status == Status::StreamEnd {
                self.state.reset(false);
                if part.is_empty() {
                    return Ok(true);
                }
                self.streams += 1;
                if self.streams == STREAMS_MAX {
                    return Err(InflateError::Invalid);
                }
            } else if step.is_dry {
                // With input left it waits for nothing, and does nothing.
                return match part {
                    [] => Ok(false),
                    _ if step.taken > 0 => continue,
                    _ => Err(InflateError::Invalid),
                };
            }
        }
    }

    /// Decompresses into the room that there is, or into one more byte, which
    /// must stay empty, if the message has all that it may.
    fn step(&mut self, part: &[u8]) -> Result<Step, InflateError> {
        let taken_before = self.state.total_in();
        let mut excess = [0];
        let is_full = self.to.len() >= self.bytes_max;
        if !is_full && self.to.len() == self.to.capacity() {
            let more = self.to.len().max(ROOM_BYTES_MIN);
            let more = more.min(self.bytes_max - self.to.len());
            self.to.reserve_exact(more);
        }
        let made_before = self.state.total_out();
        let sync = FlushDecompress::Sync;
        let status = match is_full {
            true => self.state.decompress(part, &mut excess, sync),
            false => self.state.decompress_vec(part, &mut self.to, sync),
        };
        let status = status.map_err(|_| InflateError::Invalid)?;
        let is_past = is_full && self.state.total_out() > made_before;
        if is_past || self.to.len() > self.bytes_max {
            return Err(InflateError::TooBig);
        }
        let taken = usize::try_from(self.state.total_in() - taken_before);
        Ok(Step {
            taken: taken.expect("no more than the part"),
            status,
            is_dry: is_full || self.to.len() < self.to.capacity(),
        })
    }
}
