//! The stacks of all threads of a host that hangs.
//!
//! Reading a thread's stack from within needs a signal, whose handler may do
//! next to nothing and may run on a guest's stack. So a **child process** reads
//! the stacks as a debugger does: this program with [`WORD`], which stops one
//! thread at a time for a moment. The host permits this, even where a process
//! may only trace its descendants. Where the system does not allow it at all,
//! the result has the threads' names and what each waits for in the kernel.
//!
//! Bounded by [`TIMEOUT`] for the child and [`STACKS_BYTES_MAX`] for its
//! output; the host's threads are stopped one after the other, each for a few
//! milliseconds.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod child;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod modules;
mod parent;

use std::time::Duration;

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(crate) use self::child::run;
pub(super) use self::parent::tell;

/// The command that makes this program read the stacks of another process,
/// whose number follows.
pub(crate) const WORD: &str = "__stacks";

/// How long the child may take, mostly to read the symbols of an unoptimised
/// program.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of stacks that are logged: some dozens of different ones.
const STACKS_BYTES_MAX: u64 = 256 * 1024;
/// Separates two stacks.
const SEPARATOR: &str = "\n\n";

/// Stacks cannot be read on this system, so nothing starts this program for it.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(crate) fn run(_: impl IntoIterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
