//! Everything that becomes due on a connection: its lifetime, its pace, its
//! alarms, and its sleep.
//!
//! One timer serves all of it, and messages do not touch it. From time to time
//! a connection checks whether anything has happened, and sleeps if not (see
//! [`rest`](super::rest)), so the timer of a busy one fires about once a
//! second.

use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use openline_core::close::CloseReason;
use openline_core::lifetime::Due;
use openline_core::message::Message;
use openline_core::name::AlarmName;
use tokio::time::Instant;

use super::actor::Actor;
use super::clock::Watcher;
use super::wire::{Counted, Hold, Socket};

impl<S: Socket> Actor<S> {
    /// Sets the timer to the next moment at which something is due.
    pub(super) fn arm(&mut self, cx: &mut Context<'_>) {
        let limits = self.owner.connection().limits();
        let pings = self.speaking.as_ref().and_then(|speaking| speaking.due());
        let look = [self.rest.look(), pings].into_iter().flatten().min();
        self.clock.arm(cx, limits, look);
    }

    /// Does what is due after the timer has fired, and sets it again.
    pub(super) fn check_time(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let now = self.clock.now();
        self.fall_asleep(now);
        let limits = self.owner.connection().limits();
        if self.intake.is_slow(self.owner.budget(), limits, now) {
            self.owner.connection().end(CloseReason::SlowMessage);
        }
        if let Some(session) = &self.clock.session
            && session.left() == Some(Duration::ZERO)
        {
            // Only the end can still become due.
            self.clock.timer = None;
            self.owner.connection().end(session.expired());
            return None;
        }
        let stopped = self.wire.is_held() || self.intake.waits();
        let hearing = !stopped && !self.inbox.is_full();
        if hearing {
            self.stop_watching();
        }
        if let Some(speaking) = &mut self.speaking {
            let can = (hearing, self.wire.is_blocked());
            if speaking.check_pings(now, can, self.owner.connection()) {
                return Some(CloseReason::NoPong);
            }
        }
        match self
            .clock
            .lifetime
            .check(now, hearing, self.owner.connection().limits())
        {
            Due::Nothing => {}
            Due::Ping => {
                if !hearing {
                    self.watch();
                }
                self.awaits_pong = true;
                // The ping goes into the outbox, after the messages that wait,
                // so its answer shows that the peer has read those. No ping is
                // sent while the kernel takes no bytes: progress on the socket
                // counts as an answer, and a ping could overflow a full outbox.
                if !self.wire.is_blocked() {
                    let stamp = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
                    let payload = Bytes::copy_from_slice(&stamp.to_be_bytes());
                    let _ = self.owner.connection().ping(payload);
                }
            }
            Due::Warning => {
                let text = self
                    .owner
                    .connection()
                    .limits()
                    .time_warning_message
                    .clone();
                self.owner.connection().push(Message::Text(text.into()));
            }
            Due::End(reason) => {
                // Only the end can still become due.
                self.clock.timer = None;
                if reason.frame().is_none() {
                    return Some(reason);
                }
                match reason {
                    CloseReason::TimeUp { .. } => {
                        let retry_after = self.owner.retry_after();
                        self.course.leave(CloseReason::TimeUp { retry_after });
                    }
                    _ => drop(self.owner.connection().end(reason)),
                }
                return None;
            }
        }
        self.arm(cx);
        None
    }

    /// Lets the system watch the peer while the host reads nothing, and so no
    /// answer to a ping. The system waits as long as the host would. It knows
    /// what the peer's machine has acknowledged, and the next ping fails with
    /// its verdict.
    fn watch(&mut self) {
        let limits = self.owner.connection().limits();
        if limits.pong_timeout.is_zero() {
            return;
        }
        let time = limits.ping_interval + limits.pong_timeout;
        self.watcher = Watcher::System;
        self.wire.give_up_after(Some(time));
    }

    fn stop_watching(&mut self) {
        if self.watcher == Watcher::System {
            self.watcher = Watcher::Host;
            self.wire.give_up_after(None);
        }
    }

    // === alarms ===

    /// Finds out when the next alarm is due.
    pub(super) fn note_alarm(&mut self, cx: &mut Context<'_>) {
        self.clock.alarm = self.owner.next_alarm();
        let Some(due) = self.clock.alarm else { return };
        // A timer that fires earlier is set again then.
        let timer = self
            .clock
            .timer
            .as_ref()
            .filter(|timer| !timer.is_elapsed());
        if timer.is_none_or(|timer| due < timer.deadline()) {
            self.arm(cx);
        }
    }

    /// Whether an alarm is due and the function may have it: a leaving
    /// connection gets no new work.
    pub(super) fn is_alarm_due(&self) -> bool {
        let alarm = self.clock.alarm;
        alarm.is_some_and(|due| due <= Instant::now()) && self.course.stays()
    }

    /// Takes the alarm that is due, if it still is.
    pub(super) fn take_alarm(&mut self, cx: &mut Context<'_>) -> Option<AlarmName> {
        let alarm = self.owner.take_alarm(Instant::now());
        self.note_alarm(cx);
        alarm
    }

    // === pace ===

    /// Decides whether to read from the socket.
    pub(super) fn regulate_reading(&mut self) {
        // Taken also when it leaves already: it would look like something new.
        let reconsider = self.owner.take_reconsider();
        if self.owner.take_doubt() {
            self.doubt();
        }
        if self.course.stays() {
            if reconsider && self.binding.is_left_behind() {
                self.owner.connection().redeploy();
            }
            if let Some(reason) = self.owner.leaving() {
                self.course.leave(reason);
            }
        }
        let waits = match &mut self.clock.pace {
            Some(pace) => pace.resume(self.clock.opened_at.elapsed()).is_some(),
            None => false,
        };
        let held = waits || !self.course.stays() || self.owner.connection().is_paused();
        // What a leaving connection has read is handled; what a paused one has
        // read waits.
        let hold = match held {
            false => Hold::Nothing,
            true if self.course.stays() => Hold::Everything,
            true => Hold::Socket,
        };
        let was_held = self.wire.hold(hold);
        if was_held && !held {
            self.resume_hearing();
        }
    }

    /// Notes that the peer is read again: its bytes of the meantime come next.
    pub(super) fn resume_hearing(&mut self) {
        let now = self.clock.now();
        self.clock.lifetime.hear(now);
        self.stop_watching();
    }

    /// Notes what was read: it shows that the peer is alive, and how fast it
    /// sends.
    pub(super) fn measure(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let (counted, progress) = self.wire.take_heard();
        let is_heard = counted.bytes > 0 || progress;
        let commands = self.speaking.as_mut().map_or(0, |it| it.take_uncounted());
        if !is_heard && counted.frames == 0 && commands == 0 {
            return None;
        }
        self.rest.note_read(counted.frames);
        let now = self.clock.now();
        if is_heard {
            self.clock.lifetime.hear(now);
            if std::mem::take(&mut self.awaits_pong) {
                self.arm(cx);
            }
        }
        let pace = self.clock.pace.as_mut()?;
        let exceeded = self.owner.connection().limits().rate_exceeded;
        // Commands in one frame are as many messages.
        let counted = Counted {
            frames: counted.frames + commands,
            ..counted
        };
        if let Err(reason) = pace.charge(counted, now, exceeded) {
            return Some(reason);
        }
        if pace.resume(now).is_some() {
            self.arm(cx);
        }
        None
    }

    // === sleep ===

    /// Lets the connection sleep if that is due: if it has been quiet for a
    /// while, and its wire has nothing to keep.
    fn fall_asleep(&mut self, now: Duration) {
        let wire = &mut self.wire;
        let can = || {
            // One that waits for room, or has a share of it, looks at it again.
            let is_quiet = wire.is_empty() && self.intake.is_empty() && !self.course.is_refusing();
            // A wire may have something to give up later.
            is_quiet && self.owner.connection().is_open() && wire.rest()
        };
        if self.rest.check(now, can) {
            self.owner.rest();
        }
    }

    /// Notes when the connection has woken. One that was only pinged goes on
    /// sleeping, and gives up the room that the ping took in its outbox.
    pub(super) fn wake_up(&mut self, cx: &mut Context<'_>) {
        if self.rest.is_roused() {
            self.owner.woken();
            self.rest.stay_awake(self.clock.now());
            self.arm(cx);
        } else if self.rest.is_asleep() && self.probe.is_some() {
            self.owner.rest();
        }
    }
}
