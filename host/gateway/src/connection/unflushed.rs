//! Writes that have not left yet, and the ping that waits for its answer.

use bytes::Bytes;
use tokio::time::Instant;

/// The writes since the last complete flush, made or still due.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    /// Whether something was written.
    pub(super) written: bool,
    /// How many pings were read, whose answers the library has written.
    pub(super) pings: u32,
    /// How many messages automatic responses have answered.
    pub(super) answers: u32,
}

/// The last ping that was sent.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) payload: Bytes,
    pub(super) sent: Instant,
}
