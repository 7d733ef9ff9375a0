//! The same bytes, cut in any way, into tungstenite: the same messages in the
//! same order, and the same end, but for what `oracle.rs` lists.

use openline_websocket::{Frame, Message, Opcode, Received, Role};
use proptest::prelude::*;

use crate::oracle::{self, End, check, theirs};
use crate::streams::{self, sent};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_same_bytes_say_the_same(
        bytes in streams::frames(),
        cuts in streams::cuts(),
        message_bytes in prop_oneof![1usize..300, Just(65_536), Just(1 << 20)],
    ) {
        check(Role::Server, message_bytes, &bytes, &cuts);
    }

    #[test]
    fn the_same_bytes_say_the_same_to_a_client(
        bytes in streams::unmasked_frames(),
        cuts in streams::cuts(),
    ) {
        check(Role::Client, 1 << 20, &bytes, &cuts);
    }

    /// The check of the fuzz targets, whose bytes are less like frames.
    #[test]
    fn any_bytes_say_the_same(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        oracle::frames(&bytes);
        oracle::deflate(&bytes);
    }

    #[test]
    fn what_is_sent_is_read_by_tungstenite(
        payloads in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<char>(), 0..300), any::<[u8; 4]>()), 0..5),
        long in 65_530usize..65_540,
        cuts in streams::cuts(),
    ) {
        let mut bytes = Vec::new();
        let mut wanted = Vec::new();
        let texts = payloads.into_iter().map(|(is_text, text, key)| (is_text, String::from_iter(text), key));
        for (is_text, text, key) in texts.chain([(true, "a".repeat(long), [9; 4])]) {
            let frame = match is_text {
                true => Frame::text(text.as_str()),
                false => Frame::binary(text.clone().into_bytes()),
            };
            frame.masked(key).append_to(&mut bytes);
            wanted.push(Received::Message(match is_text {
                true => Message::from(text.as_str()),
                false => Message::from(text.into_bytes()),
            }));
        }
        let (received, end) = theirs(Role::Server, 1 << 20, &bytes, &cuts);
        prop_assert_eq!(received, wanted);
        prop_assert_eq!(end, End::Lost);
    }
}

#[test]
fn the_differences_are_those_that_are_listed() {
    let key = [1, 2, 3, 4];
    let whole = |bytes: &[u8]| theirs(Role::Server, 1000, bytes, &[usize::MAX]);
    // 1014 is in the registry since 2018.
    let bad_gateway = sent(Opcode::Close, true, key, &1014u16.to_be_bytes());
    assert_eq!(whole(&bad_gateway).1, End::BadClose);
    // Two bytes for a length of one.
    let padded = [&b"\x82\xfe\x00\x01"[..], &key, b"a"].concat();
    assert_eq!(whole(&padded).0.len(), 1);
    // The frame ends before it is refused.
    assert_eq!(whole(b"\x83\x85").1, End::Lost);
}
