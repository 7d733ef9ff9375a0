//! A log, alone and beside a plain list of all that was ever published.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::publication::tests::plain;

const ALL: PageLimit = PageLimit {
    count: usize::MAX,
    bytes: usize::MAX,
};

fn epoch() -> Epoch {
    Epoch::from_random(9)
}

fn at(offset: u64) -> Position {
    Position::new(epoch(), offset)
}

fn publish(log: &mut Log, text: &str, time: u64) -> Publication {
    let top = log.top();
    let next = Position::new(top.epoch, top.offset + 1);
    let publication = plain(text, Some(next), time);
    log.append(publication.clone());
    publication
}

fn offsets(publications: &[Publication]) -> Vec<u64> {
    publications.iter().map(Publication::offset).collect()
}

/// A log of offsets 1 to 5, of which the first two are evicted.
fn log() -> Log {
    let mut log = Log::new(epoch());
    for number in 1..=5 {
        publish(&mut log, "abc", number);
    }
    let bounds = Bounds {
        count: Some(3),
        ..Bounds::default()
    };
    assert_eq!(log.evict(&bounds, Moment(0)), 1..3);
    log
}

#[test]
fn a_recovery_is_all_or_nothing() {
    let log = log();
    let since = |position| log.since(position, ALL, |_| true).map(|it| offsets(&it));
    assert_eq!(since(at(5)), Some(vec![]));
    assert_eq!(since(at(4)), Some(vec![5]));
    assert_eq!(
        since(at(2)),
        Some(vec![3, 4, 5]),
        "the oldest that is kept is next"
    );
    assert_eq!(since(at(1)), None, "2 is evicted");
    assert_eq!(since(at(0)), None);
    assert_eq!(since(at(6)), None, "from the future");
    let other = Position::new(Epoch::from_random(8), 5);
    assert_eq!(since(other), None, "of another epoch, or another channel");
}

#[test]
fn a_recovery_at_its_limit_and_past_it() {
    let log = log();
    let since = |count, bytes| {
        log.since(at(2), PageLimit { count, bytes }, |_| true)
            .is_some()
    };
    assert!(since(3, 9));
    assert!(!since(2, 9) && !since(3, 8));
    assert!(
        log.since(at(5), PageLimit { count: 0, bytes: 0 }, |_| true)
            .is_some()
    );
}

#[test]
fn the_bound_that_is_reached_first_evicts() {
    let cost = plain("abc", Some(at(1)), 0).cost();
    let second = Duration::from_secs(1);
    let unbounded = Bounds::default();
    let count = |count| Bounds {
        count: Some(count),
        ..unbounded
    };
    let bytes = |bytes| Bounds {
        bytes: Some(bytes),
        ..unbounded
    };
    let time = Bounds {
        time: Some(second),
        ..unbounded
    };
    let all = Bounds {
        count: Some(1),
        bytes: Some(2 * cost),
        ..time
    };
    for (bounds, now, kept) in [
        (unbounded, u64::MAX, 3),
        (count(3), 0, 3),
        (count(2), 0, 2),
        (count(0), 0, 0),
        (bytes(3 * cost), 0, 3),
        (bytes(3 * cost - 1), 0, 2),
        (bytes(cost - 1), 0, 0),
        (time, 1000, 3),
        (time, 1001, 2),
        (time, 1003, 0),
        (all, 1001, 1),
    ] {
        let mut log = Log::new(epoch());
        for time in 1..=3 {
            publish(&mut log, "abc", time);
        }
        log.evict(&bounds, Moment(now));
        assert_eq!(log.count(), kept, "{bounds:?} {now}");
        assert_eq!((log.bytes(), log.top()), (kept * cost, at(3)));
    }
}

#[test]
fn the_count_outlives_what_it_counts() {
    let mut log = log();
    log.clear();
    assert_eq!((log.count(), log.bytes(), log.cost()), (0, 0, 0));
    assert_eq!(
        log.since(at(5), ALL, |_| true),
        Some(vec![]),
        "nothing was missed"
    );
    assert_eq!(
        log.since(at(4), ALL, |_| true),
        None,
        "what was missed is gone"
    );
    let next = publish(&mut log, "6", 6);
    assert_eq!(log.since(at(5), ALL, |_| true), Some(vec![next]));
    log.pass();
    assert_eq!((log.top(), log.count()), (at(7), 0));
    assert_eq!(log.since(at(5), ALL, |_| true), None);
}

#[test]
fn pages_in_both_directions() {
    let log = log();
    let page = |since: Option<u64>, reverse, count| {
        let since = since.map(at);
        let limit = PageLimit { count, bytes: 100 };
        let page = log.page(PageQuery { since, reverse }, limit).unwrap();
        assert_eq!(page.top, at(5));
        (offsets(&page.publications), page.has_gap, page.has_more)
    };
    assert_eq!(page(None, false, 9), (vec![3, 4, 5], false, false));
    assert_eq!(page(None, false, 2), (vec![3, 4], false, true));
    assert_eq!(page(None, true, 2), (vec![5, 4], false, true));
    assert_eq!(page(Some(4), false, 2), (vec![5], false, false));
    assert_eq!(page(Some(5), false, 2), (vec![], false, false));
    assert_eq!(page(Some(5), true, 9), (vec![4, 3], false, false));
    assert_eq!(
        page(Some(1), false, 9),
        (vec![3, 4, 5], true, false),
        "2 is missing"
    );
    assert_eq!(page(Some(2), false, 9), (vec![3, 4, 5], false, false));
    assert_eq!(page(Some(2), true, 9), (vec![], true, false));
    assert_eq!(
        page(Some(3), true, 9),
        (vec![], true, false),
        "2 is missing"
    );
    assert_eq!(page(Some(1), true, 9), (vec![], false, false));
    assert_eq!(
        page(None, false, 0),
        (vec![], false, true),
        "only the position"
    );
    for bad in [at(6), Position::start(Epoch::from_random(1))] {
        let query = PageQuery {
            since: Some(bad),
            reverse: false,
        };
        assert_eq!(log.page(query, ALL), Err(Unrecoverable { top: at(5) }));
    }
    let bytes = |bytes| {
        let limit = PageLimit { count: 9, bytes };
        offsets(&log.page(PageQuery::default(), limit).unwrap().publications)
    };
    assert_eq!(bytes(6), [3, 4]);
    assert_eq!(bytes(5), [3]);
    assert_eq!(bytes(0), [3], "one is always allowed");
    assert_eq!(
        offsets(&log.last(PageLimit {
            count: 2,
            bytes: 100
        })),
        [4, 5]
    );
}

#[test]
fn an_empty_log_gives_its_room_back() {
    let mut log = Log::new(epoch());
    for _ in 0..1000 {
        publish(&mut log, "", 0);
    }
    let one = Bounds {
        count: Some(1),
        ..Bounds::default()
    };
    log.evict(&one, Moment(0));
    assert!(log.cost() < 1000, "{}", log.cost());
    log.evict(
        &Bounds {
            count: Some(0),
            ..one
        },
        Moment(0),
    );
    assert_eq!(log.cost(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize, u64),
    Wait(u64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..20usize, 0..3u64).prop_map(|(bytes, time)| Step::Publish(bytes, time)),
        2 => (0..40u64).prop_map(Step::Wait),
        1 => Just(Step::Clear),
    ];
    vec(step, 0..60)
}

/// Pages after and before a position, of a log that has lost the first `base`
/// of all publications.
fn check_page(
    log: &Log,
    all: &[Publication],
    base: usize,
    since: Position,
    limit: PageLimit,
) -> Result<(), TestCaseError> {
    let at = usize::try_from(since.offset).unwrap();
    for reverse in [false, true] {
        let wanted: Vec<_> = if reverse {
            all[..at.saturating_sub(1)].iter().rev().collect()
        } else {
            all[at..].iter().collect()
        };
        let is_gone = |it: &&Publication| it.offset() <= u64::try_from(base).unwrap();
        let has_gap = wanted.first().is_some_and(is_gone);
        let left: Vec<_> = wanted.into_iter().filter(|it| !is_gone(it)).collect();
        let bytes = |count: usize| {
            left[..count]
                .iter()
                .map(|it| it.data.bytes())
                .sum::<usize>()
        };
        let fits =
            |count: &usize| *count <= limit.count && (*count == 1 || bytes(*count) <= limit.bytes);
        let count = (1..=left.len()).take_while(fits).count();
        let query = PageQuery {
            since: Some(since),
            reverse,
        };
        let page = log.page(query, limit).unwrap();
        prop_assert!(page.publications.iter().eq(left[..count].iter().copied()));
        prop_assert_eq!((page.has_gap, page.has_more), (has_gap, count < left.len()));
    }
    Ok(())
}

proptest! {
    /// The model has everything that was ever published, and which of it must
    /// still be there.
    #[test]
    fn it_answers_as_a_list_of_everything_does(
        steps in steps(),
        (count, bytes, time) in (
            proptest::option::of(0..6usize),
            proptest::option::of(0..2000usize),
            proptest::option::of(1..30u64),
        ),
        limit in (0..8usize, 0..60usize),
    ) {
        let bounds = Bounds { count, bytes, time: time.map(Duration::from_millis) };
        let limit = PageLimit { count: limit.0, bytes: limit.1 };
        let mut log = Log::new(epoch());
        let (mut all, mut kept, mut now) = (Vec::new(), 0, 0);
        for step in steps {
            match step {
                Step::Publish(bytes, wait) => {
                    now += wait;
                    let before = log.cost();
                    let publication = plain(&"a".repeat(bytes), Some(at(log.top().offset + 1)), now);
                    let growth = log.growth(publication.cost(), &bounds);
                    log.append(publication.clone());
                    all.push(publication);
                    kept += 1;
                    log.evict(&bounds, Moment(now));
                    prop_assert!(log.cost() <= before + growth, "{} {before} {growth}", log.cost());
                }
                Step::Wait(wait) => {
                    now += wait;
                    log.evict(&bounds, Moment(now));
                }
                Step::Clear => {
                    log.clear();
                    kept = 0;
                }
            }
            let exceeds = |kept: usize| {
                let rest = &all[all.len() - kept..];
                let cost: usize = rest.iter().map(Publication::cost).sum();
                kept > 0 && (count.is_some_and(|it| kept > it)
                    || bytes.is_some_and(|it| cost > it)
                    || time.is_some_and(|it| rest[0].time.0 + it <= now))
            };
            while exceeds(kept) {
                kept -= 1;
            }
            let rest = &all[all.len() - kept..];
            prop_assert!(log.iter().eq(rest));
            prop_assert_eq!(log.bytes(), rest.iter().map(Publication::cost).sum::<usize>());
            for since in 0..all.len() + 2 {
                let missed = all.get(since..);
                let expected = missed.filter(|missed| {
                    let bytes: usize = missed.iter().map(|it| it.data.bytes()).sum();
                    missed.len() <= kept && missed.len() <= limit.count && bytes <= limit.bytes
                });
                let since = at(since.try_into().unwrap());
                prop_assert_eq!(log.since(since, limit, |_| true), expected.map(<[_]>::to_vec));
                if since.offset <= log.top().offset {
                    let base = all.len() - kept;
                    check_page(&log, &all, base, since, limit)?;
                }
            }
        }
    }

    /// Page after page gives everything, in both directions.
    #[test]
    fn pages_one_after_the_other_are_all(
        count in 0..20u64, evicted in 0..20u64, limit in 1..5usize, reverse: bool,
    ) {
        let mut log = Log::new(epoch());
        (0..count).for_each(|_| drop(publish(&mut log, "ab", 0)));
        let kept = usize::try_from(count.saturating_sub(evicted)).unwrap();
        log.evict(&Bounds { count: Some(kept), ..Bounds::default() }, Moment(0));
        let (mut since, mut seen) = (None, Vec::new());
        loop {
            let limit = PageLimit { count: limit, bytes: 5 };
            let page = log.page(PageQuery { since, reverse }, limit).unwrap();
            prop_assert!(!page.has_gap);
            seen.extend(page.publications);
            since = seen.last().and_then(|it: &Publication| it.position);
            if !page.has_more {
                break;
            }
        }
        if reverse {
            seen.reverse();
        }
        prop_assert!(log.iter().eq(&seen));
    }
}
