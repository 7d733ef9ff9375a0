//! Compressed messages beside flate2, which is used plainly here: a stream
//! that is fed as it is, without bounds or pools.

use flate2::{Compress, Compression, Decompress, FlushCompress};
use openline_websocket::deflate::{Deflater, Deflating, InflateError, Inflater};
use openline_websocket::{Frame, Kind, Limits, Message, Received, Role, Violation};
use proptest::prelude::*;

use crate::oracle::{check_compressed, decompress};
use crate::streams::{self, Raw, receive};

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compresses in parts, each with a flush of its own, or as one.
fn compress(state: &mut Compress, message: &[u8], parts: &[(usize, FlushCompress)]) -> Vec<u8> {
    let (mut to, mut rest) = (Vec::new(), message);
    let mut feed = |part: &[u8], flush| {
        let before = state.total_in();
        loop {
            to.reserve(256);
            let done = usize::try_from(state.total_in() - before).unwrap();
            state.compress_vec(&part[done..], &mut to, flush).unwrap();
            let done = usize::try_from(state.total_in() - before).unwrap();
            if done == part.len() && to.len() < to.capacity() {
                break;
            }
        }
    };
    for (size, flush) in parts {
        let (part, later) = rest.split_at((*size).min(rest.len()));
        rest = later;
        if !part.is_empty() {
            feed(part, *flush);
        }
    }
    if rest.is_empty() {
        // zlib writes nothing where it has just flushed.
        feed(b"", FlushCompress::Sync);
    } else {
        feed(rest, FlushCompress::Sync);
    }
    if to.ends_with(&TAIL) {
        to.truncate(to.len() - TAIL.len());
    }
    if to.is_empty() {
        to.push(0);
    }
    to
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[a-f ]{0,2000}".prop_map(String::into_bytes),
        (0u8..4, 0usize..100_000).prop_map(|(byte, bytes)| vec![byte; bytes]),
        prop::collection::vec(any::<u8>(), 30_000..70_000),
    ]
}

fn flush() -> impl Strategy<Value = FlushCompress> {
    prop::sample::select(vec![
        FlushCompress::None,
        FlushCompress::Partial,
        FlushCompress::Sync,
        FlushCompress::Full,
    ])
}

proptest! {
    #[test]
    fn what_flate2_compresses_is_received(
        messages in prop::collection::vec(
            (message(), prop::collection::vec((0usize..5000, flush()), 0..5), 1usize..40_000),
            1..5,
        ),
        level in 0u32..=9,
        bits in 9u8..=15,
        takeover in any::<bool>(),
        cuts in streams::cuts(),
    ) {
        let mut state = Compress::new_with_window_bits(Compression::new(level), false, bits);
        let (mut bytes, mut wanted) = (Vec::new(), Vec::new());
        for (message, parts, fragment) in messages {
            if !takeover {
                state.reset();
            }
            let compressed = compress(&mut state, &message, &parts);
            let mut fragments = compressed.chunks(fragment).peekable();
            let mut first = 0x42;
            while let Some(fragment) = fragments.next() {
                let last = if fragments.peek().is_none() { 0x80 } else { 0 };
                bytes.extend(Raw::new(last | first, fragment).bytes());
                first = 0;
            }
            wanted.push(Received::Message(Message::from(message)));
        }
        let mut inflater = Inflater::new(bits, takeover);
        let outcome = receive(Role::Server, Limits::DEFAULT, Some(&mut inflater), &bytes, &cuts);
        prop_assert_eq!(outcome.violation, None);
        prop_assert!(outcome.received == wanted);
    }

    #[test]
    fn what_is_compressed_flate2_decompresses(
        messages in prop::collection::vec(message(), 1..6),
        level in 1u8..=9,
        bits in 9u8..=15,
        takeover in any::<bool>(),
    ) {
        let mut deflater = Deflater::new(level, bits, takeover);
        let mut state = Decompress::new_with_window_bits(false, bits);
        for message in messages {
            let mut deflated = vec![1, 2, 3];
            deflater.deflate(&message, &mut deflated);
            prop_assert_eq!(&deflated[..3], &[1, 2, 3]);
            if !takeover {
                state = Decompress::new_with_window_bits(false, bits);
            }
            deflated.extend(TAIL);
            let decompressed = decompress(&mut state, &deflated[3..]);
            prop_assert!(decompressed == Some((message, false)));
        }
    }

    /// Two messages in turn, each in parts, by the same compressor.
    #[test]
    fn a_compressor_that_pauses_serves_others_meanwhile(
        messages in [message(), message()],
        level in 1u8..=9,
        bits in 9u8..=15,
        allowed in prop::collection::vec(1usize..50_000, 1..4),
    ) {
        let mut deflater = Deflater::new(level, bits, false);
        let mut begun = [Deflating::default(), Deflating::default()];
        let mut done = [None, None];
        for allowed in allowed.iter().cycle() {
            for (at, message) in messages.iter().enumerate() {
                if done[at].is_none() {
                    let mut allowed = *allowed;
                    done[at] = deflater.deflate_allowed(message, &mut begun[at], &mut allowed);
                }
            }
            if done.iter().all(Option::is_some) {
                break;
            }
        }
        for (deflated, message) in done.into_iter().flatten().zip(messages) {
            let mut state = Decompress::new_with_window_bits(false, bits);
            let whole = [&deflated[..], &TAIL].concat();
            prop_assert!(decompress(&mut state, &whole) == Some((message, false)));
        }
    }

    /// Bytes that are no stream are refused, and a stream becomes what flate2
    /// makes of it.
    #[test]
    fn any_bytes_say_the_same_to_flate2(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            // A right one with a byte that is not.
            ("[a-f ]{0,300}", any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
                let mut state = Compress::new(Compression::new(6), false);
                let mut bytes = compress(&mut state, text.as_bytes(), &[]);
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes
            }),
        ],
        takeover in any::<bool>(),
        bytes_max in prop_oneof![0usize..400, Just(100_000)],
    ) {
        check_compressed(takeover, bytes_max, &bytes);
    }
}

fn deflated(level: u8, message: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::new();
    Deflater::new(level, 15, false).deflate(message, &mut deflated);
    deflated
}

#[test]
fn a_size_at_its_limit_and_one_past_it() {
    for bytes in [0, 1, 63, 64, 65, 1000, 32_768, 100_000] {
        let message = vec![7; bytes];
        for level in [1, 6] {
            let deflated = deflated(level, &message);
            let mut inflater = Inflater::new(15, false);
            for bytes_max in [bytes, bytes + 1, 2 * bytes, usize::MAX] {
                assert_eq!(inflater.inflate(&deflated, bytes_max).unwrap(), message);
            }
            if bytes > 0 {
                let past = inflater.inflate(&deflated, bytes - 1);
                assert_eq!(past, Err(InflateError::TooBig));
                // And it can be used again.
                assert_eq!(inflater.inflate(&deflated, bytes).unwrap(), message);
            }
        }
    }
}

#[test]
fn a_stream_that_ends_early_is_refused() {
    let message: Vec<u8> = (0..2000u32)
        .flat_map(|it| (it * it).to_le_bytes())
        .collect();
    let deflated = deflated(6, &message);
    let mut inflater = Inflater::new(15, false);
    let mut accepted = 0;
    for end in 1..deflated.len() {
        match inflater.inflate(&deflated[..end], 1 << 20) {
            // At the end of a block it is a shorter message.
            Ok(inflated) => {
                assert!(message.starts_with(&inflated));
                accepted += 1;
            }
            Err(error) => assert_eq!(error, InflateError::Invalid),
        }
    }
    assert!(accepted <= 2, "{accepted} of {}", deflated.len());
}

#[test]
fn an_empty_message_has_a_byte() {
    for takeover in [false, true] {
        let received = |payload: &[u8]| {
            let mut inflater = Inflater::new(15, takeover);
            // An empty message follows: with what the first one has left open, it
            // would be four bytes.
            let empty = Raw::new(0xc2, &[0]).bytes();
            let bytes = [Raw::new(0xc2, payload).bytes(), empty].concat();
            receive(
                Role::Server,
                Limits::DEFAULT,
                Some(&mut inflater),
                &bytes,
                &[1],
            )
        };
        let both = received(&[0]);
        assert_eq!(both.violation, None);
        assert_eq!(both.received, [streams::binary(b""), streams::binary(b"")]);
        let none = received(&[]);
        assert_eq!(none.violation, Some(Violation::InvalidCompression));
        assert_eq!(none.received, []);
    }
}

#[test]
fn streams_that_begin_again_and_again_are_refused() {
    // An empty stream in two bytes.
    for (streams, is_right) in [(1, true), (16, true), (17, false), (100_000, false)] {
        let mut inflater = Inflater::new(15, false);
        let inflated = inflater.inflate(&[3, 0].repeat(streams), 10);
        assert_eq!(inflated.is_ok(), is_right, "{streams}");
    }
}

#[test]
fn empty_blocks_have_an_end() {
    // Each is five bytes and makes none; a stream of them never grows.
    let limits = Limits {
        message_bytes: 1000,
        ..Limits::DEFAULT
    };
    let blocks = [0, 0, 0, 0xff, 0xff].repeat(40);
    let mut bytes = Raw::new(0x42, &blocks).bytes();
    for _ in 0..10 {
        bytes.extend(Raw::new(0x00, &blocks).bytes());
    }
    let mut inflater = Inflater::new(15, false);
    let outcome = receive(Role::Server, limits, Some(&mut inflater), &bytes, &[100]);
    assert_eq!(outcome.violation, Some(Violation::MessageTooBig));
    // As many as fit are a message.
    let few = Raw::new(0xc2, &[&blocks[..], &[0]].concat()).bytes();
    let outcome = receive(Role::Server, limits, Some(&mut inflater), &few, &[100]);
    assert_eq!(outcome.received, [streams::binary(b"")]);
}

#[test]
fn a_message_that_cannot_be_compressed_fits_all_the_same() {
    let mut random = fastrand::Rng::with_seed(7692);
    for message_bytes in [1, 10, 100, 10_000, 300_000] {
        let message: Vec<u8> = (0..message_bytes).map(|_| random.u8(..)).collect();
        for level in 1..=9 {
            let mut bytes = Vec::new();
            let frame = Frame::compressed(Kind::Binary, deflated(level, &message));
            frame.masked([1, 2, 3, 4]).append_to(&mut bytes);
            let limits = Limits {
                message_bytes,
                ..Limits::DEFAULT
            };
            let mut inflater = Inflater::new(15, false);
            let outcome = receive(Role::Server, limits, Some(&mut inflater), &bytes, &[4096]);
            assert_eq!(outcome.violation, None);
            assert!(outcome.received == [streams::binary(&message)]);
        }
    }
}

/// How compressed bytes that come one by one are wrong.
fn violation_of(bytes: &[u8], takeover: bool) -> Option<Violation> {
    let mut inflater = Inflater::new(15, takeover);
    let inflater = Some(&mut inflater);
    receive(Role::Server, Limits::DEFAULT, inflater, bytes, &[1]).violation
}

#[test]
fn texts_are_checked_once_they_are_decompressed() {
    for (message, violation) in [
        (&b"\xe2\x82\xac"[..], None),
        (b"\xe2\x82", Some(Violation::InvalidText)),
        (b"a\xff", Some(Violation::InvalidText)),
    ] {
        let payload = deflated(1, message);
        let mut bytes = Vec::new();
        for (at, byte) in payload.iter().enumerate() {
            let first = if at == 0 { 0x41 } else { 0 };
            let last = if at + 1 == payload.len() { 0x80 } else { 0 };
            bytes.extend(Raw::new(first | last, &[*byte]).bytes());
        }
        assert_eq!(violation_of(&bytes, false), violation);
    }
    let bytes = Raw::new(0xc1, b"\xff\xff\xff").bytes();
    let violation = violation_of(&bytes, true);
    assert_eq!(violation, Some(Violation::InvalidCompression));
    assert_eq!(Violation::InvalidCompression.close_code(), 1007);
}

#[test]
fn a_released_compressor_begins_anew() {
    let mut deflater = Deflater::new(1, 15, true);
    let mut inflater = Inflater::new(15, true);
    let message = b"the same, the same, the same";
    for _ in 0..3 {
        for _ in 0..2 {
            let mut deflated = Vec::new();
            deflater.deflate(message, &mut deflated);
            assert_eq!(inflater.inflate(&deflated, 100).unwrap(), message);
        }
        assert!(deflater.allocated_bytes() > 0);
        deflater.release();
        assert_eq!(deflater.allocated_bytes(), 0);
    }
    inflater.release();
    assert_eq!(inflater.allocated_bytes(), 0);
}

#[test]
fn what_is_taken_counts_even_if_nothing_becomes_of_it() {
    const MIB: usize = 1024 * 1024;
    // Empty blocks. Those with codes of their own take a hundred times as long.
    let message = [&[0, 0, 0, 0xff, 0xff].repeat(MIB / 5)[..], &[0]].concat();
    let mut inflater = Inflater::new(15, false);
    let mut turns = 1;
    loop {
        inflater.allow(MIB);
        match inflater.inflate_allowed(&message, MIB).unwrap() {
            Some(inflated) => break assert!(inflated.is_empty()),
            None => turns += 1,
        }
    }
    // The last one is for the end of the stream, which no message carries.
    assert_eq!(turns, 33);
}
