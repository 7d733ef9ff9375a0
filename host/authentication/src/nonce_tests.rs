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

fn within(text: &str, date: u64, seconds: u64) -> Nonce<'_> {
    Nonce {
        key: "key",
        text,
        date: at(date),
        kept: Kept::Window(window(seconds)),
    }
}

fn until(text: &str, date: u64, end: u64) -> Nonce<'_> {
    Nonce {
        kept: Kept::Until(at(end)),
        ..within(text, date, 0)
    }
}

/// A request that is sent at its date.
fn take(nonces: &Nonces, nonce: &str, date: u64) -> Result<(), NonceError> {
    take_at(nonces, nonce, date, date)
}

fn take_at(nonces: &Nonces, nonce: &str, date: u64, now: u64) -> Result<(), NonceError> {
    nonces.take(&within(nonce, date, WINDOW), MANY, at(now))
}

#[test]
fn a_nonce_of_a_key_passes_once() {
    let nonces = Nonces::new(at(999));
    assert_eq!(take(&nonces, "a", 1000), Ok(()));
    assert_eq!(take(&nonces, "a", 1000), Err(NonceError::Used));
    assert_eq!(take(&nonces, "a", 1001), Err(NonceError::Used));
    assert_eq!(take(&nonces, "b", 1000), Ok(()));
    let other = Nonce {
        key: "other",
        ..within("a", 1000, WINDOW)
    };
    let other = nonces.take(&other, MANY, at(1000));
    assert_eq!(other, Ok(()), "keys have nonces of their own");
    assert_eq!(take(&nonces, "a", 1900), Err(NonceError::Used));
    assert_eq!(take(&nonces, "a", 1901), Ok(()), "after its end");
}

#[test]
fn of_many_at_once_one_passes() {
    let (nonces, passed) = (Nonces::new(at(0)), AtomicUsize::new(0));
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
    let nonces = Nonces::new(at(0));
    let take = |nonce: &str, nonces_max, now| {
        nonces.take(&within(nonce, now, WINDOW), nonces_max, at(now))
    };
    for number in 0..16 {
        assert_eq!(take(&number.to_string(), 16, 1000), Ok(()));
    }
    assert_eq!(take("new", 16, 1000), Err(NonceError::Full));
    let known = take("7", 16, 1000);
    assert_eq!(known, Err(NonceError::Used), "none was forgotten");
    assert_eq!(take("new", 16, 1900), Err(NonceError::Full));
    // Each verifier has the limit of its own configuration.
    assert_eq!(take("larger", 17, 1900), Ok(()));
    assert_eq!(take("new", 17, 1900), Err(NonceError::Full));
    assert_eq!(take("7", 1, 1900), Err(NonceError::Used));
    assert_eq!(take("new", 16, 1901), Ok(()));
}

#[test]
fn after_a_restart_nothing_passes_twice() {
    let before = Nonces::new(at(999));
    take(&before, "a", 1000).unwrap();
    let after = Nonces::new(at(1002));
    assert_eq!(take(&after, "a", 1000), Err(NonceError::BeforeStart));
    assert_eq!(take(&after, "b", 1002), Err(NonceError::BeforeStart));
    assert_eq!(take(&after, "b", 1003), Ok(()));
    let exported = before.export(at(1001));
    let after = Nonces::import(MANY, exported, at(1002));
    assert_eq!(take(&after, "a", 1000), Err(NonceError::Used));
    assert_eq!(take(&after, "b", 1000), Ok(()), "a slow clock is no harm");
    assert_eq!(before.export(at(1901)), []);
    // A limit that is too small for the import makes the start strict.
    let entry = |byte: u8| ExportedNonce {
        mark: [byte; 16],
        end: at(1900),
    };
    let after = Nonces::import(2, (0..2).map(entry), at(1002));
    assert_eq!(after.start, None);
    let after = Nonces::import(1, (0..2).map(entry), at(1002));
    assert_eq!(take(&after, "b", 1002), Err(NonceError::BeforeStart));
}

#[test]
fn a_longer_window_keeps_what_is_there_for_longer() {
    let nonces = Nonces::new(at(NOON - 1));
    // A clock that is ahead.
    assert_eq!(take_at(&nonces, "ahead", NOON + 600, NOON), Ok(()));
    assert_eq!(take_at(&nonces, "now", NOON, NOON), Ok(()));
    nonces.change_window(window(WINDOW), window(3600));
    let again = |nonce: &str, date, now| nonces.take(&within(nonce, date, 3600), MANY, at(now));
    let used = Err(NonceError::Used);
    assert_eq!(again("ahead", NOON + 600, NOON + 1), used);
    assert_eq!(again("now", NOON, NOON + 3600), used);
    assert_eq!(again("ahead", NOON + 600, NOON + 600 + 3600), used);
    let exported = nonces.export(at(NOON + 4200));
    let [ExportedNonce { end, .. }] = exported[..] else {
        panic!("{exported:?}");
    };
    assert_eq!(end, at(NOON + 600 + 3601));
    assert_eq!(nonces.export(end), []);
    // The verifier before it may still be at work: what it lets in is kept, too.
    assert_eq!(take_at(&nonces, "late", NOON + 5000, NOON + 5000), Ok(()));
    assert_eq!(again("late", NOON + 5000, NOON + 5000 + 3600), used);
}

/// The memory was right to forget them, as long as the window was short.
#[test]
fn dates_whose_nonces_are_forgotten_do_not_pass_when_the_window_grows() {
    let nonces = Nonces::new(at(NOON - 1));
    for (nonce, date) in [("a", NOON), ("b", NOON + 100), ("c", NOON + 200)] {
        assert_eq!(take(&nonces, nonce, date), Ok(()));
    }
    let url = until("url", NOON, NOON + 7000);
    assert_eq!(nonces.take(&url, MANY, at(NOON)), Ok(()));
    // Forgets `a` and `b`, and not yet `c`.
    assert_eq!(take(&nonces, "d", NOON + 100 + 901), Ok(()));
    assert_eq!(nonces.count(), 3);
    nonces.change_window(window(WINDOW), window(3600));
    let later = |nonce: &str, date| nonces.take(&within(nonce, date, 3600), MANY, at(NOON + 1100));
    for (nonce, date) in [("a", NOON), ("b", NOON + 100), ("new", NOON + 100)] {
        assert_eq!(later(nonce, date), Err(NonceError::Forgotten), "{nonce}");
    }
    assert_eq!(later("new", NOON + 101), Ok(()));
    assert_eq!(later("c", NOON + 200), Err(NonceError::Used));
    // Nonces of URLs are kept for the time of their URLs, which no window ends.
    let once = nonces.take(&url, MANY, at(NOON + 1100));
    assert_eq!(once, Err(NonceError::Used));
    let other = until("other", NOON, NOON + 7000);
    assert_eq!(nonces.take(&other, MANY, at(NOON + 1100)), Ok(()));
}

#[test]
fn a_shorter_window_keeps_nonces_for_its_own_time() {
    let nonces = Nonces::new(at(NOON - 1));
    nonces.change_window(window(WINDOW), window(3600));
    nonces.change_window(window(3600), window(60));
    let nonce = within("a", NOON, 60);
    assert_eq!(nonces.take(&nonce, MANY, at(NOON)), Ok(()));
    assert_eq!(nonces.export(at(NOON + 60)).len(), 1);
    assert_eq!(nonces.export(at(NOON + 61)), []);
    // A change that does not come into force leaves the longer one as it is.
    let long = within("b", NOON, WINDOW);
    nonces.change_window(window(WINDOW), window(60));
    assert_eq!(nonces.take(&long, MANY, at(NOON)), Ok(()));
    let again = nonces.take(&long, MANY, at(NOON + WINDOW));
    assert_eq!(again, Err(NonceError::Used));
}

#[test]
fn fractions_of_a_second_do_not_shorten_a_time() {
    let nonces = Nonces::new(at(NOON - 1));
    let [short, long] = [1900, 3000].map(Duration::from_millis);
    let nonce = |kept| Nonce {
        kept: Kept::Window(kept),
        ..within("a", NOON, 0)
    };
    assert_eq!(nonces.take(&nonce(short), MANY, at(NOON)), Ok(()));
    nonces.change_window(short, long);
    let again = nonces.take(&nonce(long), MANY, at(NOON + 3));
    assert_eq!(again, Err(NonceError::Used));
}

/// What happens to a trigger with signatures.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes.
    Wait(u64),
    /// A request is sent, for the first time or again.
    Send { nonce: u8, ahead: i64 },
    /// A configuration with another window is read; it may be refused later.
    Change { window: u64, is_taken: bool },
    /// The verifier before the last change ends a request that it has begun: at
    /// once, because it does not wait for anything.
    SendToPrevious { nonce: u8, ahead: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let send = || (0..12u8, -40..40i64);
    prop_oneof![
        3 => (0..30u64).prop_map(Step::Wait),
        6 => send().prop_map(|(nonce, ahead)| Step::Send { nonce, ahead }),
        2 => (1..40u64, any::<bool>())
            .prop_map(|(window, is_taken)| Step::Change { window, is_taken }),
        1 => send().prop_map(|(nonce, ahead)| Step::SendToPrevious { nonce, ahead }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever the windows were and will be, and whichever changes are refused,
    /// no request passes twice; and a new one with the right date always passes.
    #[test]
    fn no_request_passes_twice_whatever_becomes_of_the_window(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let nonces = Nonces::new(at(NOON - 1));
        let (mut now, mut in_force, mut previous) = (NOON, 10, None);
        let mut passed = HashSet::new();
        for (number, step) in steps.iter().enumerate() {
            let (own, nonce, ahead) = match *step {
                Step::Wait(seconds) => {
                    now += seconds;
                    previous = previous.filter(|_| seconds == 0);
                    continue;
                }
                Step::Change { window: next, is_taken } => {
                    nonces.change_window(window(in_force), window(next));
                    previous = is_taken.then_some(in_force);
                    in_force = if is_taken { next } else { in_force };
                    continue;
                }
                Step::Send { nonce, ahead } => (in_force, nonce, ahead),
                Step::SendToPrevious { nonce, ahead } => match previous {
                    Some(previous) => (previous, nonce, ahead),
                    None => continue,
                },
            };
            let fresh = within("", now, in_force);
            let text = format!("fresh {number}");
            let fresh = nonces.take(&Nonce { text: &text, ..fresh }, 1000, at(now));
            prop_assert_eq!(fresh, Ok(()));
            // A request is its nonce and its date: another date is another one,
            // which the caller signs with a nonce of its own.
            let date = now.saturating_add_signed(ahead);
            if date.abs_diff(now) > own {
                continue;
            }
            let request = (nonce, date);
            let text = format!("{nonce} {date}");
            if nonces.take(&within(&text, date, own), 1000, at(now)).is_ok() {
                prop_assert!(passed.insert(request), "{:?} passes twice", request);
            }
        }
    }
}
