//! Decompressing messages, each within a bound: more is never produced, so a
//! message that would be a thousand times larger than what was received costs
//! what the bound says. A large one can be decompressed bit by bit
//! ([`Inflater::allow`]), so that it does not hold a thread.

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

/// The input of one step, in bytes: it becomes at most a thousand times as much.
const PIECE_BYTES: usize = 2048;

/// How many bytes each byte of input counts as that is taken: a block with
/// codes of its own, which are made anew, can have 20 bytes and no content, and
/// takes as long as a kilobyte of output. 1 MiB of such blocks took 116 ms.
const TAKEN_WEIGHT: usize = 32;

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
/// connections, whatever their windows, but one message at a time.
#[derive(Debug)]
pub struct Inflater {
    state: Option<Decompress>,
    window_bits: u8,
    takeover: bool,
    /// The message that is being decompressed.
    progress: Option<Progress>,
    allowed: usize,
    /// How many bytes of a message it may have made.
    room: usize,
    totals: Totals,
}

/// How much was decompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Compressed bytes of whole messages.
    pub compressed: u64,
    /// What they became.
    pub inflated: u64,
}

/// How far a message is.
#[derive(Debug)]
struct Progress {
    to: Vec<u8>,
    /// Bytes of the message, or of its tail, that were taken.
    at: usize,
    in_tail: bool,
    streams: u32,
}

/// One message on its way.
struct Inflating<'a> {
    state: &'a mut Decompress,
    progress: &'a mut Progress,
    bytes_max: usize,
    room: usize,
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
            progress: None,
            allowed: usize::MAX,
            room: usize::MAX,
            totals: Totals::default(),
        }
    }

    /// Decompresses the payload of a message, all of its frames together, to at
    /// most `bytes_max` bytes, at once.
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
        let allowed = std::mem::replace(&mut self.allowed, usize::MAX);
        let room = std::mem::replace(&mut self.room, usize::MAX);
        loop {
            let inflated = self.inflate_allowed(message, bytes_max).transpose();
            if let Some(inflated) = inflated {
                (self.allowed, self.room) = (allowed, room);
                return inflated;
            }
        }
    }

    /// Sets how many bytes [`inflate_allowed`](Self::inflate_allowed) produces
    /// from now on before it stops; unbounded at first. Each byte that it takes
    /// counts as 32, because it can take as long. It may go past that by what a
    /// step makes of 2 KiB, which is 2 MiB at most.
    pub fn allow(&mut self, bytes: usize) {
        self.allowed = bytes;
    }

    /// Sets how large a message [`inflate_allowed`](Self::inflate_allowed) makes
    /// before it stops; unbounded at first. It allocates no more, but for a few
    /// bytes.
    pub fn set_room(&mut self, bytes: usize) {
        self.room = bytes;
    }

    /// Decompresses a message as [`inflate`](Self::inflate) does, as far as it
    /// is [allowed](Self::allow) and has [room](Self::set_room). None if that is not the end: the next call has
    /// to have the same arguments and goes on.
    ///
    /// ```
    /// use openline_websocket::deflate::{Deflater, Inflater, LEVEL_DEFAULT};
    ///
    /// let mut deflated = Vec::new();
    /// Deflater::new(LEVEL_DEFAULT, 15, false).deflate(&[7; 1_000_000], &mut deflated);
    /// let mut inflater = Inflater::new(15, false);
    /// inflater.allow(0);
    /// assert_eq!(inflater.inflate_allowed(&deflated, 1_000_000), Ok(None));
    /// assert!(inflater.is_busy());
    /// inflater.allow(3_000_000);
    /// let inflated = inflater.inflate_allowed(&deflated, 1_000_000).unwrap();
    /// assert_eq!(inflated, Some(vec![7; 1_000_000]));
    /// ```
    ///
    /// # Errors
    ///
    /// [`InflateError`]; the connection cannot go on.
    pub fn inflate_allowed(
        &mut self,
        message: &[u8],
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, InflateError> {
        // It would be taken for the beginning of a block that ends in the next
        // message.
        if message.is_empty() {
            return Err(InflateError::Invalid);
        }
        let bits = self.window_bits;
        let make = || Decompress::new_with_window_bits(false, bits);
        let state = self.state.get_or_insert_with(make);
        let begin = || {
            let room = message.len().saturating_mul(RATIO).max(ROOM_BYTES_MIN);
            let room = room.min(self.room).max(ROOM_BYTES_MIN);
            Progress {
                to: Vec::with_capacity(room.min(bytes_max)),
                at: 0,
                in_tail: false,
                streams: 0,
            }
        };
        let mut inflating = Inflating {
            state,
            progress: self.progress.get_or_insert_with(begin),
            bytes_max,
            room: self.room,
        };
        let advanced = inflating.advance(message, self.takeover, &mut self.allowed);
        if advanced == Ok(false) {
            return Ok(None);
        }
        if !self.takeover {
            state.reset(false);
        }
        let to = self.progress.take().map(|progress| progress.to);
        advanced?;
        let to = to.unwrap_or_default();
        self.totals.compressed += message.len() as u64;
        self.totals.inflated += to.len() as u64;
        Ok(Some(to))
    }

    /// Gives up what was made of a message that is half decompressed. The next
    /// call has to have the same message, and begins with it anew. Only one
    /// without takeover can do that; another one goes on.
    pub fn restart(&mut self) {
        if let (false, Some(state)) = (self.takeover, &mut self.state) {
            self.progress = None;
            state.reset(false);
        }
    }

    /// Whether it has stopped because of its [room](Self::set_room).
    pub fn needs_room(&self) -> bool {
        self.allowed > 0 && self.made_bytes() >= self.room
    }

    /// Bytes that were made of a message that is half decompressed.
    pub fn made_bytes(&self) -> usize {
        self.progress
            .as_ref()
            .map_or(0, |progress| progress.to.len())
    }

    /// Whether a message is half decompressed: then it serves no other.
    pub fn is_busy(&self) -> bool {
        self.progress.is_some()
    }

    /// How much was decompressed since this was last asked.
    pub fn take_totals(&mut self) -> Totals {
        std::mem::take(&mut self.totals)
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
        self.progress = None;
    }
}

// === impl Inflating ===

impl Inflating<'_> {
    /// Goes on until the message has ended; false if it was not allowed to.
    fn advance(
        &mut self,
        message: &[u8],
        takeover: bool,
        allowed: &mut usize,
    ) -> Result<bool, InflateError> {
        loop {
            let in_tail = self.progress.in_tail;
            let source = if in_tail { &TAIL[..] } else { message };
            let Some(has_ended) = self.feed(source, allowed)? else {
                return Ok(false);
            };
            if !in_tail {
                // A peer that ends the stream should send one byte more, and
                // need not.
                if has_ended {
                    return Ok(true);
                }
                (self.progress.in_tail, self.progress.at) = (true, 0);
                continue;
            }
            return match takeover || self.ends_here() {
                true => Ok(true),
                false => Err(InflateError::Invalid),
            };
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

    /// Decompresses the rest of `source`; answers whether the stream ends with
    /// it, and nothing if it was not allowed to come that far.
    fn feed(&mut self, source: &[u8], allowed: &mut usize) -> Result<Option<bool>, InflateError> {
        loop {
            if *allowed == 0 || self.lacks_room() {
                return Ok(None);
            }
            let part = &source[self.progress.at..];
            let made_before = self.progress.to.len();
            let step = self.step(&part[..part.len().min(PIECE_BYTES)])?;
            self.progress.at += step.taken;
            let made = self.progress.to.len() - made_before;
            *allowed = allowed.saturating_sub(step.taken * TAKEN_WEIGHT + made);
            let is_all = self.progress.at == source.len();
            if step.status == Status::StreamEnd {
                self.state.reset(false);
                if is_all {
                    return Ok(Some(true));
                }
                self.progress.streams += 1;
                if self.progress.streams == STREAMS_MAX {
                    return Err(InflateError::Invalid);
                }
            } else if step.is_dry {
                if is_all {
                    return Ok(Some(false));
                }
                // With input left it waits for nothing, and does nothing.
                if step.taken == 0 {
                    return Err(InflateError::Invalid);
                }
            }
        }
    }

    /// Whether it has to stop because of its room, and not of the message's
    /// bound.
    fn lacks_room(&self) -> bool {
        let made = self.progress.to.len();
        made >= self.room && made < self.bytes_max
    }

    /// Decompresses into the room that there is, or into one more byte, which
    /// must stay empty, if the message has all that it may.
    fn step(&mut self, part: &[u8]) -> Result<Step, InflateError> {
        let to = &mut self.progress.to;
        let taken_before = self.state.total_in();
        let mut excess = [0];
        let is_full = to.len() >= self.bytes_max;
        if !is_full && to.len() == to.capacity() {
            let most = self.bytes_max.min(self.room);
            let more = to.len().max(ROOM_BYTES_MIN);
            to.reserve_exact(more.min(most - to.len()));
        }
        let made_before = self.state.total_out();
        let sync = FlushDecompress::Sync;
        let status = match is_full {
            true => self.state.decompress(part, &mut excess, sync),
            false => self.state.decompress_vec(part, to, sync),
        };
        let status = status.map_err(|_| InflateError::Invalid)?;
        let is_past = is_full && self.state.total_out() > made_before;
        if is_past || to.len() > self.bytes_max {
            return Err(InflateError::TooBig);
        }
        let taken = usize::try_from(self.state.total_in() - taken_before);
        Ok(Step {
            taken: taken.expect("no more than the part"),
            status,
            is_dry: is_full || to.len() < to.capacity(),
        })
    }
}
