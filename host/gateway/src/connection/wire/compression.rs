//! What a wire has where compression was agreed on.
//!
//! With `shared` that is nothing between messages: the compressors belong to
//! the threads ([`pool`]). With `dedicated` a connection has a compressor of its
//! own while it sends, if there is room for it in the host's
//! `compression_bytes`; it gives it up after [`QUIET_CHECKS`] without a message,
//! and then begins anew, which a peer need not know. As long as there is none,
//! the thread's compressors take its place: what they make refers to no earlier
//! message, which is right in any case.
//!
//! A message that was compressed with a compressor of the connection's own is
//! sent in that form, because later messages refer to it. Any other one is sent
//! as it is if compression makes it no smaller.

use std::sync::Arc;

use bytes::Bytes;
use openline_channels::budget::{CompressorPlace, FunctionBudget};
use openline_channels::connection::Compressed;
use openline_channels::shared::{Encoder, SharedMessage};
use openline_core::limits::{Compression as Mode, FunctionLimits};
use openline_core::message::{Compress, Message};
use openline_websocket::deflate::Deflating;
use openline_websocket::{Deflater, Inflater, Opcode};

use super::pool::{Kind, Lent};
use super::scratch::DEFLATED_BYTES;
use super::writing::parts;

/// How often a connection is found quiet before it gives its compressor up: one
/// check a second. Making a new one takes tens of microseconds, and the peer's
/// next messages are larger until they have something to refer to again.
pub(super) const QUIET_CHECKS: u8 = 10;

/// The largest message that is compressed at once, in bytes. A larger one is
/// compressed bit by bit, and other connections have their turn in between.
pub(super) const AT_ONCE_BYTES_MAX: usize = DEFLATED_BYTES;

/// The compression of one connection.
#[derive(Debug)]
pub(crate) struct Compression {
    facts: Arc<Compressed>,
    budget: Arc<FunctionBudget>,
    threshold: usize,
    level: u8,
    /// A decompressor of a thread's that is in the middle of a message.
    inflater: Option<Box<Inflater>>,
    own: Option<Box<Own>>,
    pending: Option<Box<Pending>>,
}

/// A compressor that remembers the connection's messages.
#[derive(Debug)]
struct Own {
    deflater: Deflater,
    /// How often the connection was found quiet since its last message.
    quiet: u8,
    _place: CompressorPlace,
}

/// A large message that is being compressed.
#[derive(Debug)]
enum Pending {
    /// With the connection's own compressor, if it had one at the beginning.
    /// Otherwise each poll borrows the thread's: thousands of connections can
    /// have begun a message, and a compressor for each would be gigabytes.
    Message(Opcode, Bytes, Deflating),
    Published(Arc<SharedMessage>),
}

/// Makes the shared form of a publication.
#[derive(Debug)]
struct Sharing(Kind, Deflating);

/// A message that is ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Compressed(Opcode, Bytes),
    /// Compression makes it no smaller.
    Plain(Opcode, Bytes),
}

impl Compression {
    /// The compression that the handshake agreed on.
    pub(crate) fn new(
        facts: &Arc<Compressed>,
        limits: &FunctionLimits,
        budget: &Arc<FunctionBudget>,
    ) -> Box<Self> {
        Box::new(Self {
            facts: Arc::clone(facts),
            budget: Arc::clone(budget),
            threshold: limits.compression_threshold,
            level: u8::try_from(limits.compression_level).unwrap_or(u8::MAX),
            inflater: None,
            own: None,
            pending: None,
        })
    }

    /// Whether nothing is kept of a message.
    pub(super) fn is_empty(&self) -> bool {
        self.inflater.is_none() && self.pending.is_none()
    }

    /// Notes that the connection was found quiet; answers whether it keeps no
    /// compressor any more.
    pub(super) fn rest(&mut self) -> bool {
        if let Some(own) = &mut self.own
            && self.pending.is_none()
        {
            own.quiet += 1;
            if own.quiet >= QUIET_CHECKS {
                self.own = None;
            }
        }
        self.own.is_none()
    }

    #[cfg(test)]
    pub(super) fn has_own(&self) -> bool {
        self.own.is_some()
    }

    // === receiving ===

    /// The decompressor for this poll: the one that was left in the middle of a
    /// message, or the thread's.
    pub(super) fn take_inflater(&mut self) -> Box<Inflater> {
        self.inflater.take().unwrap_or_else(super::pool::inflater)
    }

    /// Bytes of a message that is half decompressed, and of its decompressor.
    pub(super) fn inflating_bytes(&self) -> usize {
        let inflater = self.inflater.as_ref();
        inflater.map_or(0, |inflater| inflater.made_bytes() + Inflater::MEMORY_BYTES)
    }

    /// Takes the decompressor back at the end of a poll; answers how many bytes
    /// more than those on the wire were received.
    pub(super) fn give_back(&mut self, mut inflater: Box<Inflater>) -> u64 {
        let totals = inflater.take_totals();
        if totals.compressed > 0 {
            let received = &self.facts.received;
            received.add(totals.inflated, totals.compressed);
        }
        if inflater.is_busy() {
            self.inflater = Some(inflater);
        } else {
            super::pool::give_back(inflater);
        }
        totals.inflated.saturating_sub(totals.compressed)
    }

    // === sending ===

    /// Whether a message of this size is to be compressed.
    pub(super) fn wants(&self, bytes: usize, compress: Compress) -> bool {
        match compress {
            Compress::Configured => bytes >= self.threshold,
            Compress::Always => true,
            Compress::Never => false,
        }
    }

    /// The connection's own compressor, if it has one or may have one.
    fn own(&mut self) -> Option<&mut Deflater> {
        if self.facts.mode != Mode::Dedicated {
            return None;
        }
        if self.own.is_none() {
            let bits = self.facts.window_bits;
            let place = self.budget.compressor(Deflater::memory_bytes(bits))?;
            self.own = Some(Box::new(Own {
                deflater: Deflater::new(self.level, bits, true),
                quiet: 0,
                _place: place,
            }));
        }
        let own = self.own.as_mut()?;
        own.quiet = 0;
        Some(&mut own.deflater)
    }

    fn kind(&self) -> Kind {
        Kind::new(self.level, self.facts.window_bits)
    }

    /// Compresses a message of at most [`AT_ONCE_BYTES_MAX`] to an empty buffer;
    /// false if it is to be sent as it is.
    pub(super) fn deflate(&mut self, payload: &[u8], to: &mut Vec<u8>) -> bool {
        if let Some(own) = self.own() {
            own.deflate(payload, to);
        } else {
            Lent::of(self.kind()).deflater().deflate(payload, to);
            if to.len() >= payload.len() {
                return false;
            }
        }
        self.note_sent(payload.len(), to.len());
        true
    }

    /// Begins a message of any size; [`advance`](Self::advance) goes on with it.
    pub(super) fn begin(&mut self, opcode: Opcode, payload: Bytes) {
        // Takes one if there is room. It stays until the message is done.
        self.own();
        let so_far = Deflating::default();
        self.pending = Some(Box::new(Pending::Message(opcode, payload, so_far)));
    }

    /// Whether a message has begun that is not ready.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Gives up the messages that are being compressed and decompressed, and all
    /// later ones.
    pub(super) fn abandon(&mut self) {
        self.pending = None;
        if let Some(mut inflater) = self.inflater.take() {
            inflater.restart();
            super::pool::give_back(inflater);
        }
    }

    /// Goes on with the message that has begun, for so many of its bytes; none
    /// if it is not ready after that.
    pub(super) fn advance(&mut self, allowed: &mut usize) -> Option<Ready> {
        let mut pending = self.pending.take()?;
        let (opcode, payload, so_far) = match &mut *pending {
            Pending::Message(opcode, payload, so_far) => (*opcode, payload, so_far),
            Pending::Published(publication) => {
                let ready = self.advance_published(publication, allowed);
                if ready.is_none() {
                    self.pending = Some(pending);
                }
                return ready;
            }
        };
        let kind = self.kind();
        let deflated = match &mut self.own {
            Some(own) => own.deflater.deflate_allowed(payload, so_far, allowed),
            None => {
                let mut lent = Lent::of(kind);
                lent.deflater().deflate_allowed(payload, so_far, allowed)
            }
        };
        let Some(deflated) = deflated else {
            self.pending = Some(pending);
            return None;
        };
        let payload = std::mem::take(payload);
        if self.own.is_none() && deflated.len() >= payload.len() {
            return Some(Ready::Plain(opcode, payload));
        }
        self.note_sent(payload.len(), deflated.len());
        Some(Ready::Compressed(opcode, fitted(deflated)))
    }

    // === publications ===

    /// Whether it has a compressor of its own, or takes one now.
    pub(super) fn compresses_itself(&mut self) -> bool {
        self.own().is_some()
    }

    /// Which of a publication's shared forms its peer can read.
    pub(super) fn variant(&self) -> usize {
        self.kind().variant()
    }

    /// Begins a publication that is not ready; [`advance`](Self::advance) goes on
    /// with it.
    pub(super) fn begin_published(&mut self, publication: Arc<SharedMessage>) {
        self.pending = Some(Box::new(Pending::Published(publication)));
    }

    /// The shared form of a publication; none if it is not ready after so many of
    /// its bytes.
    pub(super) fn advance_published(
        &mut self,
        publication: &Arc<SharedMessage>,
        allowed: &mut usize,
    ) -> Option<Ready> {
        let kind = self.kind();
        let begin = || -> Box<dyn Encoder> { Box::new(Sharing(kind, Deflating::default())) };
        let compressed = publication.compressed(kind.variant(), allowed, begin)?;
        let (opcode, payload) = parts(publication.message());
        Some(match compressed {
            Some(compressed) => {
                self.note_sent(payload.len(), compressed.len());
                Ready::Compressed(opcode, compressed)
            }
            None => Ready::Plain(opcode, payload.clone()),
        })
    }

    fn note_sent(&self, plain: usize, compressed: usize) {
        self.facts.sent.add(plain as u64, compressed as u64);
    }
}

impl Encoder for Sharing {
    fn advance(&mut self, message: &Message, allowed: &mut usize) -> Option<Option<Bytes>> {
        let payload = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        };
        let Self(kind, so_far) = self;
        let mut lent = Lent::of(*kind);
        let deflated = lent.deflater().deflate_allowed(payload, so_far, allowed)?;
        let is_smaller = deflated.len() < payload.len();
        Some(is_smaller.then(|| fitted(deflated)))
    }
}

/// Without the room that was made for more: the bytes may wait for long.
fn fitted(mut deflated: Vec<u8>) -> Bytes {
    deflated.shrink_to_fit();
    deflated.into()
}
