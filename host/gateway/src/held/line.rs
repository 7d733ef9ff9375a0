//! An open answer that a function holds: what its task does, which is what the task
//! of a WebSocket does without one that sends.
//!
//! One poll checks everything that may have happened: requests to the connection,
//! its alarms, its times, its outbox. It keeps no buffers, and sleeps like a
//! WebSocket. A peer cannot answer a ping; so an event stream gets a comment in its
//! place, and a peer that has taken nothing for as long as it may take to answer has
//! gone. Bounded by the outbox and one piece of [`PIECE_BYTES`] or one message.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use openline_channels::connection::{Item, Next};
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_core::kind::ConnectionKind;
use openline_core::lifetime::Due;
use openline_core::message::Message;
use openline_dialects::sse;
use openline_engine::binding::{Binding, Outcome};
use tokio::time::Instant;

use super::ids::Ids;
use super::outlet::Outlet;
use crate::connection::clock::Clock;
use crate::connection::close::tell_function;
use crate::connection::ending::Ending;
use crate::connection::rest::Rest;
use crate::upgrade::joined::Joined;

/// Few and large pieces cost less than many small ones.
const PIECE_BYTES: usize = 16 * 1024;

/// How long a peer is to wait before it comes back where it is told no other time,
/// in milliseconds: as after the other event streams of the host.
pub(super) const RETRY_MS: u32 = 3_000;

/// How long it waits where the host or the function has no room.
const RETRY_LATER_MS: u32 = 10_000;

/// A held answer.
pub(super) struct Line {
    pub(super) joined: Joined,
    pub(super) binding: Binding,
    pub(super) clock: Clock,
    pub(super) rest: Rest,
    /// There if the ids of publications need others.
    pub(super) ids: Option<Box<Ids>>,
    pub(super) outlet: Outlet,
    /// Why it is to end once the function has returned.
    pub(super) leaving: Option<Box<CloseReason>>,
    /// When a poll is answered without a message, counted from its opening.
    pub(super) until: Option<Duration>,
    /// Since when the peer takes nothing, counted from the opening.
    pub(super) blocked: Option<Duration>,
    /// How long it may take nothing.
    pub(super) patience: Duration,
    /// The timer waits for the answer to a ping: something may be due earlier once
    /// that is there.
    pub(super) awaits_progress: bool,
    pub(super) ending: Ending,
}

impl Line {
    fn kind(&self) -> ConnectionKind {
        self.joined.owner.connection().facts().kind
    }

    /// Serves until it is to end; [`end`](Self::end) comes then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.joined.owner.register(cx.waker());
        if let Some(outcome) = self.binding.outcome() {
            self.take_outcome(outcome);
        }
        if self.joined.owner.is_terminated() {
            return Poll::Ready(CloseReason::Terminated);
        }
        self.take_requests(cx);
        if let Some(reason) = self.check_time(cx) {
            return Poll::Ready(reason);
        }
        self.deliver_alarm(cx);
        self.leave();
        if let Some(reason) = self.write(cx) {
            return Poll::Ready(reason);
        }
        self.note_progress(cx);
        self.poll_ending(cx)
    }

    /// Looks at what was asked of the connection.
    fn take_requests(&mut self, cx: &mut Context<'_>) {
        let owner = &self.joined.owner;
        // Its peer has asked for no channels that it could lose.
        owner.take_doubt();
        if owner.take_reconsider() && self.binding.is_left_behind() {
            owner.connection().redeploy();
        }
        if self.leaving.is_none() {
            self.leaving = owner.leaving().map(Box::new);
        }
        if owner.take_alarm_set() {
            self.note_alarm(cx);
        }
        // The first poll sets the timer.
        if self.clock.has_new_terms() || self.clock.timer.is_none() {
            self.arm(cx);
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Done => return,
            Outcome::Fault(fault) => CloseReason::Fault(fault),
            Outcome::Full => CloseReason::Overloaded,
            Outcome::BackedOff => CloseReason::BackedOff,
        };
        self.joined.owner.connection().end(reason);
    }

    /// Ends it once nothing is in flight, if it is to leave.
    fn leave(&mut self) {
        if let Some(reason) = &self.leaving
            && (!self.binding.is_busy() || self.binding.is_delayed())
        {
            let connection = self.joined.owner.connection();
            connection.end(CloseReason::clone(reason));
        }
    }

    // === time ===

    fn arm(&mut self, cx: &mut Context<'_>) {
        let limits = self.joined.owner.connection().limits();
        let unread = self.blocked.map(|since| since + self.patience);
        let look = [self.rest.look(), self.until, unread];
        let look = look.into_iter().flatten().min();
        self.clock.arm(cx, limits, look);
    }

    /// Does what is due after the timer has fired, and sets it again.
    fn check_time(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        if !self.clock.has_fired() {
            return None;
        }
        let now = self.clock.now();
        let kind = self.kind();
        let is_blocked = self.outlet.is_blocked();
        let owner = &self.joined.owner;
        let connection = owner.connection();
        if self.rest.check(now, || !is_blocked && connection.is_open()) {
            owner.rest();
        }
        if self
            .blocked
            .is_some_and(|since| now >= since + self.patience)
        {
            return Some(CloseReason::Lost);
        }
        if let Some(session) = &self.clock.session
            && session.left() == Some(Duration::ZERO)
        {
            connection.end(session.expired());
        }
        if self.until.is_some_and(|until| now >= until) {
            self.until = None;
            connection.end(CloseReason::Answered);
        }
        match self.clock.lifetime.check(now, true, connection.limits()) {
            Due::Nothing => {}
            // The next progress on the socket is its answer.
            Due::Ping if is_blocked => self.awaits_progress = true,
            Due::Ping if kind == ConnectionKind::EventStream => {
                let _ = connection.ping(bytes::Bytes::new());
                match &self.outlet {
                    Outlet::Direct(_) => self.awaits_progress = true,
                    Outlet::Body(_) | Outlet::Answer(_) => self.clock.lifetime.need_no_answer(),
                }
            }
            Due::Ping => self.clock.lifetime.need_no_answer(),
            // It would be what the peer waits for.
            Due::Warning if kind == ConnectionKind::Poll => {}
            Due::Warning => {
                let text = connection.limits().time_warning_message.clone();
                connection.push(Message::Text(text.into()));
            }
            Due::End(reason) if reason.frame().is_none() => return Some(reason),
            Due::End(CloseReason::TimeUp { .. }) => {
                let retry_after = owner.retry_after();
                self.leaving
                    .get_or_insert_with(|| Box::new(CloseReason::TimeUp { retry_after }));
            }
            Due::End(reason) => drop(connection.end(reason)),
        }
        if connection.is_open() && self.leaving.is_none() {
            self.arm(cx);
        }
        None
    }

    /// Notes whether the peer takes what is there for it, which shows that it is
    /// alive.
    fn note_progress(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.now();
        let has_moved = self.outlet.take_moved();
        let has_answered = has_moved && std::mem::take(&mut self.awaits_progress);
        if has_moved {
            self.clock.lifetime.hear(now);
        }
        let is_blocked = self.outlet.is_blocked();
        let was_blocked = self.blocked.is_some();
        if has_moved || !is_blocked {
            self.blocked = None;
        }
        if is_blocked && self.blocked.is_none() {
            self.blocked = Some(now);
        }
        if self.rest.is_roused() {
            self.joined.owner.woken();
            self.rest.stay_awake(now);
            self.arm(cx);
        } else if is_blocked && !was_blocked || has_answered {
            self.arm(cx);
        }
    }

    // === alarms ===

    /// Finds out when the next alarm is due.
    fn note_alarm(&mut self, cx: &mut Context<'_>) {
        self.clock.alarm = self.joined.owner.next_alarm();
        if self.clock.alarm.is_some() {
            self.arm(cx);
        }
    }

    fn is_alarm_due(&self) -> bool {
        let alarm = self.clock.alarm;
        alarm.is_some_and(|due| due <= Instant::now()) && self.leaving.is_none()
    }

    /// Gives the function an alarm that is due, when it has returned from the last.
    fn deliver_alarm(&mut self, cx: &mut Context<'_>) {
        let is_open = self.joined.owner.connection().is_open();
        if !self.is_alarm_due() || self.binding.is_busy() || !is_open {
            return;
        }
        let alarm = self.joined.owner.take_alarm(Instant::now());
        self.note_alarm(cx);
        let Some(name) = alarm else { return };
        let dispatched = self.binding.dispatch(Event::Alarm(name));
        if let Some(outcome) = dispatched.err().or_else(|| self.binding.outcome()) {
            self.take_outcome(outcome);
        }
        if self.is_alarm_due() && !self.binding.is_busy() {
            cx.waker().wake_by_ref();
        }
    }

    // === writing ===

    /// Writes what waits, as far as there is room; why it ends, if it does.
    fn write(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let kind = self.kind();
        let limits = self.joined.owner.connection().limits();
        loop {
            match self.outlet.poll_room(cx, limits) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Some(CloseReason::Lost),
                Poll::Pending => return None,
            }
            if let Outlet::Answer(answer) = &mut self.outlet {
                match self.joined.owner.next() {
                    Next::Item(Item::Ping(_)) => continue,
                    Next::Item(item) => {
                        *answer = Some(content(item));
                        self.joined.owner.connection().end(CloseReason::Answered);
                        return Some(CloseReason::Answered);
                    }
                    Next::End(reason) => return Some(reason),
                    Next::Idle => return None,
                }
            }
            let mut piece = self.outlet.piece();
            let before = piece.len();
            while piece.len() < PIECE_BYTES {
                match self.joined.owner.next() {
                    Next::Item(item) => {
                        if !matches!(item, Item::Ping(_)) {
                            self.rest.note_activity();
                        }
                        encode(item, kind, self.ids.as_deref_mut(), &mut piece);
                    }
                    Next::End(reason) if piece.len() == before => return Some(reason),
                    Next::End(_) | Next::Idle => break,
                }
            }
            if piece.len() == before {
                return None;
            }
            self.outlet.put(piece);
        }
    }

    /// Ready when the time is over in which an ending connection may write the rest.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let owner = &self.joined.owner;
        if owner.connection().is_open() || self.ending.poll_over(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            match owner.next() {
                Next::Item(_) => {}
                Next::End(reason) => return Poll::Ready(reason),
                Next::Idle => return Poll::Ready(CloseReason::Lost),
            }
        }
    }

    // === the end ===

    /// Ends it: it leaves the hub, its peer is told, and so is the function.
    pub(super) async fn end(self: Box<Self>, reason: CloseReason) {
        let kind = self.kind();
        let Self {
            joined,
            binding,
            outlet,
            ending,
            ..
        } = *self;
        joined.leave();
        let owner = joined.owner.clone();
        let limits = owner.connection().limits();
        let last = match kind {
            ConnectionKind::EventStream => last_event(&reason),
            _ => String::new(),
        };
        let whole = is_whole(kind, &reason);
        let deadline = ending.deadline();
        let closing = async {
            // Nobody reads it, or nothing more is to be written.
            if reason.frame().is_none() {
                return drop(outlet);
            }
            tokio::select! {
                () = outlet.end(last.as_bytes(), whole, limits) => {}
                () = deadline => {}
            }
        };
        let telling = tell_function(binding, owner.clone(), Vec::new(), reason.clone());
        tokio::join!(closing, telling);
        joined.gateway.tally().end(&reason);
        let (function, id) = (joined.alias.function(), owner.connection().id());
        tracing::debug!(%function, %id, %kind, %reason, "a held answer ended");
    }
}

/// The task of a held answer that is written bit by bit.
pub(super) async fn serve(mut line: Box<Line>) {
    let reason = std::future::poll_fn(|cx| line.poll(cx)).await;
    // Boxed: the task lives as long as the answer, and this is needed for a moment.
    let ending: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(line.end(reason));
    ending.await;
}

/// The message of an item.
fn content(item: Item) -> Message {
    match item {
        Item::Message(message) | Item::Compress(message) | Item::Plain(message) => message,
        Item::Published(shared) => shared.message().clone(),
        Item::Ping(_) => Message::Binary(bytes::Bytes::new()),
    }
}

/// Writes an item behind others. A ping is a comment; that of an answer without
/// events has nothing to write.
fn encode(item: Item, kind: ConnectionKind, ids: Option<&mut Ids>, out: &mut Vec<u8>) {
    if matches!(item, Item::Ping(_)) {
        if kind == ConnectionKind::EventStream {
            out.extend_from_slice(sse::PING.as_bytes());
        }
        return;
    }
    match (&content(item), ids) {
        (Message::Text(event), Some(ids)) => match ids.note(event) {
            Some((line, rest)) => {
                out.extend_from_slice(line.as_bytes());
                out.extend_from_slice(rest.as_bytes());
            }
            None => out.extend_from_slice(event.as_bytes()),
        },
        (Message::Text(text), None) => out.extend_from_slice(text.as_bytes()),
        (Message::Binary(bytes), _) => out.extend_from_slice(bytes),
    }
}

/// Why an event stream ends, as its last event: with the time after which its peer is
/// to come back. None for an end without a word.
fn last_event(reason: &CloseReason) -> String {
    let Some(info) = reason.frame() else {
        return String::new();
    };
    let wait = match reason {
        CloseReason::ShuttingDown { retry_after }
        | CloseReason::Redeployed { retry_after }
        | CloseReason::TimeUp { retry_after } => *retry_after,
        _ if reason.reconnect() == openline_core::close::Reconnect::Later => RETRY_LATER_MS,
        _ => RETRY_MS,
    };
    let reconnect = reason.reconnect().to_string();
    let closed = sse::closed(info.code, &info.reason, &reconnect);
    format!("{}{closed}", sse::retry(wait))
}

/// Whether the peer is to take the answer for a whole one. The last event of an event
/// stream says why it ends. Of a stream of bytes only the function knows whether it
/// is whole, and says so with 1000.
fn is_whole(kind: ConnectionKind, reason: &CloseReason) -> bool {
    let info = reason.frame();
    match kind {
        ConnectionKind::Stream => match reason {
            CloseReason::Function(_) | CloseReason::Operator(_) => {
                info.is_some_and(|info| info.code == 1000)
            }
            _ => false,
        },
        _ => info.is_some(),
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
