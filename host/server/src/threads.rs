//! Threads that the system has or has not. Where it has too few, a program
//! cannot do its work, and should say so before it begins.

use std::thread;

use anyhow::anyhow;
use parking_lot::Mutex;

/// Makes so many threads at once, and lets them go.
///
/// # Errors
///
/// The system has not so many.
pub(crate) fn are_to_be_had(count: usize) -> anyhow::Result<()> {
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
            Some(error) => Err(anyhow!(
                "the system has {made} threads for this program, and it needs {count}: {error}\nhint: raise the limit on processes and threads (`ulimit -u`, systemd's `TasksMax`, the container's limit on pids)"
            )),
        }
    })
}

/// They only wait.
const STACK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_made_at_once_and_all_go() {
        for count in [0, 1, 20] {
            are_to_be_had(count).unwrap();
        }
    }
}
