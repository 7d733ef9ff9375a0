//! The activity of the threads that serve while there is no progress: they
//! wait, compute, or want a CPU and get none.
//!
//! A host also makes no progress if other processes leave it no CPU, if it is
//! suspended, or if a debugger holds it, but then it does not hang. So only the
//! time counts that its threads spend waiting in the kernel or computing,
//! according to `/proc`. On a system without `/proc` all time counts.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The name of the threads that serve, and of those that read files for them.
/// The system keeps at most 15 bytes of it.
pub(crate) const WORKER: &str = "worker";

/// The unit of CPU time in `/proc`, in milliseconds: a hundredth of a second on
/// every Linux that Rust supports.
const CPU_UNIT_MILLIS: u64 = 10;

/// The activity of the threads at one moment, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Sample(HashMap<u32, Doing>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doing {
    state: State,
    /// The CPU time that it has used since it began.
    cpu: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It waits in the kernel: for a lock, a socket, a disk.
    Waits,
    /// It computes, or waits for a CPU.
    Runs,
    /// It is stopped, for example by a debugger.
    Stopped,
}

impl Sample {
    /// Reads the state of all threads that serve; `None` where the system does
    /// not have it.
    pub(super) fn take() -> Option<Self> {
        let mut threads = HashMap::new();
        for entry in fs::read_dir("/proc/self/task").ok()? {
            let Ok(entry) = entry else { continue };
            // A thread that has ended meanwhile has no file any more.
            let Ok(text) = fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let Some((name, doing)) = parse(&text) else {
                continue;
            };
            let number = entry.file_name().to_str().and_then(|it| it.parse().ok());
            if let Some(number) = number.filter(|_| name == WORKER) {
                threads.insert(number, doing);
            }
        }
        (!threads.is_empty()).then_some(Self(threads))
    }

    /// How much of the time before this sample counts: the least that any
    /// thread has spent waiting or computing. That thread might have made
    /// progress with a CPU.
    pub(super) fn counts(&self, before: &Self, time: Duration) -> Duration {
        let had = self.0.iter().filter_map(|(number, now)| {
            let before = before.0.get(number)?;
            Some(match now.state {
                State::Waits => time,
                State::Runs => now.cpu.saturating_sub(before.cpu).min(time),
                State::Stopped => Duration::ZERO,
            })
        });
        had.min().unwrap_or_default()
    }
}

/// The name of a thread and what it does, from its `stat` (proc(5)).
fn parse(text: &str) -> Option<(&str, Doing)> {
    let (_, rest) = text.split_once('(')?;
    // A name may have brackets of its own.
    let (name, rest) = rest.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = match fields.next()? {
        "R" => State::Runs,
        "T" | "t" => State::Stopped,
        _ => State::Waits,
    };
    // Fields 14 and 15 of the whole line: CPU time of the thread itself, and of
    // the kernel for it.
    let mut times = fields.skip(10).map(str::parse::<u64>);
    let units = times.next()?.ok()?.saturating_add(times.next()?.ok()?);
    let cpu = Duration::from_millis(units.saturating_mul(CPU_UNIT_MILLIS));
    Some((name, Doing { state, cpu }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sample(threads: &[(u32, State, u64)]) -> Sample {
        let threads = threads.iter().map(|(number, state, millis)| {
            let (state, cpu) = (*state, Duration::from_millis(*millis));
            (*number, Doing { state, cpu })
        });
        Sample(threads.collect())
    }

    fn counts(before: &[(u32, State, u64)], now: &[(u32, State, u64)]) -> u128 {
        sample(now).counts(&sample(before), SECOND).as_millis()
    }

    #[test]
    fn waiting_and_computing_count_and_waiting_for_a_cpu_does_not() {
        use State::{Runs, Stopped, Waits};
        let before = [(1, Waits, 0), (2, Runs, 500)];
        // Both wait: a deadlock.
        assert_eq!(counts(&before, &[(1, Waits, 0), (2, Waits, 500)]), 1000);
        // One waits, and the other computes all the time, or half of it.
        assert_eq!(counts(&before, &[(1, Waits, 0), (2, Runs, 1500)]), 1000);
        assert_eq!(counts(&before, &[(1, Waits, 0), (2, Runs, 1000)]), 500);
        // The times of two readings may differ, so more CPU time than time
        // counts as all of it.
        assert_eq!(counts(&before, &[(1, Waits, 0), (2, Runs, 1600)]), 1000);
        // One gets no CPU, or is stopped, whatever the other does.
        assert_eq!(counts(&before, &[(1, Waits, 0), (2, Runs, 500)]), 0);
        assert_eq!(counts(&before, &[(1, Stopped, 0), (2, Runs, 1500)]), 0);
    }

    #[test]
    fn threads_that_come_and_go_say_nothing() {
        use State::{Runs, Waits};
        let before = [(1, Waits, 0), (2, Runs, 0)];
        assert_eq!(counts(&before, &[(1, Waits, 0), (3, Runs, 0)]), 1000);
        // Nothing is known yet.
        assert_eq!(counts(&[], &[(1, Waits, 0)]), 0);
    }

    #[test]
    fn the_system_s_words_are_read_whatever_the_name() {
        let times = "S 1 1 1 0 -1 64 0 0 0 0 12 3 0 0 20 0 5 0 100";
        let text = format!("17 (a) (b) {times}");
        let (name, doing) = parse(&text).unwrap();
        assert_eq!(name, "a) (b");
        assert_eq!(
            (doing.state, doing.cpu),
            (State::Waits, Duration::from_millis(150))
        );
        for (letter, state) in [
            ("R", State::Runs),
            ("D", State::Waits),
            ("t", State::Stopped),
        ] {
            let text = format!("17 (worker) {letter}{}", &times[1..]);
            assert_eq!(parse(&text).unwrap().1.state, state);
        }
        for bad in [
            "",
            "17 (worker",
            "17 (worker) S 1",
            "17 (worker) S x x x x x x x x x x x x x",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_waits_and_one_that_computes_are_seen_as_such() {
        use std::sync::atomic::{AtomicBool, Ordering};
        use std::sync::mpsc;

        let done = AtomicBool::new(false);
        let (stop, stopped) = mpsc::sync_channel::<()>(0);
        std::thread::scope(|scope| {
            let named = || std::thread::Builder::new().name(WORKER.into());
            named().spawn_scoped(scope, move || stopped.recv()).unwrap();
            named()
                .spawn_scoped(scope, || {
                    while !done.load(Ordering::Relaxed) {
                        std::hint::spin_loop()
                    }
                })
                .unwrap();
            let seen = |state| {
                let sample = Sample::take().unwrap();
                let mut doing = sample.0.values();
                doing.any(|it| {
                    it.state == state && (state == State::Waits || it.cpu > Duration::ZERO)
                })
            };
            while !(seen(State::Waits) && seen(State::Runs)) {
                std::thread::yield_now();
            }
            done.store(true, Ordering::Relaxed);
            drop(stop);
        });
    }
}
