//! `openline serve`: serves the functions of a configuration file.

use std::path::PathBuf;

use clap::Args;

use crate::assemble::Source;
use crate::host;
use crate::signal::Signals;
use crate::watchdog::Watchdog;

const EXAMPLES: &str = "\
Examples:
  openline serve --config openline.toml

Signals:
  SIGHUP   reads the configuration and the components again; connections stay
  SIGTERM  drains: connections are closed with 1001; a second one ends at once";

/// The words after `openline serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) async fn run(
    arguments: &ServeArguments,
    signals: Signals,
    watchdog: Watchdog,
) -> anyhow::Result<()> {
    host::serve(Source::File(arguments.config.clone()), signals, watchdog).await
}
