//! Sits between the socket and the WebSocket library: counts frames and bytes
//! as they pass, and can stop the reading.
//!
//! The library joins fragments and answers pings by itself, and reports
//! neither. Both are bounded here: the meter reads the headers of frames as
//! they pass (RFC 6455 section 5.2), and never changes them. While reading is
//! held, nothing is taken from the socket and TCP pushes back, but the library
//! still returns messages that it has buffered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket with its meter.
#[derive(Debug)]
pub(crate) struct Meter<S> {
    socket: S,
    pub(crate) scan: Scan,
    held: bool,
    /// Whether the last write found the kernel's buffer full.
    blocked: bool,
    /// Whether the kernel took bytes after it had been full, which shows that
    /// the peer's machine has acknowledged earlier ones.
    progress: bool,
    /// The most that one read has brought, if it filled its buffer.
    read_bytes_max: usize,
}

/// The position in the stream of frames.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    header: [u8; HEADER_BYTES_MAX],
    /// How many bytes of the header have come.
    have: usize,
    payload_left: u64,
    /// How many frames the unfinished message has; 0 between messages.
    fragments: u32,
    fragments_max: u32,
    too_many: bool,
    /// How many messages are complete; not counted after `too_many`.
    whole: u64,
    counted: Counted,
}

/// The counts since they were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Frames that begin something: all but continuations.
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// Two bytes, a length of eight, a mask of four.
const HEADER_BYTES_MAX: usize = 14;

impl<S> Meter<S> {
    /// `read` holds bytes that came after the handshake; they are counted, too.
    pub(crate) fn new(socket: S, read: &[u8], fragments_max: u32) -> Self {
        let mut scan = Scan::new(fragments_max);
        scan.pass(read);
        Self {
            socket,
            scan,
            held: false,
            blocked: false,
            progress: false,
            read_bytes_max: 0,
        }
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    /// Stops or resumes reading.
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Whether the last write found the kernel's buffer full.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether the peer's machine has shown that it is alive by taking bytes,
    /// since this was last called.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    /// The size of the largest read that filled its buffer: a larger buffer
    /// might have taken more at once.
    pub(super) fn read_bytes_max(&self) -> usize {
        self.read_bytes_max
    }

    /// Forgets the largest read.
    pub(super) fn forget_reads(&mut self) {
        self.read_bytes_max = 0;
    }

    /// Lets everything pass, because the connection ends and only the peer's
    /// close frame still matters.
    pub(super) fn release(&mut self) {
        self.held = false;
        self.scan.too_many = false;
        self.scan.fragments_max = u32::MAX;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // No waker is registered: the code that lifts the hold reads again.
        if self.held || self.scan.too_many {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let read = &buffer.filled()[before..];
        if read.len() > self.read_bytes_max && buffer.remaining() == 0 {
            self.read_bytes_max = read.len();
        }
        self.scan.pass(read);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Meter<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        match &polled {
            Poll::Pending => self.blocked = true,
            Poll::Ready(_) => self.progress |= std::mem::take(&mut self.blocked),
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

// === impl Scan ===

impl Scan {
    pub(crate) fn new(fragments_max: u32) -> Self {
        Self {
            header: [0; HEADER_BYTES_MAX],
            have: 0,
            payload_left: 0,
            fragments: 0,
            fragments_max,
            too_many: false,
            whole: 0,
            counted: Counted::default(),
        }
    }

    /// Whether a message has more fragments than it may have.
    pub(crate) fn has_too_many_fragments(&self) -> bool {
        self.too_many
    }

    /// Whether the message after the first `messages` is the one with too many
    /// fragments. One read may bring it together with the messages before it.
    pub(crate) fn is_past_fragments(&self, messages: u64) -> bool {
        self.too_many && messages >= self.whole
    }

    /// Whether only whole messages have come.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.have == 0 && self.payload_left == 0 && self.fragments == 0
    }

    pub(crate) fn take_counted(&mut self) -> Counted {
        std::mem::take(&mut self.counted)
    }

    /// Follows bytes that the peer sent. The library refuses invalid frames;
    /// here they must only do no harm.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        self.counted.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let payload = usize::try_from(self.payload_left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            self.payload_left -= payload as u64;
            bytes = &bytes[payload..];
            while self.payload_left == 0
                && let Some((byte, rest)) = bytes.split_first()
            {
                self.header[self.have] = *byte;
                self.have += 1;
                bytes = rest;
                if self.have >= 2 && self.have == header_bytes(self.header[1]) {
                    self.begin_frame();
                }
            }
        }
    }

    fn begin_frame(&mut self) {
        self.have = 0;
        let [first, second, length @ ..] = self.header;
        self.payload_left = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([length[0], length[1]])),
            127 => {
                let [a, b, c, d, e, f, g, h, ..] = length;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }
            short => u64::from(short),
        };
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        if opcode != 0 {
            self.counted.frames += 1;
        }
        // Control frames may come between fragments (section 5.4).
        if opcode >= 8 {
            return;
        }
        self.fragments = self.fragments.saturating_add(1);
        self.too_many |= self.fragments > self.fragments_max;
        if last {
            self.fragments = 0;
            self.whole += u64::from(!self.too_many);
        }
    }
}

/// The size of a header with this second byte.
fn header_bytes(second: u8) -> usize {
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length + mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A masked frame, as a client sends it.
    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload {
            0..126 => bytes.push(0x80 | u8::try_from(payload).unwrap()),
            126..65536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.resize(bytes.len() + payload, 0xff);
        bytes
    }

    #[test]
    fn fragments_at_their_limit_and_one_past_it() {
        let mut scan = Scan::new(3);
        for _ in 0..2 {
            scan.pass(&frame(0x02, 1));
            scan.pass(&frame(0x89, 5));
            scan.pass(&frame(0x00, 0));
            assert!(!scan.is_between_messages());
            scan.pass(&frame(0x80, 200));
            assert!(scan.is_between_messages() && !scan.has_too_many_fragments());
        }
        scan.pass(&frame(0x02, 1));
        scan.pass(&frame(0x00, 1));
        scan.pass(&frame(0x00, 1));
        assert!(!scan.has_too_many_fragments());
        scan.pass(&frame(0x00, 70_000));
        assert!(scan.has_too_many_fragments());
        assert_eq!(scan.take_counted().frames, 5);
        assert_eq!(scan.take_counted(), Counted::default());
    }

    proptest! {
        /// The counts do not depend on how a stream of frames is cut into
        /// reads.
        #[test]
        fn cuts_do_not_matter(
            frames in prop::collection::vec((0u8..=255, prop_oneof![0usize..300, 65_000usize..66_000]), 1..20),
            cuts in prop::collection::vec(1usize..5000, 1..50),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(first, size)| frame(*first, *size)).collect();
            let mut scan = Scan::new(u32::MAX);
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                scan.pass(now);
                rest = later;
            }
            let begun = frames.iter().filter(|(first, _)| first & 0x0f != 0).count() as u64;
            prop_assert_eq!(scan.take_counted(), Counted { frames: begun, bytes: bytes.len() as u64 });
            prop_assert_eq!((scan.have, scan.payload_left), (0, 0));
        }

        /// Arbitrary bytes do no harm.
        #[test]
        fn anything_may_pass(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut scan = Scan::new(2);
            scan.pass(&bytes);
            prop_assert_eq!(scan.take_counted().bytes, bytes.len() as u64);
        }
    }
}
