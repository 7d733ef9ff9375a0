//! The end of a connection: one path for every reason.
//!
//! The close handshake (RFC 6455 section 7.1) and the function's `close` run
//! side by side. The handshake is bounded by `close_timeout`, what is read and
//! thrown away during it by [`DISCARDED_BYTES_MAX`]; the function's calls by
//! `handler_timeout`, and by one back-off that they wait for.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use openline_channels::connection::Connection;
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_core::message::Message;
use openline_engine::binding::{Binding, Outcome};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::{Actor, Socket, frames};

/// What a peer may still send while its connection ends, in bytes: the rest of
/// the largest message that can be configured, so that the sender of one that
/// is too big can read why. One that sends more is cut off.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;

impl<S: Socket> Actor<S> {
    /// Ends a connection that nothing can be sent to any more.
    pub(crate) async fn end(self: Box<Self>, reason: &CloseReason) {
        let Self {
            wire,
            connection,
            binding,
            batch,
            close_timeout,
            ending,
            ..
        } = *self;
        let closed = wire.is_closed();
        let mut stream = wire.into_stream().await;
        stream.get_mut().release();
        let deadline = ending.unwrap_or_else(|| Box::pin(tokio::time::sleep(close_timeout)));
        let handshake = async {
            tokio::select! {
                () = close_socket(stream, reason, closed) => {}
                () = deadline => {}
            }
        };
        let telling = tell_function(binding, connection, batch, reason.clone());
        tokio::join!(handshake, telling);
    }
}

/// Ends the stream: our close frame, the peer's unless it has come, and then
/// TCP's own.
async fn close_socket<S: AsyncRead + AsyncWrite + Unpin>(
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

/// The rest of the messages, and then the end, each when the call before it
/// has returned.
async fn tell_function(
    mut binding: Binding,
    connection: Arc<Connection>,
    batch: Vec<Message>,
    reason: CloseReason,
) {
    binding.end();
    let mut last = settle(&mut binding, &connection).await;
    // A function that was never told of the beginning is not told of the end.
    if !binding.is_opened() {
        return;
    }
    let by_peer = matches!(reason, CloseReason::Peer(_) | CloseReason::Lost);
    // What arrived before the peer's close was sent to be handled; what
    // arrived before ours is not owed an answer.
    if !batch.is_empty() && by_peer && last == Outcome::Done {
        last = match binding.dispatch(Event::Messages(batch)) {
            Ok(()) => settle(&mut binding, &connection).await,
            Err(outcome) => outcome,
        };
    }
    if last != Outcome::Done {
        tracing::debug!(id = %connection.id(), ?last, "a connection's last messages were not handled");
    }
    let outcome = match binding.dispatch(Event::Close(reason)) {
        Ok(()) => settle(&mut binding, &connection).await,
        Err(outcome) => outcome,
    };
    if outcome == Outcome::Full {
        tracing::warn!(id = %connection.id(), ?outcome, "a function was not told of a connection's end");
    }
}

/// Waits until no event is in flight.
async fn settle(binding: &mut Binding, connection: &Connection) -> Outcome {
    std::future::poll_fn(|cx| {
        connection.register(cx.waker());
        if let Some(outcome) = binding.outcome() {
            return std::task::Poll::Ready(outcome);
        }
        if binding.is_busy() {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(Outcome::Done)
        }
    })
    .await
}
