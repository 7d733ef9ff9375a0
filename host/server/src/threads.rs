//! Checks that the system has enough threads for this program, so that a lack
//! of them is reported at the start. Bounded by the workers and a few more.

use std::num::NonZero;
use std::thread;

use openline_hint::Hinted;
use parking_lot::Mutex;

/// The stack of the threads that are made for the check; they only wait.
const STACK_BYTES: usize = 64 * 1024;

/// How many workers tokio will make: as its environment variable says, or one
/// for each CPU.
pub(crate) fn workers() -> usize {
    let wanted = std::env::var("TOKIO_WORKER_THREADS").ok();
    wanted
        .and_then(|wanted| wanted.parse().ok())
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get))
}

/// Makes this many threads at once, and ends them.
///
/// # Errors
///
/// When the system does not have that many.
pub(crate) fn require(count: usize) -> anyhow::Result<()> {
    let gate = Mutex::new(());
    let closed = gate.lock();
    thread::scope(|scope| {
        let mut made = 0;
        let mut failed = None;
        while made < count && failed.is_none() {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            match thread.spawn_scoped(scope, || drop(gate.lock())) {
                Ok(_) => made += 1,
                Err(error) => failed = Some(error),
            }
        }
        drop(closed);
        match failed {
            None => Ok(()),
            Some(error) => Err(Hinted::new(
                format!("the system has {made} threads for this program, and it needs {count}: {error}"),
                "raise the limit on processes and threads (`ulimit -u`, systemd's `TasksMax`, the container's limit on pids)",
            )
            .into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_made_at_once_and_all_go() {
        for count in [0, 1, 20] {
            require(count).unwrap();
        }
    }
}
