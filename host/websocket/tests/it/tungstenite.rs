//! The same bytes, cut in any way, into tungstenite: the same messages in the
//! same order, and the same end.
//!
//! Where the two differ, this codec is meant to:
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

use openline_websocket::{Limits, Message, Received, Role, Violation};
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role as Theirs, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::CloseFrame};

use crate::streams::{self, Outcome, receive, sent};

/// How a stream ended for tungstenite.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Closed,
    BadClose,
    Lost,
    Protocol,
    TooBig,
    InvalidText,
}

/// A peer that has sent all that it will send, in pieces.
struct Script<'a> {
    rest: Cursor<&'a [u8]>,
    cuts: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Script<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = (*self.cuts.next().unwrap()).min(buffer.len());
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

fn theirs(
    role: Theirs,
    message_bytes: usize,
    bytes: &[u8],
    cuts: &[usize],
) -> (Vec<Received>, End) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes.max(125)));
    let mut context = WebSocketContext::new(role, Some(config));
    let mut script = Script {
        rest: Cursor::new(bytes),
        cuts: cuts.iter().cycle(),
    };
    let mut received = Vec::new();
    loop {
        match context.read(&mut script) {
            Ok(Frame::Text(text)) => received.push(Received::Message(text.as_str().into())),
            Ok(Frame::Binary(bytes)) => {
                received.push(Received::Message(Message::Binary(bytes)));
            }
            Ok(Frame::Ping(payload)) => received.push(Received::Ping(payload)),
            Ok(Frame::Pong(payload)) => received.push(Received::Pong(payload)),
            Ok(Frame::Close(close)) => {
                let is_bad = |close: &CloseFrame| close.reason == "Protocol violation";
                if close.as_ref().is_some_and(is_bad) {
                    return (received, End::BadClose);
                }
                received.push(Received::Close(close.map(|close| {
                    openline_websocket::Close {
                        code: close.code.into(),
                        reason: close.reason.as_str().to_owned().into(),
                    }
                })));
                return (received, End::Closed);
            }
            Ok(Frame::Frame(_)) => panic!("it is never read"),
            Err(error) => return (received, end(&error)),
        }
    }
}

fn end(error: &Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => End::TooBig,
        Error::Utf8(_) => End::InvalidText,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Lost,
        Error::Protocol(_) => End::Protocol,
        error => panic!("{error:?}"),
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

fn check(
    role: Role,
    message_bytes: usize,
    bytes: &[u8],
    cuts: &[usize],
) -> Result<(), TestCaseError> {
    let limits = Limits {
        message_bytes,
        fragments: u32::MAX,
    };
    let ours = receive(role, limits, None, bytes, cuts);
    let their_role = match role {
        Role::Server => Theirs::Server,
        Role::Client => Theirs::Client,
    };
    let (received, end) = theirs(their_role, message_bytes, bytes, cuts);
    prop_assert!(is_same(&ours, end), "{:?}, {:?}", ours, end);
    let skipped = match (ours.violation, end) {
        (None, End::BadClose) => 1,
        // A length that tungstenite takes: what is behind it is its own.
        (Some(Violation::LengthNotMinimal | Violation::LengthTopBit), _) => {
            prop_assert!(received.starts_with(&ours.received));
            return Ok(());
        }
        _ => 0,
    };
    prop_assert_eq!(
        &ours.received[..ours.received.len() - skipped],
        &received[..]
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_same_bytes_say_the_same(
        bytes in streams::frames(),
        cuts in streams::cuts(),
        message_bytes in prop_oneof![1usize..300, Just(65_536), Just(1 << 20)],
    ) {
        check(Role::Server, message_bytes, &bytes, &cuts)?;
    }

    #[test]
    fn the_same_bytes_say_the_same_to_a_client(
        bytes in streams::frames(),
        cuts in streams::cuts(),
    ) {
        // A server's frames: those of a client without their masks.
        let mut unmasked = bytes;
        for at in (1..unmasked.len()).step_by(6) {
            unmasked[at] &= 0x7f;
        }
        check(Role::Client, 1 << 20, &unmasked, &cuts)?;
    }

    #[test]
    fn what_is_sent_is_read_by_tungstenite(
        payloads in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<char>(), 0..300), any::<[u8; 4]>()), 0..5),
        long in 65_530usize..65_540,
        cuts in streams::cuts(),
    ) {
        let mut bytes = Vec::new();
        let mut wanted = Vec::new();
        let texts = payloads.into_iter().map(|(is_text, text, key)| (is_text, String::from_iter(text), key));
        for (is_text, text, key) in texts.chain([(true, "a".repeat(long), [9; 4])]) {
            let frame = match is_text {
                true => openline_websocket::Frame::text(text.as_str()),
                false => openline_websocket::Frame::binary(text.clone().into_bytes()),
            };
            frame.masked(key).append_to(&mut bytes);
            wanted.push(Received::Message(match is_text {
                true => Message::from(text.as_str()),
                false => Message::from(text.into_bytes()),
            }));
        }
        let (received, end) = theirs(Theirs::Server, 1 << 20, &bytes, &cuts);
        prop_assert_eq!(received, wanted);
        prop_assert_eq!(end, End::Lost);
    }
}

#[test]
fn the_differences_are_those_that_are_listed() {
    use openline_websocket::Opcode;
    let key = [1, 2, 3, 4];
    let whole = |bytes: &[u8]| theirs(Theirs::Server, 1000, bytes, &[usize::MAX]);
    // 1014 is in the registry since 2018.
    let bad_gateway = sent(Opcode::Close, true, key, &1014u16.to_be_bytes());
    assert_eq!(whole(&bad_gateway).1, End::BadClose);
    // Two bytes for a length of one.
    let padded = [&b"\x82\xfe\x00\x01"[..], &key, b"a"].concat();
    assert_eq!(whole(&padded).0.len(), 1);
    // The frame ends before it is refused.
    assert_eq!(whole(b"\x83\x85").1, End::Lost);
}
