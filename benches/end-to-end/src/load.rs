//! The load generator in a process of its own: this program started again,
//! with the options as JSON; the report comes back the same way.

use std::io::{self, Write};

use anyhow::Context;
use openline_hint::Hint;
use openline_load::{Options, Report};

use crate::pinning;

/// The hidden subcommand that [`generate`] runs.
pub(crate) const SUBCOMMAND: &str = "load";

/// Runs the load in a process on these CPUs.
pub(crate) async fn run(options: &Options, cpus: Option<&str>) -> anyhow::Result<Report> {
    let report = pinning::this_program(SUBCOMMAND, options, cpus).await;
    report.with_context(|| format!("the load generator failed on {}", options.target))
}

/// The other side: generates the load and prints the report.
pub(crate) async fn generate(options: &str) -> anyhow::Result<()> {
    let options: Options = serde_json::from_str(options).context("the options are not valid")?;
    let report = openline_load::run(options, |_progress| {}).await;
    let report = report.map_err(|error| anyhow::anyhow!(error.explained()))?;
    serde_json::to_writer(io::stdout().lock(), &report)?;
    Ok(io::stdout().flush()?)
}
