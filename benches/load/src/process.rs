//! CPU time and memory of the server's processes and of the load generator's
//! own threads, read from Linux's `/proc`. A server is its process and all
//! below it, at the moment of a sample.
//!
//! The CPU time is the sum over all threads in nanoseconds
//! (`/proc/PID/task/TID/schedstat`), which is finer than the ticks of
//! `/proc/PID/stat`. A process that ends between two samples is counted with
//! what its parent then has for its children, in ticks; a thread that ends
//! while its process goes on is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::time::Duration;

/// Ticks a second of what `/proc` shows: a part of Linux's interface, whatever
/// the kernel's own are.
const TICKS_PER_SECOND: u64 = 100;

/// Fields of `/proc/PID/stat` behind the name, which may hold anything but ends
/// with the last `)`: the time of the children that were waited for, user and
/// system.
const CHILDREN_USER: usize = 13;
const CHILDREN_SYSTEM: usize = 14;

/// The CPU time of a process and of all below it, at one moment.
#[derive(Debug, Clone, Default)]
pub struct CpuSample {
    /// Nanoseconds of each thread, by process and thread.
    threads: BTreeMap<(u32, u32), u64>,
    /// Ticks of the children that each process has waited for.
    ended: BTreeMap<u32, u64>,
}

impl CpuSample {
    /// Reads the times of a process and of all below it.
    ///
    /// # Errors
    ///
    /// Where the process cannot be observed. One below it may end meanwhile.
    pub fn take(process: u32) -> io::Result<Self> {
        let mut sample = Self::default();
        for each in tree(process)? {
            match sample.add(each) {
                Err(error) if each == process => return Err(error),
                _ => {}
            }
        }
        Ok(sample)
    }

    fn add(&mut self, process: u32) -> io::Result<()> {
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let path = entry?.path();
            let thread = path.file_name().and_then(|name| name.to_str());
            let thread = thread.and_then(|name| name.parse().ok());
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(path.join("schedstat")) else {
                continue;
            };
            let nanoseconds = text.split_whitespace().next();
            let nanoseconds = nanoseconds.and_then(|number| number.parse().ok());
            let (Some(thread), Some(nanoseconds)) = (thread, nanoseconds) else {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            };
            self.threads.insert((process, thread), nanoseconds);
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let ticks = children_ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
        self.ended.insert(process, ticks);
        Ok(())
    }

    /// CPU time used since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Duration {
        let used = |(thread, now): (&(u32, u32), &u64)| {
            now.saturating_sub(before.threads.get(thread).copied().unwrap_or_default())
        };
        let living: u64 = self.threads.iter().map(used).sum();
        let ended = |(process, now): (&u32, &u64)| {
            now.saturating_sub(before.ended.get(process).copied().unwrap_or_default())
        };
        let ticks: u64 = self.ended.iter().map(ended).sum();
        // Their time from before is now a part of their parents' time.
        let gone = before
            .threads
            .iter()
            .filter(|((process, _), _)| !self.ended.contains_key(process))
            .map(|(_, nanoseconds)| nanoseconds);
        let ended = (ticks * (1_000_000_000 / TICKS_PER_SECOND)).saturating_sub(gone.sum());
        Duration::from_nanos(living + ended)
    }
}

/// The ticks of the children that a process has waited for.
fn children_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(CHILDREN_USER);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields
        .nth(CHILDREN_SYSTEM - CHILDREN_USER - 1)?
        .parse()
        .ok()?;
    Some(user + system)
}

/// The process and all below it.
fn tree(process: u32) -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::from([process]);
    let mut unread = vec![process];
    while let Some(parent) = unread.pop() {
        let threads = match fs::read_dir(format!("/proc/{parent}/task")) {
            Ok(threads) => threads,
            Err(error) if parent == process => return Err(error),
            Err(_) => continue,
        };
        for thread in threads {
            // Absent where the thread has ended, or the kernel does not say.
            let Ok(children) = thread.and_then(|thread| {
                let path = thread.path().join("children");
                fs::read_to_string(path)
            }) else {
                continue;
            };
            let children = children.split_whitespace();
            for child in children.filter_map(|number| number.parse().ok()) {
                if found.insert(child) {
                    unread.push(child);
                }
            }
        }
    }
    Ok(found)
}

/// Resident memory of a process and of all below it, in bytes. Where several
/// share a page, those below count only their share of it: a thousand children
/// of one program have its code once.
///
/// # Errors
///
/// Where the process cannot be observed. One below it may end meanwhile.
pub fn resident_bytes(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let resident = kibibytes(&status, "VmRSS:").ok_or(io::ErrorKind::InvalidData)?;
    let below = tree(process)?.into_iter().filter(|each| *each != process);
    let share = |each| {
        let rollup = fs::read_to_string(format!("/proc/{each}/smaps_rollup")).ok()?;
        kibibytes(&rollup, "Pss:")
    };
    let below: u64 = below.filter_map(share).sum();
    Ok((resident + below) * 1024)
}

/// The number in the line that begins with a name.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The CPU time this thread has used, where the system tells (Linux).
#[must_use]
pub fn thread_cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::{CpuSample, children_ticks, resident_bytes, tree};

    #[test]
    fn this_process_can_be_observed() {
        let process = std::process::id();
        let before = CpuSample::take(process).unwrap();
        let after = CpuSample::take(process).unwrap();
        // Other tests may start and end children meanwhile.
        assert!(after.since(&before) <= after.since(&CpuSample::default()));
        assert!(resident_bytes(process).unwrap() > 100_000);
    }

    #[test]
    fn what_is_below_a_process_counts() {
        // A shell, and what it runs.
        let mut shell = Command::new("sh")
            .args(["-c", "cat; true"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        input.write_all(b"x").unwrap();
        let mut echo = [0];
        // When it answers, it is there.
        shell.stdout.take().unwrap().read_exact(&mut echo).unwrap();
        let all = tree(shell.id()).unwrap();
        let sample = CpuSample::take(shell.id()).unwrap();
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(sample.ended.len(), 2);
        assert!(resident_bytes(shell.id()).unwrap() > 0);
        drop(input);
        shell.wait().unwrap();
        CpuSample::take(shell.id()).unwrap_err();
    }

    #[test]
    fn a_child_that_has_ended_is_counted_once() {
        let sample = |threads: &[(u32, u64)], ended: &[(u32, u64)]| CpuSample {
            threads: threads
                .iter()
                .map(|(id, time)| ((*id, *id), *time))
                .collect(),
            ended: ended.iter().copied().collect(),
        };
        let millisecond = 1_000_000;
        // It used 15 of its 40 ms before the first sample.
        let before = sample(&[(1, 100), (2, 15 * millisecond)], &[(1, 0), (2, 0)]);
        let after = sample(&[(1, 150)], &[(1, 4)]);
        let expected = Duration::from_nanos(50 + 25 * millisecond);
        assert_eq!(after.since(&before), expected);
    }

    #[test]
    fn the_time_of_children_is_read_behind_any_name() {
        let stat = "7 (a ) 1 (b) S 1 7 7 0 -1 4194560 9 8 7 6 11 12 13 14 20 0 1 0";
        assert_eq!(children_ticks(stat), Some(27));
        assert_eq!(children_ticks("7 (a"), None);
    }
}
