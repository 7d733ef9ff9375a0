//! How a peer can break the protocol or pass a limit, and the close code that
//! answers it (RFC 6455 section 7.4.1).

/// Why a connection fails. Nothing can be received after it; what came before
/// it was valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// RSV1, RSV2 or RSV3 is set where nothing that was agreed gives it a
    /// meaning: compressed frames without the extension, continuations and
    /// control frames that say they are compressed.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// Opcodes 3 to 7 and 11 to 15.
    #[error("opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// A client sent a frame without a mask.
    #[error("a client's frame is not masked")]
    Unmasked,
    /// A server sent a frame with a mask.
    #[error("a server's frame is masked")]
    Masked,
    /// A length that fits into fewer bytes than were used for it.
    #[error("a length is not encoded in the fewest bytes")]
    LengthNotMinimal,
    /// A length of 2⁶³ or more.
    #[error("a length has its highest bit set")]
    LengthTopBit,
    /// A control frame in several frames.
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A control frame of more than 125 bytes.
    #[error("a control frame has more than 125 bytes")]
    ControlTooLong,
    /// A continuation while no message is in progress.
    #[error("a continuation continues no message")]
    ContinuationAlone,
    /// A text or binary frame before the last message has ended.
    #[error("a message begins within another one")]
    MessageWithinMessage,
    /// A close frame of one byte, which is half a code.
    #[error("a close frame has one byte")]
    CloseOneByte,
    /// A close code that may not be sent.
    #[error("close code {0} may not be sent")]
    CloseCode(u16),
    /// A text message or a close reason that is not UTF-8.
    #[error("a text is not UTF-8")]
    InvalidText,
    /// A compressed message that is not a deflate stream, or half of one.
    #[error("a compressed message cannot be decompressed")]
    InvalidCompression,
    /// A message larger than [`Limits::message_bytes`](crate::Limits).
    #[error("a message is too large")]
    MessageTooBig,
    /// More frames in a message than [`Limits::fragments`](crate::Limits).
    #[error("a message has too many fragments")]
    TooManyFragments,
}

impl Violation {
    /// The close code that answers it.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::InvalidText | Self::InvalidCompression => 1007,
            Self::TooManyFragments => 1008,
            Self::MessageTooBig => 1009,
            _ => 1002,
        }
    }
}
