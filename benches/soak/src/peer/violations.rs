//! Peers that break the protocol: each violation ends the connection, with the
//! code that RFC 6455 section 7.4.1 has for it.

use super::{Peer, Wrong};
use crate::configuration::MESSAGE_BYTES;

/// The header of a message that is a byte larger than allowed.
const TOO_MANY: [u8; 14] = {
    let bytes = (MESSAGE_BYTES as u64 + 1).to_be_bytes();
    let [a, b, c, d, e, f, g, h] = bytes;
    [0x82, 0xFF, a, b, c, d, e, f, g, h, 0, 0, 0, 0]
};

/// A ping of 126 bytes, all zeroes: a control frame has at most 125.
const LONG_PING: [u8; 8 + 126] = {
    let mut bytes = [0; 8 + 126];
    bytes[0] = 0x89;
    bytes[1] = 0xFE;
    bytes[3] = 126;
    bytes
};

/// A violation: its name, its frames as they are on the wire, all with a mask
/// of zeroes, and the code it is answered with.
type Broken = (&'static str, &'static [u8], u16);

#[rustfmt::skip]
const VIOLATIONS: [Broken; 20] = [
    ("no mask", &[0x81, 0x01, b'a'], 1002),
    // As a compressed message has it.
    ("the first reserved bit", &[0xC1, 0x81, 0, 0, 0, 0, b'a'], 1002),
    ("the second reserved bit", &[0xA1, 0x80, 0, 0, 0, 0], 1002),
    ("the third reserved bit", &[0x91, 0x80, 0, 0, 0, 0], 1002),
    ("opcode 3", &[0x83, 0x80, 0, 0, 0, 0], 1002),
    ("opcode 7", &[0x87, 0x80, 0, 0, 0, 0], 1002),
    ("opcode 11", &[0x8B, 0x80, 0, 0, 0, 0], 1002),
    ("opcode 15", &[0x8F, 0x80, 0, 0, 0, 0], 1002),
    ("a ping of 126 bytes", &LONG_PING, 1002),
    ("a ping in fragments", &[0x09, 0x80, 0, 0, 0, 0], 1002),
    ("the continuation of nothing", &[0x80, 0x80, 0, 0, 0, 0], 1002),
    ("a message within a message",
        &[0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0], 1002),
    ("half a close code", &[0x88, 0x81, 0, 0, 0, 0, 3], 1002),
    ("close code 999", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE7], 1002),
    ("close code 1005", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xED], 1002),
    ("text that is not UTF-8", &[0x81, 0x82, 0, 0, 0, 0, 0xFF, 0xFE], 1007),
    ("text with half a surrogate pair", &[0x81, 0x83, 0, 0, 0, 0, 0xED, 0xA0, 0x80], 1007),
    ("a close reason that is not UTF-8",
        &[0x88, 0x83, 0, 0, 0, 0, 0x03, 0xE8, 0xFF], 1007),
    ("one byte too many", &TOO_MANY, 1009),
    ("a tebibyte", &[0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
];

/// Beginnings of frames: a first byte; a header without its mask; a payload
/// that is not whole; a first fragment and no other.
const HALVES: [&[u8]; 5] = [
    &[0x82],
    &[0x81, 0xFE, 0x01],
    &[0x82, 0x8A, 1, 2, 3],
    &[0x82, 0xFF, 0, 0, 0, 0, 0, 8, 0, 0, 1, 2, 3, 4, 5],
    &[0x01, 0x83, 0, 0, 0, 0, b'a', b'b', b'c'],
];

pub(super) async fn violation(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.any_path();
    let mut client = peer.open(&path).await?;
    if client.read_until(peer.until).await.is_some() {
        return Err(Wrong("ended before it did anything".to_owned()));
    }
    let (name, bytes, code) = peer.one_of(&VIOLATIONS);
    client.send_bytes(bytes).await;
    let ended = client.expect_end(&[code]).await;
    ended.map_err(|Wrong(wrong)| Wrong(format!("{name}: {wrong}")))
}

/// Stops in the middle, or sends bytes that are no frames, and is gone later.
pub(super) async fn half_frame(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.any_path();
    let mut client = peer.open(&path).await?;
    if peer.random.u8(..4) == 0 {
        let mut noise = vec![0; peer.random.usize(1..300)];
        peer.random.fill(&mut noise);
        client.send_bytes(&noise).await;
    } else {
        let half = peer.one_of(&HALVES);
        client.send_bytes(half).await;
    }
    // Not read: an answer to a ping would be a part of the frame.
    tokio::time::sleep_until(peer.until).await;
    if peer.random.bool() {
        let _ = client.socket().set_zero_linger();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::VIOLATIONS;

    #[test]
    fn every_violation_has_a_name_of_its_own() {
        for (place, (name, bytes, _)) in VIOLATIONS.iter().enumerate() {
            let others = &VIOLATIONS[place + 1..];
            assert!(
                others
                    .iter()
                    .all(|other| other.0 != *name && other.1 != *bytes)
            );
        }
    }
}
