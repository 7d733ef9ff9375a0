//! Alarms that are moved, cleared and called in each of their states; the turns
//! of functions; and clocks that jump.

use super::*;
use crate::alarms::clock::AlarmClock;
use crate::alarms::stand_in::StandIn;

fn served(clock: &AlarmClock) -> Arc<dyn Owner> {
    StandIn::of(clock)
}

fn reading(at: Instant, wall: u64) -> Reading {
    Reading { at, wall }
}

fn table(most: u32) -> (Table, AlarmClock, Instant) {
    let now = Instant::now();
    (
        Table::new(most, reading(now, 0)),
        AlarmClock::default(),
        now,
    )
}

fn id(number: usize) -> AlarmId {
    ("key".into(), AlarmName::new(&number.to_string()).unwrap())
}

fn at(at: Instant) -> Setting {
    Setting {
        at,
        attempt: 1,
        durable: None,
    }
}

fn durable(at: Instant, due_at: u64, by_wall: bool) -> Setting {
    Setting {
        durable: Some(Durable { due_at, by_wall }),
        ..self::at(at)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_that_is_queued_can_be_taken_back_and_moved() {
    let (mut table, clock, now) = table(10);
    let function = &served(&clock);
    let owner = function.number();
    for number in 0..3 {
        table.put(function, id(number), at(now));
    }
    assert_eq!(table.ripen(now), None);
    table.take(owner, &id(0));
    table.put(function, id(1), at(now + SECOND));
    let firing = table.begin().unwrap();
    assert_eq!(firing.id, id(2));
    assert!(table.begin().is_none());
    assert_eq!(table.ripen(now), Some(now + SECOND));
    table.ripen(now + SECOND);
    assert_eq!(table.begin().unwrap().id, id(1));
}

#[test]
fn a_call_that_has_not_begun_does_not_begin_and_one_that_has_is_the_last() {
    let (mut table, clock, now) = table(10);
    let function = &served(&clock);
    let owner = function.number();
    for begun in [false, true] {
        for moved in [false, true] {
            table.put(function, id(0), durable(now, 7, false));
            table.ripen(now);
            let firing = table.begin().unwrap();
            assert!(table.is_current(&firing));
            assert!(!begun || firing.ticket.begin());
            // The table always knows the entry in the store.
            let stored = if moved {
                table.put(function, id(0), at(now + SECOND))
            } else {
                table.take(owner, &id(0))
            };
            assert_eq!(stored.map(|stored| stored.due_at), Some(7));
            assert!(!table.is_current(&firing), "it is not tried again");
            assert_eq!(firing.ticket.begin(), begun);
            table.end(owner);
            let stays = table.take(owner, &id(0));
            assert_eq!(stays, None);
        }
    }
    assert!(table.functions.is_empty() && !table.has_durable());
    assert_eq!((table.waiting, table.firing), (0, 0));
}

#[test]
fn a_function_with_many_calls_leaves_as_many_to_others() {
    let (mut table, clock, now) = table(u32::MAX);
    let functions: Vec<_> = (0..3).map(|_| served(&clock)).collect();
    let [greedy, other, third] = &functions[..] else {
        unreachable!("there are three");
    };
    for number in 0..2 * FIRING_MAX {
        table.put(greedy, id(number), at(now));
    }
    table.ripen(now);
    let begun = |table: &mut Table| std::iter::from_fn(|| table.begin()).count();
    assert_eq!(begun(&mut table), FIRING_MAX / 2);
    // Another function's alarm is called at once, however many of the first
    // function wait.
    table.put(other, id(0), at(now));
    table.ripen(now);
    assert_eq!(table.begin().unwrap().owner.number(), other.number());
    assert_eq!(begun(&mut table), 0);
    // It gets its part of the rest, and a third function always gets one call.
    for number in 0..FIRING_MAX {
        table.put(other, id(number), at(now));
    }
    table.ripen(now);
    assert_eq!(begun(&mut table), FIRING_MAX / 4 - 1);
    table.firing = FIRING_MAX;
    table.put(third, id(0), at(now));
    table.put(third, id(1), at(now));
    table.ripen(now);
    assert_eq!(begun(&mut table), 1);
}

#[test]
fn functions_take_turns() {
    let (mut table, clock, now) = table(10);
    let functions = [served(&clock), served(&clock)];
    for number in 0..3 {
        table.put(&functions[0], id(number), at(now));
    }
    table.ripen(now);
    table.put(&functions[1], id(0), at(now));
    table.put(&functions[1], id(1), at(now));
    table.ripen(now);
    let order: Vec<_> = std::iter::from_fn(|| table.begin())
        .map(|firing| firing.owner.number())
        .collect();
    let [a, b] = [functions[0].number(), functions[1].number()];
    assert_eq!(order, [a, b, a, b, a]);
}

#[test]
fn one_of_a_function_that_is_not_served_waits_until_it_is() {
    let (mut table, clock, now) = table(10);
    let function = StandIn::of(&clock);
    function.serve(false);
    let owner: Arc<dyn Owner> = Arc::<StandIn>::clone(&function);
    table.put(&owner, id(0), at(now));
    table.ripen(now);
    assert!(table.begin().is_none());
    function.serve(true);
    table.line_up(function.number());
    assert!(table.begin().is_some());
}

#[test]
fn the_hosts_alarms_at_their_number_and_past_it_alone_and_beside_others() {
    let (mut table, clock, now) = table(4);
    let functions = [served(&clock), served(&clock)];
    let owners = functions.each_ref().map(|it| it.number());
    let room = |table: &Table, which: usize, number, count| {
        table.has_room(owners[which], &id(number), 3, count)
    };
    // A function that is alone may have all alarms, and as many for a value as
    // the limit allows.
    for number in 0..3 {
        assert_eq!(room(&table, 0, number, 1), Ok(()));
        table.put(&functions[0], id(number), at(now));
    }
    assert_eq!(room(&table, 0, 3, 1), Err(AlarmError::TooMany));
    assert_eq!(room(&table, 0, 2, 2), Ok(()), "one may be moved");
    // With another function, it may have no more than it leaves free.
    table.take(owners[0], &id(2));
    assert_eq!(room(&table, 0, 2, 2), Err(AlarmError::Share));
    table.take(owners[0], &id(1));
    assert_eq!(room(&table, 0, 1, 2), Ok(()));
    table.put(&functions[0], id(1), at(now));
    assert_eq!(room(&table, 1, 0, 2), Ok(()));
    table.put(&functions[1], id(0), at(now));
    assert_eq!(room(&table, 1, 1, 2), Err(AlarmError::Share));
    table.put(&functions[1], id(1), at(now));
    assert_eq!(room(&table, 1, 2, 1), Err(AlarmError::HostFull));
    // A removed function leaves nothing.
    table.ripen(now);
    let firing = table.begin().unwrap();
    table.forget(owners[0]);
    table.forget(owners[1]);
    assert!(firing.ticket.is_cancelled() && table.begin().is_none());
    table.end(firing.owner.number());
    assert!(table.functions.is_empty());
    assert_eq!((table.waiting, table.firing), (0, 0));
}

#[test]
fn a_wall_clock_that_is_put_right_moves_what_depends_on_it_and_nothing_else() {
    let (mut table, clock, start) = table(10);
    let function = &served(&clock);
    const DAY: u64 = 24 * 60 * 60 * 1000;
    // The clock is a day behind. One alarm comes from an earlier process, and
    // is due in six seconds by the right time; another was set just now, for
    // five seconds.
    let late = start + until(DAY + 6_000, 0);
    table.put(function, id(0), durable(late, DAY + 6_000, true));
    table.put(function, id(1), durable(start + 5 * SECOND, 5_000, false));
    table.put(function, id(2), at(start + 7 * SECOND));
    let now = start + SECOND;
    assert!(table.compare_clocks(reading(now, 1_999)).is_empty());
    assert_eq!(table.due.last_key_value().unwrap().0.0, late);
    // The clock is corrected one second later.
    let moved = table.compare_clocks(reading(now, DAY + 1_000));
    let due: Vec<_> = table.due.keys().map(|(at, _)| *at - start).collect();
    assert_eq!(due, [5 * SECOND, 6 * SECOND, 7 * SECOND]);
    // The store must get the second alarm's new time.
    assert_eq!(moved.len(), 1);
    assert_eq!(table.moved_to(&moved[0]), Some((DAY + 5_000, 1)));
    // The clock jumps back again: the first alarm is not due for a day.
    table.compare_clocks(reading(now + SECOND, 2_000));
    let due: Vec<_> = table.due.keys().map(|(at, _)| *at - start).collect();
    assert_eq!(due[..2], [5 * SECOND, 7 * SECOND]);
    assert_eq!(due[2], 2 * SECOND + until(DAY + 6_000, 2_000));
    table.take(function.number(), &id(1));
    assert_eq!(table.moved_to(&moved[0]), None);
}
