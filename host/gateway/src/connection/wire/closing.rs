//! The closing handshake (RFC 6455 section 7.1), and TCP's own end behind it.
//!
//! What is read and thrown away meanwhile is bounded by [`DISCARDED_BYTES_MAX`];
//! the time is its caller's.

use futures_util::{SinkExt, StreamExt};
use openline_core::close::CloseReason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::frames;

/// What a peer may still send while its connection ends, in bytes: the rest of
/// the largest message that can be configured, so that the sender of one that
/// is too big can read why. One that sends more is cut off.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Ends the stream: our close frame, the peer's unless it has come, and then
/// TCP's own.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: WebSocketStream<S>,
    reason: &CloseReason,
    closed: bool,
) {
    let by_host = match (reason, reason.frame()) {
        // tungstenite has queued the answer to the peer's frame.
        (CloseReason::Peer(_), _) => false,
        (_, Some(info)) => stream.feed(frames::close_frame(info)).await.is_ok(),
        // An ending without a close frame.
        (_, None) => return,
    };
    if stream.flush().await.is_err() {
        return;
    }
    let mut discarded = 0;
    if by_host && !closed {
        // After a violation the stream has ended, and this with it.
        while let Some(Ok(frame)) = stream.next().await {
            discarded += frame.len();
            if matches!(frame, Frame::Close(_)) || discarded > DISCARDED_BYTES_MAX {
                break;
            }
        }
    }
    // A socket that is closed with unread bytes is reset, and a reset can
    // overtake our close frame: so what still comes is read.
    let socket = stream.get_mut();
    if socket.shutdown().await.is_err() {
        return;
    }
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = socket.read(&mut buffer).await {
        discarded += read;
        if discarded > DISCARDED_BYTES_MAX {
            return;
        }
    }
}
