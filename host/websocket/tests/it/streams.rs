//! Streams of frames: right, wrong, and cut in any way.

use openline_websocket::{Close, Header, Key, Limits, Message, Opcode, Received, Role};
use proptest::prelude::*;

pub(crate) use crate::oracle::{Outcome, receive};

/// Receives bytes in one piece.
pub(crate) fn receive_whole(role: Role, bytes: &[u8]) -> Outcome {
    receive(role, Limits::DEFAULT, None, bytes, &[])
}

pub(crate) fn text(text: &str) -> Received {
    Received::Message(Message::from(text))
}

pub(crate) fn binary(bytes: &[u8]) -> Received {
    Received::Message(Message::from(bytes.to_vec()))
}

pub(crate) fn close(code: u16, reason: &'static str) -> Received {
    Received::Close(Some(Close {
        code,
        reason: reason.into(),
    }))
}

/// A frame in any state of repair.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) first: u8,
    pub(crate) key: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
    /// Bytes that its length takes: 1, 3, 9, or as few as do.
    pub(crate) length_bytes: Option<u8>,
    /// The length that it claims, if not the true one.
    pub(crate) length: Option<u64>,
}

impl Raw {
    /// A frame of a client, as it should be.
    pub(crate) fn new(first: u8, payload: &[u8]) -> Self {
        Self {
            first,
            key: Some([0x37, 0xfa, 0x21, 0x3d]),
            payload: payload.to_vec(),
            length_bytes: None,
            length: None,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = self.length.unwrap_or(self.payload.len() as u64);
        let masked = if self.key.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        let long = length.to_be_bytes();
        let needed = match length {
            0..126 => 1,
            126..0x1_0000 => 3,
            _ => 9,
        };
        match self.length_bytes.unwrap_or(0).max(needed) {
            1 => bytes.push(masked | long[7]),
            3 => {
                bytes.push(masked | 126);
                bytes.extend(&long[6..]);
            }
            _ => {
                bytes.push(masked | 127);
                bytes.extend(long);
            }
        }
        bytes.extend(self.key.iter().flatten());
        Key::new(self.key.unwrap_or_default()).append(&self.payload, &mut bytes);
        bytes
    }
}

/// A client's frame with the headers of the codec itself.
pub(crate) fn sent(opcode: Opcode, is_last: bool, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut header = Header::new(opcode, payload.len()).masked(key);
    if !is_last {
        header = header.unfinished();
    }
    let mut bytes = header.as_bytes().to_vec();
    Key::new(key).append(payload, &mut bytes);
    bytes
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<char>(), 0..40)
            .prop_map(|it| it.into_iter().collect::<String>().into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..10),
        1 => (100usize..140).prop_map(|bytes| vec![b'a'; bytes]),
        1 => (65_500usize..65_600).prop_map(|bytes| vec![b'a'; bytes]),
    ]
}

/// The payload of a close frame, often a right one.
fn close_payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..4),
        (990u16..1020, "[a-zä€]{0,30}").prop_map(|(code, reason)| {
            let mut payload = code.to_be_bytes().to_vec();
            payload.extend(reason.into_bytes());
            payload
        }),
    ]
}

/// A message in fragments, with control frames between them.
fn message() -> impl Strategy<Value = Vec<Raw>> {
    let control = prop_oneof![
        Just(None),
        (any::<bool>(), prop::collection::vec(any::<u8>(), 0..126)).prop_map(Some),
    ];
    let cuts = prop::collection::vec((0usize..50, control), 0..4);
    (any::<bool>(), payload(), cuts).prop_map(|(is_text, payload, cuts)| {
        let (mut frames, mut rest) = (Vec::new(), &payload[..]);
        let mut opcode = if is_text { 1 } else { 2 };
        for (cut, control) in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            frames.push(Raw::new(opcode, now));
            (rest, opcode) = (later, 0);
            if let Some((is_ping, payload)) = control {
                frames.push(Raw::new(if is_ping { 0x89 } else { 0x8a }, &payload));
            }
        }
        frames.push(Raw::new(0x80 | opcode, rest));
        frames
    })
}

/// A frame that may be wrong in every way.
fn odd() -> impl Strategy<Value = Vec<Raw>> {
    let first = prop_oneof![
        any::<u8>(),
        prop::sample::select(vec![
            0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0xc1, 0xc2
        ]),
    ];
    let key = prop_oneof![9 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
    let length_bytes =
        prop_oneof![9 => Just(None), 1 => prop::sample::select(vec![1, 3, 9]).prop_map(Some)];
    let length = prop_oneof![
        9 => Just(None),
        1 => prop_oneof![
            any::<u64>(),
            prop::sample::select(vec![125, 126, 65_535, 65_536, u64::MAX, u64::MAX >> 1, 1 << 63]),
        ].prop_map(Some),
    ];
    let payload = prop_oneof![payload(), close_payload()];
    let odd = (first, key, payload, length_bytes, length);
    odd.prop_map(|(first, key, payload, length_bytes, length)| {
        vec![Raw {
            first,
            key,
            payload,
            length_bytes,
            length,
        }]
    })
}

/// Frames, most of them right; a server's are without keys.
fn stream(is_masked: bool) -> impl Strategy<Value = Vec<u8>> {
    let close = close_payload().prop_map(|payload| vec![Raw::new(0x88, &payload)]);
    let group = prop_oneof![8 => message(), 2 => odd(), 1 => close];
    let bytes = prop::collection::vec(group, 0..6).prop_map(move |groups| {
        let frames = groups.into_iter().flatten().map(|frame| Raw {
            // A wrong one of a client is one that a server may send.
            key: frame.key.filter(|key| is_masked || key[0] > 0xf0),
            ..frame
        });
        frames.flat_map(|frame| frame.bytes()).collect::<Vec<_>>()
    });
    // Some end in the middle.
    (bytes, prop_oneof![2 => Just(0usize), 1 => 0usize..300])
        .prop_map(|(bytes, cut)| bytes[..bytes.len() - cut.min(bytes.len())].to_vec())
}

/// Frames of a client, most of them right.
pub(crate) fn frames() -> impl Strategy<Value = Vec<u8>> {
    stream(true)
}

/// Frames of a server, most of them right.
pub(crate) fn unmasked_frames() -> impl Strategy<Value = Vec<u8>> {
    stream(false)
}

/// Sizes of the pieces that reads bring.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![1usize..4, 1usize..200, 60_000usize..70_000];
    prop::collection::vec(size, 1..12)
}
