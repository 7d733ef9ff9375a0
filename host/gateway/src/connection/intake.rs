//! How much of what it has received a connection may hold: messages that the
//! function has not handled, and the parts of one that have come.
//!
//! The first [`RECEIVED_FREE_BYTES`] are its own. Past them it has a share of
//! the host's `received_bytes`, in pieces, and reads nothing while it can get
//! no more. A read brings up to 64 KiB before they are counted; once room is
//! scarce, it brings no more than there is room for, or [`READ_BYTES_MIN`].

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use openline_channels::budget::FunctionBudget;
use openline_channels::received::Share;
use openline_core::limits::{
    FunctionLimits, RECEIVED_BYTES_PER_SECOND_MIN, RECEIVED_FREE_BYTES, RECEIVED_SHARE_BYTES,
    RECEIVED_TIME,
};

/// The least that a read brings where room is scarce, in bytes: with less, a
/// peer that leaves room for one byte would have the host read byte by byte.
const READ_BYTES_MIN: usize = 4 * 1024;

/// The most that is taken at once, in bytes, so that a large message does not
/// ask for each 64 KiB.
const PIECE_BYTES_MAX: usize = 1024 * 1024;

/// The share of one connection; nothing for one that holds little.
#[derive(Debug, Default)]
pub(crate) struct Intake(Option<Box<Held>>);

#[derive(Debug)]
struct Held {
    share: Share,
    /// How long the peer could send the message that is arriving, until `since`.
    time: Duration,
    /// Since when it can, counted from the connection's opening.
    since: Option<Duration>,
    /// How much of the message has arrived.
    arrived: usize,
    /// It has waited in this poll.
    waits: bool,
    /// It has waited, and need not any more.
    resumes: bool,
}

/// What a connection holds at the end of a poll, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holding {
    /// Of a message that is arriving.
    pub(crate) arrived: usize,
    /// Of others.
    pub(crate) others: usize,
    /// Whether it is up to the peer to send more of the message. A rate that it
    /// exceeds does not keep it from that.
    pub(crate) hears: bool,
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

    /// Whether it has no share, and waits for none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
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
            (held.time, held.since) = (Duration::ZERO, None);
            held.share.end_turn();
        }
    }

    /// Asks for no more room.
    pub(crate) fn leave(&mut self) {
        if let Some(held) = &mut self.0 {
            held.share.leave();
            held.waits = false;
        }
    }

    /// Fits the share to what the connection holds at the end of a poll.
    #[inline]
    pub(super) fn settle(
        &mut self,
        function: &Arc<FunctionBudget>,
        holding: Holding,
        now: impl FnOnce() -> Duration,
    ) {
        if self.0.is_some() || holding.arrived + holding.others > RECEIVED_FREE_BYTES {
            self.settle_much(function, holding, now());
        }
    }

    #[cold]
    fn settle_much(&mut self, function: &Arc<FunctionBudget>, holding: Holding, now: Duration) {
        let held = self.held(function);
        let bytes = holding.arrived + holding.others;
        let needed = share_of(bytes);
        // A peer that stops in a message asks for room once, and then its time
        // runs; it would not if it were always about to wait.
        let spare = match holding.arrived > 0 && bytes >= RECEIVED_FREE_BYTES {
            true => RECEIVED_SHARE_BYTES,
            false => 0,
        };
        if needed + spare < held.share.bytes() {
            held.share.keep(needed + spare);
        } else if needed > held.share.bytes() && !held.share.is_waiting() {
            // What is missing came with the last read; there is no next one
            // before it is there.
            held.share.try_take(needed - held.share.bytes());
        }
        if !held.waits {
            held.share.leave();
        }
        held.arrived = holding.arrived;
        match holding.arrived > 0 && holding.hears && !held.waits {
            true => _ = held.since.get_or_insert(now),
            false => {
                held.time += held
                    .since
                    .take()
                    .map_or(Duration::ZERO, |since| now.saturating_sub(since))
            }
        }
        if needed + held.share.bytes() == 0 && !held.waits && !held.resumes {
            self.0 = None;
        }
    }

    /// Whether a message has been arriving for so long, compared with what has
    /// come of it, that the connection has to end, because others wait for the
    /// room.
    pub(super) fn is_slow(
        &self,
        function: &FunctionBudget,
        limits: &FunctionLimits,
        now: Duration,
    ) -> bool {
        let Some(held) = &self.0 else { return false };
        let since = held
            .since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since));
        // No faster than the peer may send.
        let rate = match limits.bytes_per_second {
            0 => RECEIVED_BYTES_PER_SECOND_MIN,
            most => most.min(RECEIVED_BYTES_PER_SECOND_MIN),
        };
        let seconds = held.arrived / rate;
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        let allowed = RECEIVED_TIME + Duration::from_secs(seconds);
        held.time + since >= allowed && function.received.is_wanted()
    }

    fn held(&mut self, function: &Arc<FunctionBudget>) -> &mut Held {
        self.0.get_or_insert_with(|| {
            Box::new(Held {
                share: Share::new(function),
                time: Duration::ZERO,
                since: None,
                arrived: 0,
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
            false => buffer.min(left.max(READ_BYTES_MIN)),
        }
    }

    /// Whether reading was found to wait for room, in this poll or an earlier
    /// one.
    pub(crate) fn is_waiting(&self) -> bool {
        let held = self.intake.0.as_ref();
        held.is_some_and(|held| held.share.is_waiting())
    }

    /// Nothing more is read: keeps room only for messages that the function has
    /// not handled.
    pub(super) fn finish(&mut self) {
        let holding = Holding {
            others: self.kept,
            ..Holding::default()
        };
        let now = || Duration::ZERO;
        self.intake.settle(self.function, holding, now);
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

    fn settle(intake: &mut Intake, function: &Arc<FunctionBudget>, others: usize) -> usize {
        let holding = Holding {
            others,
            ..Holding::default()
        };
        intake.settle(function, holding, || Duration::ZERO);
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
        assert_eq!(bytes(&mut intake, 1), READ_BYTES_MIN);
        assert_eq!(bytes(&mut intake, READ_BYTES_MIN + 1), READ_BYTES_MIN + 1);
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
    fn a_peer_that_stops_in_a_message_keeps_a_piece_and_does_not_ask_again() {
        let function = function(10 * PIECE);
        let mut intake = Intake::default();
        assert!(polls_more(&mut intake, &function) && polls_more(&mut intake, &function));
        let holding = Holding {
            arrived: FREE,
            ..Holding::default()
        };
        intake.settle(&function, holding, || Duration::ZERO);
        assert_eq!(function.received.used(), PIECE);
        let room = Room {
            intake: &mut intake,
            function: &function,
            kept: 0,
        };
        assert_eq!(room.left(FREE), PIECE);
    }

    #[test]
    fn a_message_is_slow_at_its_time_if_others_wait_and_a_new_one_is_not() {
        let function = function(PIECE);
        let mut intakes = [(); 3].map(|()| Intake::default());
        let [slow, exceeding, waiting] = &mut intakes;
        let at = |seconds| Duration::from_secs(100 + seconds);
        let arrives = |intake: &mut Intake, seconds, hears| {
            let holding = Holding {
                arrived: FREE + 1,
                others: 0,
                hears,
            };
            intake.settle(&function, holding, || at(seconds));
        };
        let is_slow = |intake: &Intake, seconds| {
            intake.is_slow(&function, &FunctionLimits::default(), at(seconds))
        };
        arrives(slow, 0, true);
        let time = RECEIVED_TIME.as_secs();
        assert!(!is_slow(slow, time), "no other waits");
        assert!(polls_more(exceeding, &function) && !polls_more(waiting, &function));
        assert!(!is_slow(slow, time - 1) && is_slow(slow, time));
        slow.note_message();
        assert!(!is_slow(slow, time));
        // Time in which the host does not read does not count; the rest does.
        arrives(slow, 0, true);
        arrives(slow, 10, false);
        assert!(!is_slow(slow, 1000));
        arrives(slow, 1000, true);
        assert!(!is_slow(slow, 1000 + time - 11) && is_slow(slow, 1000 + time - 10));
    }

    #[test]
    fn a_large_message_has_more_time() {
        let function = function(PIECE);
        let mut intakes = [(); 3].map(|()| Intake::default());
        let [slow, exceeding, waiting] = &mut intakes;
        let holding = Holding {
            arrived: 4 * RECEIVED_BYTES_PER_SECOND_MIN,
            others: 0,
            hears: true,
        };
        slow.settle(&function, holding, || Duration::ZERO);
        assert!(polls_more(exceeding, &function));
        let _ = polls_more(exceeding, &function);
        assert!(!polls_more(waiting, &function));
        let time = RECEIVED_TIME + Duration::from_secs(4);
        let tick = Duration::from_millis(1);
        let mut limits = FunctionLimits::default();
        let is_slow = |limits: &FunctionLimits, at| slow.is_slow(&function, limits, at);
        assert!(!is_slow(&limits, time - tick) && is_slow(&limits, time));
        // A peer that may send half as fast has twice as long.
        limits.bytes_per_second = RECEIVED_BYTES_PER_SECOND_MIN / 2;
        let time = RECEIVED_TIME + Duration::from_secs(8);
        assert!(!is_slow(&limits, time - tick) && is_slow(&limits, time));
    }
}
