//! The required result of bytes after a handshake, by RFC 6455 and the limits
//! of the function that echoes. It is independent of the tested code: it
//! follows the RFC frame by frame, and gives a set of codes where several rules
//! are broken at once and any may be noticed first.

use std::collections::BTreeSet;

use super::{FRAGMENTS, MESSAGE_BYTES};

/// The frames that a stranger is owed.
#[derive(Debug, PartialEq, Eq)]
pub struct Owed {
    /// Echoes: the first byte of their frame, and the payload.
    pub echoes: Vec<(u8, Vec<u8>)>,
    pub pings: Vec<Vec<u8>>,
    pub end: End,
    /// The bytes end within a frame, to which any further bytes belong.
    pub is_cut: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It stays open, or is closed with one of these: a violation may be
    /// noticed before its frame is complete.
    Open(BTreeSet<u16>),
    /// It is closed with one of these.
    Violation(BTreeSet<u16>),
    /// The peer's close frame is answered.
    Closed(Option<u16>),
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

pub fn owed(bytes: &[u8]) -> Owed {
    let mut stream = Stream {
        rest: bytes,
        owed: Owed {
            echoes: Vec::new(),
            pings: Vec::new(),
            end: End::Open(BTreeSet::new()),
            is_cut: false,
        },
        message: None,
        early: BTreeSet::new(),
    };
    stream.owed.end = loop {
        if let Some(end) = stream.frame() {
            break end;
        }
    };
    let is_open = matches!(stream.owed.end, End::Open(_));
    stream.owed.is_cut = is_open && !stream.rest.is_empty();
    stream.owed
}

/// The state of a stream of frames.
struct Stream<'a> {
    rest: &'a [u8],
    owed: Owed,
    message: Option<Message>,
    /// Rules that are already broken, and may be noticed later.
    early: BTreeSet<u16>,
}

impl Stream<'_> {
    /// Reads one frame; returns how the stream ends, if it does.
    fn frame(&mut self) -> Option<End> {
        let Some(header) = Header::read(self.rest) else {
            return Some(End::Open(self.early.clone()));
        };
        let mut broken = header.broken(self.message.as_ref());
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let end = header.bytes.saturating_add(length);
        // These are noticed in the header.
        if broken.contains(&1008) || header.length > MESSAGE_BYTES as u64 {
            return Some(self.violation(broken));
        }
        let opcode = header.first & 0x0f;
        let Some(payload) = self.rest.get(header.bytes..end) else {
            let wrong = self.is_wrong_so_far(opcode, &header.unmasked(&self.rest[header.bytes..]));
            self.early.extend(wrong.then_some(1007));
            self.early.extend(broken);
            return Some(End::Open(self.early.clone()));
        };
        let payload = header.unmasked(payload);
        self.rest = &self.rest[end..];
        if opcode == 8 && broken.is_empty() {
            match code_of(&payload) {
                Ok(code) => return Some(End::Closed(code)),
                Err(codes) => broken = codes,
            }
        }
        if !broken.is_empty() {
            return Some(self.violation(broken));
        }
        match opcode {
            9 => self.owed.pings.push(payload),
            10 => {}
            _ => return self.data(opcode, &payload, header.first & 0x80 != 0),
        }
        None
    }

    /// Whether the beginning of a frame's payload shows that a text is none.
    fn is_wrong_so_far(&self, opcode: u8, payload: &[u8]) -> bool {
        let before = match (opcode, &self.message) {
            (1, _) => &[][..],
            (0, Some(message)) if message.opcode == 1 => &message.payload,
            _ => return false,
        };
        is_never_text(&[before, payload].concat())
    }

    /// A frame of a message that breaks no rule by itself.
    fn data(&mut self, opcode: u8, payload: &[u8], last: bool) -> Option<End> {
        let mut message = self.message.take().unwrap_or(Message {
            opcode,
            payload: Vec::new(),
            frames: 0,
        });
        message.payload.extend(payload);
        message.frames += 1;
        let is_text = message.opcode == 1;
        if !last {
            let wrong = is_text && is_never_text(&message.payload);
            self.early.extend(wrong.then_some(1007));
            self.message = Some(message);
            return None;
        }
        if is_text && str::from_utf8(&message.payload).is_err() {
            return Some(self.violation([1007].into()));
        }
        let echo = (0x80 | message.opcode, message.payload);
        self.owed.echoes.push(echo);
        None
    }

    fn violation(&self, mut codes: BTreeSet<u16>) -> End {
        codes.extend(&self.early);
        End::Violation(codes)
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

    fn unmasked(&self, payload: &[u8]) -> Vec<u8> {
        let masked = payload.iter().zip(self.mask.iter().cycle());
        masked.map(|(byte, mask)| byte ^ mask).collect()
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

/// The code of a close frame (sections 5.5.1 and 7.4), or how the frame breaks
/// these sections.
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

/// Whether no further bytes can make it valid text.
fn is_never_text(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some())
}
