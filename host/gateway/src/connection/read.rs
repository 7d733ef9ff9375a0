//! Reading: frames become messages, and messages a batch.
//!
//! Bounded by one batch, by the connection's room for what it has received
//! ([`intake`](super::intake)), by the frames of one poll, and by the pings and
//! messages that wait for the host's own answers.

use std::task::{Context, Poll};

use openline_admission::sessions::{Renewal, Session};
use openline_core::close::CloseReason;
use openline_core::message::Message;

use super::actor::Actor;
use super::inbox::{ANSWERS_UNWRITTEN_MAX, PINGS_UNANSWERED_MAX};
use super::intake::{Holding, Room};
use super::wire::{Received, Socket};
use crate::dialect::{COMMANDS_PER_POLL_MAX, Peer, Step};

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
        let mut commands = Commands::default();
        if let Some(speaking) = &mut self.speaking {
            speaking.poll_published(cx, self.owner.connection());
        }
        let mut reader = self.wire.reader();
        while !self.inbox.is_full() {
            if frames == FRAMES_PER_POLL_MAX {
                cx.waker().wake_by_ref();
                return Reading::Full;
            }
            frames += 1;
            // Writing the answers wakes the task, which then reads on. A peer
            // that does not read them keeps no connection from leaving.
            if self.unflushed.pings > PINGS_UNANSWERED_MAX {
                return match reader.is_blocked() {
                    true => Reading::Dry,
                    false => Reading::Full,
                };
            }
            // Writing the answers wakes the task, which then reads on.
            if self.unflushed.answers > ANSWERS_UNWRITTEN_MAX {
                return Reading::Full;
            }
            let mut kept = self.inbox.kept_bytes();
            if let Some(speaking) = &mut self.speaking {
                if is_stopped {
                    return Reading::Dry;
                }
                let peer = Peer {
                    connection: self.owner.connection(),
                    session: self.clock.session.as_ref(),
                };
                if commands.is_enough() {
                    cx.waker().wake_by_ref();
                    return Reading::Full;
                }
                match commands.take(speaking.step(peer)) {
                    Taken::Next => {}
                    Taken::Message(message) => {
                        self.inbox.push(message);
                        continue;
                    }
                    Taken::Answered => {
                        self.unflushed.answers += 1;
                        continue;
                    }
                    Taken::Pong => {
                        self.rest.note_control();
                        continue;
                    }
                    Taken::Renewed => {
                        self.is_renewed = true;
                        cx.waker().wake_by_ref();
                        return Reading::Full;
                    }
                    Taken::Waits => return Reading::Full,
                    Taken::End(reason) => return Reading::End(reason),
                }
                kept += speaking.held_bytes();
            }
            let mut room = Room {
                intake: &mut self.intake,
                function: self.owner.budget(),
                kept,
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
                    if let Some(speaking) = &mut self.speaking {
                        speaking.receive(message);
                        continue;
                    }
                    if let Some(session) = &self.clock.session
                        && let Some(answer) = renewal(session, &message)
                    {
                        self.owner.connection().push(Message::Text(answer.into()));
                        self.unflushed.answers += 1;
                        self.is_renewed = true;
                        // Verifying takes long: others have their turn.
                        cx.waker().wake_by_ref();
                        return Reading::Full;
                    }
                    if self.owner.answer(&message) {
                        self.unflushed.answers += 1;
                        continue;
                    }
                    self.inbox.push(message);
                }
                // Only an ending connection skips.
                Received::Skipped => {}
                Received::Ping(payload) => {
                    self.rest.note_control();
                    reader.pong(&payload);
                    self.unflushed.pings += 1;
                }
                Received::Pong(payload) => {
                    self.rest.note_control();
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

/// What a command of a dialect means for reading.
enum Taken {
    /// There is none: a frame is read.
    Next,
    Message(Message),
    Answered,
    Pong,
    Renewed,
    Waits,
    End(CloseReason),
}

/// The commands that one poll has done.
#[derive(Default)]
struct Commands(u32);

impl Commands {
    fn take(&mut self, step: Step) -> Taken {
        let taken = match step {
            Step::None => return Taken::Next,
            Step::Waits => return Taken::Waits,
            Step::Renewed => return Taken::Renewed,
            Step::Close(reason) => return Taken::End(reason),
            Step::Message(message) => Taken::Message(message),
            Step::Pong => Taken::Pong,
            Step::Done => Taken::Answered,
        };
        self.0 += 1;
        taken
    }

    /// Whether the next one waits for the next poll.
    fn is_enough(&self) -> bool {
        self.0 >= COMMANDS_PER_POLL_MAX
    }
}

/// The answer to a message that renews the peer's token; `None` for any other.
fn renewal(session: &Session, message: &Message) -> Option<String> {
    let Message::Text(text) = message else {
        return None;
    };
    match session.renew(text) {
        Renewal::None => None,
        Renewal::Renewed(answer) | Renewal::TooSoon(answer) => Some(answer),
        Renewal::Refused(answer, denied) => {
            let detail = denied.logged();
            tracing::debug!(%detail, "a token was not renewed");
            Some(answer)
        }
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
