//! Makes strangers from a seed.

use fastrand::Rng;

use super::super::generate::LENGTH_MS;
use super::{Cut, Ending, FRAGMENTS, Frame, MESSAGE_BYTES, PATH, Payload, Stranger, request};

/// The most strangers of one plan.
const STRANGERS_MAX: usize = 25;

pub fn strangers(rng: &mut Rng, functions: usize) -> Vec<Stranger> {
    let count = rng.usize(3..STRANGERS_MAX);
    // One kind of violation, or all together.
    let theme = rng.u32(0..7);
    (0..count)
        .map(|number| stranger(rng, number, theme, functions))
        .collect()
}

fn stranger(rng: &mut Rng, number: usize, theme: u32, functions: usize) -> Stranger {
    let theme = if theme < 5 { theme } else { rng.u32(0..5) };
    let mut stranger = Stranger {
        number,
        at_ms: rng.u64(0..LENGTH_MS),
        path: PATH.into(),
        requests: vec![pick(rng, &request::RIGHT).into()],
        frames: Vec::new(),
        cuts: Vec::new(),
        stop_at: None,
        deaf_ms: pick(rng, &[0, 0, 0, 100, 500]),
        ending: pick(
            rng,
            &[
                Ending::Close,
                Ending::Close,
                Ending::Silent,
                Ending::Half,
                Ending::Reset,
            ],
        ),
    };
    match theme {
        0 => handshakes(rng, &mut stranger),
        1 => {
            stranger.frames = (0..rng.usize(0..8)).flat_map(|_| good(rng)).collect();
            stranger.frames.extend(bad(rng));
            stranger
                .frames
                .extend((0..rng.usize(0..3)).flat_map(|_| good(rng)));
        }
        2 => {
            stranger.frames = (0..rng.usize(1..12)).flat_map(|_| good(rng)).collect();
            if rng.bool() {
                stranger.stop_at = Some(rng.usize(0..1000));
            }
        }
        3 => compressed(rng, &mut stranger),
        _ => {
            // It leaves while a function decides about it.
            let (function, room) = (rng.usize(0..functions), rng.u32(0..3));
            let wait = pick(rng, &[5, 50, 300]);
            stranger.path = format!("/f{function}/c{room}?wait={wait}");
            stranger.ending = pick(rng, &[Ending::Half, Ending::Reset]);
        }
    }
    cut(rng, &mut stranger);
    stranger
}

/// Refused requests, and perhaps a valid one after them on the same stream.
fn handshakes(rng: &mut Rng, stranger: &mut Stranger) {
    let refused = (0..rng.usize(0..4)).map(|_| pick(rng, &request::REFUSED).0.to_owned());
    stranger.requests = refused.collect();
    stranger.requests.push(match rng.u32(0..3) {
        0 => pick(rng, &request::LAST).0.into(),
        _ => pick(rng, &request::RIGHT).into(),
    });
    stranger.frames = good(rng);
    if rng.u32(0..3) == 0 {
        stranger.stop_at = Some(rng.usize(0..1000));
    }
}

/// Messages that are compressed, in any frames, between others; perhaps one that
/// breaks a rule at the end. Where no offer was met, each breaks one.
fn compressed(rng: &mut Rng, stranger: &mut Stranger) {
    let offers = match rng.u32(0..6) {
        0 => request::ODD_OFFERS,
        _ => request::OFFERS,
    };
    let refused = ["no-list-of-offers", "no-token-of-offers"];
    let refused = (0..rng.usize(0..2)).map(|_| pick(rng, &refused).to_owned());
    stranger.requests = refused.collect();
    stranger.requests.push(pick(rng, &offers).into());
    for _ in 0..rng.usize(1..8) {
        match rng.u32(0..3) {
            0 => stranger.frames.extend(good(rng)),
            _ => stranger.frames.extend(deflated(rng)),
        }
    }
    if rng.bool() {
        stranger.frames.extend(wrongly_deflated(rng));
        stranger.frames.extend(good(rng));
    }
    if rng.u32(0..3) == 0 {
        stranger.stop_at = Some(rng.usize(0..1000));
    }
}

/// Valid messages, compressed.
fn deflated(rng: &mut Rng) -> Vec<Frame> {
    match rng.u32(0..5) {
        0 => vec![Frame {
            times: pick(rng, &[1, 1, 20, 300]),
            ..frame(
                0xc1,
                Payload::Deflated("grüß dich, und noch einmal: grüß dich".into()),
            )
        }],
        1 => vec![frame(0xc1, Payload::Deflated(String::new()))],
        2 => vec![frame(
            pick(rng, &[0xc1, 0xc2]),
            Payload::DeflatedLong(pick(rng, &[1, 99, 100, 126, 4000, MESSAGE_BYTES])),
        )],
        // Larger on the wire than it is.
        3 => vec![frame(
            0xc2,
            Payload::DeflatedNoise(pick(rng, &[1, 1000, MESSAGE_BYTES])),
        )],
        // The bit is on the first frame only, and a ping comes between.
        _ => vec![
            frame(0x42, text("")),
            frame(0x89, text("between")),
            frame(0x00, text("")),
            frame(0x80, Payload::DeflatedNoise(rng.usize(1..2000))),
        ],
    }
}

/// Frames that break a rule of compression.
fn wrongly_deflated(rng: &mut Rng) -> Vec<Frame> {
    let message = || Payload::Deflated("a message".into());
    match rng.u32(0..9) {
        // A bomb: a few bytes on the wire.
        0 => {
            let bytes = pick(rng, &[MESSAGE_BYTES + 1, 1 << 16, 1 << 22]);
            vec![frame(
                pick(rng, &[0xc1, 0xc2]),
                Payload::DeflatedLong(bytes),
            )]
        }
        // The same in two frames.
        1 => vec![
            frame(0x42, text("")),
            frame(0x80, Payload::DeflatedLong(1 << 20)),
        ],
        // There is no third type of block.
        2 => vec![frame(0xc1, Payload::Bytes(vec![0b111, 0, 0]))],
        3 => vec![frame(0xc2, Payload::Bytes(Vec::new()))],
        4 => vec![frame(
            0xc2,
            Payload::Bytes((0..1000).map(|_| rng.u8(..)).collect()),
        )],
        // A compressed text that is none, and half a letter.
        5 => {
            // Stored blocks: the length, its complement, and the bytes.
            let stored: &[&[u8]] = &[
                &[0, 4, 0, 0xfb, 0xff, b'c', b'a', b'f', 0xe9, 0],
                &[0, 1, 0, 0xfe, 0xff, 0xc3, 0],
            ];
            vec![frame(0xc1, Payload::Bytes(pick(rng, stored).to_vec()))]
        }
        // The bit where it must not be.
        6 => vec![frame(0x42, text("")), frame(0xc0, message())],
        7 => vec![frame(pick(rng, &[0xc8, 0xc9, 0xca]), text(""))],
        _ => vec![frame(pick(rng, &[0xe1, 0xd1, 0xf2]), message())],
    }
}

/// Some places, or many bytes one by one; half a second in all, far below
/// `request_timeout`.
fn cut(rng: &mut Rng, stranger: &mut Stranger) {
    let cuts = pick(rng, &[0, 1, 1, 3, 100]);
    for _ in 0..cuts {
        let wait_ms = match cuts {
            100 => rng.u64(0..3),
            _ => pick(rng, &[0, 1, 20, 150]),
        };
        stranger.cuts.push(Cut {
            at: rng.usize(0..1000),
            wait_ms,
        });
    }
}

fn frame(first: u8, payload: Payload) -> Frame {
    Frame {
        first,
        unmasked: false,
        length: None,
        payload,
        times: 1,
    }
}

fn text(text: &str) -> Payload {
    Payload::Text(text.into())
}

/// Valid frames, in whole messages.
fn good(rng: &mut Rng) -> Vec<Frame> {
    let ping = |rng: &mut Rng| frame(0x89, Payload::Long(pick(rng, &[0, 1, 125])));
    match rng.u32(0..12) {
        0..3 => vec![Frame {
            times: pick(rng, &[1, 1, 5, 300]),
            ..frame(0x81, text("grüß dich"))
        }],
        3 => vec![frame(0x82, Payload::Bytes((0..rng.u8(..)).collect()))],
        4 => vec![frame(
            0x81,
            Payload::Long(pick(rng, &[0, 1, 125, 126, 127, MESSAGE_BYTES])),
        )],
        5 => vec![Frame {
            times: pick(rng, &[1, 3, 100, 1000]),
            ..ping(rng)
        }],
        6 => vec![frame(0x8a, text("unasked"))],
        // A character that is split, with control frames between.
        7 => vec![
            frame(0x01, Payload::Bytes(vec![0xf0, 0x9f])),
            ping(rng),
            frame(0x00, Payload::Bytes(vec![0x98])),
            frame(0x8a, text("")),
            frame(0x80, Payload::Bytes(vec![0x80])),
        ],
        // As many fragments as allowed.
        8 => vec![
            frame(0x02, text("")),
            Frame {
                times: FRAGMENTS - 2,
                ..frame(0x00, Payload::Long(rng.usize(0..200)))
            },
            frame(0x80, Payload::Long(3)),
        ],
        9 => vec![
            frame(0x01, Payload::Long(MESSAGE_BYTES - 1)),
            frame(0x80, Payload::Long(rng.usize(0..2))),
        ],
        _ => vec![frame(
            0x81,
            Payload::Text(format!("number {}", rng.u32(..))),
        )],
    }
}

/// Frames that break a rule.
fn bad(rng: &mut Rng) -> Vec<Frame> {
    let data = pick(rng, &[0x81, 0x82]);
    match rng.u32(0..14) {
        0 => vec![frame(0x80 | pick(rng, &[3, 4, 7, 11, 12, 15]), text("a"))],
        1 => vec![frame(
            data | pick(rng, &[0x10, 0x20, 0x40, 0x70]),
            text("b"),
        )],
        2 => vec![Frame {
            unmasked: true,
            ..frame(pick(rng, &[data, 0x89, 0x88]), text(""))
        }],
        3 => vec![frame(pick(rng, &[0x88, 0x89, 0x8a]), Payload::Long(126))],
        4 => vec![frame(pick(rng, &[0x08, 0x09, 0x0a]), text(""))],
        5 => vec![frame(pick(rng, &[0x00, 0x80]), text("no beginning"))],
        6 => vec![frame(0x01, text("c")), frame(data, text("d"))],
        7 => {
            let wrong: &[&[u8]] = &[
                b"\xff",
                b"\xc0\xaf",
                b"\xed\xa0\x80",
                b"\xf4\x90\x80\x80",
                b"ok\xce",
            ];
            vec![frame(0x81, Payload::Bytes(pick(rng, wrong).to_vec()))]
        }
        8 => vec![
            frame(0x01, Payload::Bytes(b"ok\xce".to_vec())),
            frame(0x80, Payload::Bytes(b"\x41".to_vec())),
        ],
        9 => vec![frame(data, Payload::Long(MESSAGE_BYTES + 1))],
        10 => vec![
            frame(0x02, Payload::Long(MESSAGE_BYTES)),
            frame(0x80, Payload::Long(1)),
        ],
        11 => {
            let length = pick(rng, &[MESSAGE_BYTES as u64 + 1, 1 << 40, 1 << 63, u64::MAX]);
            vec![Frame {
                length: Some(length),
                ..frame(data, text(""))
            }]
        }
        12 => vec![
            frame(0x02, text("")),
            Frame {
                times: FRAGMENTS,
                ..frame(0x00, Payload::Long(1))
            },
        ],
        _ => vec![frame(0x88, Payload::Bytes(close(rng)))],
    }
}

/// The payload of a close frame, valid or not.
fn close(rng: &mut Rng) -> Vec<u8> {
    let code: u16 = pick(
        rng,
        &[
            1000, 1001, 1003, 1011, 3000, 4999, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535,
        ],
    );
    let reason: &[u8] = pick(rng, &[b"".as_slice(), b"bye", b"\xff", &[b'r'; 123]]);
    match rng.u32(0..6) {
        0 => Vec::new(),
        1 => vec![3],
        _ => [&code.to_be_bytes(), reason].concat(),
    }
}

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())].clone()
}
