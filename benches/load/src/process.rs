//! What the server's process and the load generator's own threads use, as
//! Linux tells it under `/proc`.
//!
//! The CPU time is the sum over the process's threads in nanoseconds
//! (`/proc/PID/task/TID/schedstat`), which is finer than the ticks of
//! `/proc/PID/stat`. A thread that ends between two samples is not counted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

/// The CPU time of each thread at one moment.
#[derive(Debug, Clone)]
pub(crate) struct CpuSample(BTreeMap<u32, u64>);

impl CpuSample {
    pub(crate) fn take(process: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
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
            threads.insert(thread, nanoseconds);
        }
        Ok(Self(threads))
    }

    /// CPU time used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let used = |(thread, now): (&u32, &u64)| {
            now.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        Duration::from_nanos(self.0.iter().map(used).sum())
    }
}

/// The process's resident memory, in bytes.
pub(crate) fn resident_bytes(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kibibytes: Option<u64> = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The CPU time this thread has used, where the system tells (Linux).
pub(crate) fn thread_cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{CpuSample, resident_bytes};

    #[test]
    fn this_process_can_be_observed() {
        let process = std::process::id();
        let before = CpuSample::take(process).unwrap();
        let after = CpuSample::take(process).unwrap();
        assert!(after.since(&before) <= after.since(&CpuSample(Default::default())));
        assert!(resident_bytes(process).unwrap() > 100_000);
    }
}
