//! How much the calls of one instance may compute, and when a run is long.
//! These rules have no clock: [`RunClock`] measures.
//!
//! Three things are counted, because each alone can be evaded:
//!
//! - **The run**: computing without a pause. It ends when a call returns or
//!   guest code awaits. A run may take one share, which is `cpu_timeout`. Calls
//!   that return one after the other within one poll of an asynchronous
//!   instance are separate runs: however busy the instance is, none is charged
//!   for the others.
//! - **The allowance**: computing that rest has not yet made up for. Each call
//!   brings one share, a pause gives back as much as it lasts, and there is
//!   never more than one share for each call in flight. Without the allowance,
//!   a wait of a nanosecond every few milliseconds would begin a new run
//!   forever; with it, a guest may compute as long as it likes if it rests as
//!   long as it computes.
//! - **The turn**: computing since the call began, whether the guest rests or
//!   not. Past one slice a run is long, and takes turns with other long ones
//!   ([`crate::instance::turns`]). Rest does not count here, because it looks
//!   the same as a wait for a thread: where many guests compute and wait by
//!   turns, each waits for the others, and all would seem short. Instead, each
//!   new call forgives a slice.
//!
//! Even the shortest pause gives [`PAUSE_NANOSECONDS`] back to the allowance
//! and takes [`SHORT_NANOSECONDS`] off the turn, because it lets other tasks
//! have the thread, and a handler that does little between its pauses delays no
//! one.
//!
//! An asynchronous instance has one account for all calls in flight, as it has
//! one tank of fuel: a call may use what another one saves.
//!
//! [`RunClock`]: crate::instance::budget::RunClock

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openline_core::limits::EPOCH_TICK;

/// The length of a slice, one tick of the epoch; it fits the type by far.
pub(crate) const SLICE_NANOSECONDS: u64 = EPOCH_TICK.subsec_nanos() as u64;

/// The time that a pause gives back to the allowance: ten times what a handler
/// computes, even without optimisations, between the pauses of a stream to a
/// peer: some messages of 16 KiB and a wait for room, thousands of times.
const PAUSE_NANOSECONDS: u64 = SLICE_NANOSECONDS / 10;

/// The time that a pause takes off a turn. It is less, as it costs other tasks:
/// a hundred guests that compute this much at a time delay them by two slices.
const SHORT_NANOSECONDS: u64 = SLICE_NANOSECONDS / 50;

/// How much one instance has computed, and how much more it may. Times are in
/// nanoseconds. The fields are atomic because the driver and wasmtime's
/// callback share them; only one of the two runs at a time.
#[derive(Debug)]
pub(crate) struct Allowance {
    share: u64,
    /// How many calls are in flight.
    calls: AtomicU64,
    run: AtomicU64,
    left: AtomicU64,
    turn: AtomicU64,
}

impl Allowance {
    /// The allowance without calls; `cpu_timeout` is the share of each call.
    pub(crate) fn new(cpu_timeout: Duration) -> Self {
        let share = u64::try_from(cpu_timeout.as_nanos()).unwrap_or(u64::MAX);
        Self {
            share,
            calls: AtomicU64::new(0),
            run: AtomicU64::new(0),
            left: AtomicU64::new(share),
            turn: AtomicU64::new(0),
        }
    }

    /// Starts again with this many calls in flight and nothing computed.
    pub(crate) fn start_over(&self, calls: u64) {
        self.calls.store(calls, Ordering::Relaxed);
        self.run.store(0, Ordering::Relaxed);
        self.left.store(self.share, Ordering::Relaxed);
        self.turn.store(0, Ordering::Relaxed);
    }

    /// Notes that one more call begins.
    pub(crate) fn begin_call(&self) {
        let calls = self.calls.load(Ordering::Relaxed) + 1;
        self.calls.store(calls, Ordering::Relaxed);
        self.give_back(self.share);
        self.forgive(SLICE_NANOSECONDS);
    }

    /// Notes that a call has returned. A debt of the last call is not charged
    /// to the next.
    pub(crate) fn end_call(&self) {
        let calls = self.calls.load(Ordering::Relaxed).saturating_sub(1);
        self.calls.store(calls, Ordering::Relaxed);
        self.run.store(0, Ordering::Relaxed);
        if calls == 0 {
            self.turn.store(0, Ordering::Relaxed);
        }
    }

    /// Whether this much more computing would be too much.
    pub(crate) fn is_spent_with(&self, computed: u64) -> bool {
        let run = self.run.load(Ordering::Relaxed).saturating_add(computed);
        run >= self.share || computed >= self.left.load(Ordering::Relaxed)
    }

    /// Charges computing.
    pub(crate) fn charge(&self, computed: u64) {
        let run = self.run.load(Ordering::Relaxed).saturating_add(computed);
        self.run.store(run, Ordering::Relaxed);
        let left = self.left.load(Ordering::Relaxed).saturating_sub(computed);
        self.left.store(left, Ordering::Relaxed);
        let turn = self.turn.load(Ordering::Relaxed).saturating_add(computed);
        self.turn.store(turn, Ordering::Relaxed);
    }

    /// Notes that guest code awaits, which ends its run.
    pub(crate) fn pause(&self) {
        self.run.store(0, Ordering::Relaxed);
        self.give_back(PAUSE_NANOSECONDS);
        self.forgive(SHORT_NANOSECONDS);
    }

    /// Notes how long the pause has lasted.
    pub(crate) fn rest(&self, rested: u64) {
        self.give_back(rested);
    }

    /// Whether the calls have computed for longer than a slice.
    pub(crate) fn is_long(&self) -> bool {
        self.turn.load(Ordering::Relaxed) >= SLICE_NANOSECONDS
    }

    /// Whether less than half a share is left, so that exact measuring is worth
    /// its cost.
    pub(crate) fn is_low(&self) -> bool {
        self.left.load(Ordering::Relaxed) < self.share / 2
    }

    fn give_back(&self, more: u64) {
        let calls = self.calls.load(Ordering::Relaxed).max(1);
        let most = self.share.saturating_mul(calls);
        let left = self.left.load(Ordering::Relaxed).saturating_add(more);
        self.left.store(left.min(most), Ordering::Relaxed);
    }

    fn forgive(&self, less: u64) {
        let turn = self.turn.load(Ordering::Relaxed).saturating_sub(less);
        self.turn.store(turn, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;
    const SHARE: u64 = 200 * MILLISECOND;

    fn allowance() -> Allowance {
        Allowance::new(Duration::from_nanos(SHARE))
    }

    /// The allowance of one call.
    fn alone() -> Allowance {
        let allowance = allowance();
        allowance.start_over(1);
        allowance
    }

    #[test]
    fn a_run_has_its_share_and_not_more() {
        let alone = alone();
        alone.charge(SHARE - 10);
        assert!(!alone.is_spent_with(9));
        assert!(alone.is_spent_with(10));
    }

    #[test]
    fn a_call_that_returns_ends_the_run() {
        let allowance = allowance();
        allowance.start_over(0);
        for _ in 0..1000 {
            allowance.begin_call();
            assert!(!allowance.is_spent_with(SHARE / 2));
            allowance.charge(SHARE / 2);
            allowance.end_call();
        }
        // A call that does not return has its share.
        allowance.begin_call();
        allowance.charge(SHARE / 2);
        assert!(allowance.is_spent_with(SHARE / 2));
    }

    #[test]
    fn computing_with_pauses_that_are_no_rest_is_spent_all_the_same() {
        let alone = alone();
        // It computes 4 ms at a time, and the timer of a nanosecond fires after
        // 1 ms: 2.5 ms of each round are not made up for.
        for round in 0..79 {
            assert!(!alone.is_spent_with(4 * MILLISECOND), "{round}");
            alone.charge(4 * MILLISECOND);
            alone.pause();
            alone.rest(MILLISECOND);
        }
        assert!(alone.is_spent_with(4 * MILLISECOND));
    }

    #[test]
    fn computing_is_not_spent_that_is_made_up_for_by_as_much_rest() {
        let alone = alone();
        for _ in 0..10_000 {
            assert!(!alone.is_spent_with(5 * MILLISECOND));
            alone.charge(5 * MILLISECOND);
            alone.pause();
            alone.rest(5 * MILLISECOND);
        }
        // Rest cannot be saved up: there is one share, and no more.
        alone.rest(3_600_000 * MILLISECOND);
        assert!(!alone.is_spent_with(SHARE - 1));
        assert!(alone.is_spent_with(SHARE));
    }

    #[test]
    fn each_call_in_flight_brings_a_share_but_one_run_has_only_one() {
        let three = allowance();
        three.start_over(0);
        (0..3).for_each(|_| three.begin_call());
        assert!(three.is_spent_with(SHARE), "in one run");
        for _ in 0..2 {
            three.charge(SHARE - 1);
            three.pause();
        }
        assert!(!three.is_spent_with(SHARE - 1));
        three.charge(SHARE - 1);
        three.pause();
        let left = 3 * (PAUSE_NANOSECONDS + 1);
        assert!(!three.is_spent_with(left - 1));
        assert!(three.is_spent_with(left), "three shares");
        // Calls that return take no unused allowance with them ...
        three.end_call();
        three.end_call();
        assert!(!three.is_spent_with(left - 1));
        // ... and leave nothing for later.
        three.begin_call();
        three.begin_call();
        three.rest(10 * SHARE);
        three.end_call();
        three.end_call();
        three.rest(1);
        three.charge(SHARE - 1);
        three.pause();
        assert!(three.is_spent_with(PAUSE_NANOSECONDS + 1));
    }

    #[test]
    fn many_calls_one_after_the_other_are_not_one() {
        let calls = allowance();
        calls.start_over(0);
        for _ in 0..1000 {
            calls.begin_call();
            assert!(!calls.is_spent_with(SHARE / 2));
            assert!(!calls.is_long());
            calls.charge(SHARE / 2);
            calls.end_call();
            calls.pause();
        }
    }

    #[test]
    fn a_call_is_long_past_a_slice_in_all_however_it_rests() {
        let alone = alone();
        alone.charge(SLICE_NANOSECONDS / 2);
        alone.pause();
        alone.rest(3_600_000 * MILLISECOND);
        assert!(!alone.is_long());
        alone.charge(SLICE_NANOSECONDS / 2 + SHORT_NANOSECONDS - 1);
        assert!(!alone.is_long());
        alone.charge(1);
        assert!(alone.is_long());
        alone.rest(3_600_000 * MILLISECOND);
        assert!(alone.is_long());
        alone.start_over(1);
        assert!(!alone.is_long(), "the next call");
    }

    #[test]
    fn what_does_little_between_its_pauses_is_never_long_and_never_spent() {
        let alone = alone();
        for _ in 0..10_000 {
            alone.charge(SHORT_NANOSECONDS);
            assert!(!alone.is_long());
            alone.pause();
        }
        // With a little more at a time it takes turns, ...
        for _ in 0..10_000 {
            alone.charge(PAUSE_NANOSECONDS);
            alone.pause();
        }
        assert!(alone.is_long() && !alone.is_spent_with(SHARE - 1));
        // ... and with more than that it is spent.
        for _ in 0..10_000 {
            alone.charge(PAUSE_NANOSECONDS + SHARE / 10_000);
            alone.pause();
        }
        assert!(alone.is_spent_with(PAUSE_NANOSECONDS));
    }

    #[test]
    fn calls_that_begin_make_an_instance_short_again() {
        let calls = allowance();
        calls.start_over(0);
        calls.begin_call();
        calls.charge(3 * SLICE_NANOSECONDS);
        (0..2).for_each(|_| calls.begin_call());
        assert!(calls.is_long());
        calls.begin_call();
        assert!(!calls.is_long());
    }
}
