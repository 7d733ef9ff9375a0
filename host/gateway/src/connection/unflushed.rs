//! What was written and has not left yet, and the ping that waits for its
//! answer.

use bytes::Bytes;
use tokio::time::Instant;

/// What was written or is to be, since all was flushed.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    /// Something was written.
    pub(super) written: bool,
    /// Pings that were read: the library has written their answers.
    pub(super) pings: u32,
    /// Messages that the host has answered by itself.
    pub(super) answers: u32,
}

/// The last ping that was sent.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) payload: Bytes,
    pub(super) sent: Instant,
}
