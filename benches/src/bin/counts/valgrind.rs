//! Instructions, counted by valgrind's callgrind: it runs the program on a
//! processor of its own making, so that they repeat to 0.1 %, whatever else the
//! machine does. Instructions of the kernel are not counted, and of the process
//! only those of the main thread, on which the runtime and everything else that
//! is measured runs.
//!
//! Bounded: one program at a time, [`LIMIT`] each.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::measure::MARK;
use crate::paths::CountedPath;

/// A path takes some seconds, half of it to start.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// Whether there is one that this program can use.
pub(crate) async fn is_there() -> bool {
    let asked = Command::new("valgrind").arg("--version").output().await;
    cfg!(target_os = "linux") && asked.is_ok_and(|output| output.status.success())
}

/// The instructions of one message of a path. `folder` takes valgrind's files,
/// `cache` the compiled components, which are not those of the real processor.
pub(crate) async fn instructions(
    path: CountedPath,
    cache: &Path,
    folder: &Path,
) -> anyhow::Result<f64> {
    let files = folder.join(path.name.replace('/', "-"));
    let mut file_option = OsString::from("--callgrind-out-file=");
    file_option.push(&files);
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    command
        .arg("under-valgrind")
        .args(["--tool=callgrind", "--separate-threads=yes"])
        .arg(format!("--dump-before={MARK}"))
        .arg(file_option)
        .arg(&program)
        .args(["measure", path.name])
        .arg(cache);
    crate::output(command, LIMIT)
        .await
        .with_context(|| format!("valgrind does not run `{}`", path.name))?;
    // Each mark ends a part, and the first is everything before it. `01` is
    // the main thread.
    let part = |number: u32| {
        let mut file = files.clone().into_os_string();
        file.push(format!(".{number}-01"));
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("valgrind has not written {}", Path::new(&file).display()))?;
        total(&text)
    };
    let (once, twice) = (part(2)?, part(3)?);
    Ok((twice - once) / (path.rounds * path.units()) as f64)
}

/// The sum at the end of a file of callgrind's.
fn total(text: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = line.and_then(|line| line.trim().parse().ok());
    total.context("valgrind has written no sum")
}

/// Becomes valgrind, with these arguments.
///
/// Linux 6.4 and later tell a program by `prctl(PR_GET_AUXV)` where the
/// kernel's clock functions are in its memory, which under valgrind 3.19 is not
/// true; `rustix` believes it and crashes. Kept from asking, it reads
/// `/proc/self/auxv`, where valgrind says what is true.
#[cfg(target_os = "linux")]
pub(crate) fn become_valgrind(arguments: &[OsString]) -> anyhow::Result<()> {
    use std::collections::BTreeMap;
    use std::os::unix::process::CommandExt;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    const PRCTL: i64 = if cfg!(target_arch = "x86_64") {
        157
    } else {
        167
    };
    const PR_GET_AUXV: u64 = 0x4155_5856;
    const EINVAL: u32 = 22;

    let asks = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, PR_GET_AUXV)?;
    let filter = SeccompFilter::new(
        BTreeMap::from([(PRCTL, vec![SeccompRule::new(vec![asks])?])]),
        SeccompAction::Allow,
        SeccompAction::Errno(EINVAL),
        std::env::consts::ARCH.try_into()?,
    )?;
    let filter: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&filter).context("a system call cannot be kept from valgrind")?;
    let error = std::process::Command::new("valgrind")
        .args(arguments)
        .exec();
    bail!("valgrind does not start: {error}")
}

/// Other systems have no such call, and no counts of instructions: see
/// [`is_there`].
#[cfg(not(target_os = "linux"))]
pub(crate) fn become_valgrind(_arguments: &[OsString]) -> anyhow::Result<()> {
    bail!("instructions are counted on Linux")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_file() {
        assert_eq!(
            total("fn=(1) a\n1 2\n\ntotals: 61258197\n").unwrap(),
            61_258_197.0
        );
        assert!(total("fn=(1) a\n").is_err());
    }
}
