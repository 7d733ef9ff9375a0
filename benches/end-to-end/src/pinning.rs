//! Which CPUs the server and the load generator run on: different ones, where
//! there are two and util-linux's `taskset` is installed.

use std::fs;
use std::process::{Command as Probe, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;

/// The CPUs of both sides; `None` leaves a side where the system puts it.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Pinning {
    pub(crate) server: Option<String>,
    pub(crate) load: Option<String>,
}

impl Pinning {
    /// Half of the CPUs for each side, where that is possible.
    pub(crate) fn halves() -> Self {
        let cpus = allowed();
        if cpus.len() < 2 || !taskset_works() {
            return Self::default();
        }
        let (server, load) = cpus.split_at(cpus.len() / 2);
        Self {
            server: Some(list(server)),
            load: Some(list(load)),
        }
    }

    /// How many threads the load generator should have: one for each of its
    /// CPUs, or for half of all where it is not pinned.
    pub(crate) fn load_threads(&self) -> usize {
        let pinned = self.load.as_deref().map(|list| parse(list).len());
        pinned.unwrap_or(allowed().len() / 2).max(1)
    }

    /// How many cores the server may use.
    pub(crate) fn server_cores(&self) -> usize {
        let pinned = self.server.as_deref().map(|list| parse(list).len());
        pinned.unwrap_or(allowed().len()).max(1)
    }
}

/// A command that runs `program` on these CPUs.
pub(crate) fn command(program: &std::path::Path, cpus: Option<&str>) -> Command {
    let Some(cpus) = cpus else {
        return Command::new(program);
    };
    // It replaces itself by the program: the process number stays.
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(cpus).arg(program);
    command
}

/// Starts this program again on these CPUs, with a hidden subcommand. Its order and
/// its answer are JSON.
pub(crate) async fn this_program<T: DeserializeOwned>(
    part: &str,
    order: &impl Serialize,
    cpus: Option<&str>,
) -> anyhow::Result<T> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let output = command(&program, cpus)
        .arg(part)
        .arg(serde_json::to_string(order)?)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("it cannot be started")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "it ended with {}: {}",
        output.status,
        told.trim()
    );
    serde_json::from_slice(&output.stdout).context("what it answers is not valid")
}

fn taskset_works() -> bool {
    let mut probe = Probe::new("taskset");
    probe.arg("--version").stdout(Stdio::null());
    probe.stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// The CPUs this process may use; none where the system does not say.
fn allowed() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map(parse).unwrap_or_default()
}

/// Reads a list such as `0-2,5`; what is not a CPU is left out.
fn parse(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok();
        Some(number(first)?..=number(last)?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

fn list(cpus: &[usize]) -> String {
    let cpus: Vec<_> = cpus.iter().map(ToString::to_string).collect();
    cpus.join(",")
}

#[cfg(test)]
mod tests {
    use super::{list, parse};

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse("\t0-2,5"), [0, 1, 2, 5]);
        assert_eq!(parse("7"), [7]);
        assert!(parse("").is_empty());
        assert_eq!(list(&[0, 3]), "0,3");
    }
}
