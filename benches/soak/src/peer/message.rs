//! Random messages and close frames.

use bytes::Bytes;
use fastrand::Rng;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Characters of one to four bytes.
const CHARACTERS: [char; 8] = ['a', 'Z', '0', ' ', 'é', '€', '語', '🌍'];

/// A message of about so many bytes, text or binary.
pub(crate) fn message(random: &mut Rng, bytes: usize) -> Message {
    if random.bool() {
        let mut text = String::with_capacity(bytes + 4);
        while text.len() < bytes {
            text.push(CHARACTERS[random.usize(..CHARACTERS.len())]);
        }
        // The last one may have been too long.
        while text.len() > bytes {
            text.pop();
        }
        Message::text(text)
    } else {
        let mut payload = vec![0; bytes];
        random.fill(&mut payload);
        Message::Binary(Bytes::from(payload))
    }
}

/// Sizes as peers have them: most messages are small.
pub(crate) fn usual_bytes(random: &mut Rng) -> usize {
    match random.u8(..10) {
        0..7 => random.usize(..=125),
        7..9 => random.usize(..2 << 10),
        _ => random.usize(..32 << 10),
    }
}

/// A close frame that a peer may send, or one without a code.
pub(crate) fn close_frame(random: &mut Rng) -> Option<CloseFrame> {
    let code = match random.u8(..10) {
        0..2 => return None,
        2..6 => 1000,
        6 => 1001,
        7 => random.u16(1007..=1011),
        8 => random.u16(3000..=3999),
        _ => random.u16(4000..=4999),
    };
    let reason = "r".repeat(random.usize(..=123));
    Some(CloseFrame {
        code: code.into(),
        reason: reason.into(),
    })
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::{close_frame, message};

    #[test]
    fn messages_are_not_larger_than_asked_for() {
        let mut random = Rng::with_seed(1);
        for bytes in 0..200 {
            let length = message(&mut random, bytes).len();
            assert!(length <= bytes && length + 4 > bytes, "{length} of {bytes}");
        }
    }

    #[test]
    fn close_frames_are_allowed() {
        let mut random = Rng::with_seed(1);
        for _ in 0..1000 {
            if let Some(frame) = close_frame(&mut random) {
                assert!(frame.code.is_allowed() && frame.reason.len() <= 123);
            }
        }
    }
}
