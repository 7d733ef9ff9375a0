//! All bounds of this package that are not a frame's or a body's own: those the
//! host sets.

/// The most bytes of a channel's name. Centrifugo allows 255; the host's names
/// have up to 256.
pub const CHANNEL_BYTES_MAX: usize = 256;

/// The most bytes of a token or a key. It is what headers may have in most
/// servers, and what authentication reads.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// The most commands of a frame. A client that comes back subscribes to all its
/// channels in one frame, and may have thousands; more than this is no client.
pub const COMMANDS_MAX: u32 = 8_192;

/// The most channels in the `subs` of a connect command.
pub const SUBSCRIPTIONS_MAX: usize = 1_024;

/// The most headers of a connect command.
pub const HEADERS_MAX: usize = 64;

/// The most bytes of a client's name and version, each. What is longer is cut
/// off: they are for logs.
pub const NAME_BYTES_MAX: usize = 64;

/// The most bytes of a method's name.
pub const METHOD_BYTES_MAX: usize = 256;

/// The most bytes of the name of an event.
pub const EVENT_BYTES_MAX: usize = 256;

/// The most tags of a publication.
pub const TAGS_MAX: usize = 32;

/// The most bytes of a tag's name and value, each.
pub const TAG_BYTES_MAX: usize = 256;

/// The most bytes of an identity, an idempotency key, an epoch, or a key of a
/// channel that keeps one value for each key.
pub const KEY_BYTES_MAX: usize = 256;

/// The most bytes of a position as text.
pub const POSITION_BYTES_MAX: usize = 128;

/// The most publications of a batch, and channels of a broadcast. All share one
/// body, so this bounds the answers.
pub const BATCH_MAX: usize = 1_000;

/// The most items of a publish request of GRIP. Its libraries send 10 at most.
pub const ITEMS_MAX: usize = 100;

/// The most entries of a page.
pub const PAGE_MAX: u32 = 1_000;
