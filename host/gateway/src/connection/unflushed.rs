//! Answers that have not left yet, and the ping that waits for its answer.

use bytes::Bytes;
use openline_channels::connection::Connection;
use openline_core::limits::OUTBOX_LOW_BYTES;
use tokio::time::Instant;

use super::inbox::ANSWERS_UNWRITTEN_MAX;

/// What was answered since everything had left the last time. Nothing is read
/// past their bounds, which are far from those of the numbers.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    /// How many pings were read.
    pub(super) pings: u16,
    /// How many messages the host has answered itself.
    pub(super) answers: u16,
}

impl Unflushed {
    /// Notes an answer that has to leave. Large ones each have the outbox for
    /// themselves: two that fit alone may not fit together.
    pub(super) fn note_answer(&mut self, connection: &Connection) {
        self.answers += 1;
        if connection.buffered_bytes() > OUTBOX_LOW_BYTES as u64 {
            self.answers = ANSWERS_UNWRITTEN_MAX + 1;
        }
    }
}

/// The last ping that was sent.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) payload: Bytes,
    pub(super) sent: Instant,
}
