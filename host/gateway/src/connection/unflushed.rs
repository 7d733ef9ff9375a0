//! Answers that have not left yet, and the ping that waits for its answer.

use bytes::Bytes;
use tokio::time::Instant;

/// What was answered since everything had left the last time.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    /// How many pings were read.
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
