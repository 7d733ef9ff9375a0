//! The closing handshake (RFC 6455 section 7.1), and TCP's own end after it.
//!
//! Bounded by [`DISCARDED_BYTES_MAX`] of bytes that are read and discarded; the
//! caller bounds the time.

use futures_util::{SinkExt, StreamExt};
use openline_core::close::CloseReason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::frames;

/// How much a peer may still send while its connection ends, in bytes: the rest
/// of the largest message that can be configured, so that a peer whose message
/// was too big can read the reason. A peer that sends more is cut off.
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
        // This ending has no close frame.
        (_, None) => return,
    };
    if stream.flush().await.is_err() {
        return;
    }
    let mut discarded = 0;
    if by_host && !closed {
        // After a violation the stream has ended, and so does this loop.
        while let Some(Ok(frame)) = stream.next().await {
            discarded += frame.len();
            if matches!(frame, Frame::Close(_)) || discarded > DISCARDED_BYTES_MAX {
                break;
            }
        }
    }
    // Closing a socket with unread bytes resets it, and a reset can overtake
    // our close frame, so the rest is read.
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
