//! Where the bytes of a held answer go: by hyper, to its socket without hyper, or
//! into the one answer of a poll.
//!
//! Bounded by one piece that is on its way.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use openline_core::limits::FunctionLimits;
use openline_core::message::Message;

use super::direct::Direct;
use super::slot::{End, Room, Slot};

/// The way to the peer.
#[derive(Debug)]
pub(super) enum Outlet {
    /// hyper takes the pieces: over HTTP/2, and at the beginning.
    Body(Arc<Slot>),
    /// The socket, over HTTP/1.
    Direct(Box<Direct>),
    /// The request of a poll, which is answered once.
    Answer(Option<Message>),
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // hyper waits for more, or for the end.
        if let Self::Body(slot) = self {
            slot.end(End::Cut);
        }
    }
}

/// The peer has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Outlet {
    /// Ready when the last piece is on its way and there is room for the next.
    /// Notices a peer that has gone.
    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        limits: &FunctionLimits,
    ) -> Poll<Result<(), Gone>> {
        if let Self::Body(slot) = self {
            match slot.room(cx) {
                Room::Yes => return Poll::Ready(Ok(())),
                Room::No => return Poll::Pending,
                Room::Gone => return Poll::Ready(Err(Gone)),
                Room::Direct(mut direct, rest) => {
                    // What is not acknowledged for so long is as good as a ping
                    // without an answer.
                    if !limits.ping_interval.is_zero() && !limits.pong_timeout.is_zero() {
                        direct.give_up_after(limits.ping_interval + limits.pong_timeout);
                    }
                    if !rest.is_empty() {
                        let mut piece = direct.piece();
                        piece.extend_from_slice(&rest);
                        direct.put(piece);
                    }
                    *self = Self::Direct(direct);
                }
            }
        }
        match self {
            Self::Direct(direct) => {
                if direct.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Gone));
                }
                direct.poll_written(cx).map_err(|_| Gone)
            }
            Self::Body(_) | Self::Answer(None) => Poll::Ready(Ok(())),
            Self::Answer(Some(_)) => Poll::Pending,
        }
    }

    /// What the bytes of a piece are put behind.
    pub(super) fn piece(&self) -> Vec<u8> {
        match self {
            Self::Direct(direct) => direct.piece(),
            Self::Body(_) | Self::Answer(_) => Vec::new(),
        }
    }

    /// Puts a piece where there is room.
    pub(super) fn put(&mut self, piece: Vec<u8>) {
        match self {
            Self::Body(slot) => slot.put(piece.into()),
            Self::Direct(direct) => direct.put(piece),
            Self::Answer(answer) => *answer = Some(Message::Binary(Bytes::from(piece))),
        }
    }

    /// Whether the peer does not take what is there for it.
    pub(super) fn is_blocked(&self) -> bool {
        match self {
            // hyper has bounds of its own.
            Self::Body(_) | Self::Answer(_) => false,
            Self::Direct(direct) => direct.is_blocked(),
        }
    }

    /// Whether the peer has taken something since this was last asked.
    pub(super) fn take_moved(&mut self) -> bool {
        match self {
            Self::Direct(direct) => direct.take_moved(),
            Self::Body(_) | Self::Answer(_) => false,
        }
    }

    /// Writes the last piece, and ends the answer: as a whole one, or so that its
    /// peer sees that something is missing.
    pub(super) async fn end(mut self, last: &[u8], whole: bool, limits: &FunctionLimits) {
        let room = std::future::poll_fn(|cx| self.poll_room(cx, limits)).await;
        if room.is_err() {
            return;
        }
        if !last.is_empty() {
            let mut piece = self.piece();
            piece.extend_from_slice(last);
            self.put(piece);
        }
        // hyper writes the end itself if it has the socket still.
        if let Self::Body(slot) = &self {
            slot.end(if whole { End::Whole } else { End::Cut });
        }
        let mut has_ended = false;
        std::future::poll_fn(|cx| {
            loop {
                let by_hyper = matches!(self, Self::Body(_));
                match self.poll_room(cx, limits) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(Gone)) => return Poll::Ready(()),
                    Poll::Ready(Ok(())) => {}
                }
                match &mut self {
                    // Until hyper drops the body.
                    Self::Body(_) => return Poll::Pending,
                    Self::Answer(_) => return Poll::Ready(()),
                    Self::Direct(_) if by_hyper => {}
                    Self::Direct(direct) if whole && !has_ended => direct.put_end(),
                    Self::Direct(direct) if whole => return direct.poll_close(cx),
                    Self::Direct(_) => return Poll::Ready(()),
                }
                has_ended |= !by_hyper;
            }
        })
        .await;
    }
}
