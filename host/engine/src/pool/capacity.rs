//! How many instances all functions of a host have together, and which function
//! gets the next place when there is none left.
//!
//! Each instance takes places in the engines' pools, so this bounds them: a
//! function's own `instances` may promise more than there is. Nearly all take one
//! place; a component with more memories or tables than a place has, or whose
//! calls may wait on more stacks, takes several, so that no component can use up
//! what others were promised.
//!
//! A version whose queued instances lack nothing but places stands in a queue,
//! once, however many it has: places go round from version to version. As long as
//! a version stands there, a newcomer gets no place before it. So that a place
//! becomes free, an instance of the function with the largest share ends; a
//! function ends its own only when no other has a larger share, and no function
//! can keep the others from having one.
//!
//! The lock is taken behind those of a version, never before one.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, Weak};

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
    members: BTreeMap<u64, Record>,
    /// Counts the members.
    last: u64,
    /// Instances of all members.
    live: u32,
    /// Sums over the members, in places.
    serving: u64,
    ending: u64,
    wanted: u64,
    /// Members with an instance that lacks nothing but places, each once.
    queue: VecDeque<u64>,
    /// A thread hands out places: others leave it to that one.
    is_handing_out: bool,
}

/// What a version has and wants.
#[derive(Debug)]
struct Record {
    pool: Weak<dyn Pool>,
    function: FunctionNumber,
    /// Places that each of its instances takes.
    places: u32,
    holds: Holds,
    is_queued: bool,
}

/// The instances of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds {
    /// Live, and not to end.
    pub(super) serving: u32,
    /// Live, and to end.
    pub(super) ending: u32,
    /// Those it could have beside the serving ones, of those that are queued.
    pub(super) wanted: u32,
}

/// A version, as the host's places see it.
pub(super) trait Pool: Debug + Send + Sync {
    /// Starts the first queued instance that is ready, or leaves the queue.
    fn start_next(self: Arc<Self>);

    /// Has its oldest instance end that serves.
    fn end_oldest(&self);
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
        self.state.lock().live
    }

    /// Places that instances have.
    pub(crate) fn taken(&self) -> u32 {
        let taken = self.state.lock().taken();
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    /// Whether no version has or wants anything.
    #[allow(dead_code, reason = "for tests and models, which are no tests of this")]
    pub(crate) fn is_at_rest(&self) -> bool {
        let state = self.state.lock();
        state.taken() == 0 && state.wanted == 0 && state.queue.is_empty() && state.live == 0
    }

    /// A version of a function joins, each of whose instances takes so many
    /// places.
    pub(super) fn join(
        self: &Arc<Self>,
        function: FunctionNumber,
        places: u32,
        pool: Weak<dyn Pool>,
    ) -> Member {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        let record = Record {
            pool,
            function,
            places,
            holds: Holds::default(),
            is_queued: false,
        };
        state.members.insert(number, record);
        drop(state);
        Member {
            capacity: Arc::clone(self),
            number,
            places,
        }
    }

    /// Gives the free places to those that stand in the queue, in turn. Called
    /// without a lock whenever a place has become free or a version has joined
    /// the queue.
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
        while let Some(pool) = state.next_to_start(self.most) {
            drop(state);
            pool.start_next();
            state = self.state.lock();
        }
        state.is_handing_out = false;
        handing_out.is_begun = false;
    }

    /// Has instances end until there are places for all that are wanted, or none
    /// is left that may end for the function of this member.
    fn make_room(&self, member: u64) {
        loop {
            let state = self.state.lock();
            if state.serving + state.wanted <= self.most {
                return;
            }
            let victim = state.victim(member);
            drop(state);
            match victim {
                // If it has none any more, that one's place is free.
                Some(pool) => pool.end_oldest(),
                None => return,
            }
        }
    }
}

/// A panic, of a runtime that is gone say, does not end it for good. Whether the
/// thread panics tells nothing: one that unwinds already ends instances, too.
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

// === impl State ===

impl State {
    fn taken(&self) -> u64 {
        self.serving + self.ending
    }

    /// The first in the queue, if there are places for it.
    fn next_to_start(&mut self, most: u64) -> Option<Arc<dyn Pool>> {
        loop {
            let first = *self.queue.front()?;
            let record = self.members.get(&first)?;
            if self.taken() + u64::from(record.places) > most {
                return None;
            }
            if let Some(pool) = record.pool.upgrade() {
                return Some(pool);
            }
            // Its last connection has just left.
            self.leave(first);
        }
    }

    fn join(&mut self, member: u64) {
        if let Some(record) = self.members.get_mut(&member)
            && !record.is_queued
        {
            record.is_queued = true;
            self.queue.push_back(member);
        }
    }

    fn leave(&mut self, member: u64) {
        if let Some(record) = self.members.get_mut(&member)
            && record.is_queued
        {
            record.is_queued = false;
            self.queue.retain(|other| *other != member);
        }
    }

    /// Places that a function has or will have when all that end have ended.
    fn share(&self, function: FunctionNumber) -> u64 {
        let of_it = self.members.values().filter(|it| it.function == function);
        of_it.map(Record::share).sum()
    }

    /// The version whose oldest instance ends next, so that the function of a
    /// member gets a place.
    fn victim(&self, member: u64) -> Option<Arc<dyn Pool>> {
        let own = self.members.get(&member)?;
        let share = self.share(own.function);
        let serving = self.members.values().filter(|it| it.holds.serving > 0);
        let others = serving.clone().filter(|it| it.function != own.function);
        let largest = others
            .map(|it| (self.share(it.function), it))
            .max_by_key(|(share, _)| *share)
            // One that has nothing yet is owed an instance in any case.
            .filter(|(other, _)| *other > share || share <= own.places.into());
        // The oldest version first: its instances are on their way out.
        let own = || serving.clone().find(|it| it.function == own.function);
        let victim = largest.map(|(_, record)| record).or_else(own)?;
        victim.pool.upgrade()
    }

    /// Whether a new connection may wait for the first instance of its function:
    /// the host is full of instances of others.
    fn is_owed(&self, member: u64) -> bool {
        let own = self.members.get(&member);
        own.is_some_and(|own| self.share(own.function) == 0)
    }

    fn set(&mut self, member: u64, holds: Holds) {
        let Some(record) = self.members.get_mut(&member) else {
            return;
        };
        let before = std::mem::replace(&mut record.holds, holds);
        let places = u64::from(record.places);
        let sum = |sum: u64, before: u32, now: u32| {
            sum + places * u64::from(now) - places * u64::from(before)
        };
        self.serving = sum(self.serving, before.serving, holds.serving);
        self.ending = sum(self.ending, before.ending, holds.ending);
        self.wanted = sum(self.wanted, before.wanted, holds.wanted);
        self.live = (self.live + holds.live()).saturating_sub(before.live());
    }
}

impl Record {
    fn share(&self) -> u64 {
        let instances = u64::from(self.holds.serving) + u64::from(self.holds.wanted);
        instances * u64::from(self.places)
    }
}

impl Holds {
    fn live(self) -> u32 {
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
    /// and nobody else waits for them. `holds` counts that instance already.
    pub(super) fn take(&self, holds: Holds) -> bool {
        let mut state = self.capacity.state.lock();
        let (places, most) = (u64::from(self.places), self.capacity.most);
        let is_free = state.taken() + places <= most;
        let is_promised = state.serving + state.wanted + places > most;
        if is_free && !is_promised && state.queue.is_empty() {
            state.set(self.number, holds);
            return true;
        }
        false
    }

    /// Whether this member is the first in the queue, and there are places for
    /// one of its instances.
    pub(super) fn may_begin(&self) -> bool {
        let state = self.capacity.state.lock();
        let taken = state.taken() + u64::from(self.places);
        state.queue.front() == Some(&self.number) && taken <= self.capacity.most
    }

    /// The next queued instance takes its places, which it [may](Self::may_begin).
    /// The member goes to the end of the queue if another one `is_ready`.
    pub(super) fn begin(&self, holds: Holds, is_ready: bool) {
        let mut state = self.capacity.state.lock();
        state.leave(self.number);
        if is_ready {
            state.join(self.number);
        }
        state.set(self.number, holds);
    }

    /// What the version has and wants has changed. It stands in the queue from
    /// now on if a queued instance `is_ready`, and else does not. Answers
    /// whether anything is wanted of the host.
    pub(super) fn account(&self, holds: Holds, is_ready: bool) -> bool {
        let mut state = self.capacity.state.lock();
        state.set(self.number, holds);
        if is_ready {
            state.join(self.number);
        } else {
            state.leave(self.number);
        }
        state.wanted > 0
    }

    /// Whether a new connection may wait for the first instance of its function.
    pub(super) fn is_owed(&self) -> bool {
        self.capacity.state.lock().is_owed(self.number)
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

    /// Begins what there are places for. Called without a lock.
    pub(super) fn hand_out(&self) {
        self.capacity.hand_out();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.capacity.state.lock();
        state.set(self.number, Holds::default());
        state.leave(self.number);
        state.members.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;
    use crate::deadlocks::watch_for_deadlocks;

    /// A version without seats: it has and wants what the test says.
    #[derive(Debug, Default)]
    struct Stub {
        member: Mutex<Option<Member>>,
        holds: Mutex<Holds>,
    }

    impl Stub {
        fn join(capacity: &Arc<Capacity>, function: FunctionNumber, places: u32) -> Arc<Self> {
            let stub = Arc::<Self>::default();
            let pool: Arc<dyn Pool> = Arc::<Self>::clone(&stub);
            *stub.member.lock() = Some(capacity.join(function, places, Arc::downgrade(&pool)));
            stub
        }

        fn with<T>(&self, ask: impl FnOnce(&Member, &mut Holds) -> T) -> T {
            ask(self.member.lock().as_ref().unwrap(), &mut self.holds.lock())
        }

        fn take(&self) -> bool {
            self.with(|member, holds| {
                let more = Holds {
                    serving: holds.serving + 1,
                    ..*holds
                };
                let is_taken = member.take(more);
                if is_taken {
                    *holds = more;
                }
                is_taken
            })
        }

        fn want(&self) {
            self.with(|member, holds| {
                holds.wanted += 1;
                member.account(*holds, true);
            });
            let capacity = self.with(|member, _| Arc::clone(&member.capacity));
            let number = self.with(|member, _| member.number);
            capacity.make_room(number);
            capacity.hand_out();
        }

        /// One that was told to end has ended.
        fn ended(&self) {
            let capacity = self.with(|member, holds| {
                holds.ending -= 1;
                member.account(*holds, holds.wanted > 0);
                Arc::clone(&member.capacity)
            });
            capacity.hand_out();
        }

        fn holds(&self) -> (u32, u32, u32) {
            self.with(|_, holds| (holds.serving, holds.ending, holds.wanted))
        }
    }

    impl Pool for Stub {
        fn start_next(self: Arc<Self>) {
            self.with(|member, holds| {
                assert!(member.may_begin());
                holds.wanted -= 1;
                holds.serving += 1;
                member.begin(*holds, holds.wanted > 0);
            });
        }

        fn end_oldest(&self) {
            self.with(|member, holds| {
                holds.serving -= 1;
                holds.ending += 1;
                member.account(*holds, holds.wanted > 0);
            });
        }
    }

    #[test]
    fn at_its_limit_and_one_past_it() {
        let capacity = Arc::new(Capacity::new(2));
        let one = Stub::join(&capacity, 1, 1);
        assert!(one.take() && one.take() && !one.take());
        assert_eq!((capacity.live(), capacity.taken()), (2, 2));
        drop(one);
        assert!(capacity.is_at_rest());
    }

    #[test]
    fn an_instance_of_several_places_counts_as_one_and_takes_them_all() {
        let capacity = Arc::new(Capacity::new(5));
        let large = Stub::join(&capacity, 1, 4);
        assert!(large.take() && !large.take());
        assert_eq!((capacity.live(), capacity.taken()), (1, 4));
        let small = Stub::join(&capacity, 2, 1);
        assert!(small.take() && !small.take());
    }

    #[test]
    fn a_function_gets_places_of_the_one_with_the_largest_share_until_that_has_no_more() {
        let capacity = Arc::new(Capacity::new(4));
        let one = Stub::join(&capacity, 1, 1);
        while one.take() {}
        let other = Stub::join(&capacity, 2, 1);
        assert!(other.with(|member, _| member.is_owed()));
        for (expected_one, expected_other) in [((3, 1, 0), (0, 0, 1)), ((2, 2, 0), (0, 0, 2))] {
            other.want();
            assert_eq!((one.holds(), other.holds()), (expected_one, expected_other));
        }
        // They are even: from now on it ends its own, of which it has none yet.
        other.want();
        assert_eq!((one.holds(), other.holds()), ((2, 2, 0), (0, 0, 3)));
        assert!(!other.take(), "places are promised");
        one.ended();
        one.ended();
        assert_eq!((one.holds(), other.holds()), ((2, 0, 0), (2, 0, 1)));
        other.want();
        assert_eq!(one.holds(), (2, 0, 0));
        assert_eq!(other.holds().1, 2, "it ends its own for what it wants");
    }

    #[test]
    fn the_only_place_goes_from_function_to_function() {
        let capacity = Arc::new(Capacity::new(1));
        let all: Vec<_> = (1..=3).map(|it| Stub::join(&capacity, it, 1)).collect();
        assert!(all[0].take());
        all[1].want();
        all[2].want();
        assert_eq!(all[0].holds(), (0, 1, 0));
        all[0].want();
        for (ends, begins) in [(0, 1), (1, 2), (2, 0)] {
            all[ends].ended();
            assert_eq!(all[begins].holds(), (1, 0, 0), "{begins}");
            if begins != 0 {
                // As a version does when one of its instances has begun.
                let number = all[begins].with(|member, _| member.number);
                capacity.make_room(number);
                assert_eq!(all[begins].holds(), (0, 1, 0), "{begins}");
            }
        }
    }

    #[test]
    fn no_newcomer_takes_what_the_first_in_the_queue_waits_for() {
        let capacity = Arc::new(Capacity::new(3));
        let small = Stub::join(&capacity, 1, 1);
        while small.take() {}
        let large = Stub::join(&capacity, 2, 2);
        large.want();
        assert_eq!(small.holds(), (1, 2, 0));
        small.ended();
        assert!(!small.take(), "one place of the two is there");
        assert_eq!(large.holds(), (0, 0, 1));
        small.ended();
        assert_eq!(large.holds(), (1, 0, 0));
        drop(large);
        assert!(small.take());
    }

    /// Ends an instance when it is dropped.
    struct Ends(Arc<Stub>);

    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.ended();
        }
    }

    #[test]
    fn a_thread_that_unwinds_hands_out_places_like_any_other() {
        watch_for_deadlocks();
        let capacity = Arc::new(Capacity::new(1));
        let [one, other] = [1, 2].map(|it| Stub::join(&capacity, it, 1));
        assert!(one.take());
        other.want();
        let ends = Ends(Arc::clone(&one));
        let unwound = std::panic::catch_unwind(AssertUnwindSafe(move || {
            let _ends = ends;
            panic!("not of this");
        }));
        assert!(unwound.is_err());
        assert_eq!((one.holds(), other.holds()), ((0, 0, 0), (1, 0, 0)));
        assert!(!capacity.state.lock().is_handing_out);
    }

    #[test]
    fn a_version_that_has_gone_stands_in_nobodys_way() {
        let capacity = Arc::new(Capacity::new(1));
        let all: Vec<_> = (1..=3).map(|it| Stub::join(&capacity, it, 1)).collect();
        assert!(all[0].take());
        all[1].want();
        all[2].want();
        let [first, second, third] = <[_; 3]>::try_from(all).unwrap();
        drop(second);
        first.ended();
        assert_eq!(third.holds(), (1, 0, 0));
    }
}
