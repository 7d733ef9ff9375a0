//! Gives memory back to the system when connections have gone to sleep.
//!
//! The allocator keeps what was freed, for the next time, and gives it back
//! while it is asked for more; a process in which nothing happens asks for
//! nothing, and would keep for good what a busy hour needed. Each thread has
//! its own to give back, so each does it itself, before it parks, and at most
//! once each [`EVERY`].

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openline_admission::services::Services;

/// How often is looked whether connections have gone to sleep: they do so after
/// a second, and a walk over the allocator's pages takes under a millisecond.
const EVERY: Duration = Duration::from_secs(2);

/// Counts how often all threads were asked to give back.
static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// How often this thread has.
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// How long a thread that has given back keeps a task from the others, so that
/// one of them takes the next: a parked thread takes less to wake.
const HOLD: Duration = Duration::from_micros(100);

/// Gives back, if this thread was asked to and has not; for tokio before a
/// thread parks.
pub(crate) fn before_parking() {
    give_back_here();
}

fn give_back_here() -> bool {
    let asked = ASKED.load(Ordering::Relaxed);
    let news = DONE.replace(asked) != asked;
    if news {
        collect();
    }
    news
}

/// Has the system give this process no huge pages: with them the allocator
/// keeps 2 MiB where it needs one small page of them, and gets 2 MiB back for
/// the first byte it uses of what it has returned. Ten thousand connections
/// that had carried 1 MiB each kept 26 MB so. Processes that it starts inherit
/// this.
pub(crate) fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: `PR_SET_THP_DISABLE` takes a number and three zeros, reads
        // and writes no memory of ours, and only changes which pages the
        // system chooses later on.
        #[expect(unsafe_code, reason = "its crate has no safe function")]
        let refused = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0;
        if refused {
            // Kernels without huge pages refuse it, and need it least.
            tracing::debug!("huge pages are not turned off");
        }
    }
}

/// A task that wakes the next thread: parked ones wake for work only, and take
/// it when the others are held up.
async fn visit() {
    if !give_back_here() {
        let until = tokio::time::Instant::now() + HOLD;
        while tokio::time::Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}

/// Asks all threads to give back, each time that connections have gone to
/// sleep; for as long as the host lives.
pub(crate) async fn give_back(services: Arc<Services>) {
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    let mut before = 0;
    // Once more than there is news: the threads were not all idle then.
    let mut again = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let asleep = services.asleep();
        if asleep > before {
            again = 2;
        }
        before = asleep;
        if again == 0 {
            continue;
        }
        again -= 1;
        ASKED.fetch_add(1, Ordering::Relaxed);
        for _ in 0..2 * threads {
            tokio::spawn(visit());
        }
    }
}

/// Returns what this thread has freed, and what all have freed in whole pieces.
fn collect() {
    // SAFETY: `mi_collect` may be called by any thread at any time; it touches
    // only memory that is free.
    #[expect(unsafe_code, reason = "its crate has no safe function")]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
