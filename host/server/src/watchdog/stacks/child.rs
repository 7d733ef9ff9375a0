//! The child's side: stops each thread of the host for a moment, unwinds its
//! stack, and prints the stacks, equal ones once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use framehop::{CacheNative, UnwindRegsNative, Unwinder as _};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::modules::Modules;
use super::{SEPARATOR, TIMEOUT};

/// Frames of one stack: a deeper one is usually recursive.
const FRAMES_MAX: usize = 128;
/// The most threads that are read: more than a large machine has workers.
const THREADS_MAX: usize = 1024;
/// How often, and at which interval, to check whether a thread has stopped. A
/// thread that waits for a disk does not stop.
const STOPPING: (u32, Duration) = (200, Duration::from_millis(1));

/// After this time no more threads are stopped, because the result must be
/// written within [`TIMEOUT`].
const READING: Duration = Duration::from_secs(3);

/// A thread as the child sees it.
struct Thread {
    id: i32,
    name: String,
    /// The letter of its state, as in proc(5).
    state: String,
    /// The place in the kernel where it waits.
    waits: String,
    frames: Result<Vec<u64>, Errno>,
}

/// Prints the stacks of the process whose number is given, after a byte has
/// come on standard input.
pub(crate) fn run(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let host = words.next().and_then(|word| word.to_str()?.parse().ok());
    let done = limit().and_then(|()| match host {
        Some(host) => write_stacks(host),
        None => Err(io::ErrorKind::InvalidInput.into()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Ends this process when it takes too long, whatever it waits for. Any stopped
/// thread of the host then continues.
fn limit() -> io::Result<()> {
    thread::Builder::new().spawn(|| {
        thread::park_timeout(TIMEOUT);
        #[expect(clippy::exit, reason = "what hangs cannot be asked to stop")]
        std::process::exit(1);
    })?;
    Ok(())
}

fn write_stacks(host: i32) -> io::Result<()> {
    // After this byte the host has allowed the tracing.
    io::stdin().lock().read_exact(&mut [0])?;
    // Even a host that may not be traced has threads with names.
    let modules = Modules::of(host).unwrap_or_else(|_| Modules::none());
    let memory = File::open(format!("/proc/{host}/mem"));
    let mut threads = Vec::new();
    let asked = Instant::now();
    for entry in fs::read_dir(format!("/proc/{host}/task"))?.take(THREADS_MAX) {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(|id| id.parse().ok());
        let Some(id) = id else { continue };
        let read = |file| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        // Read these before the thread is stopped.
        let (stat, waits) = (read("stat"), read("wchan"));
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        // Skip threads that wait for a disk: they do not stop, and there may be
        // many.
        let waits_for_disk = state.starts_with('D');
        threads.push(Thread {
            id,
            name: read("comm").trim_end().to_owned(),
            state: state.chars().take(1).collect(),
            waits: waits.trim_end().to_owned(),
            frames: match &memory {
                Ok(_) if waits_for_disk || asked.elapsed() > READING => Err(Errno::EBUSY),
                Ok(memory) => stopped(Pid::from_raw(id), || unwind(id, memory, &modules)),
                Err(_) => Err(Errno::EPERM),
            },
        });
    }
    let text = describe(&threads, &modules);
    io::stdout().lock().write_all(text.as_bytes())
}

/// Stops a thread, calls `look`, and lets the thread continue.
fn stopped<T>(thread: Pid, look: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    ptrace::seize(thread, Options::empty())?;
    ptrace::interrupt(thread)?;
    let (times, step) = STOPPING;
    for _ in 0..times {
        let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
        // A signal that was on its way must still be delivered.
        let signal: Option<Signal> = match waitpid(thread, Some(flags))? {
            WaitStatus::StillAlive => {
                thread::park_timeout(step);
                continue;
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Err(Errno::ESRCH),
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        let seen = look();
        ptrace::detach(thread, signal)?;
        return seen;
    }
    // The thread continues when this process ends.
    Err(Errno::ETIMEDOUT)
}

/// The return addresses of a stopped thread, innermost first.
fn unwind(thread: i32, memory: &File, modules: &Modules) -> Result<Vec<u64>, Errno> {
    let (instruction, registers) = registers(Pid::from_raw(thread))?;
    let mut read = |address: u64| {
        let mut word = [0; 8];
        match memory.read_exact_at(&mut word, address) {
            Ok(()) => Ok(u64::from_ne_bytes(word)),
            Err(_) => Err(()),
        }
    };
    let mut cache = CacheNative::<_>::new();
    let unwinder = modules.unwinder();
    let mut frames = unwinder.iter_frames(instruction, registers, &mut cache, &mut read);
    let mut found = Vec::new();
    // An error ends the stack: nothing more can be read.
    while let Ok(Some(frame)) = frames.next() {
        found.push(frame.address_for_lookup());
        if found.len() == FRAMES_MAX {
            break;
        }
    }
    Ok(found)
}

#[cfg(target_arch = "x86_64")]
fn registers(thread: Pid) -> Result<(u64, UnwindRegsNative), Errno> {
    let all = ptrace::getregs(thread)?;
    Ok((all.rip, UnwindRegsNative::new(all.rip, all.rsp, all.rbp)))
}

#[cfg(target_arch = "aarch64")]
fn registers(thread: Pid) -> Result<(u64, UnwindRegsNative), Errno> {
    let all = ptrace::getregs(thread)?;
    // The link register and the frame pointer (AAPCS64 section 6.1.1).
    let registers = UnwindRegsNative::new(all.regs[30], all.sp, all.regs[29]);
    Ok((all.pc, registers))
}

/// All stacks as texts, workers first; threads with equal stacks share one.
fn describe(threads: &[Thread], modules: &Modules) -> String {
    let addresses = threads
        .iter()
        .filter_map(|thread| thread.frames.as_ref().ok());
    let names = modules.names(addresses.flatten().copied());
    let mut stacks: BTreeMap<(bool, String), Vec<&Thread>> = BTreeMap::new();
    for thread in threads {
        let mut text = String::new();
        match &thread.frames {
            Ok(frames) => {
                for address in frames {
                    // Writing to a string does not fail.
                    let _ = match names.get(address) {
                        Some(name) => write!(text, "\n    {name}"),
                        None => write!(text, "\n    {address:#x}"),
                    };
                }
            }
            Err(error) => {
                let _ = write!(text, "\n    cannot be read: {}", error.desc());
            }
        }
        let other = thread.name != crate::watchdog::WORKER;
        stacks.entry((other, text)).or_default().push(thread);
    }
    let texts = stacks.into_iter().map(|((_, stack), threads)| {
        let named = |thread: &&Thread| {
            let Thread {
                id,
                name,
                state,
                waits,
                ..
            } = thread;
            let waits = if waits.len() > 1 {
                format!(" in {waits}")
            } else {
                String::new()
            };
            format!("thread {id} {name:?} ({state}{waits})")
        };
        let heads: Vec<_> = threads.iter().map(named).collect();
        format!("{}{stack}", heads.join(", "))
    });
    texts.collect::<Vec<_>>().join(SEPARATOR)
}
