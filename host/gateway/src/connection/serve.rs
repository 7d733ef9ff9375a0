//! The loop of an open connection: one poll checks everything that may have
//! happened.

use std::task::{Context, Poll};

use openline_channels::connection::Seen;
use openline_core::close::CloseReason;
use openline_core::event::Event;

use super::actor::{Actor, Given};
use super::read::{Reading, is_violation};
use super::wire::Socket;

impl<S: Socket> Actor<S> {
    /// Serves until the connection is to end; the caller then calls
    /// [`Actor::end`]. The two are separate, so that the task of an idle
    /// connection holds only what an open connection needs.
    pub(crate) async fn serve(&mut self) -> CloseReason {
        std::future::poll_fn(|cx| self.poll_open(cx)).await
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.owner.register(cx.waker());
        let seen = self.owner.see();
        if let Some(outcome) = self.binding.outcome() {
            self.take_outcome(outcome);
        }
        if self.owner.is_terminated() {
            return Poll::Ready(CloseReason::Terminated);
        }
        self.regulate_reading();
        let dry = match self.poll_read(cx) {
            Reading::End(reason) if is_violation(&reason) => {
                self.course.refuse(reason);
                true
            }
            Reading::End(reason) => return Poll::Ready(reason),
            Reading::Full => false,
            Reading::Dry => true,
        };
        if let Some(reason) = self.measure(cx) {
            return Poll::Ready(reason);
        }
        if self.owner.take_alarm_set() {
            self.note_alarm(cx);
        }
        if self.clock.has_new_terms() {
            self.arm(cx);
            self.doubt();
        }
        self.ask_again(cx);
        // This comes after reading: if the process could not run for a while,
        // the peer's bytes that arrived in time are read first.
        if self.clock.has_fired()
            && let Some(reason) = self.check_time(cx)
        {
            return Poll::Ready(reason);
        }
        self.deliver(cx, dry, seen);
        self.leave(dry);
        if let Some(reason) = self.poll_write(cx) {
            return Poll::Ready(reason);
        }
        self.wake_up(cx);
        self.poll_ending(cx)
    }

    /// Gives the function what is next, when it has returned from the last: an
    /// alarm that is due, or the batch. An alarm goes before messages that
    /// wait, messages before a second alarm: neither can keep the other from
    /// its turn. `dry` says that nothing more is buffered, `seen` what this
    /// poll has looked at.
    fn deliver(&mut self, cx: &mut Context<'_>, dry: bool, seen: Seen) {
        let messages = !self.inbox.is_empty();
        let alarm = self.is_alarm_due() && !(messages && self.given == Given::Alarm);
        if !(messages || alarm) || self.binding.is_busy() || !self.owner.connection().is_open() {
            return;
        }
        let event = match if alarm { self.take_alarm(cx) } else { None } {
            Some(name) => Event::Alarm(name),
            // The alarm was cleared, or set to a later time.
            None if !messages => return,
            None => self.inbox.take(),
        };
        self.given = match event {
            Event::Alarm(_) => Given::Alarm,
            Event::Call(_) => Given::Call,
            _ => Given::Messages,
        };
        // Most calls return at once, in this task. Their effects on this very
        // connection are handled below and need not wake it.
        let binding = &mut self.binding;
        let dispatched = self
            .owner
            .hushed(cx.waker(), seen, || binding.dispatch(event));
        let outcome = dispatched.err().or_else(|| self.binding.outcome());
        let Some(outcome) = outcome else {
            // The batch was full: what is behind it is read meanwhile.
            if !dry {
                cx.waker().wake_by_ref();
            }
            return;
        };
        self.take_outcome(outcome);
        self.settle_intake();
        // No later return of the function will wake this task.
        let waits = self.intake.waits();
        if !dry || waits || !self.inbox.is_empty() || self.is_alarm_due() {
            cx.waker().wake_by_ref();
        }
    }

    /// Ends a connection that is to leave, once everything that has arrived is
    /// handled. `dry` says that nothing more is buffered. An event that waits
    /// for the end of a back-off does not hold the socket: the connection ends
    /// now, and the event is handled afterwards.
    fn leave(&mut self, dry: bool) {
        let Some(reason) = self.course.reason() else {
            return;
        };
        let handled = dry && self.inbox.is_empty() && !self.binding.is_busy();
        if handled || self.binding.is_delayed() {
            self.owner.connection().end(reason.clone());
        }
    }
}
