//! Makes threads of a host wait in the kernel, as a debugger can. The host has
//! no switch for that. Bounded by the threads that a host has.

use std::fs;
use std::process::Command;

use nix::errno::Errno;
use nix::libc::{SYS_pause, SYS_vfork, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::task::spawn_blocking;

use super::{Serving, within};

/// A thread that was made to wait, with its registers from before.
pub type Held = (Pid, user_regs_struct);

/// A thread that waits as for a disk, until its host ends. It has begun a
/// process with `vfork`, which ends when this is dropped.
pub struct Uninterruptible(Pid);

/// The length of the instruction that makes a system call.
const SYSCALL_BYTES: u64 = 2;

/// Whether this system lets a process trace its children. Says so where it does
/// not: the tests that need it prove nothing then.
pub fn is_allowed() -> bool {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let id = Pid::from_raw(child.id().try_into().unwrap());
    let seized = ptrace::seize(id, Options::empty());
    child.kill().unwrap();
    child.wait().unwrap();
    if seized == Err(Errno::EPERM) {
        println!("skipped: this system lets no process be traced");
        return false;
    }
    seized.unwrap();
    true
}

/// Has all threads of a name wait for a signal that never comes.
pub async fn hold(host: &Serving, name: &'static str) -> Vec<Held> {
    let process = host.process.id().unwrap();
    let holding = spawn_blocking(move || {
        let held = threads(process, name).into_iter().map(|thread| {
            let registers = stop(thread);
            resume(thread, registers, SYS_pause.cast_unsigned());
            (thread, registers)
        });
        held.collect::<Vec<_>>()
    });
    let held = within("threads to be held", holding).await.unwrap();
    assert!(!held.is_empty(), "it has no thread `{name}`");
    held
}

/// Lets threads go on with what they were waiting for.
pub async fn release(held: Vec<Held>) {
    let releasing = spawn_blocking(move || {
        for (thread, registers) in held {
            stop(thread);
            resume(thread, registers, registers.orig_rax);
        }
    });
    within("threads to be released", releasing).await.unwrap();
}

/// Has all threads of a name wait so that nothing but the end of the host ends
/// it: state `D`. They do not go on with what they were doing.
pub async fn hold_uninterruptibly(host: &Serving, name: &'static str) -> Vec<Uninterruptible> {
    let process = host.process.id().unwrap();
    let holding = spawn_blocking(move || {
        let threads = threads(process, name).into_iter();
        threads.map(wait_for_vfork).collect::<Vec<_>>()
    });
    let held = within("threads to be held", holding).await.unwrap();
    assert!(!held.is_empty(), "it has no thread `{name}`");
    held
}

/// Has a thread wait for a process that shares its memory and does nothing.
fn wait_for_vfork(thread: Pid) -> Uninterruptible {
    let registers = stop(thread);
    ptrace::setoptions(thread, Options::PTRACE_O_TRACEVFORK).unwrap();
    set(thread, registers, SYS_vfork.cast_unsigned());
    ptrace::cont(thread, None).unwrap();
    let stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    assert!(
        matches!(stopped, WaitStatus::PtraceEvent(..)),
        "{stopped:?}"
    );
    let child = Pid::from_raw(ptrace::getevent(thread).unwrap().try_into().unwrap());
    let child = Uninterruptible(child);
    waitpid(child.0, Some(WaitPidFlag::__WALL)).unwrap();
    let registers = ptrace::getregs(child.0).unwrap();
    resume(child.0, registers, SYS_pause.cast_unsigned());
    ptrace::detach(thread, None).unwrap();
    child
}

impl Drop for Uninterruptible {
    fn drop(&mut self) {
        // It may have gone.
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

/// The threads of a process that have a name.
fn threads(process: u32, name: &str) -> Vec<Pid> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let threads = entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let comm = fs::read_to_string(path.join("comm")).ok()?;
        let id = path.file_name()?.to_str()?.parse().ok()?;
        (comm.trim_end() == name).then_some(Pid::from_raw(id))
    });
    threads.collect()
}

/// Stops a thread in the system call that it waits in.
fn stop(thread: Pid) -> user_regs_struct {
    loop {
        ptrace::seize(thread, Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        let registers = ptrace::getregs(thread).unwrap();
        // The number of a call that was interrupted; a thread that computes has
        // none.
        if registers.orig_rax.cast_signed() >= 0 {
            return registers;
        }
        ptrace::detach(thread, None).unwrap();
    }
}

/// Lets a thread go on with another system call, or with the same again.
fn resume(thread: Pid, registers: user_regs_struct, call: u64) {
    set(thread, registers, call);
    ptrace::detach(thread, None).unwrap();
}

/// Has a thread that is stopped make another system call when it goes on.
fn set(thread: Pid, mut registers: user_regs_struct, call: u64) {
    registers.rax = call;
    registers.rip -= SYSCALL_BYTES;
    // The kernel shall not begin again what was interrupted.
    registers.orig_rax = u64::MAX;
    ptrace::setregs(thread, registers).unwrap();
}
