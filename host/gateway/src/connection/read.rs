//! Reading: frames become messages, and messages a batch.
//!
//! Bounded by one batch, by the connection's room for what it has received
//! ([`intake`](super::intake)), by the frames of one poll, and by the pings and
//! messages that wait for the host's own answers.

use std::task::{Context, Poll};

use openline_core::close::CloseReason;

use super::actor::Actor;
use super::inbox::PINGS_UNANSWERED_MAX;
use super::intake::{Holding, Room};
use super::taking::Taking;
use super::wire::{Received, Socket};

/// The most frames that one poll reads: control frames fill no batch, and a
/// flood of them must not keep a thread busy.
pub(super) const FRAMES_PER_POLL_MAX: usize = 1024;

/// How far reading came.
pub(super) enum Reading {
    /// Everything available has been read.
    Dry,
    /// There may be more.
    Full,
    End(CloseReason),
}

impl<S: Socket> Actor<S> {
    /// Reads everything available, up to one batch.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Reading {
        self.intake.begin();
        let reading = self.poll_received(cx);
        // A publish that has just begun wakes this task only once it has been polled.
        self.poll_published(cx);
        if self.intake.take_resumes() {
            self.resume_hearing();
        }
        // The new token may end earlier.
        if std::mem::take(&mut self.is_renewed) {
            self.arm(cx);
        }
        self.settle_intake();
        reading
    }

    /// Fits the connection's share of `received_bytes` to what it holds.
    #[inline]
    pub(super) fn settle_intake(&mut self) {
        let (arrived, left) = self.wire.kept_bytes();
        let commands = self.speaking.as_ref().map_or(0, |it| it.held_bytes());
        let holding = Holding {
            arrived,
            others: self.inbox.kept_bytes() + left + commands,
            hears: !self.inbox.is_full() && !self.owner.connection().is_paused(),
        };
        let opened_at = self.clock.opened_at;
        let budget = self.owner.budget();
        self.intake.settle(budget, holding, || opened_at.elapsed());
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Reading {
        if self.course.is_refusing() {
            return Reading::Dry;
        }
        let mut frames = 0;
        let is_stopped = self.wire.is_stopped();
        let mut reader = self.wire.reader();
        let mut taking = Taking {
            owner: &self.owner,
            session: self.clock.session.as_ref(),
            speaking: self.speaking.as_deref_mut(),
            inbox: &mut self.inbox,
            unflushed: &mut self.unflushed,
            rest: &mut self.rest,
            is_renewed: &mut self.is_renewed,
            commands: 0,
        };
        taking.poll_published(cx);
        while !taking.inbox.is_full() {
            if frames == FRAMES_PER_POLL_MAX {
                cx.waker().wake_by_ref();
                return Reading::Full;
            }
            frames += 1;
            // Writing the answers wakes the task, which then reads on. A peer
            // that does not read them keeps no connection from leaving.
            if taking.unflushed.pings > PINGS_UNANSWERED_MAX {
                return match reader.is_blocked() {
                    true => Reading::Dry,
                    false => Reading::Full,
                };
            }
            if let Some(reading) = taking.act(cx, is_stopped) {
                return reading;
            }
            let mut room = Room {
                intake: &mut self.intake,
                function: self.owner.budget(),
                kept: taking.inbox.kept_bytes(),
            };
            let Poll::Ready(received) = reader.poll_received(cx, &mut room) else {
                return match reader.is_inflating() {
                    true => Reading::Full,
                    false => Reading::Dry,
                };
            };
            match received {
                Received::Message(message) => {
                    self.intake.note_message();
                    if let Some(reading) = taking.message(cx, message) {
                        return reading;
                    }
                }
                // Only an ending connection skips.
                Received::Skipped => {}
                Received::Ping(payload) => {
                    taking.rest.note_control();
                    reader.pong(&payload);
                    taking.unflushed.pings += 1;
                }
                Received::Pong(payload) => {
                    taking.rest.note_control();
                    if let Some(probe) = self.probe.take_if(|probe| probe.payload == payload) {
                        self.owner.set_round_trip(probe.sent.elapsed());
                    }
                }
                Received::End(reason) => return Reading::End(reason),
            }
        }
        Reading::Full
    }
}

/// Whether the reason is an invalid frame. The frames before it were valid, and
/// are not lost with it.
pub(super) fn is_violation(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Protocol
            | CloseReason::InvalidText
            | CloseReason::InvalidCompression
            | CloseReason::MessageTooBig
            | CloseReason::Fragments
            | CloseReason::Dialect { .. }
    )
}
