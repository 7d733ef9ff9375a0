//! The stacks of all threads of a host that hangs.
//!
//! A thread cannot be asked for its stack without a signal, whose handler may do
//! next to nothing, on a stack that may be a guest's. So a **child process**
//! reads them as a debugger does: this program with [`WORD`], which stops one
//! thread at a time for a moment. The host allows it to, also where a process
//! may only trace its descendants. Where the system does not allow it at all,
//! there are the threads' names and what each waits for in the kernel.
//!
//! Bounded: [`TIMEOUT`] for the child, [`STACKS_BYTES_MAX`] of its words; the
//! host's threads are stopped one after the other, each for a few milliseconds.

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

/// The word that makes this program read the stacks of another process: whose
/// number comes next.
pub(crate) const WORD: &str = "__stacks";

/// How long the child may take: most of it is for reading the symbols of an
/// unoptimised program.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What is told of stacks, in bytes: some dozens of different ones.
const STACKS_BYTES_MAX: u64 = 256 * 1024;
/// What comes between two stacks.
const SEPARATOR: &str = "\n\n";

/// Stacks cannot be read here: nothing starts this program for it.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(crate) fn run(_: impl IntoIterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
