//! Places of versions without seats.

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

    fn hurry(&self) {}

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
