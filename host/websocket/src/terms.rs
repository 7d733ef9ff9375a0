//! The terms for a connection's frames: which end this is, and limits.

/// Which end of a connection this is (RFC 6455 section 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections: what it receives is masked, what it sends is not.
    Server,
    /// Opens connections: what it sends is masked, what it receives is not.
    Client,
}

/// The limits of a peer; past one, the connection ends with its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload of one message, in bytes, after decompression. 1009 past it, as
    /// soon as a header promises more.
    pub message_bytes: usize,
    /// Frames of one message, at least 1. 1008 past it: a message of many
    /// empty frames costs as much to read as one message each.
    pub fragments: u32,
}

impl Limits {
    /// 16 MiB in 131,072 frames: browsers send a message in frames of 64 KiB
    /// to 128 KiB, and test suites in up to 65,536 frames.
    pub const DEFAULT: Self = Self {
        message_bytes: 16 * 1024 * 1024,
        fragments: 131_072,
    };

    /// Compressed bytes of one message: what a compressor makes of
    /// `message_bytes` at worst (zlib's `deflateBound`). Without a bound of its
    /// own, a stream of empty blocks would never end and never exceed a limit.
    pub(crate) fn compressed_bytes(&self) -> u64 {
        let bytes = self.message_bytes as u64;
        bytes.saturating_add(bytes / 8 + bytes / 64 + 64)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
