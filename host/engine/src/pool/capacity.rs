//! How many instances all functions of a host have together, and the queue of
//! those that wait for a place.
//!
//! Each instance takes places in the engines' pools, so this bounds them: a
//! function's own `instances` may promise more than there is. Nearly all take one
//! place; a component with more memories or tables than a place has, or whose
//! calls may wait on more stacks, takes several, so that no component can use up
//! what others were promised.
//!
//! A version whose queued instances lack nothing but places stands in a queue.
//! As long as it does, a newcomer gets no place before it. So that a place becomes
//! free, an instance ends; `shares` says whose.
//!
//! The lock is taken behind those of a version, never before one.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use super::shares::{Shares, Step};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Names a function: its versions share one.
pub(super) type FunctionNumber = usize;

/// The host's `instances`.
#[derive(Debug)]
pub(crate) struct Capacity {
    most: u64,
    /// Counts all instances that there have been.
    made: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shares: Shares,
    /// A thread hands out places: others leave it to that one.
    is_handing_out: bool,
}

/// The instances of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds {
    /// Live, and not told to end.
    pub(super) serving: u32,
    /// Live, and told to end.
    pub(super) ending: u32,
    /// Those it could have beside the serving ones, of those that are queued.
    pub(super) wanted: u32,
    /// The number of the oldest of the serving ones.
    pub(super) oldest: Option<u64>,
}

/// A version, as the host's places see it.
pub(super) trait Pool: Debug + Send + Sync {
    /// Starts the first queued instance that is ready, or leaves the queue.
    fn start_next(self: Arc<Self>);

    /// Tells the oldest of its serving instances to end.
    fn end_oldest(&self);

    /// Others wait for the ends of those that are to end.
    fn hurry(&self);
}

/// A version's part in the host's places; it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Member {
    capacity: Arc<Capacity>,
    number: u64,
    /// Places that each of its instances takes.
    places: u32,
}

// === impl Capacity ===

impl Capacity {
    pub(crate) fn new(instances: u32) -> Self {
        Self {
            most: instances.into(),
            made: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// Instances that are live now.
    pub(crate) fn live(&self) -> u32 {
        self.state.lock().shares.live
    }

    /// Places that instances have.
    pub(crate) fn taken(&self) -> u32 {
        let taken = self.state.lock().shares.total.taken();
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    /// Whether no version has or wants anything.
    #[allow(dead_code, reason = "for tests and models, which are no tests of this")]
    pub(crate) fn is_at_rest(&self) -> bool {
        let state = self.state.lock();
        let is_all_back = state.shares.total.taken() == 0 && state.shares.live == 0;
        is_all_back && state.shares.total.wanted == 0 && state.shares.is_queue_empty()
    }

    /// A version of a function joins, each of whose instances takes so many
    /// places.
    pub(super) fn join(
        self: &Arc<Self>,
        function: FunctionNumber,
        places: u32,
        pool: Weak<dyn Pool>,
    ) -> Member {
        let number = self.state.lock().shares.add(function, places, pool);
        Member {
            capacity: Arc::clone(self),
            number,
            places,
        }
    }

    /// Gives the free places to those that stand in the queue, in turn, and has
    /// an instance end for the first of them if none does. Called without a lock
    /// whenever a place has become free or a version has joined the queue.
    fn hand_out(&self) {
        // Before the lock, so that it is dropped without it.
        let mut handing_out = HandingOut {
            capacity: self,
            is_begun: false,
        };
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.is_handing_out, true) {
            return;
        }
        handing_out.is_begun = true;
        while let Some(step) = state.shares.next_step(self.most) {
            drop(state);
            match step {
                Step::Start(pool) => pool.start_next(),
                Step::End(pool) => pool.end_oldest(),
            }
            state = self.state.lock();
        }
        state.is_handing_out = false;
        handing_out.is_begun = false;
        let ending = match state.shares.is_queue_empty() {
            true => Vec::new(),
            false => state.shares.ending(),
        };
        drop(state);
        ending.iter().for_each(|pool| pool.hurry());
    }

    /// Has instances end until there are places for all that are wanted, or none
    /// is left that may end for the function of this member.
    fn make_room(&self, member: u64) {
        loop {
            let mut state = self.state.lock();
            if state.shares.total.asked() <= self.most {
                return;
            }
            let victim = state.shares.end_for(member, self.most);
            drop(state);
            match victim {
                // If it has none any more, that one's place is free.
                Some(pool) => pool.end_oldest(),
                None => return,
            }
        }
    }
}

/// A panic, as of a runtime that is gone, does not end it for good. Whether the
/// thread panics says nothing: one that unwinds already ends instances, too.
struct HandingOut<'a> {
    capacity: &'a Capacity,
    is_begun: bool,
}

impl Drop for HandingOut<'_> {
    fn drop(&mut self) {
        if self.is_begun {
            self.capacity.state.lock().is_handing_out = false;
        }
    }
}

// === impl Holds ===

impl Holds {
    pub(super) fn live(self) -> u32 {
        self.serving + self.ending
    }
}

// === impl Member ===

impl Member {
    /// Names a new instance; from 1 on.
    pub(super) fn number_instance(&self) -> u64 {
        self.capacity.made.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes the places of one more instance for a newcomer, if they are there
    /// and nothing else waits for them. `holds` counts that instance already.
    /// Answers the number of the instance.
    pub(super) fn take(&self, holds: Holds) -> Option<u64> {
        let mut state = self.capacity.state.lock();
        if self.has_place(&state) {
            let number = self.number_instance();
            let oldest = holds.oldest.or(Some(number));
            state.shares.set(self.number, Holds { oldest, ..holds });
            return Some(number);
        }
        None
    }

    /// Whether a newcomer would get a place.
    pub(super) fn may_take(&self) -> bool {
        self.has_place(&self.capacity.state.lock())
    }

    fn has_place(&self, state: &State) -> bool {
        let (places, most) = (u64::from(self.places), self.capacity.most);
        let is_free = state.shares.total.taken() + places <= most;
        let is_promised = state.shares.total.asked() + places > most;
        is_free && !is_promised && state.shares.is_queue_empty()
    }

    /// Whether this member is the first in the queue, and there are places for
    /// one of its instances.
    pub(super) fn may_begin(&self) -> bool {
        let state = self.capacity.state.lock();
        let taken = state.shares.total.taken() + u64::from(self.places);
        state.shares.first() == Some(self.number) && taken <= self.capacity.most
    }

    /// The next queued instance takes its places, which it [may](Self::may_begin).
    /// The member goes to the end of the queue if another one `is_ready`.
    pub(super) fn begin(&self, holds: Holds, is_ready: bool) {
        let mut state = self.capacity.state.lock();
        state.shares.pass_on(self.number, is_ready);
        state.shares.set(self.number, holds);
    }

    /// Notes what the version has and wants now. It stands in the queue from
    /// now on if a queued instance `is_ready`, and otherwise does not. Answers
    /// whether anything is wanted of the host.
    pub(super) fn account(&self, holds: Holds, is_ready: bool) -> bool {
        let mut state = self.capacity.state.lock();
        state.shares.set(self.number, holds);
        if is_ready {
            state.shares.join(self.number);
        } else {
            state.shares.leave(self.number);
        }
        state.shares.total.wanted > 0
    }

    /// Whether a new connection may wait for the first instance of its function.
    pub(super) fn is_owed(&self) -> bool {
        self.capacity.state.lock().shares.is_owed(self.number)
    }

    /// Has instances end so that those that are wanted can begin, and begins
    /// those for which there are places. Called without a lock.
    pub(super) fn make_room(&self) {
        self.capacity.make_room(self.number);
        self.capacity.hand_out();
    }

    /// Has instances end so that those that are wanted can begin. Called without
    /// a lock.
    pub(super) fn end_others(&self) {
        self.capacity.make_room(self.number);
    }

    /// Begins the instances that there are places for. Called without a lock.
    pub(super) fn hand_out(&self) {
        self.capacity.hand_out();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.capacity.state.lock().shares.remove(self.number);
    }
}

#[cfg(test)]
#[path = "capacity_tests.rs"]
mod tests;
