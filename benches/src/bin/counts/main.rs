//! Counts what a message costs on the host's side, in allocations and in
//! instructions, and fails when a figure is more than 10 % worse than the one
//! that was accepted. Counts, unlike times, are the same on a busy machine.
//!
//! Every path runs in a process of its own: once for its allocations, once
//! under valgrind for its instructions.

mod allocator;
mod figures;
mod host;
mod judge;
mod measure;
mod paths;
mod valgrind;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use tokio::process::Command;
use tokio::runtime::Builder;

use figures::{Counts, Figures, MadeWith};
use judge::Verdict;
use paths::{CountedPath, PATHS};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Count allocations and instructions of a message, and compare them with
/// those that were accepted.
#[derive(Debug, Parser)]
#[command(name = "counts")]
struct Arguments {
    /// The file of accepted figures.
    #[arg(long, value_name = "FILE", default_value = "benches/counts.toml")]
    baseline: PathBuf,
    /// Accept the figures: write them to the file.
    #[arg(long)]
    accept: bool,
    /// Count allocations only.
    #[arg(long, env = "OPENLINE_SKIP_INSTRUCTIONS", value_parser = clap::builder::FalseyValueParser::new())]
    skip_instructions: bool,
    /// Keep what valgrind writes, for `callgrind_annotate`.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Asked>,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Show who allocates on a path: the call stacks of eight rounds.
    Sites {
        /// As in the table: `gateway/plain/1`.
        path: String,
    },
    /// Run one path: what `counts` starts for each.
    #[command(hide = true)]
    Measure { path: String, cache: PathBuf },
    /// Become valgrind, without a system call that it does not know.
    #[command(hide = true)]
    UnderValgrind {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        None => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            return runtime.block_on(compare(&arguments));
        }
        Some(Asked::Sites { path }) => {
            let cache = tempfile::tempdir()?;
            measure::sites(find(&path)?, cache.path())?;
        }
        Some(Asked::Measure { path, cache }) => {
            let (allocations, bytes) = measure::run(find(&path)?, &cache)?;
            writeln!(std::io::stdout(), "{allocations} {bytes}")?;
        }
        Some(Asked::UnderValgrind { arguments }) => valgrind::become_valgrind(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn find(name: &str) -> anyhow::Result<CountedPath> {
    let found = PATHS.into_iter().find(|path| path.name == name);
    found.with_context(|| {
        let names = PATHS.map(|path| path.name).join(", ");
        format!("there is no path `{name}`\nhint: there are {names}")
    })
}

/// Counts everything and judges, or accepts.
async fn compare(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let baseline = &arguments.baseline;
    let instructions = if arguments.skip_instructions {
        tell("instructions are skipped, as asked");
        false
    } else {
        let there = valgrind::is_there().await;
        if !there {
            tell(
                "instructions are skipped: there is no valgrind here (Debian: `apt-get install valgrind`)",
            );
        }
        there
    };
    ensure!(
        instructions || !arguments.accept,
        "figures without instructions are not accepted\nhint: install valgrind, on Linux"
    );
    let now = count(instructions, arguments.keep.as_deref()).await?;
    if arguments.accept {
        now.write(baseline)?;
        tell(&format!("written to {}", baseline.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let accepted = Counts::read(baseline)?;
    if instructions && accepted.made_with != now.made_with {
        let (MadeWith { rustc, machine }, here) = (&accepted.made_with, &now.made_with);
        tell(&format!(
            "instructions are not judged: those accepted are of rustc {rustc} on {machine}, these of rustc {} on {}",
            here.rustc, here.machine
        ));
    }
    let lines = judge::judge(&accepted, &now);
    let mut out = std::io::stdout().lock();
    write!(out, "{}", judge::table(&lines))?;
    let any = |verdict| lines.iter().any(|line| line.verdict == verdict);
    if any(Verdict::Better) {
        tell(
            "note: figures marked `better` are more than 10 % below what is accepted; `make counts-accept` keeps them there",
        );
    }
    if any(Verdict::Worse) || any(Verdict::New) {
        tell(
            "error: figures marked `WORSE` are more than 10 % above what is accepted, `NEW` ones are not accepted yet\n\
             hint: `counts sites PATH` shows who allocates; if the change is meant, `make counts-accept` writes the new figures, and the commit says why",
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The figures of all paths. `keep` is where valgrind's files stay.
async fn count(instructions: bool, keep: Option<&Path>) -> anyhow::Result<Counts> {
    // Valgrind's processor is another one: what is compiled for it, too.
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let written = tempfile::tempdir()?;
    if let Some(keep) = keep {
        std::fs::create_dir_all(keep)?;
    }
    let folder = keep.unwrap_or(written.path());
    let mut counts = Counts {
        made_with: MadeWith::here(),
        path: BTreeMap::new(),
    };
    for path in PATHS {
        let (allocations, bytes) = allocations(path, here.path()).await?;
        let instructions = if instructions {
            Some(valgrind::instructions(path, there.path(), folder).await?)
        } else {
            None
        };
        let figures = Figures {
            allocations,
            bytes,
            instructions,
        };
        counts.path.insert(path.name.to_owned(), figures);
    }
    Ok(counts)
}

async fn allocations(path: CountedPath, cache: &Path) -> anyhow::Result<(f64, f64)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["measure", path.name]).arg(cache);
    let output = output(command, valgrind::LIMIT).await?;
    let parsed = output
        .trim()
        .split_once(' ')
        .and_then(|(one, other)| Some((one.parse::<f64>().ok()?, other.parse::<f64>().ok()?)));
    let (allocations, bytes) =
        parsed.with_context(|| format!("`{}` answers {output:?}", path.name))?;
    // Nothing is asked for, but for what another run has given back late.
    Ok((allocations.max(0.0), bytes.max(0.0)))
}

/// The output of a program. Its environment holds only the variables that
/// help to find programs: one that asks for backtraces, say, would change the
/// counts.
pub(crate) async fn output(mut command: Command, limit: Duration) -> anyhow::Result<String> {
    command.env_clear().kill_on_drop(true);
    for kept in ["PATH", "TMPDIR", "VALGRIND_LIB"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command.stdin(std::process::Stdio::null());
    let Ok(output) = tokio::time::timeout(limit, command.output()).await else {
        bail!("it has not ended within {limit:?}");
    };
    let output = output?;
    ensure!(
        output.status.success(),
        "{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Prints a line for the person at the terminal.
fn tell(text: &str) {
    // There is nowhere to say that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}
