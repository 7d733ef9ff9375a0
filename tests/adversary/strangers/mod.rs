//! Peers below the level of WebSocket: any bytes, cut anywhere, with any pause.
//!
//! A stranger is data: requests, frames, the cuts in its bytes, and how it
//! leaves. `rfc6455` says what it must receive, `run` lets it live, and `judge`
//! compares. What a strict stranger receives follows from its bytes alone,
//! because it speaks to a function that echoes.

pub mod generate;
mod judge;
mod request;
mod rfc6455;
pub mod run;

use std::path::Path;

use flate2::{Compress, Compression, FlushCompress};
use openline_kit::bytes::frame_saying;
use serde::{Deserialize, Serialize};

use super::plan::Plan;

/// The route of strict strangers.
pub const PATH: &str = "/echo";
/// `message_bytes` and `fragments` there.
const MESSAGE_BYTES: usize = 4096;
const FRAGMENTS: u32 = 16;
/// The mask of masked frames.
const MASK: [u8; 4] = [0x5a, 0x01, 0xff, 0x38];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stranger {
    /// Identifies it when others are taken out.
    pub number: usize,
    pub at_ms: u64,
    /// The path of its handshakes.
    pub path: String,
    /// Kinds of requests, as [`request::text`] knows them.
    pub requests: Vec<String>,
    /// Frames after them, if the last request is an upgrade.
    pub frames: Vec<Frame>,
    pub cuts: Vec<Cut>,
    /// Sends nothing after this place, in thousandths of all its bytes.
    pub stop_at: Option<usize>,
    /// Reads nothing for this long.
    pub deaf_ms: u64,
    pub ending: Ending,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// The first byte: the flags and the opcode.
    pub first: u8,
    pub unmasked: bool,
    /// The length in its header, if it differs from the payload's.
    pub length: Option<u64>,
    pub payload: Payload,
    pub times: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Payload {
    Text(String),
    Bytes(Vec<u8>),
    /// This many letters.
    Long(usize),
    /// A text, compressed to one whole stream of deflate.
    Deflated(String),
    /// This many letters, compressed likewise.
    DeflatedLong(usize),
    /// Bytes that change without a rule, compressed likewise.
    DeflatedNoise(usize),
}

/// A pause at a place, in thousandths of all bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cut {
    pub at: usize,
    pub wait_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It closes with a handshake when everything that it is owed has come.
    Close,
    /// It ends its half of the stream at once.
    Half,
    Reset,
    /// It sends nothing more, and goes when everything that it is owed has
    /// come.
    Silent,
}

impl Stranger {
    pub fn operations(&self) -> u64 {
        let frames = self.frames.iter().map(|frame| u64::from(frame.times));
        1 + frames.sum::<u64>()
    }

    /// Whether it is known what it must receive.
    fn is_strict(&self) -> bool {
        self.path == PATH
    }

    /// Whether both ends may compress.
    fn compresses(&self) -> bool {
        let last = self.requests.last();
        last.is_some_and(|kind| request::compresses(kind))
    }

    /// All its bytes, and where its frames begin.
    fn bytes(&self) -> (Vec<u8>, usize) {
        let requests = self.requests.iter();
        let head: String = requests
            .map(|kind| request::text(kind, &self.path))
            .collect();
        let mut bytes = head.into_bytes();
        let begin = bytes.len();
        if self
            .requests
            .last()
            .is_some_and(|kind| request::is_right(kind))
        {
            for frame in &self.frames {
                bytes.extend(frame.bytes().repeat(frame.times as usize));
            }
        }
        (bytes, begin)
    }
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let payload = match &self.payload {
            Payload::Text(text) => text.as_bytes().to_vec(),
            Payload::Bytes(bytes) => bytes.clone(),
            Payload::Long(bytes) => vec![b'L'; *bytes],
            Payload::Deflated(text) => deflated(text.as_bytes()),
            Payload::DeflatedLong(bytes) => deflated(&vec![b'L'; *bytes]),
            Payload::DeflatedNoise(bytes) => {
                let mut noise = vec![0; *bytes];
                fastrand::Rng::with_seed(*bytes as u64).fill(&mut noise);
                deflated(&noise)
            }
        };
        let mask = (!self.unmasked).then_some(MASK);
        let bytes = self.length.unwrap_or(payload.len() as u64);
        frame_saying(self.first, bytes, mask, &payload)
    }
}

/// A message as the payload of compressed frames (RFC 7692 section 7.2.1).
fn deflated(message: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::default(), false);
    let mut deflated = Vec::with_capacity(message.len() + message.len() / 100 + 64);
    let flush = FlushCompress::Sync;
    compress
        .compress_vec(message, &mut deflated, flush)
        .expect("there is room for it");
    assert_eq!(compress.total_in(), message.len() as u64);
    // The empty block at the end is left out.
    deflated.truncate(deflated.len() - 4);
    deflated
}

/// The function of strict strangers, in the configuration.
pub fn toml(plan: &Plan, echo: &Path) -> String {
    if plan.strangers.is_empty() {
        return String::new();
    }
    format!(
        "\n[[function]]\nname = \"echo\"\ncomponent = \"{}\"\nroute = \"{PATH}\"\n[function.limit]\nmessage_bytes = \"4 KiB\"\nfragments = {FRAGMENTS}\ncompression = \"shared\"\ncompression_threshold = \"100 B\"\n",
        echo.display()
    )
}
