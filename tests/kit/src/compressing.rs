//! A peer that compresses, for tests: it offers `permessage-deflate` as a test
//! says, and shows which frames came compressed. Its waits are bounded, and
//! panic.

use std::net::SocketAddr;

use openline_websocket::deflate::{Deflater, Inflater};
use tokio::net::TcpStream;

use crate::bytes::{HANDSHAKE, frame};
use crate::raw::Raw;

/// The first byte of a whole text, compressed.
pub const TEXT: u8 = 0xc1;
/// The first byte of a whole binary message, compressed.
pub const BINARY: u8 = 0xc2;

/// The bit of a frame's first byte that says that it is compressed.
const COMPRESSED: u8 = 0x40;

/// An open connection.
#[derive(Debug)]
pub struct Compressing {
    /// For frames that are wrong.
    pub raw: Raw,
    /// The host's answer to the offer; empty if it has not met it.
    pub answer: String,
    /// Without takeover, as the host always asks.
    deflater: Deflater,
    inflater: Inflater,
    window_bits: u8,
    takeover: bool,
}

/// A message that the host has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Whether it was compressed.
    pub compressed: bool,
    /// Bytes of its frame's payload.
    pub wire_bytes: usize,
    /// Whether it is a text.
    pub is_text: bool,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Compressing {
    /// Opens a connection with an offer, as the header has it. The peer
    /// decompresses with the window that was agreed on, and not with a larger
    /// one.
    pub async fn open(address: SocketAddr, path: &str, offer: &str) -> Self {
        let mut raw = Raw::connect(address).await;
        let answer = offer_on(&mut raw, path, offer).await;
        Self::agreed(raw, answer)
    }

    /// The same from a socket that is connected.
    pub async fn on(socket: TcpStream, path: &str, offer: &str) -> Self {
        let mut raw = Raw { socket };
        let answer = offer_on(&mut raw, path, offer).await;
        Self::agreed(raw, answer)
    }

    fn agreed(raw: Raw, answer: String) -> Self {
        let bits = answer.split("server_max_window_bits=").nth(1);
        let bits = bits.map_or(15, |bits| {
            let digits: String = bits.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        });
        let takeover = !answer.contains("server_no_context_takeover");
        Self {
            raw,
            deflater: Deflater::new(6, 15, false),
            inflater: Inflater::new(bits, true),
            window_bits: bits,
            takeover,
            answer,
        }
    }

    /// A compressed payload.
    pub fn deflated(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut deflated = Vec::new();
        self.deflater.deflate(payload, &mut deflated);
        deflated
    }

    /// Sends a compressed text.
    pub async fn text(&mut self, text: &str) {
        let deflated = self.deflated(text.as_bytes());
        self.raw.send(&frame(TEXT, &deflated)).await;
    }

    /// Sends compressed bytes.
    pub async fn binary(&mut self, bytes: &[u8]) {
        let deflated = self.deflated(bytes);
        self.raw.send(&frame(BINARY, &deflated)).await;
    }

    /// The next message; pings are passed over.
    pub async fn next(&mut self) -> Arrived {
        let (first, payload) = loop {
            let (first, payload) = self.raw.read_frame().await;
            if first != 0x89 {
                break (first, payload);
            }
        };
        let opcode = first & !COMPRESSED;
        assert!(
            opcode == 0x81 || opcode == 0x82,
            "no message: {first:#x} {payload:?}"
        );
        let compressed = first & COMPRESSED != 0;
        let wire_bytes = payload.len();
        let payload = match compressed {
            true => self.inflated(&payload),
            false => payload,
        };
        Arrived {
            compressed,
            wire_bytes,
            is_text: opcode == 0x81,
            payload,
        }
    }

    /// The next message, which must be a text.
    pub async fn next_text(&mut self) -> String {
        let arrived = self.next().await;
        assert!(arrived.is_text);
        String::from_utf8(arrived.payload).unwrap()
    }

    /// Sends a text without compression, and returns the next message.
    pub async fn ask(&mut self, text: &str) -> Arrived {
        self.raw.send(&frame(0x81, text.as_bytes())).await;
        self.next().await
    }

    /// A compressed payload of the host's, decompressed.
    pub fn inflated(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.takeover {
            // Nothing before it can be referred to.
            self.inflater = Inflater::new(self.window_bits, true);
        }
        self.inflater.inflate(payload, usize::MAX).unwrap()
    }
}

/// Upgrades a connection with an offer, and returns the header of the answer.
pub async fn offer_on(raw: &mut Raw, path: &str, offer: &str) -> String {
    let line = format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n");
    let request = HANDSHAKE.replace("{path}", path);
    raw.send(request.replace("\r\n\r\n", &line).as_bytes())
        .await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut lines = head.lines();
    let answer = lines.find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
    answer.unwrap_or_default().to_owned()
}
