//! Ends a test process whose threads wait for each other's locks, and says
//! where they wait. The bounds that tests have for everything they wait for do
//! not help there: the threads that would notice are those that wait.

use std::io::Write as _;
use std::sync::Once;
use std::time::Duration;

use parking_lot::deadlock::check_deadlock;

/// How often it looks. A deadlock does not go away.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks from now on, as long as the process lives.
pub(crate) fn watch_for_deadlocks() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        std::thread::spawn(|| {
            loop {
                wait();
                end_if_deadlocked();
            }
        });
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, that nobody waits for"
)]
fn wait() {
    std::thread::sleep(LOOK_AGAIN);
}

fn end_if_deadlocked() {
    let deadlocks = check_deadlock();
    if deadlocks.is_empty() {
        return;
    }
    // Around the capture of the test harness, which shows nothing of a process
    // that is aborted.
    let mut stderr = std::io::stderr();
    for thread in deadlocks.iter().flatten() {
        let (id, stack) = (thread.thread_id(), thread.backtrace());
        let _ = writeln!(stderr, "deadlock: {id:?} waits here:\n{stack:?}");
    }
    std::process::abort();
}
