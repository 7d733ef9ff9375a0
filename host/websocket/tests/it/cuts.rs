//! However a stream of bytes is cut into reads, it says the same.

use openline_websocket::{Decoder, Event, Inflater, Limits, Opcode, Receiver, Role, Violation};
use proptest::prelude::*;

use crate::streams::{self, receive};

/// A decoder's output, the payload of each frame in one piece.
#[derive(Debug, PartialEq)]
enum Said {
    Payload(Vec<u8>),
    Other(Event<'static>),
    Violation(Violation),
}

/// The events of a stream, with the payloads joined; checks their numbers.
fn events(limits: Limits, compression: bool, bytes: &[u8], cuts: &[usize]) -> Vec<Said> {
    let mut decoder = Decoder::new(Role::Server, limits);
    decoder.set_compression(compression);
    let mut said = Vec::new();
    let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let (mut piece, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        rest = later;
        loop {
            let event = match decoder.next(&mut piece) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(violation) => {
                    said.push(Said::Violation(violation));
                    continue;
                }
            };
            match event {
                Event::Payload(payload) => {
                    assert!(!payload.is_empty());
                    if !matches!(said.last(), Some(Said::Payload(_))) {
                        said.push(Said::Payload(Vec::new()));
                    }
                    let Some(Said::Payload(so_far)) = said.last_mut() else {
                        unreachable!("it was just pushed");
                    };
                    payload.append_to(so_far);
                }
                Event::Frame(frame) => said.push(Said::Other(Event::Frame(frame))),
                Event::End => said.push(Said::Other(Event::End)),
                Event::Ping(payload) => said.push(Said::Other(Event::Ping(payload))),
                Event::Pong(payload) => said.push(Said::Other(Event::Pong(payload))),
                Event::Close(close) => said.push(Said::Other(Event::Close(close))),
            }
        }
        assert!(piece.is_empty());
    }
    said
}

fn limits() -> impl Strategy<Value = Limits> {
    let bytes = prop_oneof![0usize..300, Just(65_536), Just(usize::MAX)];
    (bytes, prop_oneof![1u32..4, Just(u32::MAX)]).prop_map(|(message_bytes, fragments)| Limits {
        message_bytes,
        fragments,
    })
}

proptest! {
    #[test]
    fn frames_are_the_same(
        bytes in streams::frames(),
        cuts in streams::cuts(),
        limits in limits(),
        compression in any::<bool>(),
    ) {
        let wanted = events(limits, compression, &bytes, &[usize::MAX]);
        let found = events(limits, compression, &bytes, &cuts);
        prop_assert_eq!(&found, &wanted);
        // Each frame brings what it promises, but for the last one.
        for pair in found.windows(2) {
            if let [Said::Other(Event::Frame(frame)), next] = pair {
                match next {
                    Said::Payload(payload) => prop_assert!(payload.len() as u64 <= frame.bytes),
                    _ => prop_assert_eq!(frame.bytes, 0),
                }
            }
        }
    }

    #[test]
    fn messages_are_the_same(
        bytes in streams::frames(),
        cuts in streams::cuts(),
        limits in limits(),
        compression in any::<bool>(),
    ) {
        let mut inflaters = [Inflater::new(15, false), Inflater::new(15, false)];
        let [first, second] = &mut inflaters;
        let (first, second) = (compression.then_some(first), compression.then_some(second));
        let wanted = receive(Role::Server, limits, first, &bytes, &[usize::MAX]);
        let found = receive(Role::Server, limits, second, &bytes, &cuts);
        prop_assert_eq!(found, wanted);
    }

    /// Where there is space, bytes are read into it.
    #[test]
    fn space_that_is_read_into_is_the_same(
        parts in prop::collection::vec((any::<bool>(), 0usize..300_000, any::<[u8; 4]>()), 1..4),
        wrong in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        cuts in prop::collection::vec(prop_oneof![1usize..100, 1usize..50_000], 1..8),
        is_text in any::<bool>(),
        is_compressed in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        for (at, (pings, size, key)) in parts.iter().enumerate() {
            let opcode = match (at, is_text) {
                (0, true) => Opcode::Text,
                (0, false) => Opcode::Binary,
                _ => Opcode::Continuation,
            };
            let payload = "aä€".repeat(size / 6 + 1);
            let frame = streams::sent(opcode, at + 1 == parts.len(), *key, payload.as_bytes());
            let first = bytes.len();
            bytes.extend(frame);
            if at == 0 && is_compressed {
                bytes[first] |= 0x40;
            }
            if *pings {
                bytes.extend(streams::sent(Opcode::Ping, true, *key, b"?"));
            }
        }
        if let Some(wrong) = wrong {
            let at = wrong.index(bytes.len());
            bytes[at] ^= 0x80;
        }
        let mut inflaters = [Inflater::new(15, false), Inflater::new(15, false)];
        let [first, second] = &mut inflaters;
        let wanted = receive(Role::Server, Limits::DEFAULT, Some(first), &bytes, &[]);
        let (mut receiver, mut received) = (Receiver::new(Role::Server, Limits::DEFAULT), Vec::new());
        let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
        let violation = loop {
            let size = (*cuts.next().unwrap()).min(rest.len());
            let step = match receiver.space() {
                Some((buffer, most)) => {
                    prop_assert!(most > 0 && most <= buffer.capacity() - buffer.len());
                    let (now, later) = rest.split_at(size.min(most));
                    buffer.extend_from_slice(now);
                    rest = later;
                    receiver.filled(Some(second))
                }
                None => {
                    let mut piece = &rest[..size];
                    let step = receiver.receive(&mut piece, Some(second));
                    rest = &rest[size - piece.len()..];
                    step
                }
            };
            match step {
                Ok(Some(it)) => received.push(it),
                Ok(None) if rest.is_empty() => break None,
                Ok(None) => {}
                Err(violation) => break Some(violation),
            }
        };
        prop_assert_eq!(violation, wanted.violation);
        prop_assert!(received == wanted.received);
    }

    #[test]
    fn any_bytes_do_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        cuts in streams::cuts(),
        limits in limits(),
        is_server in any::<bool>(),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let mut inflater = Inflater::new(15, false);
        let outcome = receive(role, limits, Some(&mut inflater), &bytes, &cuts);
        prop_assert!(outcome.received.len() <= bytes.len());
    }
}
