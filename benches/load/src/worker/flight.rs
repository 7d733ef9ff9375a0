//! The messages of one connection that have no answer yet, at most its depth.
//!
//! Answers are expected in order; one that overtakes others is found too.

use std::collections::VecDeque;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::payload::Payload;

/// A message on its way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    sequence: u64,
    due: Instant,
}

/// The messages in flight.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    sent: VecDeque<Sent>,
}

impl Flight {
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(crate) fn push(&mut self, sequence: u64, due: Instant) {
        self.sent.push_back(Sent { sequence, due });
    }

    /// Takes out the message that `answer` answers and returns when it was
    /// due, or `None` where it answers none.
    pub(crate) fn take(&mut self, payload: &Payload, answer: &Message) -> Option<Instant> {
        let position = self
            .sent
            .iter()
            .position(|sent| payload.matches(sent.sequence, answer))?;
        self.sent.remove(position).map(|sent| sent.due)
    }

    /// Takes out all that is left, and returns when each was due.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Instant> + '_ {
        self.sent.drain(..).map(|sent| sent.due)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Flight;
    use crate::options::MessageKind;
    use crate::worker::payload::Payload;

    #[test]
    fn answers_find_their_message_in_any_order() {
        let payload = Payload::new(0, 20, MessageKind::Binary);
        let start = Instant::now();
        let due = |sequence: u64| start + Duration::from_millis(sequence);
        let mut flight = Flight::default();
        for sequence in 0..4 {
            flight.push(sequence, due(sequence));
        }
        for sequence in [0, 2, 1] {
            let answer = payload.message(sequence);
            assert_eq!(flight.take(&payload, &answer), Some(due(sequence)));
            assert_eq!(flight.take(&payload, &answer), None, "answered twice");
        }
        assert_eq!(flight.drain().collect::<Vec<_>>(), [due(3)]);
        assert!(flight.is_empty());
    }
}
