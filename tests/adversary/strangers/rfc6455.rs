//! What bytes behind a handshake have to lead to, by RFC 6455 and the limits of
//! the function that echoes. Written apart from what is tested: it follows the
//! RFC frame by frame, and says a set of codes where several rules are broken
//! at once and either may be noticed first.

use std::collections::BTreeSet;

use super::{FRAGMENTS, MESSAGE_BYTES};

/// What a stranger is owed.
#[derive(Debug, PartialEq, Eq)]
pub struct Owed {
    /// Echoes: the first byte of their frame, and the payload.
    pub echoes: Vec<(u8, Vec<u8>)>,
    pub pings: Vec<Vec<u8>>,
    pub end: End,
    /// The bytes end within a frame: what follows belongs to it.
    pub is_cut: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It stays open, or is closed with one of these: what is broken may be
    /// noticed before the frame that breaks it is whole.
    Open(BTreeSet<u16>),
    /// It is closed with one of these.
    Violation(BTreeSet<u16>),
    /// The peer's close frame is answered.
    Closed(Option<u16>),
    /// Too many fragments, and more behind them: what is noticed first depends
    /// on what one read brings.
    Any,
}

/// A frame, as far as it has come.
struct Header {
    first: u8,
    masked: bool,
    length: u64,
    bytes: usize,
    mask: [u8; 4],
}

/// A message that has begun.
struct Message {
    opcode: u8,
    payload: Vec<u8>,
    frames: u32,
}

pub fn owed(mut bytes: &[u8]) -> Owed {
    let (mut echoes, mut pings) = (Vec::new(), Vec::new());
    let mut message: Option<Message> = None;
    // What is broken already, and may be noticed later.
    let mut early = BTreeSet::new();
    let end = loop {
        let Some(header) = Header::read(bytes) else {
            break End::Open(early);
        };
        let opcode = header.first & 0x0f;
        let mut broken = header.broken(message.as_ref());
        let more =
            bytes.len() > header.bytes + usize::try_from(header.length).unwrap_or(usize::MAX / 2);
        if broken.contains(&1008) && more {
            break End::Any;
        }
        if broken.contains(&1008) || header.length > MESSAGE_BYTES as u64 {
            broken.extend(&early);
            break End::Violation(broken);
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let Some(payload) = bytes
            .get(header.bytes..)
            .and_then(|rest| rest.get(..length))
        else {
            early.extend(broken);
            break End::Open(early);
        };
        bytes = &bytes[header.bytes + length..];
        let payload: Vec<u8> = payload
            .iter()
            .zip(header.mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        if opcode == 8 && broken.is_empty() {
            match code_of(&payload) {
                Ok(code) => break End::Closed(code),
                Err(codes) => broken = codes,
            }
        }
        if !broken.is_empty() {
            broken.extend(&early);
            break End::Violation(broken);
        }
        match opcode {
            9 => pings.push(payload),
            10 => {}
            _ => {
                let begun = message.get_or_insert(Message {
                    opcode,
                    payload: Vec::new(),
                    frames: 0,
                });
                begun.payload.extend(payload);
                begun.frames += 1;
                let is_text = begun.opcode == 1;
                let wrong = is_text && is_never_text(&begun.payload);
                if header.first & 0x80 == 0 {
                    early.extend(wrong.then_some(1007));
                    continue;
                }
                let Message {
                    opcode, payload, ..
                } = message.take().expect("it has just been seen");
                if is_text && str::from_utf8(&payload).is_err() {
                    early.insert(1007);
                    break End::Violation(early);
                }
                echoes.push((0x80 | opcode, payload));
            }
        }
    };
    let is_cut = matches!(end, End::Open(_)) && !bytes.is_empty();
    Owed {
        echoes,
        pings,
        end,
        is_cut,
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[first, second, ..] = bytes else {
            return None;
        };
        let masked = second & 0x80 != 0;
        let (length, at) = match second & 0x7f {
            126 => (
                u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
                4,
            ),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            length => (u64::from(length), 2),
        };
        let (mask, bytes) = match masked {
            true => (*bytes.get(at..)?.first_chunk()?, at + 4),
            false => ([0; 4], at),
        };
        Some(Self {
            first,
            masked,
            length,
            bytes,
            mask,
        })
    }

    /// The codes of the rules that the header breaks (sections 5.1 to 5.5).
    fn broken(&self, message: Option<&Message>) -> BTreeSet<u16> {
        let (last, opcode) = (self.first & 0x80 != 0, self.first & 0x0f);
        let is_control = opcode >= 8;
        let most = MESSAGE_BYTES as u64;
        let before = message.map_or(0, |message| message.payload.len() as u64);
        let frames = message.map_or(0, |message| message.frames);
        let rules = [
            (1002, self.first & 0x70 != 0),
            (1002, !matches!(opcode, 0..=2 | 8..=10)),
            (1002, !self.masked),
            (1002, is_control && (!last || self.length > 125)),
            (1002, !is_control && (opcode == 0) == message.is_none()),
            (1002, self.length >> 63 != 0),
            (1009, self.length > most),
            (
                1009,
                !is_control && opcode == 0 && before + self.length.min(most + 1) > most,
            ),
            (1008, !is_control && frames >= FRAGMENTS),
        ];
        rules
            .into_iter()
            .filter_map(|(code, broken)| broken.then_some(code))
            .collect()
    }
}

/// The code of a close frame (sections 5.5.1 and 7.4), or how it breaks them.
fn code_of(payload: &[u8]) -> Result<Option<u16>, BTreeSet<u16>> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload.is_empty() {
            true => Ok(None),
            false => Err([1002].into()),
        };
    };
    let code = u16::from_be_bytes(*code);
    let rules = [
        (
            1002,
            !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999),
        ),
        (1007, str::from_utf8(reason).is_err()),
    ];
    let broken: BTreeSet<u16> = rules
        .into_iter()
        .filter_map(|(code, broken)| broken.then_some(code))
        .collect();
    if broken.is_empty() {
        Ok(Some(code))
    } else {
        Err(broken)
    }
}

/// Whether no more bytes can make a text of it.
fn is_never_text(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some())
}
