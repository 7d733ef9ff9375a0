//! `permessage-deflate` (RFC 7692): messages that are compressed one by one.
//!
//! [`Settings`] are one end's wishes. The client's go out as an offer, the
//! server's meet it, and both come to the same [`Agreed`], of which the
//! [`Deflater`] and the [`Inflater`] of each end are made.
//!
//! Without *context takeover* a message is compressed by itself. A compressor
//! then keeps nothing between messages, and a few of them, in a pool, serve any
//! number of connections; a broadcast is compressed once. With takeover the
//! compressor refers back to earlier messages, up to the size of its window:
//! small messages that resemble each other become much smaller, and each
//! connection pays for a compressor and a decompressor of its own.

mod agree;
mod deflater;
mod extensions;
mod inflater;

pub use agree::{Agreed, NegotiationError, Settings};
pub use deflater::{Deflater, Deflating, LEVEL_DEFAULT};
pub use extensions::MalformedExtensions;
pub use inflater::{InflateError, Inflater, Totals};

/// The largest window, as a power of two: 32 KiB.
pub const WINDOW_BITS_MAX: u8 = 15;

/// The smallest window, as a power of two. RFC 7692 has 8, too, but zlib and
/// what descends from it compress with 9 where 8 is asked for, and produce
/// streams that a decompressor of 8 refuses.
pub const WINDOW_BITS_MIN: u8 = 9;

/// The end of a flushed deflate stream, left out of a message (RFC 7692
/// section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
