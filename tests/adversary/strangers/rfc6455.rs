//! The required result of bytes after a handshake, by RFC 6455, RFC 7692 and the
//! limits of the function that echoes. It is independent of the tested code: it
//! follows the RFC frame by frame, and gives a set of codes where several rules
//! are broken at once and any may be noticed first.

use std::collections::BTreeSet;

use flate2::{Decompress, FlushDecompress, Status};

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
    compressed: bool,
    payload: Vec<u8>,
    frames: u32,
}

/// What is owed for these bytes; `compresses` says whether compression was agreed
/// on, without takeover.
pub fn owed(bytes: &[u8], compresses: bool) -> Owed {
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
        compresses,
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
    compresses: bool,
}

impl Stream<'_> {
    /// Reads one frame; returns how the stream ends, if it does.
    fn frame(&mut self) -> Option<End> {
        let Some(header) = Header::read(self.rest) else {
            return Some(End::Open(self.early.clone()));
        };
        let mut broken = header.broken(self.message.as_ref(), self.compresses);
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let end = header.bytes.saturating_add(length);
        // These are noticed in the header.
        if broken.contains(&1008) || header.length > header.most(self.message.as_ref()) {
            return Some(self.violation(broken));
        }
        let opcode = header.first & 0x0f;
        let Some(payload) = self.rest.get(header.bytes..end) else {
            let begun = header.unmasked(&self.rest[header.bytes..]);
            let wrong = !header.is_compressed() && self.is_wrong_so_far(opcode, &begun);
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
            _ => return self.data(&header, &payload),
        }
        None
    }

    /// Whether the beginning of a frame's payload shows that a text is none.
    fn is_wrong_so_far(&self, opcode: u8, payload: &[u8]) -> bool {
        let before = match (opcode, &self.message) {
            (1, _) => &[][..],
            (0, Some(message)) if message.is_plain_text() => &message.payload,
            _ => return false,
        };
        is_never_text(&[before, payload].concat())
    }

    /// A frame of a message that breaks no rule by itself.
    fn data(&mut self, header: &Header, payload: &[u8]) -> Option<End> {
        let mut message = self.message.take().unwrap_or(Message {
            opcode: header.first & 0x0f,
            compressed: header.is_compressed(),
            payload: Vec::new(),
            frames: 0,
        });
        message.payload.extend(payload);
        message.frames += 1;
        if header.first & 0x80 == 0 {
            let wrong = message.is_plain_text() && is_never_text(&message.payload);
            self.early.extend(wrong.then_some(1007));
            self.message = Some(message);
            return None;
        }
        let mut payload = message.payload;
        if message.compressed {
            payload = match inflated(&payload) {
                Ok(inflated) => inflated,
                Err(code) => return Some(self.violation([code].into())),
            };
        }
        if message.opcode == 1 && str::from_utf8(&payload).is_err() {
            return Some(self.violation([1007].into()));
        }
        self.owed.echoes.push((0x80 | message.opcode, payload));
        None
    }

    fn violation(&self, mut codes: BTreeSet<u16>) -> End {
        codes.extend(&self.early);
        End::Violation(codes)
    }
}

impl Message {
    /// Whether its bytes are those of a text.
    fn is_plain_text(&self) -> bool {
        self.opcode == 1 && !self.compressed
    }
}

/// A compressed message, decompressed (RFC 7692 section 7.2.2), or the code that
/// it is worth.
pub fn inflated(payload: &[u8]) -> Result<Vec<u8>, u16> {
    // An empty message has a byte, too.
    if payload.is_empty() {
        return Err(1007);
    }
    let source = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut stream = Decompress::new(false);
    let mut to = Vec::with_capacity(MESSAGE_BYTES + 1);
    let status = stream.decompress_vec(&source, &mut to, FlushDecompress::Sync);
    if to.len() > MESSAGE_BYTES {
        return Err(1009);
    }
    let is_all = stream.total_in() == source.len() as u64;
    // At the end of a block, and only there, another one can begin.
    let mut more = Vec::with_capacity(8);
    let last = [1, 0, 0, 0xff, 0xff];
    let ended = stream.decompress_vec(&last, &mut more, FlushDecompress::Sync);
    let is_whole = is_all && ended.is_ok_and(|it| it == Status::StreamEnd) && more.is_empty();
    match status.is_ok() && is_whole {
        true => Ok(to),
        false => Err(1007),
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

    /// Whether it says that it begins a compressed message.
    fn is_compressed(&self) -> bool {
        self.first & 0x40 != 0
    }

    /// Bytes that its message may have on the wire: what a compressor makes of
    /// the largest message at worst, if it is compressed (zlib's
    /// `deflateBound`).
    fn most(&self, message: Option<&Message>) -> u64 {
        let most = MESSAGE_BYTES as u64;
        let continues = self.first & 0x0f == 0;
        let compressed = match message {
            Some(message) if continues => message.compressed,
            _ => self.is_compressed(),
        };
        match compressed {
            true => most + most / 8 + most / 64 + 64,
            false => most,
        }
    }

    /// The codes of the rules that the header breaks (sections 5.1 to 5.5, and
    /// RFC 7692 section 6).
    fn broken(&self, message: Option<&Message>, compresses: bool) -> BTreeSet<u16> {
        let (last, opcode) = (self.first & 0x80 != 0, self.first & 0x0f);
        let is_control = opcode >= 8;
        let most = self.most(message);
        let before = message.map_or(0, |message| message.payload.len() as u64);
        let frames = message.map_or(0, |message| message.frames);
        let rules = [
            (1002, self.first & 0x30 != 0),
            (
                1002,
                self.is_compressed() && !(compresses && matches!(opcode, 1 | 2)),
            ),
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
