//! What a connection does with the messages that it reads within one poll: they
//! are for the host, for the session of its dialect, or for the function.
//!
//! Bounded by one batch, by the host's own answers that have not left, and by
//! [`COMMANDS_PER_POLL_MAX`].

use std::sync::Arc;
use std::task::Context;

use openline_admission::sessions::{Renewal, Session};
use openline_channels::connection::SocketOwner;
use openline_core::message::Message;

use super::inbox::{ANSWERS_UNWRITTEN_MAX, Inbox};
use super::read::Reading;
use super::rest::Rest;
use super::unflushed::Unflushed;
use crate::dialect::{COMMANDS_PER_POLL_MAX, Peer, Speaking, Step};

/// A connection without its wire, within one poll.
pub(super) struct Taking<'a> {
    pub(super) owner: &'a SocketOwner,
    pub(super) session: Option<&'a Arc<Session>>,
    pub(super) speaking: Option<&'a mut Speaking>,
    pub(super) inbox: &'a mut Inbox,
    pub(super) unflushed: &'a mut Unflushed,
    pub(super) rest: &'a mut Rest,
    pub(super) is_renewed: &'a mut bool,
    /// The commands that this poll has done.
    pub(super) commands: u32,
}

impl Taking<'_> {
    /// Puts the answers to publishes into the outbox that have become known.
    pub(super) fn poll_published(&mut self, cx: &mut Context<'_>) {
        if let Some(speaking) = &mut self.speaking {
            let _ = speaking.poll_published(cx, self.owner.connection());
        }
    }

    /// Does the commands of a dialect that wait. Answers how far reading came, or
    /// nothing if the next frame may be read.
    pub(super) fn act(&mut self, cx: &mut Context<'_>, is_stopped: bool) -> Option<Reading> {
        loop {
            // Writing the answers wakes the task, which then reads on.
            if self.unflushed.answers > ANSWERS_UNWRITTEN_MAX {
                return Some(Reading::Full);
            }
            let speaking = self.speaking.as_deref_mut()?;
            // One that ends does nothing more for its peer, who may be revoked.
            if is_stopped || !self.owner.connection().is_open() {
                return Some(Reading::Dry);
            }
            if self.inbox.is_full() {
                return Some(Reading::Full);
            }
            if self.commands >= COMMANDS_PER_POLL_MAX {
                cx.waker().wake_by_ref();
                return Some(Reading::Full);
            }
            let peer = Peer {
                connection: self.owner.connection(),
                session: self.session,
            };
            match speaking.step(peer) {
                Step::None => return None,
                Step::Waits => return Some(Reading::Full),
                Step::Done => self.unflushed.note_answer(self.owner.connection()),
                Step::Message(message) => self.inbox.push(message),
                Step::Call(call) => self.inbox.push_call(call),
                Step::Pong => self.rest.note_control(),
                Step::Renewed => {
                    *self.is_renewed = true;
                    // Verifying takes long: others have their turn.
                    cx.waker().wake_by_ref();
                    return Some(Reading::Full);
                }
                Step::Close(reason) => return Some(Reading::End(reason)),
            }
            self.commands += 1;
        }
    }

    /// Takes a message of the peer. Answers how far reading came if it stops here.
    pub(super) fn message(&mut self, cx: &mut Context<'_>, message: Message) -> Option<Reading> {
        if let Some(speaking) = &mut self.speaking {
            speaking.receive(message);
            return None;
        }
        if let Some(session) = self.session
            && let Some(answer) = renewal(session, &message)
        {
            self.owner.connection().push(Message::Text(answer.into()));
            self.unflushed.answers += 1;
            *self.is_renewed = true;
            // Verifying takes long: others have their turn.
            cx.waker().wake_by_ref();
            return Some(Reading::Full);
        }
        if self.owner.answer(&message) {
            self.unflushed.answers += 1;
        } else {
            self.inbox.push(message);
        }
        None
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
