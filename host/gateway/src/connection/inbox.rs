//! Messages on their way to the function, and the bounds that stop reading.

use openline_core::call::Call;
use openline_core::event::Event;
use openline_core::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX};
use openline_core::message::Message;

/// How many pings are read while the answers to earlier ones have not left.
/// After that, nothing is read until they have: otherwise they would fill the
/// memory. With 125 bytes each they take 8 KiB at most.
pub(super) const PINGS_UNANSWERED_MAX: u16 = 64;

/// How many messages with automatic responses are read while earlier responses
/// are not written. After that, reading stops until they are, so that the host
/// does not fill the outbox of a peer that does not read.
pub(super) const ANSWERS_UNWRITTEN_MAX: u16 = 64;

/// The most messages for which a batch reserves room in advance.
const BATCH_EXPECTED_MAX: usize = 64;

/// Messages that were read and wait for the function.
#[derive(Debug)]
pub(super) struct Inbox {
    batch: Vec<Message>,
    /// Comes after the batch; nothing is read behind it before the function has
    /// got it.
    call: Option<Box<Call>>,
    bytes: usize,
    /// The bytes of the batch or call that the function has and has not handled.
    given: u32,
    /// The number of messages in the last batch: the next one often has as
    /// many.
    expected: u32,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            batch: Vec::new(),
            call: None,
            bytes: 0,
            given: 0,
            expected: 1,
        }
    }
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.call.is_none()
    }

    /// Whether it holds a whole batch, or a call.
    pub(super) fn is_full(&self) -> bool {
        self.call.is_some()
            || self.batch.len() >= BATCH_MESSAGES_MAX
            || self.bytes >= BATCH_BYTES_MAX
    }

    #[inline]
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.bytes();
        if self.batch.capacity() == 0 {
            self.batch = Vec::with_capacity(self.expected as usize);
        }
        self.batch.push(message);
    }

    /// Takes a call. Not to be called when it is full.
    pub(super) fn push_call(&mut self, call: Box<Call>) {
        debug_assert!(self.call.is_none(), "one call waits at most");
        self.call = Some(call);
    }

    /// The bytes of the batch and of the call, and of what the function has.
    #[inline]
    pub(super) fn kept_bytes(&self) -> usize {
        let call = self.call.as_ref().map_or(0, |call| call.bytes());
        self.bytes + call + self.given as usize
    }

    /// Takes what the function gets next: the batch, or the call behind it.
    pub(super) fn take(&mut self) -> Event {
        if self.batch.is_empty()
            && let Some(call) = self.call.take()
        {
            self.given = u32::try_from(call.bytes()).unwrap_or(u32::MAX);
            return Event::Call(call);
        }
        Event::Messages(self.take_batch())
    }

    fn take_batch(&mut self) -> Vec<Message> {
        // A batch and one message: the limit of a message is far from 4 GiB.
        self.given = u32::try_from(self.bytes).unwrap_or(u32::MAX);
        self.bytes = 0;
        let expected = self.batch.len().min(BATCH_EXPECTED_MAX);
        self.expected = u32::try_from(expected).unwrap_or(u32::MAX);
        std::mem::take(&mut self.batch)
    }

    /// Notes that the function has handled what it was given.
    #[inline]
    pub(super) fn note_handled(&mut self) {
        self.given = 0;
    }

    /// What a connection that has stopped reading has left for the function, or
    /// nothing if it is not wanted, and how many bytes are kept with it.
    pub(super) fn into_rest(mut self, wanted: bool) -> (Vec<Event>, usize) {
        if !wanted {
            (self.batch, self.call, self.bytes) = (Vec::new(), None, 0);
        }
        let kept = self.kept_bytes();
        let batch = (!self.batch.is_empty()).then_some(Event::Messages(self.batch));
        let call = self.call.map(Event::Call);
        (batch.into_iter().chain(call).collect(), kept)
    }
}

#[cfg(test)]
mod tests {
    use openline_core::call::Answer;

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
        assert_eq!(inbox.take_batch().len(), BATCH_MESSAGES_MAX);
        assert!(inbox.is_empty() && !inbox.is_full());
        assert_eq!(inbox.kept_bytes(), BATCH_MESSAGES_MAX);
        inbox.push(message(BATCH_BYTES_MAX - 1));
        assert_eq!(inbox.kept_bytes(), BATCH_MESSAGES_MAX + BATCH_BYTES_MAX - 1);
        inbox.note_handled();
        assert_eq!(inbox.kept_bytes(), BATCH_BYTES_MAX - 1);
        assert!(!inbox.is_full());
        inbox.push(message(1));
        assert!(inbox.is_full());
    }

    fn call(bytes: usize) -> Box<Call> {
        Box::new(Call {
            method: "m".into(),
            data: message(bytes - 1),
            answer: Answer::new(|_| ()),
        })
    }

    /// An inbox with two messages of 3 bytes each and a call of 5 bytes behind them.
    fn with_call() -> Inbox {
        let mut inbox = Inbox::default();
        inbox.push(message(3));
        inbox.push(message(3));
        assert!(!inbox.is_full());
        inbox.push_call(call(5));
        inbox
    }

    #[test]
    fn a_call_fills_it_and_comes_after_the_messages_before_it() {
        let mut inbox = with_call();
        assert!(inbox.is_full() && !inbox.is_empty());
        assert_eq!(inbox.kept_bytes(), 11);
        assert!(matches!(inbox.take(), Event::Messages(batch) if batch.len() == 2));
        // The function has the messages, and the call waits.
        assert_eq!(inbox.kept_bytes(), 11);
        assert!(inbox.is_full());
        inbox.note_handled();
        assert_eq!(inbox.kept_bytes(), 5);
        assert!(matches!(inbox.take(), Event::Call(call) if call.bytes() == 5));
        assert!(inbox.is_empty() && !inbox.is_full());
        assert_eq!(inbox.kept_bytes(), 5);
        inbox.note_handled();
        assert_eq!(inbox.kept_bytes(), 0);
    }

    #[test]
    fn the_rest_has_the_call_behind_the_messages_if_it_is_wanted() {
        let (rest, kept) = with_call().into_rest(true);
        assert!(matches!(&rest[..], [Event::Messages(batch), Event::Call(_)] if batch.len() == 2));
        assert_eq!(kept, 11);
        let (rest, kept) = with_call().into_rest(false);
        assert!(rest.is_empty() && kept == 0);
        // What the function has is kept until it has handled it.
        let mut inbox = with_call();
        inbox.take();
        let (rest, kept) = inbox.into_rest(false);
        assert!(rest.is_empty() && kept == 6);
        let mut inbox = Inbox::default();
        inbox.push_call(call(5));
        let (rest, kept) = inbox.into_rest(true);
        assert!(matches!(&rest[..], [Event::Call(_)]) && kept == 5);
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
            assert_eq!(inbox.batch.capacity(), room);
            inbox = Inbox::default();
        }
    }
}
