//! The payloads of one connection's messages, and the check whether an answer
//! is one of them.
//!
//! A payload is a key of sixteen hexadecimal digits (connection, sequence
//! number) and a filler, all ASCII, so that it is valid as text too. A payload
//! shorter than the key carries the key's last digits.

use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::options::MessageKind;

/// Digits of the key that name the connection: 24 bits, more than
/// [`crate::CONNECTIONS_MAX`] needs.
const CONNECTION_DIGITS: usize = 6;

/// Digits of the key that number the message: 40 bits, enough for ten days at
/// a million messages a second on one connection.
const SEQUENCE_DIGITS: usize = 10;

const KEY_BYTES: usize = CONNECTION_DIGITS + SEQUENCE_DIGITS;

/// Makes and recognises the messages of one connection.
#[derive(Debug)]
pub(crate) struct Payload {
    kind: MessageKind,
    connection: [u8; CONNECTION_DIGITS],
    /// A whole payload; only the key changes from message to message.
    template: Vec<u8>,
}

impl Payload {
    pub(crate) fn new(connection: u32, bytes: usize, kind: MessageKind) -> Self {
        // Not all the same byte, so that a shifted answer is noticed.
        let template = (b'a'..=b'z').cycle().take(bytes).collect();
        let mut digits = [0; CONNECTION_DIGITS];
        write_hexadecimal(u64::from(connection), &mut digits);
        Self {
            kind,
            connection: digits,
            template,
        }
    }

    /// The message with this sequence number.
    pub(crate) fn message(&self, sequence: u64) -> Message {
        let mut bytes = self.template.clone();
        let key = self.key(sequence);
        let key = &key[KEY_BYTES - self.key_bytes()..];
        bytes[..key.len()].copy_from_slice(key);
        match self.kind {
            MessageKind::Binary => Message::Binary(bytes.into()),
            MessageKind::Text => Message::Text(
                Utf8Bytes::try_from(bytes).expect("the template and the key are ASCII"),
            ),
        }
    }

    /// Whether `answer` is the message with this sequence number.
    pub(crate) fn matches(&self, sequence: u64, answer: &Message) -> bool {
        let answer = match (self.kind, answer) {
            (MessageKind::Binary, Message::Binary(bytes)) => &bytes[..],
            (MessageKind::Text, Message::Text(text)) => text.as_bytes(),
            _ => return false,
        };
        if answer.len() != self.template.len() {
            return false;
        }
        let (answer_key, filler) = answer.split_at(self.key_bytes());
        let key = self.key(sequence);
        answer_key == &key[KEY_BYTES - answer_key.len()..]
            && filler == &self.template[answer_key.len()..]
    }

    fn key(&self, sequence: u64) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..CONNECTION_DIGITS].copy_from_slice(&self.connection);
        write_hexadecimal(sequence, &mut key[CONNECTION_DIGITS..]);
        key
    }

    fn key_bytes(&self) -> usize {
        KEY_BYTES.min(self.template.len())
    }
}

/// Writes the low digits of `value`, as many as there is room for.
fn write_hexadecimal(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::Message;

    use super::Payload;
    use crate::options::MessageKind;

    #[test]
    fn a_payload_has_its_size_and_recognises_itself() {
        for kind in [MessageKind::Text, MessageKind::Binary] {
            for bytes in [0, 1, 3, 15, 16, 17, 125, 70_000] {
                let payload = Payload::new(7, bytes, kind);
                let message = payload.message(0x1f2e);
                assert_eq!(message.len(), bytes);
                assert!(payload.matches(0x1f2e, &message));
                assert_eq!(payload.matches(0x1f2f, &message), bytes == 0);
            }
        }
    }

    #[test]
    fn others_are_not_recognised() {
        let payload = Payload::new(1, 32, MessageKind::Text);
        let message = payload.message(5);
        let other = Payload::new(2, 32, MessageKind::Text).message(5);
        assert!(!payload.matches(5, &other), "another connection's");
        let binary = Message::Binary(message.clone().into_data());
        assert!(!payload.matches(5, &binary), "another type");
        let text = message.to_text().unwrap();
        assert!(!payload.matches(5, &Message::text(format!("{text}."))));
        assert!(!payload.matches(5, &Message::text(text.replace('z', "y"))));
    }

    #[test]
    fn the_key_leads() {
        let message = Payload::new(0xab, 20, MessageKind::Text).message(0xc);
        assert_eq!(message.to_text().unwrap(), "0000ab000000000cqrst");
    }
}
