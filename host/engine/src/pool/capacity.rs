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
        let (places, most) = (u64::from(self.places), self.capacity.most);
        let is_free = state.shares.total.taken() + places <= most;
        let is_promised = state.shares.total.asked() + places > most;
        if is_free && !is_promised && state.shares.is_queue_empty() {
            let number = self.number_instance();
            let oldest = holds.oldest.or(Some(number));
            state.shares.set(self.number, Holds { oldest, ..holds });
            return Some(number);
        }
        None
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
mod tests {
    use std::collections::VecDeque;
    use std::panic::AssertUnwindSafe;

    use super::*;
    use crate::deadlocks::watch_for_deadlocks;

    /// A version without seats: it has and wants what the test says.
    #[derive(Debug, Default)]
    struct Stub {
        member: Mutex<Option<Member>>,
        holds: Mutex<Holds>,
        /// The numbers of its instances that serve.
        numbers: Mutex<VecDeque<u64>>,
    }

    impl Stub {
        fn join(capacity: &Arc<Capacity>, function: FunctionNumber, places: u32) -> Arc<Self> {
            let stub = Arc::<Self>::default();
            let pool: Arc<dyn Pool> = Arc::<Self>::clone(&stub);
            *stub.member.lock() = Some(capacity.join(function, places, Arc::downgrade(&pool)));
            stub
        }

        fn with<T>(&self, ask: impl FnOnce(&Member, &mut Holds) -> T) -> T {
            let mut holds = self.holds.lock();
            holds.oldest = self.numbers.lock().front().copied();
            ask(self.member.lock().as_ref().unwrap(), &mut holds)
        }

        fn take(&self) -> bool {
            self.with(|member, holds| {
                let more = Holds {
                    serving: holds.serving + 1,
                    ..*holds
                };
                let taken = member.take(more);
                if let Some(number) = taken {
                    self.numbers.lock().push_back(number);
                    *holds = more;
                }
                taken.is_some()
            })
        }

        fn want(&self) {
            self.with(|member, holds| {
                holds.wanted += 1;
                member.account(*holds, true);
            });
            self.make_room();
            self.capacity().hand_out();
        }

        fn make_room(&self) {
            let number = self.with(|member, _| member.number);
            self.capacity().make_room(number);
        }

        /// One that was told to end has ended.
        fn ended(&self) {
            self.with(|member, holds| {
                holds.ending -= 1;
                member.account(*holds, holds.wanted > 0);
            });
            self.capacity().hand_out();
        }

        fn capacity(&self) -> Arc<Capacity> {
            self.with(|member, _| Arc::clone(&member.capacity))
        }

        fn holds(&self) -> (u32, u32, u32) {
            self.with(|_, holds| (holds.serving, holds.ending, holds.wanted))
        }
    }

    impl Pool for Stub {
        /// As a version does.
        fn start_next(self: Arc<Self>) {
            self.with(|member, holds| {
                assert!(member.may_begin());
                let number = member.number_instance();
                self.numbers.lock().push_back(number);
                holds.oldest.get_or_insert(number);
                holds.wanted -= 1;
                holds.serving += 1;
                member.begin(*holds, holds.wanted > 0);
            });
            self.make_room();
        }

        fn end_oldest(&self) {
            self.numbers.lock().pop_front();
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
        assert_eq!((one.holds(), other.holds()), ((2, 1, 0), (0, 1, 2)));
        one.ended();
        assert_eq!((one.holds(), other.holds()), ((2, 0, 0), (1, 1, 1)));
        other.want();
        assert_eq!(one.holds(), (2, 0, 0));
        assert_eq!(
            other.holds(),
            (0, 2, 2),
            "it ends its own for what it wants"
        );
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
            // It gives the place to the next one as soon as its call has returned.
            let expected = if begins == 0 { (1, 0, 0) } else { (0, 1, 0) };
            assert_eq!(all[begins].holds(), expected, "{begins}");
        }
    }

    #[test]
    fn a_function_that_wants_much_takes_nothing_that_is_another_ones_part() {
        let capacity = Arc::new(Capacity::new(10));
        let [modest, greedy] = [1, 2].map(|it| Stub::join(&capacity, it, 1));
        for _ in 0..5 {
            assert!(modest.take() && greedy.take());
        }
        for _ in 0..50 {
            greedy.want();
        }
        assert_eq!((modest.holds(), greedy.holds()), ((5, 0, 0), (0, 5, 50)));
        // It needs one more, and one of its own ends for that, not all.
        modest.want();
        assert_eq!(modest.holds(), (4, 1, 1));
        // The same holds once it has begun.
        for _ in 0..5 {
            greedy.ended();
        }
        modest.ended();
        while modest.holds() != (5, 0, 0) {
            assert_eq!(modest.holds(), (4, 0, 1));
            greedy.ended();
        }
        // And when the greedy one goes on, with its own part.
        for _ in 0..20 {
            greedy.ended();
        }
        assert_eq!(modest.holds(), (5, 0, 0));
    }

    #[test]
    fn what_is_beyond_a_functions_part_goes_to_those_that_want_it_however_much_they_want() {
        let capacity = Arc::new(Capacity::new(10));
        let [large, greedy, small] = [1, 2, 3].map(|it| Stub::join(&capacity, it, 1));
        for _ in 0..9 {
            assert!(large.take());
        }
        assert!(greedy.take());
        greedy.with(|member, holds| {
            holds.wanted = 60;
            member.account(*holds, true);
        });
        small.want();
        // The small one gets one of 10, and each of the others gets 4.
        assert_eq!(large.holds(), (4, 5, 0));
        assert_eq!(greedy.holds(), (1, 0, 60));
        for _ in 0..5 {
            large.ended();
        }
        assert_eq!((large.holds(), small.holds()), ((4, 0, 0), (1, 0, 0)));
    }

    #[test]
    fn of_functions_with_as_many_the_one_with_the_oldest_instance_gives_it_up() {
        let capacity = Arc::new(Capacity::new(4));
        let all: Vec<_> = (0..5).map(|it| Stub::join(&capacity, it, 1)).collect();
        for index in [2, 0, 3, 1] {
            assert!(all[index].take());
        }
        // Each wants again what it has lost: all lose as often.
        let mut wants = 4;
        for gives_up in [2, 0, 3, 1, 4, 2, 0, 3, 1, 4] {
            all[wants].want();
            assert_eq!(all[gives_up].holds(), (0, 1, 0), "{wants} wants");
            all[gives_up].ended();
            assert_eq!(all[wants].holds(), (1, 0, 0), "{wants} wants");
            wants = gives_up;
        }
    }

    #[test]
    fn places_go_round_from_function_to_function_however_many_versions_one_has() {
        let capacity = Arc::new(Capacity::new(1));
        let other = Stub::join(&capacity, 1, 1);
        let many: Vec<_> = (0..3).map(|_| Stub::join(&capacity, 2, 1)).collect();
        assert!(other.take());
        for version in &many {
            version.want();
            version.want();
        }
        other.want();
        other.want();
        other.ended();
        let mut order = Vec::new();
        for _ in 0..7 {
            // The one that has the place is to end for the others.
            let all = [&many[0], &many[1], &many[2], &other];
            let ending = all.iter().position(|it| it.holds().1 == 1);
            order.push(ending.unwrap());
            all[ending.unwrap()].ended();
        }
        assert_eq!(order, [0, 3, 1, 3, 2, 0, 1]);
        assert_eq!(many[2].holds(), (1, 0, 0));
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
