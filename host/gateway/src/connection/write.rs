//! Writing: everything that waits in the outbox leaves with one flush.

use std::task::{Context, Poll};

use openline_channels::connection::{Item, Next};
use openline_core::close::CloseReason;
use tokio::time::Instant;

use super::actor::Actor;
use super::inbox::{ANSWERS_UNWRITTEN_MAX, PINGS_UNANSWERED_MAX};
use super::unflushed::Probe;
use super::wire::Socket;

impl<S: Socket> Actor<S> {
    /// Writes everything that waits, and flushes once.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        if self.wire.is_asleep() && self.owner.is_idle() {
            return None;
        }
        let mut written = 0;
        let ended = self.poll_write_all(cx, &mut written);
        if written > 0 {
            self.rest.note_activity();
            self.rest.note_size(written);
        }
        ended
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>, written: &mut usize) -> Option<CloseReason> {
        let course = &self.course;
        let mut writer = self.wire.writer(cx);
        loop {
            match writer.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(reason)) => return Some(course.unwritten(reason)),
                Poll::Pending => return None,
            }
            match self.owner.next() {
                Next::Item(item) => {
                    self.unflushed.written = true;
                    match &item {
                        Item::Message(message) => *written += message.bytes().max(1),
                        Item::Ping(payload) => {
                            self.probe = Some(Box::new(Probe {
                                payload: payload.clone(),
                                sent: Instant::now(),
                            }));
                        }
                    }
                    if let Err(reason) = writer.start(item) {
                        return Some(course.unwritten(reason));
                    }
                }
                Next::End(reason) => return Some(reason),
                Next::Idle => break,
            }
        }
        if self.unflushed.written {
            match writer.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.unflushed.written = false;
                    // Reading may have stopped for this many pings.
                    if std::mem::take(&mut self.unflushed.pings) > PINGS_UNANSWERED_MAX {
                        cx.waker().wake_by_ref();
                    }
                }
                Poll::Ready(Err(reason)) => return Some(course.unwritten(reason)),
                Poll::Pending => {}
            }
        }
        // This also applies if the outbox has dropped the answers.
        if !self.unflushed.written
            && std::mem::take(&mut self.unflushed.answers) > ANSWERS_UNWRITTEN_MAX
        {
            cx.waker().wake_by_ref();
        }
        None
    }
}
