//! What a connection's peer and the host agreed on compression, and what has
//! come of it. Only a connection that compresses has this.

use openline_core::limits::Compression;

use crate::sync::{AtomicU64, Ordering};

/// The compression of one connection.
#[derive(Debug)]
pub struct Compressed {
    /// Never off. Dedicated only if the peer allows it.
    pub mode: Compression,
    /// The largest window that the host may compress with, as a power of two.
    pub window_bits: u8,
    /// Messages that the host has compressed.
    pub sent: Sizes,
    /// Messages that the peer has compressed.
    pub received: Sizes,
}

/// How large messages are that were compressed, all together.
#[derive(Debug, Default)]
pub struct Sizes {
    plain: AtomicU64,
    compressed: AtomicU64,
}

impl Compressed {
    /// What was agreed before the first message.
    pub fn new(mode: Compression, window_bits: u8) -> Self {
        Self {
            mode,
            window_bits,
            sent: Sizes::default(),
            received: Sizes::default(),
        }
    }
}

impl Sizes {
    /// Adds payload bytes without compression and with it.
    pub fn add(&self, plain: u64, compressed: u64) {
        self.plain.fetch_add(plain, Ordering::Relaxed);
        self.compressed.fetch_add(compressed, Ordering::Relaxed);
    }

    /// Payload bytes without compression, and with it. Not of one moment.
    pub fn bytes(&self) -> (u64, u64) {
        let load = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        (load(&self.plain), load(&self.compressed))
    }
}
