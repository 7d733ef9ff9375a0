//! Where the task of a held answer and hyper meet: one piece of the body, which the
//! task puts and hyper takes. Over HTTP/1.1 hyper takes only the first, and then
//! the task gets the socket ([`loan`](super::loan)).
//!
//! Bounded by one piece.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Version;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::direct::{Direct, Framing, HeldSocket};
use crate::exchange::CutOff;

/// One piece on its way, and what has become of hyper.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What hyper takes next.
    piece: Bytes,
    /// Nothing comes behind the piece.
    end: Option<End>,
    handing: Handing,
    /// How the task writes once it has the socket.
    framing: Framing,
    /// Wakes hyper.
    body: Option<Waker>,
    /// Wakes the task of the answer.
    task: Option<Waker>,
}

/// How far the socket is on its way from hyper to the task.
#[derive(Debug, Default)]
enum Handing {
    /// hyper has pieces that are perhaps not written.
    #[default]
    Writing,
    /// It has asked for more than there is.
    Asking,
    /// It had nothing left to write then.
    Written,
    /// It is being dropped, without an end of the answer.
    Moving,
    /// The task may take the socket.
    There(Box<Direct>),
    /// The peer has gone.
    Gone,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// So that its peer sees that something is missing.
    Cut,
}

/// What the task finds.
pub(super) enum Room {
    /// Room for a piece.
    Yes,
    /// A piece is there that hyper has not taken.
    No,
    /// The socket, to which the task writes from now on, and a piece that hyper has
    /// not taken.
    Direct(Box<Direct>, Bytes),
    /// No peer any more.
    Gone,
}

/// The body of a held answer as hyper has it.
#[derive(Debug)]
pub(crate) struct HeldBody(Arc<Slot>);

impl Slot {
    /// A slot with the first piece.
    pub(super) fn with(piece: Bytes) -> Arc<Self> {
        let state = State {
            piece,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    // === the task ===

    /// Whether there is room. The task is woken when that changes.
    pub(super) fn room(&self, cx: &Context<'_>) -> Room {
        let mut state = self.state.lock();
        match &state.handing {
            Handing::Gone => return Room::Gone,
            Handing::There(_) => {
                let there = std::mem::replace(&mut state.handing, Handing::Gone);
                if let Handing::There(direct) = there {
                    return Room::Direct(direct, std::mem::take(&mut state.piece));
                }
            }
            _ => {}
        }
        let is_known = |waker: &Waker| waker.will_wake(cx.waker());
        if !state.task.as_ref().is_some_and(is_known) {
            state.task = Some(cx.waker().clone());
        }
        match state.piece.is_empty() && !matches!(state.handing, Handing::Moving) {
            true => Room::Yes,
            false => Room::No,
        }
    }

    /// Puts a piece where there is [room](Self::room).
    pub(super) fn put(&self, piece: Bytes) {
        let mut state = self.state.lock();
        state.piece = piece;
        state.wake_body();
    }

    /// Ends the body behind the piece; the first end stays.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        state.wake_body();
    }

    // === hyper ===

    /// The answer is written in this version of HTTP/1.
    pub(crate) fn frame(&self, version: Version) {
        self.state.lock().framing = match version {
            Version::HTTP_11 => Framing::Chunked,
            _ => Framing::Bare,
        };
    }

    /// hyper has nothing left to write.
    pub(super) fn flushed(&self) {
        let mut state = self.state.lock();
        if matches!(state.handing, Handing::Asking) {
            state.handing = Handing::Written;
        }
    }

    /// Whether the socket can be taken from hyper now. If so, hyper is to be
    /// dropped, and the socket to be [given](Self::give).
    pub(super) fn hand_over(&self) -> bool {
        let mut state = self.state.lock();
        let can = matches!(state.handing, Handing::Written) && state.piece.is_empty();
        // The end of the answer is hyper's to write, if it is there already.
        let can = can && state.end.is_none();
        if can {
            state.handing = Handing::Moving;
        }
        can
    }

    /// Gives the task the socket; without one, its peer has gone.
    pub(crate) fn give(&self, socket: Option<Box<dyn HeldSocket>>) {
        let mut state = self.state.lock();
        let direct = socket.map(|socket| Direct::new(socket, state.framing));
        state.handing = direct.map_or(Handing::Gone, Handing::There);
        state.wake_task();
    }
}

impl State {
    fn wake_body(&mut self) {
        if let Some(waker) = self.body.take() {
            waker.wake();
        }
    }

    fn wake_task(&mut self) {
        if let Some(waker) = self.task.take() {
            waker.wake();
        }
    }
}

// === impl HeldBody ===

impl HeldBody {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self(slot)
    }

    /// Where its pieces come from.
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.0
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let mut state = self.0.state.lock();
        if !state.piece.is_empty() {
            state.handing = Handing::Writing;
            let piece = std::mem::take(&mut state.piece);
            state.wake_task();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match state.end {
            Some(End::Whole) => return Poll::Ready(None),
            Some(End::Cut) => return Poll::Ready(Some(Err(CutOff::Ended))),
            None => {}
        }
        if matches!(state.handing, Handing::Writing) {
            state.handing = Handing::Asking;
        }
        state.body = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Never known before its end.
    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if !matches!(state.handing, Handing::Moving | Handing::There(_)) {
            state.handing = Handing::Gone;
            state.wake_task();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker;

    use super::*;

    fn poll(body: &mut HeldBody) -> Option<Option<Bytes>> {
        let waker = noop_waker();
        match Pin::new(body).poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Ready(frame) => Some(frame.map(|it| it.unwrap().into_data().unwrap())),
            Poll::Pending => None,
        }
    }

    fn has_room(slot: &Slot) -> bool {
        let waker = noop_waker();
        matches!(slot.room(&Context::from_waker(&waker)), Room::Yes)
    }

    #[test]
    fn a_piece_is_taken_before_the_next_and_before_the_end() {
        let slot = Slot::with(Bytes::from_static(b"first"));
        let mut body = HeldBody::new(Arc::clone(&slot));
        assert!(!has_room(&slot));
        assert_eq!(poll(&mut body), Some(Some("first".into())));
        assert_eq!(poll(&mut body), None);
        assert!(has_room(&slot));
        slot.put("last".into());
        slot.end(End::Whole);
        slot.end(End::Cut);
        assert_eq!(poll(&mut body), Some(Some("last".into())));
        assert_eq!(poll(&mut body), Some(None));
        drop(body);
        let waker = noop_waker();
        let room = slot.room(&Context::from_waker(&waker));
        assert!(matches!(room, Room::Gone));
    }

    #[test]
    fn the_socket_is_handed_over_only_when_all_is_written() {
        let slot = Slot::with(Bytes::from_static(b"first"));
        let mut body = HeldBody::new(Arc::clone(&slot));
        slot.flushed();
        assert!(!slot.hand_over(), "hyper has not taken the first piece");
        poll(&mut body);
        slot.flushed();
        assert!(!slot.hand_over(), "it may have kept it");
        poll(&mut body);
        assert!(!slot.hand_over(), "it has not flushed since");
        slot.flushed();
        slot.put("second".into());
        assert!(!slot.hand_over(), "there is a piece");
        poll(&mut body);
        poll(&mut body);
        slot.flushed();
        assert!(slot.hand_over() && !has_room(&slot));
        // hyper is dropped, and that is not the end.
        drop(body);
        assert!(!has_room(&slot));
        slot.give(None);
        let waker = noop_waker();
        let room = slot.room(&Context::from_waker(&waker));
        assert!(matches!(room, Room::Gone));
    }
}
