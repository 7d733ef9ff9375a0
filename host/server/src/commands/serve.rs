//! `openline serve`: serves what a configuration file says.

use std::path::PathBuf;

use clap::Args;

use crate::assemble;

const EXAMPLES: &str = "\
Examples:
  openline serve --config openline.toml";

/// The words after `openline serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) async fn run(arguments: &ServeArguments) -> anyhow::Result<()> {
    let config = assemble::read_config(&arguments.config)?;
    let functions = assemble::load(&config, Some(&arguments.config)).await?;
    assemble::serve(config.server, functions).await
}
