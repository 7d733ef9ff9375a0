//! What waits to be written to one connection, and how the connection is to
//! end when that is written.
//!
//! Bounded in bytes: each message counts its payload and a constant for its
//! bookkeeping, so that empty messages are bounded too. An empty outbox takes
//! any message that is allowed at all. Overflow empties the outbox and ends
//! the connection with 1013.

use std::collections::VecDeque;

use openline_core::close::CloseReason;
use openline_core::event::SendOutcome;
use openline_core::limits::OUTBOX_LOW_BYTES;
use openline_core::message::Message;

/// What a waiting message costs beside its payload, in bytes: its place in the
/// queue and the header of a shared buffer.
pub(crate) const MESSAGE_OVERHEAD_BYTES: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: VecDeque<Message>,
    bytes: usize,
    ending: Option<CloseReason>,
    gone: bool,
}

/// What the owner of the socket does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write this message.
    Message(Message),
    /// All is written: end the connection for this reason.
    End(CloseReason),
    /// Nothing, until woken.
    Idle,
}

impl Outbox {
    pub(crate) fn push(
        &mut self,
        message: Message,
        message_bytes_max: usize,
        outbox_bytes_max: usize,
    ) -> SendOutcome {
        if self.gone || self.ending.is_some() {
            return SendOutcome::Gone;
        }
        let payload = message.bytes();
        if payload > message_bytes_max {
            return SendOutcome::Dropped;
        }
        let bytes = self.bytes + payload + MESSAGE_OVERHEAD_BYTES;
        if bytes > outbox_bytes_max && !self.messages.is_empty() {
            self.clear();
            self.ending = Some(CloseReason::OutboxOverflow);
            return SendOutcome::Dropped;
        }
        self.messages.push_back(message);
        self.bytes = bytes;
        if bytes <= OUTBOX_LOW_BYTES {
            SendOutcome::Sent
        } else {
            SendOutcome::Queued(u64::try_from(bytes).unwrap_or(u64::MAX))
        }
    }

    /// The first reason wins; `false` when there was one already.
    pub(crate) fn end(&mut self, reason: CloseReason) -> bool {
        if self.gone || self.ending.is_some() {
            return false;
        }
        self.ending = Some(reason);
        true
    }

    pub(crate) fn next(&mut self) -> Next {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.bytes() + MESSAGE_OVERHEAD_BYTES;
            return Next::Message(message);
        }
        // What was queued in a burst is not kept for a quiet connection.
        if self.messages.capacity() > 64 {
            self.messages = VecDeque::new();
        }
        self.ending.clone().map_or(Next::Idle, Next::End)
    }

    /// Nothing is accepted any more and nothing is kept.
    pub(crate) fn finish(&mut self) {
        self.gone = true;
        self.clear();
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.gone && self.ending.is_none()
    }

    fn clear(&mut self) {
        self.messages = VecDeque::new();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn message(bytes: usize) -> Message {
        Message::Binary(Bytes::from(vec![0; bytes]))
    }

    #[test]
    fn takes_up_to_its_bytes_and_ends_past_them() {
        let mut outbox = Outbox::default();
        let limit = 2 * (100 + MESSAGE_OVERHEAD_BYTES);
        assert_eq!(outbox.push(message(100), 100, limit), SendOutcome::Sent);
        assert_eq!(outbox.push(message(100), 100, limit), SendOutcome::Sent);
        assert_eq!(outbox.push(message(0), 100, limit), SendOutcome::Dropped);
        assert_eq!(outbox.next(), Next::End(CloseReason::OutboxOverflow));
        assert_eq!(outbox.push(message(0), 100, limit), SendOutcome::Gone);
    }

    #[test]
    fn a_message_at_its_size_and_past_it() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(message(101), 100, 100), SendOutcome::Dropped);
        assert!(outbox.is_open());
        // Larger than the outbox with its bookkeeping, but it is empty.
        assert_eq!(outbox.push(message(100), 100, 100), SendOutcome::Sent);
    }

    #[test]
    fn says_when_the_peer_is_slow() {
        let mut outbox = Outbox::default();
        let most = OUTBOX_LOW_BYTES - MESSAGE_OVERHEAD_BYTES;
        assert_eq!(
            outbox.push(message(most), usize::MAX, usize::MAX),
            SendOutcome::Sent
        );
        let waiting = u64::try_from(OUTBOX_LOW_BYTES + MESSAGE_OVERHEAD_BYTES).unwrap();
        let outcome = outbox.push(message(0), usize::MAX, usize::MAX);
        assert_eq!(outcome, SendOutcome::Queued(waiting));
    }

    #[test]
    fn what_was_sent_before_the_end_is_written_before_it() {
        let mut outbox = Outbox::default();
        outbox.push(message(1), 10, 1000);
        assert!(outbox.end(CloseReason::ShuttingDown));
        assert!(!outbox.end(CloseReason::Lost));
        assert_eq!(outbox.next(), Next::Message(message(1)));
        assert_eq!(outbox.next(), Next::End(CloseReason::ShuttingDown));
    }

    proptest! {
        /// Whatever is pushed and taken, the outbox never holds more than its
        /// limit or one message, hands out what it accepted in order, and
        /// counts to nothing when it is empty.
        #[test]
        fn holds_its_bound_and_its_order(
            steps in prop::collection::vec(prop_oneof![(0usize..300).prop_map(Some), Just(None)], 1..200),
            limit in 200usize..2000,
        ) {
            let mut outbox = Outbox::default();
            let mut model = VecDeque::new();
            for step in steps {
                match step {
                    Some(bytes) => match outbox.push(message(bytes), 250, limit) {
                        SendOutcome::Sent | SendOutcome::Queued(_) => model.push_back(bytes),
                        SendOutcome::Dropped if bytes > 250 => {}
                        SendOutcome::Dropped => model.clear(),
                        SendOutcome::Gone => prop_assert!(!outbox.is_open()),
                    },
                    None => match outbox.next() {
                        Next::Message(taken) => {
                            prop_assert_eq!(Some(taken.bytes()), model.pop_front());
                        }
                        _ => prop_assert!(model.is_empty()),
                    },
                }
                let sum: usize = model.iter().map(|bytes| bytes + MESSAGE_OVERHEAD_BYTES).sum();
                prop_assert_eq!(outbox.bytes, sum);
                prop_assert!(sum <= limit || model.len() == 1);
            }
        }
    }
}
