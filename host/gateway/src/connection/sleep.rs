//! A connection that should sleep does so when the buffers of its wire are
//! empty. Asleep it keeps the bare socket.

use std::task::Context;

use super::actor::Actor;
use super::rest::{Rest, Stage};
use super::wire::Socket;

impl<S: Socket> Actor<S> {
    /// Lets the connection sleep when it should and can, and notes when it has
    /// woken. `dry` says that nothing more is buffered.
    pub(super) fn sleep_or_wake(&mut self, cx: &mut Context<'_>, dry: bool) {
        if dry && self.wire.is_narrow() && self.may_rest() {
            self.wire.grow(cx);
        }
        match self.rest.stage {
            Stage::Tired if dry && self.may_rest() => {
                self.wire.rest(cx);
                self.owner.rest();
                self.rest = Rest::asleep();
                return;
            }
            Stage::Tired if !self.rest.is_roused() => return,
            Stage::Tired => {}
            Stage::Awake => return,
            Stage::Asleep if self.wire.is_asleep() => return,
            Stage::Asleep => self.owner.woken(),
        }
        self.rest.stay_awake(self.clock.now());
        self.arm(cx);
    }

    /// Whether the library's buffers are empty.
    fn may_rest(&self) -> bool {
        !self.unflushed.written
            && !self.course.is_refusing()
            && self.owner.connection().is_open()
            && self.wire.is_between_messages()
    }
}
