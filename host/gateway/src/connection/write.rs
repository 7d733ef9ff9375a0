//! Writing: everything that waits in the outbox leaves with one write.

use std::task::{Context, Poll};

use openline_channels::connection::{Item, Next};
use openline_core::close::CloseReason;
use openline_core::message::Message;
use openline_dialects::centrifugo::PING;
use tokio::time::Instant;

use super::actor::Actor;
use super::inbox::{ANSWERS_UNWRITTEN_MAX, PINGS_UNANSWERED_MAX};
use super::unflushed::{Probe, Unflushed};
use super::wire::Socket;

impl<S: Socket> Actor<S> {
    /// Writes everything that waits.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let course = &self.course;
        let is_spoken = self.speaking.is_some();
        let mut writer = self.wire.writer();
        loop {
            match writer.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(reason)) => return Some(course.unwritten(reason)),
                Poll::Pending => return None,
            }
            match self.owner.next() {
                Next::Item(item) => {
                    match &item {
                        // A ping of a dialect, which rouses no more than any other.
                        Item::Message(Message::Text(text)) if is_spoken && *text == PING => {}
                        Item::Message(_)
                        | Item::Compress(_)
                        | Item::Plain(_)
                        | Item::Published(_) => self.rest.note_activity(),
                        Item::Ping(payload) => {
                            self.probe = Some(Box::new(Probe {
                                payload: payload.clone(),
                                sent: Instant::now(),
                            }));
                        }
                    }
                    writer.start(item);
                }
                Next::End(reason) => return Some(reason),
                Next::Idle => break,
            }
        }
        match writer.poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(reason)) => return Some(course.unwritten(reason)),
            Poll::Pending => return None,
        }
        // Reading may have stopped for this many. The same applies if the outbox
        // has dropped the answers.
        let Unflushed { pings, answers } = std::mem::take(&mut self.unflushed);
        if pings > PINGS_UNANSWERED_MAX || answers > ANSWERS_UNWRITTEN_MAX {
            cx.waker().wake_by_ref();
        }
        None
    }
}
