//! What a connection does for the dialect of its peer beside reading: answers that
//! become known later, and channels that the peer may not have any more.
//!
//! Bounded as [`Speaking`](crate::dialect::Speaking) is.

use std::task::Context;

use super::actor::Actor;
use super::wire::Socket;
use crate::dialect::Peer;

impl<S: Socket> Actor<S> {
    /// Notes that the peer of a dialect may have fewer channels than before.
    pub(super) fn doubt(&mut self) {
        if let Some(speaking) = &mut self.speaking {
            speaking.doubt(Peer {
                connection: self.owner.connection(),
                session: self.clock.session.as_ref(),
            });
        }
    }

    /// Looks whether the peer of a dialect may still have the channels that it has
    /// asked for, where that is in doubt.
    pub(super) fn ask_again(&mut self, cx: &mut Context<'_>) {
        let Some(speaking) = &mut self.speaking else {
            return;
        };
        let peer = Peer {
            connection: self.owner.connection(),
            session: self.clock.session.as_ref(),
        };
        if speaking.ask_again(peer) {
            cx.waker().wake_by_ref();
        }
    }

    /// Puts answers into the outbox that have become known meanwhile, and has the
    /// others wake this task.
    pub(super) fn poll_published(&mut self, cx: &mut Context<'_>) {
        if let Some(speaking) = &mut self.speaking
            && speaking.poll_published(cx, self.owner.connection())
        {
            // Commands may have waited for one of these.
            cx.waker().wake_by_ref();
        }
    }
}
