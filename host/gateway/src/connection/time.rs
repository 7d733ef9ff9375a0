//! What is due on a connection, and when: its lifetime, its pace, its alarms,
//! and when it sleeps.
//!
//! One timer for all of it. A connection looks once in [`REST_AFTER`] whether
//! anything has happened, and sleeps when nothing has; so a busy one has a
//! timer that fires once a second, and messages touch none.

use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use openline_core::close::CloseReason;
use openline_core::lifetime::Due;
use openline_core::message::Message;
use openline_core::name::AlarmName;
use tokio::time::Instant;

use super::{Actor, Socket};

/// How long nothing may have happened before a connection sleeps, at least,
/// and twice as long at most: the next message of a conversation is often near,
/// and a timer once a second costs nothing.
pub(super) const REST_AFTER: Duration = Duration::from_secs(1);

impl<S: Socket> Actor<S> {
    fn now(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Sets the timer to the next moment at which something is due.
    pub(super) fn arm(&mut self, cx: &mut Context<'_>) {
        let now = self.now();
        let resume = self.pace.as_mut().and_then(|pace| pace.resume(now));
        let due = self.lifetime.due(self.connection.limits());
        // What could not be done in time, because something is in flight, is
        // done when that is over: it wakes this task.
        let later = |due: &Duration| *due > now;
        let rest = self.rest.filter(later);
        let alarm = self.alarm.map(|due| due - self.opened_at).filter(later);
        let all = [due, resume, rest, alarm];
        let Some(due) = all.into_iter().flatten().min() else {
            return;
        };
        let at = self.opened_at + due;
        let timer = match &mut self.timer {
            Some(timer) => {
                timer.as_mut().reset(at);
                timer
            }
            None => self.timer.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        // It is woken for this task from now on; one that is due already
        // wakes it by hand.
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// The timer has fired: does what is due, and sets it anew.
    pub(super) fn check_time(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let now = self.now();
        self.check_rest(now);
        let hearing = !self.wire.meter().is_held() && !self.is_batch_full();
        if hearing {
            self.stop_watching();
        }
        match self.lifetime.check(now, hearing, self.connection.limits()) {
            Due::Nothing => {}
            Due::Ping => {
                if !hearing {
                    self.watch();
                }
                self.pinged = true;
                // In the outbox, behind what waits: it asks for an answer from
                // who has read that. None while the kernel takes nothing: that
                // it does again is the answer, and a full outbox would overflow
                // by a ping that only the host wants.
                if !self.wire.meter().is_blocked() {
                    let stamp = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
                    let payload = Bytes::copy_from_slice(&stamp.to_be_bytes());
                    let _ = self.connection.ping(payload);
                }
            }
            Due::Warning => {
                let text = self.connection.limits().time_warning_message.clone();
                self.connection.push(Message::Text(text.into()));
            }
            Due::End(reason) => {
                // Nothing more is due but the end.
                self.timer = None;
                if reason.frame().is_none() {
                    return Some(reason);
                }
                match reason {
                    CloseReason::TimeUp => drop(self.leaving.get_or_insert(reason)),
                    _ => drop(self.connection.end(reason)),
                }
                return None;
            }
        }
        self.arm(cx);
        None
    }

    /// Nothing is read, and so no answer to a ping: the system watches for the
    /// peer, as long as the host would. It knows what the peer's machine has
    /// acknowledged, and the next ping meets what it found.
    fn watch(&mut self) {
        let limits = self.connection.limits();
        if limits.pong_timeout.is_zero() {
            return;
        }
        let time = limits.ping_interval + limits.pong_timeout;
        self.watched = true;
        self.wire.meter().socket().give_up_after(Some(time));
    }

    fn stop_watching(&mut self) {
        if std::mem::take(&mut self.watched) {
            self.wire.meter().socket().give_up_after(None);
        }
    }

    // === sleep ===

    /// Lets the connection sleep when it should and can, and notes when it has
    /// woken.
    pub(super) fn sleep_or_wake(&mut self, cx: &mut Context<'_>, dry: bool) {
        if dry && self.wire.is_narrow() && self.may_rest() {
            self.wire.grow(cx);
        }
        if self.tired {
            if dry && self.may_rest() {
                self.wire.rest(cx);
                self.connection.rest();
                (self.tired, self.large, self.active) = (false, false, false);
                self.rest = None;
                return;
            }
            // Not while there is something to do, unless large buffers wait to
            // be given back.
            if !self.active || self.large {
                return;
            }
            self.tired = false;
        } else if self.rest.is_some() || self.wire.is_asleep() {
            return;
        } else {
            self.connection.woken();
        }
        self.rest = Some(self.now() + REST_AFTER);
        self.arm(cx);
    }

    /// Whether the library's buffers are empty.
    fn may_rest(&mut self) -> bool {
        !self.unflushed
            && !self.deaf
            && self.connection.is_open()
            && self.wire.meter().scan.is_between_messages()
    }

    /// Looks whether it should sleep, if it is time to.
    fn check_rest(&mut self, now: Duration) {
        if self.rest.is_none_or(|rest| now < rest) {
            return;
        }
        if std::mem::take(&mut self.active) && !self.large {
            self.rest = Some(now + REST_AFTER);
        } else {
            self.tired = true;
        }
    }

    // === alarms ===

    /// Looks when the next alarm is due.
    pub(super) fn note_alarm(&mut self, cx: &mut Context<'_>) {
        self.alarm = self.connection.next_alarm();
        let Some(due) = self.alarm else { return };
        // A timer that fires earlier is set anew then.
        let timer = self.timer.as_ref().filter(|timer| !timer.is_elapsed());
        if timer.is_none_or(|timer| due < timer.deadline()) {
            self.arm(cx);
        }
    }

    /// Whether an alarm is due that the function may be given: one that leaves
    /// is given no new work.
    pub(super) fn is_alarm_due(&self) -> bool {
        self.alarm.is_some_and(|due| due <= Instant::now()) && self.leaving.is_none()
    }

    /// Takes the alarm that is due, if it still is.
    pub(super) fn take_alarm(&mut self, cx: &mut Context<'_>) -> Option<AlarmName> {
        let alarm = self.connection.take_alarm(Instant::now());
        self.note_alarm(cx);
        alarm
    }

    // === pace ===

    /// Decides whether anything is taken from the socket.
    pub(super) fn hold(&mut self) {
        // Taken also when it leaves already: it would look like something new.
        let reconsider = self.connection.take_reconsider();
        if self.leaving.is_none() {
            if reconsider && self.binding.is_left_behind() {
                self.connection.redeploy();
            }
            self.leaving = self.connection.leaving();
        }
        let waits = match &mut self.pace {
            Some(pace) => pace.resume(self.opened_at.elapsed()).is_some(),
            None => false,
        };
        let held = waits || self.leaving.is_some() || self.connection.is_paused();
        let meter = self.wire.meter();
        let resumes = meter.is_held() && !held;
        meter.hold(held);
        if resumes {
            // What it has said meanwhile is read next.
            let now = self.now();
            self.lifetime.hear(now);
            self.stop_watching();
        }
    }

    /// Takes note of what was read: the peer is alive, and how fast it sends.
    pub(super) fn measure(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let meter = self.wire.meter();
        // Only once all before it is read: that may take several batches.
        if meter.scan.is_past_fragments(self.messages) {
            return Some(CloseReason::Fragments);
        }
        let progress = meter.take_progress();
        let counted = meter.scan.take_counted();
        if counted.bytes == 0 && !progress {
            return None;
        }
        self.active = true;
        let now = self.now();
        self.lifetime.hear(now);
        if std::mem::take(&mut self.pinged) {
            self.arm(cx);
        }
        let pace = self.pace.as_mut()?;
        let exceeded = self.connection.limits().rate_exceeded;
        if let Err(reason) = pace.charge(counted, now, exceeded) {
            return Some(reason);
        }
        if pace.resume(now).is_some() {
            self.arm(cx);
        }
        None
    }
}
