//! Tests of the memory of nonces: what passes once, limits, restarts, and windows
//! that change.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

const MANY: usize = 100;
/// A window of this many seconds, if nothing else is said.
const WINDOW: u64 = 900;
/// Any moment, from which the tests count.
const NOON: u64 = 1_800_000_000;

fn at(seconds: u64) -> UnixTime {
    UnixTime(seconds)
}

fn window(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn within(text: &str, date: u64) -> Nonce<'_> {
    Nonce {
        key: "key",
        text,
        date: at(date),
        kept: Kept::Window,
    }
}

fn memory(start: u64) -> Arc<Nonces> {
    Arc::new(Nonces::new(at(start)))
}

fn share(nonces: &Arc<Nonces>, seconds: u64, nonces_max: usize) -> Share {
    Share::new(Arc::clone(nonces), window(seconds), nonces_max)
}

/// A memory that starts then, with one verifier.
fn one(start: u64) -> Share {
    share(&memory(start), WINDOW, MANY)
}

fn until(text: &str, date: u64, end: u64) -> Nonce<'_> {
    Nonce {
        kept: Kept::Until(at(end)),
        ..within(text, date)
    }
}

/// A request that is sent at its date.
fn take(share: &Share, nonce: &str, date: u64) -> Result<(), NonceError> {
    take_at(share, nonce, date, date)
}

fn take_at(share: &Share, nonce: &str, date: u64, now: u64) -> Result<(), NonceError> {
    passed(share, &within(nonce, date), now)
}

fn passed(share: &Share, nonce: &Nonce<'_>, now: u64) -> Result<(), NonceError> {
    share.take(nonce, at(now)).map(drop)
}

#[test]
fn a_nonce_of_a_key_passes_once() {
    let nonces = one(999);
    assert_eq!(take(&nonces, "a", 1000), Ok(()));
    assert_eq!(take(&nonces, "a", 1000), Err(NonceError::Used));
    assert_eq!(take(&nonces, "a", 1001), Err(NonceError::Used));
    assert_eq!(take(&nonces, "b", 1000), Ok(()));
    let other = Nonce {
        key: "other",
        ..within("a", 1000)
    };
    let other = passed(&nonces, &other, 1000);
    assert_eq!(other, Ok(()), "keys have nonces of their own");
    assert_eq!(take(&nonces, "a", 1900), Err(NonceError::Used));
    assert_eq!(take(&nonces, "a", 1901), Ok(()), "after its end");
}

#[test]
fn of_many_at_once_one_passes() {
    let (nonces, passed) = (one(0), AtomicUsize::new(0));
    for round in 0..50 {
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    if take(&nonces, &round.to_string(), 1000).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::Relaxed), round + 1);
    }
}

#[test]
fn a_full_memory_refuses_until_entries_end() {
    let nonces = memory(0);
    let small = share(&nonces, WINDOW, 16);
    for number in 0..16 {
        assert_eq!(take(&small, &number.to_string(), 1000), Ok(()));
    }
    assert_eq!(take(&small, "new", 1000), Err(NonceError::Full));
    let known = take(&small, "7", 1000);
    assert_eq!(known, Err(NonceError::Used), "none was forgotten");
    assert_eq!(take(&small, "new", 1900), Err(NonceError::Full));
    // The largest limit of those that share it counts, also for the others.
    let large = share(&nonces, WINDOW, 17);
    assert_eq!(take(&small, "larger", 1900), Ok(()));
    assert_eq!(take(&large, "new", 1900), Err(NonceError::Full));
    large.leave();
    assert_eq!(take(&small, "7", 1900), Err(NonceError::Used));
    assert_eq!(take(&small, "new", 1901), Ok(()));
    drop((small, large));
    // Two are there, and the limit is that of the only one that is left.
    let last = share(&nonces, WINDOW, 3);
    assert_eq!(take(&last, "one", 1901), Ok(()));
    assert_eq!(take(&last, "two", 1901), Err(NonceError::Full));
}

#[test]
fn after_a_restart_nothing_passes_twice() {
    let before = one(999);
    take(&before, "a", 1000).unwrap();
    let after = one(1002);
    assert_eq!(take(&after, "a", 1000), Err(NonceError::BeforeStart));
    assert_eq!(take(&after, "b", 1002), Err(NonceError::BeforeStart));
    assert_eq!(take(&after, "b", 1003), Ok(()));
    let exported = before.nonces().export(at(1001));
    let after = Arc::new(Nonces::import(MANY, exported, at(1002)));
    let after = share(&after, WINDOW, MANY);
    assert_eq!(take(&after, "a", 1000), Err(NonceError::Used));
    assert_eq!(take(&after, "b", 1000), Ok(()), "a slow clock is no harm");
    assert_eq!(before.nonces().export(at(1901)), []);
    // A limit that is too small for the import makes the start strict.
    let entry = |byte: u8| ExportedNonce {
        mark: [byte; 16],
        end: at(1900),
    };
    let after = Nonces::import(2, (0..2).map(entry), at(1002));
    assert_eq!(after.start, None);
    let after = Nonces::import(1, (0..2).map(entry), at(1002));
    let after = share(&Arc::new(after), WINDOW, MANY);
    assert_eq!(take(&after, "b", 1002), Err(NonceError::BeforeStart));
}

#[test]
fn a_wider_window_keeps_what_is_there_for_longer() {
    let before = one(NOON - 1);
    // A clock that is ahead.
    assert_eq!(take_at(&before, "ahead", NOON + 600, NOON), Ok(()));
    assert_eq!(take_at(&before, "now", NOON, NOON), Ok(()));
    let after = share(before.nonces(), 3600, MANY);
    let again = |nonce: &str, date, now| take_at(&after, nonce, date, now);
    let used = Err(NonceError::Used);
    assert_eq!(again("ahead", NOON + 600, NOON + 1), used);
    assert_eq!(again("now", NOON, NOON + 3600), used);
    assert_eq!(again("ahead", NOON + 600, NOON + 600 + 3600), used);
    let exported = before.nonces().export(at(NOON + 4200));
    let [ExportedNonce { end, .. }] = exported[..] else {
        panic!("{exported:?}");
    };
    assert_eq!(end, at(NOON + 600 + 3601));
    assert_eq!(before.nonces().export(end), []);
    // What another verifier lets in is kept for the widest window, too.
    assert_eq!(take_at(&before, "late", NOON + 5000, NOON + 5000), Ok(()));
    assert_eq!(again("late", NOON + 5000, NOON + 5000 + 3600), used);
}

/// The memory was right to forget them, as long as the window was narrow.
#[test]
fn dates_whose_nonces_are_forgotten_do_not_pass_when_the_window_grows() {
    let nonces = one(NOON - 1);
    for (nonce, date) in [("a", NOON), ("b", NOON + 100), ("c", NOON + 200)] {
        assert_eq!(take(&nonces, nonce, date), Ok(()));
    }
    let url = until("url", NOON, NOON + 7000);
    assert_eq!(passed(&nonces, &url, NOON), Ok(()));
    // Forgets `a` and `b`, and not yet `c`.
    assert_eq!(take(&nonces, "d", NOON + 100 + 901), Ok(()));
    assert_eq!(nonces.nonces().count(), 3);
    let wider = share(nonces.nonces(), 3600, MANY);
    let later = |nonce: &str, date| take_at(&wider, nonce, date, NOON + 1100);
    for (nonce, date) in [("a", NOON), ("b", NOON + 100), ("new", NOON + 100)] {
        assert_eq!(later(nonce, date), Err(NonceError::Forgotten), "{nonce}");
    }
    assert_eq!(later("new", NOON + 101), Ok(()));
    assert_eq!(later("c", NOON + 200), Err(NonceError::Used));
    // Nonces of URLs are kept for the time of their URLs, which no window ends.
    let once = passed(&wider, &url, NOON + 1100);
    assert_eq!(once, Err(NonceError::Used));
    let other = until("other", NOON, NOON + 7000);
    assert_eq!(passed(&wider, &other, NOON + 1100), Ok(()));
}

#[test]
fn a_narrower_window_keeps_nonces_for_its_own_time() {
    let first = one(NOON - 1);
    let nonces = first.nonces();
    let wide = share(nonces, 3600, MANY);
    let narrow = share(nonces, 60, MANY);
    drop(wide);
    first.leave();
    assert_eq!(take(&narrow, "a", NOON), Ok(()));
    assert_eq!(nonces.export(at(NOON + 60)).len(), 1);
    assert_eq!(nonces.export(at(NOON + 61)), []);
    // One that has left keeps what it takes for its own window.
    assert_eq!(take(&first, "b", NOON), Ok(()));
    assert_eq!(nonces.export(at(NOON + WINDOW)).len(), 1);
    assert_eq!(nonces.export(at(NOON + WINDOW + 1)), []);
    // A change that does not come into force leaves the wider one as it is.
    let long = share(nonces, WINDOW, MANY);
    drop(share(nonces, 60, MANY));
    assert_eq!(take(&long, "c", NOON), Ok(()));
    let again = take_at(&long, "c", NOON, NOON + WINDOW);
    assert_eq!(again, Err(NonceError::Used));
}

#[test]
fn fractions_of_a_second_do_not_shorten_a_time() {
    let nonces = memory(NOON - 1);
    let with = |milliseconds| {
        let window = Duration::from_millis(milliseconds);
        Share::new(Arc::clone(&nonces), window, MANY)
    };
    assert_eq!(take_at(&with(1900), "a", NOON, NOON), Ok(()));
    let again = take_at(&with(3000), "a", NOON, NOON + 3);
    assert_eq!(again, Err(NonceError::Used));
}

/// An hour ahead, a request of a caller with the same clock, and right again.
#[test]
fn a_clock_that_jumps_ahead_and_back_lets_nothing_pass_twice() {
    let nonces = one(NOON - 1);
    let url = until("url", NOON, NOON + 1000);
    assert_eq!(take(&nonces, "a", NOON), Ok(()));
    assert_eq!(take_at(&nonces, "ahead", NOON + 900, NOON), Ok(()));
    assert_eq!(passed(&nonces, &url, NOON), Ok(()));
    assert_eq!(take(&nonces, "b", NOON + 3600), Ok(()));
    assert_eq!(nonces.nonces().count(), 1, "the others are forgotten");
    let forgotten = Err(NonceError::Forgotten);
    let back = NOON + 10;
    assert_eq!(take_at(&nonces, "a", NOON, back), forgotten);
    assert_eq!(take_at(&nonces, "ahead", NOON + 900, back), forgotten);
    assert_eq!(passed(&nonces, &url, back), forgotten);
    assert_eq!(take(&nonces, "b", NOON + 3600), Err(NonceError::Used));
    // The last that was forgotten has the date up to which all are refused.
    let (last, next) = (NOON + 900, NOON + 901);
    assert_eq!(take_at(&nonces, "new", last, back), forgotten);
    assert_eq!(take_at(&nonces, "new", next, back), Ok(()));
    // Also when the window changes meanwhile.
    let wider = share(nonces.nonces(), 3600, MANY);
    assert_eq!(take_at(&wider, "ahead", last, back), forgotten);
    assert_eq!(take_at(&wider, "newer", next, back), Ok(()));
    let url = passed(&wider, &url, back);
    assert_eq!(url, forgotten);
}

#[test]
fn a_nonce_that_is_given_back_can_be_used_and_no_other_one() {
    let small = share(&memory(NOON - 1), WINDOW, 1);
    let nonces = small.nonces();
    let taken = small.take(&within("a", NOON), at(NOON)).unwrap();
    assert_eq!(take(&small, "b", NOON), Err(NonceError::Full));
    nonces.give_back(&taken);
    assert_eq!(nonces.count(), 0);
    let taken = small.take(&within("a", NOON), at(NOON)).unwrap();
    // Its end is where it was written, also after the window has grown.
    let wider = share(nonces, 3600, 1);
    nonces.give_back(&taken);
    assert_eq!(nonces.count(), 0);
    let taken = wider.take(&within("a", NOON), at(NOON)).unwrap();
    let end = NOON + 3601;
    assert_eq!(take(&wider, "a", end), Ok(()), "it had ended");
    nonces.give_back(&taken);
    assert_eq!(take(&wider, "a", end), Err(NonceError::Used));
}

/// What happens to a function with two triggers that take signatures.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes.
    Wait(u64),
    /// The clock on the wall is set.
    Jump(i64),
    /// A request is sent to a trigger, for the first time or again.
    Send { to: usize, nonce: u8, ahead: i64 },
    /// It is sent, and refused after its nonce was used.
    Refuse { to: usize, nonce: u8, ahead: i64 },
    /// A configuration in which a trigger has another window is read; it may be
    /// refused later.
    Change {
        of: usize,
        window: u64,
        is_taken: bool,
    },
    /// A trigger is removed, and another one made.
    Replace { of: usize, window: u64 },
    /// The verifier before the last change ends a request that it has begun: at
    /// once, because it does not wait for anything.
    SendToPrevious { nonce: u8, ahead: i64 },
}

fn step(jumps: bool) -> impl Strategy<Value = Step> {
    let send = || (0..2usize, 0..12u8, -40..40i64);
    let wait = (0..30u64).prop_map(Step::Wait);
    let moved = if jumps {
        prop_oneof![wait, (-100..100i64).prop_map(Step::Jump)].boxed()
    } else {
        wait.boxed()
    };
    prop_oneof![
        3 => moved,
        6 => send().prop_map(|(to, nonce, ahead)| Step::Send { to, nonce, ahead }),
        1 => send().prop_map(|(to, nonce, ahead)| Step::Refuse { to, nonce, ahead }),
        2 => (0..2usize, 1..40u64, any::<bool>())
            .prop_map(|(of, window, is_taken)| Step::Change { of, window, is_taken }),
        1 => (0..2usize, 1..40u64).prop_map(|(of, window)| Step::Replace { of, window }),
        1 => send().prop_map(|(_, nonce, ahead)| Step::SendToPrevious { nonce, ahead }),
    ]
}

/// No request passes twice; and a new one with the right date always passes,
/// unless the clock was set.
fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let nonces = memory(0);
    let made = |seconds: u64| (share(&nonces, seconds, 1000), seconds);
    let (mut now, mut was_set) = (NOON, false);
    let mut triggers = [made(10), made(20)];
    let mut previous: Option<(Share, u64)> = None;
    let mut passed = HashSet::new();
    for (number, step) in steps.iter().enumerate() {
        let (verifier, nonce, ahead, is_refused) = match *step {
            Step::Wait(seconds) => {
                now += seconds;
                previous = previous.filter(|_| seconds == 0);
                continue;
            }
            Step::Jump(seconds) => {
                now = now.saturating_add_signed(seconds);
                was_set |= seconds != 0;
                previous = None;
                continue;
            }
            Step::Change {
                of,
                window,
                is_taken,
            } => {
                let next = made(window);
                if is_taken {
                    let before = std::mem::replace(&mut triggers[of], next);
                    before.0.leave();
                    previous = Some(before);
                }
                continue;
            }
            Step::Replace { of, window } => {
                // Both may be gone for a moment.
                triggers[of].0.leave();
                triggers[of] = made(window);
                continue;
            }
            Step::Send { to, nonce, ahead } => (&triggers[to], nonce, ahead, false),
            Step::Refuse { to, nonce, ahead } => (&triggers[to], nonce, ahead, true),
            Step::SendToPrevious { nonce, ahead } => match &previous {
                Some(previous) => (previous, nonce, ahead, false),
                None => continue,
            },
        };
        let (verifier, own) = verifier;
        let fresh = take(verifier, &format!("fresh {number}"), now);
        if !was_set {
            prop_assert_eq!(fresh, Ok(()));
        }
        // A request is its nonce and its date: another date is another one,
        // which the caller signs with a nonce of its own.
        let date = now.saturating_add_signed(ahead);
        if date.abs_diff(now) > *own {
            continue;
        }
        let request = (nonce, date);
        let text = format!("{nonce} {date}");
        if let Ok(taken) = verifier.take(&within(&text, date), at(now)) {
            if is_refused {
                nonces.give_back(&taken);
            } else {
                prop_assert!(passed.insert(request), "{:?} passes twice", request);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_request_passes_twice_whatever_becomes_of_the_windows(
        steps in prop::collection::vec(step(false), 1..60),
    ) {
        run(&steps)?;
    }

    #[test]
    fn no_request_passes_twice_whatever_the_clock_does(
        steps in prop::collection::vec(step(true), 1..60),
    ) {
        run(&steps)?;
    }
}
