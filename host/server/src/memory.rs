//! Returns memory to the system when connections have gone to sleep.
//!
//! The allocator keeps freed memory for later, and returns it to the system
//! only in the course of allocating. An idle process allocates nothing, and
//! would keep the memory of a busy hour forever. Each thread has memory of its
//! own to return, so each does this itself before it parks, at most once in
//! [`EVERY`].

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openline_admission::services::Services;

/// How often to check whether connections have gone to sleep: they do so after
/// a second, and a walk over the allocator's pages takes under a millisecond.
const EVERY: Duration = Duration::from_secs(2);

/// How often all threads were asked to return memory.
static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The value of [`ASKED`] when this thread last returned memory.
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// How long a thread that has already returned memory stays busy with its task,
/// so that other threads take the next tasks: waking a parked thread takes less
/// time.
const HOLD: Duration = Duration::from_micros(100);

/// Frees compressors that this thread has not used for a while, and returns
/// memory, if this thread was asked to and has not done so. tokio calls
/// this before a thread parks.
pub(crate) fn before_parking() {
    give_back_here();
}

fn give_back_here() -> bool {
    let asked = ASKED.load(Ordering::Relaxed);
    let news = DONE.replace(asked) != asked;
    if news {
        openline_gateway::release_unused_compressors();
        collect();
    }
    news
}

/// Turns huge pages off for this process. With them the allocator keeps 2 MiB
/// where it needs one small page, and gets 2 MiB for the first byte that it
/// uses of returned memory: ten thousand connections that had carried 1 MiB
/// each kept 26 MB in this way. Child processes inherit the setting.
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
            tracing::debug!("could not turn huge pages off");
        }
    }
}

/// A task that reaches one thread: parked threads wake only for work, and take
/// it when the others are busy.
async fn visit() {
    if !give_back_here() {
        let until = tokio::time::Instant::now() + HOLD;
        while tokio::time::Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}

/// Asks all threads to return memory each time that connections have gone to
/// sleep, as long as the host lives.
pub(crate) async fn give_back(services: Arc<Services>) {
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    let mut before = 0;
    // Ask twice for each change, because not all threads may be idle the first
    // time.
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

/// Returns the memory that this thread has freed, and whole pieces that all
/// threads have freed.
fn collect() {
    // SAFETY: `mi_collect` may be called by any thread at any time; it touches
    // only memory that is free.
    #[expect(unsafe_code, reason = "its crate has no safe function")]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
