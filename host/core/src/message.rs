//! One WebSocket message, the only payload that travels between packages.
//!
//! The bytes are reference-counted: a clone shares them. How large a message
//! may be is `limits::FunctionLimits::message_bytes`.

use bytes::Bytes;
use bytestring::ByteString;

/// A whole message (RFC 6455 section 5.6); fragments never get this far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text; UTF-8 by construction.
    Text(ByteString),
    /// Arbitrary bytes.
    Binary(Bytes),
}

/// Whether a message is compressed for peers with which that was agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// If it has at least `compression_threshold` bytes.
    #[default]
    Configured,
    /// Whatever its size.
    Always,
    /// Not.
    Never,
}

impl Message {
    /// The payload's size in bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}
