//! The closing handshake (RFC 6455 section 7.1), and TCP's own end after it.
//!
//! Bounded by [`DISCARDED_BYTES_MAX`] of bytes that are read and discarded, and
//! by [`DISCARDED_FRAMES_PER_POLL_MAX`] for each poll; the caller bounds the
//! time.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use openline_core::close::{CODE_ABSENT, CloseInfo, CloseReason};
use openline_websocket::{Close, Frame};
use tokio::io::AsyncWriteExt;

use super::super::intake::Room;
use super::reading::{Received, poll_fill};
use super::scratch;
use super::{Hold, Socket, Wire};

/// How much a peer may still send while its connection ends, in bytes: the rest
/// of the largest message that can be configured, so that a peer whose message
/// was too big can read the reason. A peer that sends more is cut off.
const DISCARDED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many messages and control frames one poll discards, before other
/// connections have their turn.
const DISCARDED_FRAMES_PER_POLL_MAX: usize = 1024;

impl<S: Socket> Wire<S> {
    /// Ends the stream: what is unsent and our close frame, the peer's unless
    /// it has come, and then TCP's own. Nothing is kept of messages.
    pub(in super::super) async fn close(mut self, reason: &CloseReason, room: &mut Room<'_>) {
        if let Some(partial) = &mut self.partial {
            partial.discard_messages();
        }
        if let Some(compression) = &mut self.compression {
            compression.abandon();
        }
        room.finish();
        let info = match (reason, reason.frame()) {
            // This ending has no close frame.
            (_, None) => return,
            (CloseReason::Peer(info), _) if info.code == CODE_ABSENT => None,
            (_, Some(info)) => Some(info),
        };
        let close = info.map(|CloseInfo { code, reason }| Close {
            code,
            reason: reason.into(),
        });
        Frame::close(close.as_ref()).append_to(&mut self.control);
        if poll_fn(|cx| self.writer().poll_flush(cx)).await.is_err() {
            return;
        }
        self.hold(Hold::Nothing);
        self.counted.bytes = 0;
        // After a violation there are no frames any more.
        if !self.over {
            poll_fn(|cx| self.poll_close(cx, room)).await;
        }
        // Closing a socket with unread bytes resets it, and a reset can overtake
        // our close frame, so the rest is read.
        if self.socket.shutdown().await.is_err() {
            return;
        }
        while self.counted.bytes <= DISCARDED_BYTES_MAX {
            let read = poll_fn(|cx| poll_fill(&mut self.socket, cx, &mut scratch::read()));
            let Ok(bytes @ 1..) = read.await else {
                return;
            };
            self.counted.bytes += bytes as u64;
        }
    }

    /// Discards what comes until the peer's close frame. Ready when that has
    /// come, or too much else. One reader for each poll, so that its bounds of a
    /// poll hold.
    fn poll_close(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<()> {
        if self.counted.bytes > DISCARDED_BYTES_MAX {
            return Poll::Ready(());
        }
        let mut reader = self.reader();
        reader.discard_messages();
        for _ in 0..DISCARDED_FRAMES_PER_POLL_MAX {
            if let Received::End(_) = ready!(reader.poll_received(cx, room)) {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
