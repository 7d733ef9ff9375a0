//! Input that no peer may send, one violation each, and limits at their edge.

use openline_websocket::{Inflater, Limits, Received, Receiver, Role, Violation};

use crate::streams::{Outcome, Raw, binary, close, receive, receive_whole, text};

fn refused(violation: Violation) -> Outcome {
    Outcome {
        received: Vec::new(),
        violation: Some(violation),
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    Raw::new(first, payload).bytes()
}

fn limited(message_bytes: usize, fragments: u32) -> Limits {
    Limits {
        message_bytes,
        fragments,
    }
}

/// Each violation with bytes that commit it, and its close code.
fn violations() -> Vec<(Violation, u16, Vec<u8>)> {
    let raw = Raw::new;
    let mut all = vec![
        (Violation::Unmasked, 1002, b"\x81\x00".to_vec()),
        (Violation::ControlFragmented, 1002, frame(0x09, b"")),
        (Violation::ControlFragmented, 1002, frame(0x08, b"")),
        (Violation::ControlTooLong, 1002, frame(0x89, &[0; 126])),
        (Violation::ContinuationAlone, 1002, frame(0x80, b"")),
        (Violation::ContinuationAlone, 1002, frame(0x00, b"")),
        (
            Violation::MessageWithinMessage,
            1002,
            [frame(0x01, b"a"), frame(0x82, b"b")].concat(),
        ),
        (Violation::CloseOneByte, 1002, frame(0x88, b"\x03")),
        (Violation::CloseCode(1005), 1002, frame(0x88, b"\x03\xed")),
        (Violation::CloseCode(999), 1002, frame(0x88, b"\x03\xe7")),
        (Violation::CloseCode(65_535), 1002, frame(0x88, b"\xff\xff")),
        (Violation::InvalidText, 1007, frame(0x88, b"\x03\xe8\xff")),
        (Violation::InvalidText, 1007, frame(0x81, b"\xff")),
        (Violation::InvalidText, 1007, frame(0x81, b"\xe2\x82")),
        (Violation::InvalidText, 1007, frame(0x01, b"a\xc0")),
        (
            Violation::InvalidText,
            1007,
            [frame(0x01, b"\xe2\x82"), frame(0x80, b"")].concat(),
        ),
    ];
    for bit in [0x40, 0x20, 0x10, 0x70] {
        for first in [0x81, 0x82, 0x88, 0x89, 0x8a, 0x01] {
            all.push((Violation::ReservedBits, 1002, frame(first | bit, b"")));
        }
        let continued = [frame(0x01, b""), frame(0x80 | bit, b"")].concat();
        all.push((Violation::ReservedBits, 1002, continued));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let violation = Violation::ReservedOpcode(opcode);
        all.push((violation, 1002, frame(0x80 | opcode, b"")));
        all.push((violation, 1002, frame(opcode, b"")));
    }
    for (bytes, length_bytes) in [(0, 3), (125, 3), (125, 9), (126, 9), (65_535, 9)] {
        let padded = Raw {
            length_bytes: Some(length_bytes),
            ..raw(0x82, &vec![0; bytes])
        };
        all.push((Violation::LengthNotMinimal, 1002, padded.bytes()));
    }
    for (violation, code, length) in [
        (Violation::LengthTopBit, 1002, 1 << 63),
        (Violation::LengthTopBit, 1002, u64::MAX),
        (Violation::MessageTooBig, 1009, u64::MAX >> 1),
    ] {
        let long = Raw {
            length: Some(length),
            ..raw(0x82, b"")
        };
        all.push((violation, code, long.bytes()));
    }
    all
}

#[test]
fn each_violation_has_its_code() {
    for (violation, code, bytes) in violations() {
        assert_eq!(violation.close_code(), code, "{violation}");
        for cuts in [&[usize::MAX][..], &[1], &[2, 3]] {
            let outcome = receive(Role::Server, Limits::DEFAULT, None, &bytes, cuts);
            assert_eq!(outcome, refused(violation), "{bytes:02x?}");
        }
    }
    let masked = frame(0x81, b"a");
    assert_eq!(
        receive_whole(Role::Client, &masked),
        refused(Violation::Masked)
    );
    assert_eq!(Violation::Masked.close_code(), 1002);
}

#[test]
fn what_came_before_a_violation_is_answered_and_nothing_behind_it() {
    let before = [
        frame(0x81, b"first"),
        frame(0x89, b"?"),
        frame(0x82, b"second"),
    ]
    .concat();
    let received = vec![text("first"), Received::Ping("?".into()), binary(b"second")];
    for (violation, _, bytes) in violations() {
        let stream = [&before, &bytes, &frame(0x81, b"behind")[..]].concat();
        for cuts in [usize::MAX, 1] {
            let outcome = receive(Role::Server, Limits::DEFAULT, None, &stream, &[cuts]);
            assert_eq!(outcome.received, received);
            assert_eq!(outcome.violation, Some(violation));
        }
    }
}

#[test]
fn nothing_is_received_behind_a_close_frame() {
    let bytes = [
        frame(0x88, b"\x03\xf5why"),
        frame(0x81, b"a"),
        frame(0xff, b""),
    ]
    .concat();
    for cuts in [usize::MAX, 1] {
        let outcome = receive(Role::Server, Limits::DEFAULT, None, &bytes, &[cuts]);
        assert_eq!(outcome.received, [close(1013, "why")]);
        assert_eq!(outcome.violation, None);
    }
    let empty = receive_whole(Role::Server, &frame(0x88, b""));
    assert_eq!(empty.received, [Received::Close(None)]);
}

#[test]
fn control_frames_may_be_as_long_as_they_may() {
    let long = frame(0x89, &[b'a'; 125]);
    for cuts in [usize::MAX, 1, 60] {
        // Whatever messages may have.
        let outcome = receive(Role::Server, limited(0, 1), None, &long, &[cuts]);
        assert_eq!(outcome.received, [Received::Ping(vec![b'a'; 125].into())]);
    }
    let reason = [b"\x03\xe8", &[b'a'; 123][..]].concat();
    let outcome = receive_whole(Role::Server, &frame(0x88, &reason));
    assert_eq!(outcome.received.len(), 1);
}

#[test]
fn message_bytes_at_their_limit_and_one_past_it() {
    for (parts, is_within) in [
        (&[10][..], true),
        (&[11], false),
        (&[4, 6], true),
        (&[4, 0, 6, 0], true),
        (&[4, 7], false),
        (&[10, 1], false),
    ] {
        let mut bytes = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let last = if at + 1 == parts.len() { 0x80 } else { 0 };
            let opcode = if at == 0 { 2 } else { 0 };
            bytes.extend(frame(last | opcode, &vec![7; *part]));
        }
        let outcome = receive(Role::Server, limited(10, 9), None, &bytes, &[usize::MAX]);
        let violation = (!is_within).then_some(Violation::MessageTooBig);
        assert_eq!(outcome.violation, violation, "{parts:?}");
        assert_eq!(outcome.received.len(), usize::from(is_within));
    }
    // A header that promises too much is enough.
    let header = &frame(0x82, &[0; 11])[..6];
    let outcome = receive(Role::Server, limited(10, 9), None, header, &[1]);
    assert_eq!(outcome, refused(Violation::MessageTooBig));
}

#[test]
fn fragments_at_their_limit_and_one_past_it() {
    let message = |fragments: usize| {
        let mut bytes = frame(0x01, b"");
        for _ in 2..fragments {
            bytes.extend(frame(0x89, b""));
            bytes.extend(frame(0x00, b""));
        }
        bytes.extend(frame(0x80, b""));
        bytes
    };
    for (fragments, is_within) in [(131_072, true), (131_073, false)] {
        let bytes = message(fragments);
        let outcome = receive(Role::Server, Limits::DEFAULT, None, &bytes, &[4096]);
        let violation = (!is_within).then_some(Violation::TooManyFragments);
        assert_eq!(outcome.violation, violation);
        let pings = fragments - 2;
        assert_eq!(outcome.received.len(), pings + usize::from(is_within));
    }
    assert_eq!(Violation::TooManyFragments.close_code(), 1008);
    // The count begins again with each message.
    let bytes = [message(3), message(3), frame(0x81, b"")].concat();
    let outcome = receive(Role::Server, limited(10, 3), None, &bytes, &[usize::MAX]);
    assert_eq!((outcome.received.len(), outcome.violation), (5, None));
}

#[test]
fn a_wrong_byte_is_refused_before_its_frame_ends() {
    // Autobahn's 6.4.3 and 6.4.4: the rest of the frame never comes.
    let stream = Raw {
        length: Some(100),
        ..Raw::new(0x81, "κόσμε\u{d7ff}".as_bytes())
    };
    let mut bytes = stream.bytes();
    let right = receive(Role::Server, Limits::DEFAULT, None, &bytes, &[1]);
    assert_eq!(right.violation, None);
    let at = bytes.len() - 6;
    bytes.push(0xf4 ^ [0x37, 0xfa, 0x21, 0x3d][at % 4]);
    bytes.push(0x90 ^ [0x37, 0xfa, 0x21, 0x3d][(at + 1) % 4]);
    for cuts in [usize::MAX, 1, 5] {
        let outcome = receive(Role::Server, Limits::DEFAULT, None, &bytes, &[cuts]);
        assert_eq!(outcome, refused(Violation::InvalidText));
    }
    let before = receive(
        Role::Server,
        Limits::DEFAULT,
        None,
        &bytes[..bytes.len() - 1],
        &[1],
    );
    assert_eq!(before.violation, None);
}

#[test]
fn text_may_be_split_at_every_byte() {
    let whole = "a\u{e4}\u{20ac}\u{1f600}\u{10ffff}";
    for first in 0..=whole.len() {
        for second in first..=whole.len() {
            let bytes = [
                frame(0x01, &whole.as_bytes()[..first]),
                frame(0x89, b""),
                frame(0x00, &whole.as_bytes()[first..second]),
                frame(0x80, &whole.as_bytes()[second..]),
            ]
            .concat();
            for cuts in [usize::MAX, 1, 3] {
                let outcome = receive(Role::Server, Limits::DEFAULT, None, &bytes, &[cuts]);
                assert_eq!(outcome.received, [Received::Ping("".into()), text(whole)]);
            }
        }
    }
}

#[test]
fn compression_has_its_places() {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let receive = |bytes: &[u8]| {
        let mut inflater = Inflater::new(15, false);
        receive(
            Role::Server,
            Limits::DEFAULT,
            Some(&mut inflater),
            bytes,
            &[1],
        )
    };
    assert_eq!(receive(&frame(0xc1, hello)).received, [text("Hello")]);
    // Messages may also be sent as they are.
    assert_eq!(receive(&frame(0x81, b"Hello")).received, [text("Hello")]);
    for bytes in [
        [frame(0x41, &hello[..2]), frame(0xc0, &hello[2..])].concat(),
        [frame(0x01, b"a"), frame(0xc0, b"b")].concat(),
        frame(0xc9, b""),
        frame(0xca, b""),
        frame(0xc8, b""),
        frame(0xe1, hello),
        frame(0xa1, hello),
    ] {
        assert_eq!(
            receive(&bytes),
            refused(Violation::ReservedBits),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn a_text_that_its_receiver_changes_is_checked_again() {
    let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
    let stream = frame(0x81, &[b'a'; 100_000]);
    receiver.receive(&mut &stream[..1000], None).unwrap();
    let (buffer, _) = receiver.space().unwrap();
    buffer[0] = 0xff;
    let mut rest = &stream[1000..];
    let outcome = receiver.receive(&mut rest, None);
    assert_eq!(outcome, Err(Violation::InvalidText));
}

#[test]
fn what_is_appended_and_not_told_is_no_part_of_a_message() {
    let payload = vec![7; 100_000];
    // More follows, so the frame's end is not the message's.
    let stream = frame(0x02, &payload);
    for appended in [&b""[..], b"abc"] {
        let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
        receiver.receive(&mut &stream[..1000], None).unwrap();
        let (buffer, _) = receiver.space().unwrap();
        buffer.extend_from_slice(appended);
        receiver.receive(&mut &stream[1000..], None).unwrap();
        assert_eq!(receiver.filled(None), Ok(None));
        let received = receiver.receive(&mut &frame(0x80, b"")[..], None);
        let expected = Received::Message(payload.clone().into());
        assert_eq!(received, Ok(Some(expected)));
    }
}

#[test]
fn each_message_and_control_frame_is_counted_when_it_begins() {
    let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
    let bytes = [
        frame(0x81, b"whole"),
        frame(0x89, b""),
        frame(0x01, b"in "),
        frame(0x8a, b""),
        frame(0x00, b"pieces"),
    ]
    .concat();
    let mut read = &bytes[..];
    while receiver.receive(&mut read, None).unwrap().is_some() {}
    assert_eq!(receiver.take_begun(), 4);
    assert_eq!(receiver.take_begun(), 0);
    assert!(!receiver.is_between_messages());
    receiver.receive(&mut &frame(0x80, b"")[..], None).unwrap();
    assert!(receiver.is_between_messages());
    assert_eq!((receiver.take_begun(), receiver.allocated_bytes()), (0, 0));
}
