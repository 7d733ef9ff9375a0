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
