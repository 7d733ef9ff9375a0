//! Others that read the same bytes: tungstenite, and flate2 used plainly.
//!
//! The fuzz targets include this file, and have it read what they find.
//!
//! Where tungstenite differs, this codec is meant to:
//!
//! - It refuses at the header, or at the first byte of a text that is wrong;
//!   tungstenite waits for the whole frame. So when the bytes end before that
//!   frame does, tungstenite has found nothing yet.
//! - It refuses lengths that are not minimal or have their top bit set, as
//!   RFC 6455 section 5.2 asks; tungstenite takes them, or finds them too long.
//! - Of two violations in one frame it names the one of the protocol, and
//!   tungstenite the length or the text of a close frame.
//! - It takes close code 1014, which IANA's registry has.

use std::io::{self, Cursor, Read, Write};

use flate2::{Decompress, FlushDecompress, Status};
use openline_websocket::deflate::{Deflater, InflateError, Settings};
use openline_websocket::{Close, Inflater, Limits, Message, Received, Receiver, Role, Violation};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::Role as Theirs};

/// The outcome of a stream of bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) received: Vec<Received>,
    pub(crate) violation: Option<Violation>,
}

/// How a stream ended for tungstenite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Closed,
    BadClose,
    Lost,
    Protocol,
    TooBig,
    InvalidText,
}

/// A peer that has sent all that it will send, in pieces of these sizes, over
/// and over.
struct Script<'a> {
    rest: Cursor<&'a [u8]>,
    cuts: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Script<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.cuts.next().map_or(0, |size| (*size).min(buffer.len()));
        self.rest.read(&mut buffer[..size])
    }
}

impl Write for Script<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Receives bytes in pieces of these sizes, over and over.
pub(crate) fn receive(
    role: Role,
    limits: Limits,
    mut inflater: Option<&mut Inflater>,
    bytes: &[u8],
    cuts: &[usize],
) -> Outcome {
    let mut receiver = Receiver::new(role, limits);
    let mut received = Vec::new();
    let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let size = cuts.next().map_or(rest.len(), |size| *size).min(rest.len());
        let (mut piece, later) = rest.split_at(size);
        rest = later;
        loop {
            match receiver.receive(&mut piece, inflater.as_deref_mut()) {
                Ok(Some(it)) => received.push(it),
                Ok(None) => break,
                Err(violation) => {
                    assert!(receiver.is_over() && receiver.allocated_bytes() == 0);
                    return Outcome {
                        received,
                        violation: Some(violation),
                    };
                }
            }
        }
        assert!(piece.is_empty(), "nothing is left to the caller");
    }
    Outcome {
        received,
        violation: None,
    }
}

/// Tungstenite's outcome for these bytes.
pub(crate) fn theirs(
    role: Role,
    message_bytes: usize,
    bytes: &[u8],
    cuts: &[usize],
) -> (Vec<Received>, End) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes.max(125)));
    let role = match role {
        Role::Server => Theirs::Server,
        Role::Client => Theirs::Client,
    };
    let mut context = WebSocketContext::new(role, Some(config));
    let mut script = Script {
        rest: Cursor::new(bytes),
        cuts: cuts.iter().cycle(),
    };
    let mut received = Vec::new();
    loop {
        received.push(match context.read(&mut script) {
            Ok(Frame::Text(text)) => Received::Message(text.as_str().into()),
            Ok(Frame::Binary(bytes)) => Received::Message(Message::Binary(bytes)),
            Ok(Frame::Ping(payload)) => Received::Ping(payload),
            Ok(Frame::Pong(payload)) => Received::Pong(payload),
            Ok(Frame::Frame(_)) => unreachable!("it is never read"),
            Ok(Frame::Close(close)) => {
                let is_bad = |close: &CloseFrame| close.reason == "Protocol violation";
                if close.as_ref().is_some_and(is_bad) {
                    return (received, End::BadClose);
                }
                received.push(Received::Close(close.map(|close| Close {
                    code: close.code.into(),
                    reason: close.reason.as_str().to_owned().into(),
                })));
                return (received, End::Closed);
            }
            Err(error) => return (received, end(&error)),
        });
    }
}

fn end(error: &Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => End::TooBig,
        Error::Utf8(_) => End::InvalidText,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Lost,
        Error::Protocol(_) => End::Protocol,
        error => unreachable!("{error:?}"),
    }
}

/// Whether the two ends are the same, or differ as they may.
fn is_same(ours: &Outcome, theirs: End) -> bool {
    use Violation::{CloseCode, InvalidText, LengthNotMinimal, LengthTopBit, MessageTooBig};
    let closed = matches!(ours.received.last(), Some(Received::Close(_)));
    match (ours.violation, theirs) {
        (None, End::Lost) => !closed,
        (None, End::Closed) => closed,
        // Code 1014.
        (None, End::BadClose) => {
            let last = ours.received.last();
            matches!(last, Some(Received::Close(Some(close))) if close.code == 1014)
        }
        (Some(LengthNotMinimal | LengthTopBit), _) => true,
        // The frame has not ended.
        (Some(_), End::Lost) => true,
        (Some(CloseCode(_)), End::BadClose | End::InvalidText) => true,
        (Some(MessageTooBig), End::TooBig) | (Some(InvalidText), End::InvalidText) => true,
        (Some(violation), End::Protocol | End::TooBig) => violation.close_code() == 1002,
        _ => false,
    }
}

/// The same bytes in any pieces, and to tungstenite: the same messages in the
/// same order, and the same end.
pub(crate) fn check(role: Role, message_bytes: usize, bytes: &[u8], cuts: &[usize]) {
    let limits = Limits {
        message_bytes,
        fragments: u32::MAX,
    };
    let ours = receive(role, limits, None, bytes, cuts);
    assert_eq!(
        receive(role, limits, None, bytes, &[]),
        ours,
        "in one piece"
    );
    let (received, end) = theirs(role, message_bytes, bytes, cuts);
    assert!(is_same(&ours, end), "{ours:?}, {end:?}");
    match (ours.violation, end) {
        // A length that tungstenite takes: what is behind it is its own.
        (Some(Violation::LengthNotMinimal | Violation::LengthTopBit), _) => {
            assert!(received.starts_with(&ours.received));
        }
        (None, End::BadClose) => assert_eq!(ours.received[..ours.received.len() - 1], received),
        _ => assert_eq!(ours.received, received),
    }
}

/// The output of flate2, as far as it goes; whether the stream has ended with
/// these bytes. None if it refuses them.
pub(crate) fn decompress(state: &mut Decompress, mut bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut to = Vec::new();
    loop {
        to.reserve(4096);
        let before = state.total_in();
        let status = state.decompress_vec(bytes, &mut to, FlushDecompress::Sync);
        let taken = usize::try_from(state.total_in() - before);
        bytes = &bytes[taken.expect("no more than there is")..];
        match status.ok()? {
            Status::StreamEnd => return Some((to, true)),
            _ if to.len() < to.capacity() => return Some((to, false)),
            _ => {}
        }
    }
}

/// A compressed message beside flate2: what is no stream is refused, and what
/// is accepted is what flate2 makes of it.
pub(crate) fn check_compressed(takeover: bool, bytes_max: usize, bytes: &[u8]) {
    let mut inflater = Inflater::new(15, takeover);
    let ours = inflater.inflate(bytes, bytes_max);
    let stream = [bytes, &[0, 0, 0xff, 0xff]].concat();
    let plain = decompress(&mut Decompress::new(false), &stream);
    match (ours, plain) {
        // Another stream may follow one that has ended.
        (ours, Some((_, true))) => {
            assert!(ours.is_err() || ours.is_ok_and(|it| it.len() <= bytes_max))
        }
        (Ok(ours), Some((plain, false))) => assert_eq!(ours, plain),
        (Ok(_), None) => unreachable!("flate2 refuses it"),
        (Err(InflateError::TooBig), Some((plain, false))) => assert!(plain.len() > bytes_max),
        // Within a block, where flate2 waits for more.
        (Err(InflateError::Invalid), Some((_, false))) => assert!(!takeover || bytes.is_empty()),
        (Err(_), None) => {}
    }
}

/// Bytes for fuzzing: the first choose a role, a limit and the pieces, and the
/// rest is what the peer sends.
pub(crate) fn frames(bytes: &[u8]) {
    let Some((&[size, first, second], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let role = match size % 8 {
        0 => Role::Client,
        _ => Role::Server,
    };
    let cuts = [usize::from(first) + 1, usize::from(second) + 1];
    check(role, usize::from(size) * 16 + 1, rest, &cuts);
    // tungstenite does not compress: here the pieces are compared with the
    // whole.
    let limits = Limits {
        message_bytes: usize::from(size) * 16 + 1,
        fragments: u32::from(first) + 1,
    };
    for takeover in [false, true] {
        let mut inflaters = [(); 2].map(|()| Inflater::new(15, takeover));
        let [whole, pieces] = &mut inflaters;
        let whole = receive(role, limits, Some(whole), rest, &[]);
        let pieces = receive(role, limits, Some(pieces), rest, &cuts);
        assert_eq!(whole, pieces);
    }
}

/// Bytes for fuzzing: the first choose how, and the rest is decompressed, and
/// compressed and decompressed again.
pub(crate) fn deflate(bytes: &[u8]) {
    let Some((&[how, size], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let takeover = how % 2 == 0;
    check_compressed(takeover, usize::from(size) * 64, rest);
    let (level, bits) = (how / 2 % 9 + 1, how / 18 % 7 + 9);
    let mut deflater = Deflater::new(level, bits, takeover);
    let mut inflater = Inflater::new(bits, takeover);
    let mut plain = Decompress::new_with_window_bits(false, bits);
    for message in rest.chunks(usize::from(size) + 1) {
        let mut deflated = Vec::new();
        deflater.deflate(message, &mut deflated);
        let inflated = inflater.inflate(&deflated, message.len());
        assert_eq!(inflated.as_deref(), Ok(message));
        if !takeover {
            plain = Decompress::new_with_window_bits(false, bits);
        }
        deflated.extend([0, 0, 0xff, 0xff]);
        let decompressed = decompress(&mut plain, &deflated);
        assert_eq!(decompressed, Some((message.to_vec(), false)));
    }
}

/// Bytes for fuzzing: the lines of a request's or an answer's
/// `Sec-WebSocket-Extensions`. A client that made an offer has to take any
/// answer of the server to it.
pub(crate) fn extensions(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let small = Settings {
        server_window_bits: 10,
        client_window_bits: 11,
        ..Settings::DEDICATED
    };
    for settings in [Settings::SHARED, Settings::DEDICATED, small] {
        if let Ok(Some(agreed)) = settings.answered(text.lines()) {
            assert!((8..=settings.server_window_bits).contains(&agreed.server_window_bits));
            assert!((8..=settings.client_window_bits).contains(&agreed.client_window_bits));
        }
        let Ok(Some(agreed)) = settings.accept(text.lines()) else {
            continue;
        };
        assert!((9..=settings.server_window_bits).contains(&agreed.server_window_bits));
        assert!(settings.server_takeover || !agreed.server_takeover);
        assert!(settings.client_takeover || !agreed.client_takeover);
        let answer = agreed.to_string();
        let answered = Settings::DEDICATED.answered([answer.as_str()]);
        let answered = answered.expect("an answer of one extension");
        let answered = answered.expect("it is one");
        assert_eq!(answered.server_takeover, agreed.server_takeover);
        assert_eq!(answered.client_takeover, agreed.client_takeover);
        assert_eq!(answered.client_window_bits, agreed.client_window_bits);
    }
}
