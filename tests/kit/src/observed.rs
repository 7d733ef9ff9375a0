//! The resources that a process holds, read from Linux's `/proc`.

use std::fs;

use anyhow::Context;

/// One moment of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Memory that is resident.
    pub resident_bytes: u64,
    /// The part of it that belongs to no file: pages of files the system may drop.
    pub anonymous_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Descriptors of files, sockets and pipes.
    pub open_files: u64,
}

impl Observed {
    /// Looks at a process of this user.
    ///
    /// # Errors
    ///
    /// Where it has ended, or the system has no `/proc`.
    pub fn take(process: u32) -> anyhow::Result<Self> {
        let folder = format!("/proc/{process}");
        let status = fs::read_to_string(format!("{folder}/status"))
            .with_context(|| format!("cannot observe process {process}: has it ended?"))?;
        let open_files = fs::read_dir(format!("{folder}/fd"))
            .with_context(|| format!("cannot list the open files of process {process}"))?
            .count();
        let number = |name| number(&status, name).with_context(|| format!("no {name} in `status`"));
        Ok(Self {
            resident_bytes: number("VmRSS")? * 1024,
            anonymous_bytes: number("RssAnon")? * 1024,
            threads: number("Threads")?,
            open_files: open_files.try_into()?,
        })
    }
}

/// The number behind a name; memory is in KiB.
fn number(status: &str, name: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::number;

    const STATUS: &str = "Name:\topenline\nVmHWM:\t  130012 kB\nVmRSS:\t   40123 kB\n\
                          RssAnon:\t   30000 kB\nThreads:\t5\n";

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        assert_eq!(number(STATUS, "VmRSS"), Some(40_123));
        assert_eq!(number(STATUS, "Threads"), Some(5));
        assert_eq!(number(STATUS, "Rss"), None);
        assert_eq!(number(STATUS, "Name"), None);
        assert_eq!(number("", "VmRSS"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_observed() {
        let process = super::Observed::take(std::process::id()).unwrap();
        assert!(process.resident_bytes > process.anonymous_bytes);
        assert!(process.anonymous_bytes > 100_000);
        assert!(process.threads > 0 && process.open_files > 0);
    }
}
