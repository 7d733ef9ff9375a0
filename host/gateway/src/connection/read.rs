//! Reading: frames become messages, and messages a batch.
//!
//! Bounded by one batch, by the frames of one poll, and by what waits to be
//! answered by the host itself.

use std::task::{Context, Poll};

use bytes::Bytes;
use openline_core::close::CloseReason;
use openline_core::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX};
use openline_core::message::Message;

use super::wire::Received;
use super::{Actor, Socket};

/// Frames that one poll reads, at most: control frames fill no batch, and a
/// flood of them should not keep a thread.
const FRAMES_PER_POLL_MAX: usize = 1024;

/// Pings that are read while the answers to earlier ones do not leave: past
/// it nothing is read until they do. The library would gather the answers in a
/// buffer as large as a message.
pub(super) const PINGS_UNANSWERED_MAX: u32 = 64;

/// Messages that the host answers by itself are read while the answers to
/// earlier ones are not written: past it reading stops until they are, so that
/// the outbox of a peer that does not read is not filled by the host.
pub(super) const ANSWERS_UNWRITTEN_MAX: u32 = 64;

/// Messages of a batch that room is made for before they have come.
const BATCH_EXPECTED_MAX: usize = 64;

/// Messages that were read and wait to be given to the function.
#[derive(Debug)]
pub(super) struct Inbox {
    batch: Vec<Message>,
    bytes: usize,
    /// Messages of the last batch: the next has often as many.
    expected: usize,
    /// Messages that were read since the connection was opened.
    pub(super) messages: u64,
}

/// How far reading came.
pub(super) enum Reading {
    /// All that is there has been read.
    Dry,
    /// There may be more.
    Full,
    End(CloseReason),
}

// === impl Inbox ===

impl Default for Inbox {
    fn default() -> Self {
        Self {
            batch: Vec::new(),
            bytes: 0,
            expected: 1,
            messages: 0,
        }
    }
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether it holds a whole batch.
    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_MESSAGES_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn push(&mut self, message: Message) {
        self.bytes += message.bytes();
        if self.batch.capacity() == 0 {
            self.batch.reserve_exact(self.expected);
        }
        self.batch.push(message);
    }

    /// Takes the batch.
    pub(super) fn take(&mut self) -> Vec<Message> {
        self.bytes = 0;
        self.expected = self.batch.len().min(BATCH_EXPECTED_MAX);
        std::mem::take(&mut self.batch)
    }

    /// The batch of a connection that reads no more.
    pub(super) fn into_batch(self) -> Vec<Message> {
        self.batch
    }
}

// === impl Actor ===

impl<S: Socket> Actor<S> {
    /// Reads all that is there, up to one batch.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Reading {
        if self.course.is_refusing() {
            return Reading::Dry;
        }
        let mut frames = 0;
        while !self.inbox.is_full() {
            if frames == FRAMES_PER_POLL_MAX {
                cx.waker().wake_by_ref();
                return Reading::Full;
            }
            frames += 1;
            if self.unflushed.pings > PINGS_UNANSWERED_MAX && self.wire.is_blocked() {
                return Reading::Dry;
            }
            // Who has written them reads on.
            if self.unflushed.answers > ANSWERS_UNWRITTEN_MAX {
                return Reading::Full;
            }
            let Poll::Ready(received) = self.wire.poll_received(cx) else {
                return Reading::Dry;
            };
            match received {
                Received::Message(message) => {
                    if self.wire.is_past_fragments(self.inbox.messages) {
                        return Reading::End(CloseReason::Fragments);
                    }
                    self.inbox.messages += 1;
                    self.rest.note_size(message.bytes());
                    if self.connection.answer(&message) {
                        self.unflushed.answers += 1;
                        continue;
                    }
                    self.inbox.push(message);
                }
                // The library has queued the pong.
                Received::Ping => {
                    self.unflushed.written = true;
                    self.unflushed.pings += 1;
                }
                Received::Pong(payload) => self.take_pong(&payload),
                Received::Nothing => {}
                Received::BadClose => {
                    self.wire.reopen(cx);
                    return Reading::End(CloseReason::Protocol);
                }
                Received::End(reason) => return Reading::End(reason),
            }
        }
        Reading::Full
    }

    fn take_pong(&mut self, payload: &Bytes) {
        if let Some(probe) = self.probe.take_if(|probe| probe.payload == payload) {
            self.connection.set_round_trip(probe.sent.elapsed());
        }
    }
}

/// Whether a reason is a frame that may not be there: those before it were
/// right, and are not lost with it.
pub(super) fn is_violation(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Protocol
            | CloseReason::InvalidText
            | CloseReason::MessageTooBig
            | CloseReason::Fragments
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        Message::Binary(vec![0; bytes].into())
    }

    #[test]
    fn a_batch_at_its_messages_and_at_its_bytes() {
        let mut inbox = Inbox::default();
        for _ in 1..BATCH_MESSAGES_MAX {
            inbox.push(message(1));
        }
        assert!(!inbox.is_full());
        inbox.push(message(1));
        assert!(inbox.is_full());
        assert_eq!(inbox.take().len(), BATCH_MESSAGES_MAX);
        assert!(inbox.is_empty() && !inbox.is_full());
        inbox.push(message(BATCH_BYTES_MAX - 1));
        assert!(!inbox.is_full());
        inbox.push(message(1));
        assert!(inbox.is_full());
    }

    #[test]
    fn room_is_made_for_as_many_as_the_last_batch_had_up_to_a_bound() {
        let mut inbox = Inbox::default();
        for (messages, room) in [(1, 1), (3, 3), (BATCH_MESSAGES_MAX, BATCH_EXPECTED_MAX)] {
            for _ in 0..messages {
                inbox.push(message(1));
            }
            inbox.take();
            inbox.push(message(1));
            assert_eq!(inbox.into_batch().capacity(), room);
            inbox = Inbox::default();
        }
    }
}
