//! The load generator in a process of its own: this program started again,
//! with the options as JSON; the report comes back the same way.

use std::io::{self, Write};
use std::process::Stdio;

use anyhow::{Context, bail};
use openline_hint::Hint;
use openline_load::{Options, Report};

use crate::pinning;

/// The hidden subcommand that [`generate`] runs.
pub(crate) const SUBCOMMAND: &str = "load";

/// Runs the load in a process on these CPUs.
pub(crate) async fn run(options: &Options, cpus: Option<&str>) -> anyhow::Result<Report> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let output = pinning::command(&program, cpus)
        .arg(SUBCOMMAND)
        .arg(serde_json::to_string(options)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start the load generator")?;
    if !output.status.success() {
        bail!("the load generator failed on {}", options.target);
    }
    serde_json::from_slice(&output.stdout).context("the load generator's report is not valid")
}

/// The other side: generates the load and prints the report.
pub(crate) async fn generate(options: &str) -> anyhow::Result<()> {
    let options: Options = serde_json::from_str(options).context("the options are not valid")?;
    let report = openline_load::run(options, |_progress| {}).await;
    let report = report.map_err(|error| anyhow::anyhow!(error.explained()))?;
    serde_json::to_writer(io::stdout().lock(), &report)?;
    Ok(io::stdout().flush()?)
}
