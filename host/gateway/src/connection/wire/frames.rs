//! Translates between tungstenite's types and ours; the only place that knows
//! both.

use bytes::Bytes;
use bytestring::ByteString;
use openline_channels::connection::Item;
use openline_core::close::{CODE_ABSENT, CloseInfo, CloseReason};
use openline_core::message::Message;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

/// The library writes without waiting for a flush once it has gathered this
/// much, in bytes.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Room for control frames and headers in addition to a message, in bytes.
const WRITE_RESERVE_BYTES: usize = 1024;

/// Payload of a control frame, in bytes (RFC 6455 section 5.5). tungstenite
/// also applies the limit of data frames to control frames.
const CONTROL_BYTES_MAX: usize = 125;

/// The result of a read.
pub(crate) enum Received {
    Message(Message),
    Ping,
    Pong(Bytes),
    Nothing,
    /// A close frame with a code that may not be sent. It is a violation; the
    /// library has put an answer into its buffer, and regards the stream as
    /// ended.
    BadClose,
    End(CloseReason),
}

/// Sets every field, because the defaults are made for few connections.
pub(crate) fn config(message_bytes: usize, read_buffer_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer_bytes)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        // The host writes a message into it only when the last write has left,
        // so it never holds more than a buffer and a message.
        .max_write_buffer_size(WRITE_BUFFER_BYTES + message_bytes + WRITE_RESERVE_BYTES)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes.max(CONTROL_BYTES_MAX)))
        // RFC 6455 section 5.1.
        .accept_unmasked_frames(false)
}

pub(crate) fn received(item: Option<Result<Frame, Error>>) -> Received {
    match item {
        Some(Ok(Frame::Text(text))) => Received::Message(Message::Text(incoming(text))),
        Some(Ok(Frame::Binary(bytes))) => Received::Message(Message::Binary(bytes)),
        Some(Ok(Frame::Ping(_))) => Received::Ping,
        Some(Ok(Frame::Pong(payload))) => Received::Pong(payload),
        Some(Ok(Frame::Frame(_))) => Received::Nothing,
        Some(Ok(Frame::Close(frame))) => closed_by_peer(frame),
        Some(Err(error)) => Received::End(reason_of(&error)),
        None => Received::End(CloseReason::Lost),
    }
}

pub(super) fn outgoing(item: Item) -> Frame {
    match item {
        Item::Message(Message::Text(text)) => Frame::Text(utf8(text)),
        Item::Message(Message::Binary(bytes)) => Frame::Binary(bytes),
        Item::Ping(payload) => Frame::Ping(payload),
    }
}

pub(super) fn close_frame(info: CloseInfo) -> Frame {
    Frame::Close(Some(CloseFrame {
        code: CloseCode::from(info.code),
        reason: info.reason.into(),
    }))
}

/// Why a stream that fails ends its connection.
pub(super) fn reason_of(error: &Error) -> CloseReason {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseReason::MessageTooBig,
        Error::Utf8(_) => CloseReason::InvalidText,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CloseReason::Lost,
        Error::Protocol(_) | Error::Capacity(_) => CloseReason::Protocol,
        _ => CloseReason::Lost,
    }
}

fn closed_by_peer(frame: Option<CloseFrame>) -> Received {
    Received::End(match frame {
        None => CloseReason::Peer(CloseInfo {
            code: CODE_ABSENT,
            reason: String::new(),
        }),
        // tungstenite reports a code that may not be sent in this way, and has
        // answered it with 1002.
        Some(frame)
            if frame.code == CloseCode::Protocol && frame.reason == "Protocol violation" =>
        {
            return Received::BadClose;
        }
        Some(frame) => CloseReason::Peer(CloseInfo {
            code: frame.code.into(),
            reason: frame.reason.as_str().into(),
        }),
    })
}

fn incoming(text: Utf8Bytes) -> ByteString {
    #[expect(
        unsafe_code,
        reason = "one UTF-8 type to another, on every text message"
    )]
    // SAFETY: a `Utf8Bytes` is UTF-8 by construction.
    unsafe {
        ByteString::from_bytes_unchecked(Bytes::from(text))
    }
}

fn utf8(text: ByteString) -> Utf8Bytes {
    #[expect(
        unsafe_code,
        reason = "one UTF-8 type to another, on every text message"
    )]
    // SAFETY: a `ByteString` is UTF-8 by construction.
    unsafe {
        Utf8Bytes::from_bytes_unchecked(text.into_bytes())
    }
}
