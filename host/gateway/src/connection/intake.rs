//! How much of what it has received a connection may hold: messages that the
//! function has not handled, and the parts of one that have come.
//!
//! The first [`RECEIVED_FREE_BYTES`] are its own. Past them it has a share of
//! the host's `received_bytes`, in pieces, and reads nothing while it can get
//! no more. A read brings up to 64 KiB before they are counted; once room is
//! scarce, it brings no more than there is room for.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use openline_channels::budget::FunctionBudget;
use openline_channels::received::Share;
use openline_core::limits::{RECEIVED_FREE_BYTES, RECEIVED_SHARE_BYTES, RECEIVED_TIME};

/// The most that is taken at once, in bytes, so that a large message does not
/// ask for each 64 KiB.
const PIECE_BYTES_MAX: usize = 1024 * 1024;

/// The share of one connection; nothing for one that holds little.
#[derive(Debug, Default)]
pub(crate) struct Intake(Option<Box<Held>>);

#[derive(Debug)]
struct Held {
    share: Share,
    /// Since when the peer may send the message that is arriving, and of which
    /// the connection holds much; counted from its opening.
    since: Option<Duration>,
    /// It has waited in this poll.
    waits: bool,
    /// It has waited, and need not any more.
    resumes: bool,
}

/// The room of a connection within one poll.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) intake: &'a mut Intake,
    pub(crate) function: &'a Arc<FunctionBudget>,
    /// The bytes of its messages that are received and not handled.
    pub(crate) kept: usize,
}

impl Intake {
    /// Begins a poll.
    pub(super) fn begin(&mut self) {
        if let Some(held) = &mut self.0 {
            held.waits = false;
        }
    }

    /// Whether reading waits for room.
    pub(crate) fn waits(&self) -> bool {
        self.0.as_ref().is_some_and(|held| held.waits)
    }

    /// Whether reading has waited for room and goes on.
    pub(super) fn take_resumes(&mut self) -> bool {
        let held = self.0.as_mut();
        held.is_some_and(|held| std::mem::take(&mut held.resumes))
    }

    /// Notes that a whole message has come.
    #[inline]
    pub(super) fn note_message(&mut self) {
        if let Some(held) = &mut self.0 {
            held.since = None;
        }
    }

    /// Fits the share to what the connection holds at the end of a poll.
    /// `arriving` says that a part of it belongs to a message that has not
    /// ended, and for which the host does not keep the peer waiting.
    #[inline]
    pub(super) fn settle(
        &mut self,
        function: &Arc<FunctionBudget>,
        bytes: usize,
        arriving: bool,
        now: impl FnOnce() -> Duration,
    ) {
        if self.0.is_some() || bytes > RECEIVED_FREE_BYTES {
            self.settle_much(function, bytes, arriving, now);
        }
    }

    #[cold]
    fn settle_much(
        &mut self,
        function: &Arc<FunctionBudget>,
        bytes: usize,
        arriving: bool,
        now: impl FnOnce() -> Duration,
    ) {
        let held = self.held(function);
        let needed = share_of(bytes);
        if needed <= held.share.bytes() {
            held.share.keep(needed);
        } else if !held.share.is_waiting() {
            // What is missing came with the last read; there is no next one
            // before it is there.
            held.share.try_take(needed - held.share.bytes());
        }
        if !held.waits {
            held.share.leave();
        }
        match arriving && !held.waits {
            true => _ = held.since.get_or_insert_with(now),
            false => held.since = None,
        }
        if needed == 0 && !held.waits && !held.resumes {
            self.0 = None;
        }
    }

    /// Whether a message has been arriving for so long that the connection has
    /// to end, because others wait for the room.
    pub(super) fn is_slow(&self, function: &FunctionBudget, now: Duration) -> bool {
        let since = self.0.as_ref().and_then(|held| held.since);
        let is_long = since.is_some_and(|since| now.saturating_sub(since) >= RECEIVED_TIME);
        is_long && function.received.is_wanted()
    }

    fn held(&mut self, function: &Arc<FunctionBudget>) -> &mut Held {
        self.0.get_or_insert_with(|| {
            Box::new(Held {
                share: Share::new(function),
                since: None,
                waits: false,
                resumes: false,
            })
        })
    }

    fn share_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.share.bytes())
    }
}

impl Room<'_> {
    /// How many bytes it has room for, when it holds these of a message that
    /// has not ended.
    #[inline]
    pub(crate) fn left(&self, arrived: usize) -> usize {
        let held = self.kept + arrived;
        (RECEIVED_FREE_BYTES + self.intake.share_bytes()).saturating_sub(held)
    }

    /// How many bytes a read may bring into a buffer of so many, when it has
    /// room for `left`.
    #[inline]
    pub(crate) fn read_bytes(&self, buffer: usize, left: usize) -> usize {
        match left >= buffer || !self.function.received.is_scarce() {
            true => buffer,
            false => buffer.min(left),
        }
    }

    /// Ready when it has taken room for more, as nearly `bytes` as pieces allow.
    #[cold]
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let bytes = bytes.clamp(RECEIVED_SHARE_BYTES, PIECE_BYTES_MAX);
        let bytes = bytes.next_multiple_of(RECEIVED_SHARE_BYTES);
        let held = self.intake.held(self.function);
        let waited = held.share.is_waiting();
        let polled = held.share.poll_take(cx, bytes);
        held.waits = polled.is_pending();
        held.resumes |= waited && polled.is_ready();
        polled
    }
}

/// The share that a connection needs which holds so many bytes.
fn share_of(bytes: usize) -> usize {
    let counted = bytes.saturating_sub(RECEIVED_FREE_BYTES);
    counted.next_multiple_of(RECEIVED_SHARE_BYTES)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use openline_channels::budget::HostBudget;

    use super::*;

    const FREE: usize = RECEIVED_FREE_BYTES;
    const PIECE: usize = RECEIVED_SHARE_BYTES;

    fn function(bytes: usize) -> Arc<FunctionBudget> {
        HostBudget::new(0, 0).with_received(bytes).function()
    }

    fn settle(intake: &mut Intake, function: &Arc<FunctionBudget>, bytes: usize) -> usize {
        intake.settle(function, bytes, bytes > 0, || Duration::ZERO);
        function.received.used()
    }

    fn polls_more(intake: &mut Intake, function: &Arc<FunctionBudget>) -> bool {
        intake.begin();
        let mut room = Room {
            intake,
            function,
            kept: 0,
        };
        let mut cx = Context::from_waker(Waker::noop());
        room.poll_more(&mut cx, 1).is_ready()
    }

    #[test]
    fn the_first_bytes_are_free_and_one_more_takes_a_piece() {
        let function = function(10 * PIECE);
        let mut intake = Intake::default();
        assert_eq!(settle(&mut intake, &function, FREE), 0);
        assert!(intake.0.is_none());
        assert_eq!(settle(&mut intake, &function, FREE + 1), PIECE);
        assert_eq!(settle(&mut intake, &function, FREE + PIECE), PIECE);
        assert_eq!(settle(&mut intake, &function, FREE + PIECE + 1), 2 * PIECE);
        assert_eq!(settle(&mut intake, &function, FREE + 1), PIECE);
        assert_eq!(settle(&mut intake, &function, FREE), 0);
        assert!(
            intake.0.is_none(),
            "a connection that holds little has none"
        );
    }

    #[test]
    fn room_is_what_it_has_less_what_it_holds() {
        let function = function(10 * PIECE);
        let mut intake = Intake::default();
        let left = |intake: &mut Intake, kept, arrived| {
            let function = &function;
            let room = Room {
                intake,
                function,
                kept,
            };
            room.left(arrived)
        };
        assert_eq!(left(&mut intake, 1000, 24), FREE - 1024);
        assert_eq!(left(&mut intake, FREE, 1), 0);
        assert!(polls_more(&mut intake, &function));
        assert_eq!(left(&mut intake, FREE, 1), PIECE - 1);
    }

    #[test]
    fn a_read_brings_a_buffer_full_until_room_is_scarce() {
        let function = function(8 * PIECE);
        let mut intake = Intake::default();
        let bytes = |intake: &mut Intake, left| {
            let function = &function;
            let room = Room {
                intake,
                function,
                kept: 0,
            };
            room.read_bytes(PIECE, left)
        };
        settle(&mut intake, &function, FREE + 7 * PIECE);
        assert_eq!(bytes(&mut intake, 1), PIECE);
        settle(&mut intake, &function, FREE + 7 * PIECE + 1);
        assert_eq!(bytes(&mut intake, 1), 1);
        assert_eq!(bytes(&mut intake, PIECE), PIECE);
    }

    #[test]
    fn one_that_does_not_ask_again_leaves_the_line() {
        let function = function(PIECE);
        let mut intakes = [(); 3].map(|()| Intake::default());
        let [holder, exceeding, waiting] = &mut intakes;
        assert!(polls_more(holder, &function) && polls_more(exceeding, &function));
        assert!(!polls_more(waiting, &function) && waiting.waits());
        settle(waiting, &function, 1);
        assert!(function.received.is_wanted());
        // The next poll reads nothing, for example because a batch is full.
        waiting.begin();
        settle(waiting, &function, 1);
        assert!(!function.received.is_wanted() && !waiting.waits());
    }

    #[test]
    fn one_that_has_waited_resumes_once() {
        let function = function(PIECE);
        let mut intakes = [(); 3].map(|()| Intake::default());
        let [holder, exceeding, waiting] = &mut intakes;
        assert!(polls_more(holder, &function) && !holder.take_resumes());
        assert!(polls_more(exceeding, &function));
        assert!(!polls_more(waiting, &function));
        *exceeding = Intake::default();
        assert!(polls_more(waiting, &function));
        assert!(waiting.take_resumes() && !waiting.take_resumes());
    }

    #[test]
    fn a_message_is_slow_at_its_time_if_others_wait_and_a_new_one_is_not() {
        let function = function(PIECE);
        let mut intakes = [(); 3].map(|()| Intake::default());
        let [slow, exceeding, waiting] = &mut intakes;
        let is_slow = |intake: &Intake, seconds| {
            let now = Duration::from_secs(100 + seconds);
            intake.is_slow(&function, now)
        };
        let arrives = |intake: &mut Intake| {
            let now = || Duration::from_secs(100);
            intake.settle(&function, FREE + 1, true, now);
        };
        arrives(slow);
        let time = RECEIVED_TIME.as_secs();
        assert!(!is_slow(slow, time), "no other waits");
        assert!(polls_more(exceeding, &function) && !polls_more(waiting, &function));
        assert!(!is_slow(slow, time - 1) && is_slow(slow, time));
        slow.note_message();
        assert!(!is_slow(slow, time));
        arrives(slow);
        slow.settle(&function, FREE + 1, false, || unreachable!());
        assert!(!is_slow(slow, time), "messages that wait are not arriving");
    }
}
