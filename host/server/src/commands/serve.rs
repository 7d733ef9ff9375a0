//! `openline serve`: serves what a configuration file says.

use std::path::PathBuf;

use clap::Args;

use crate::assemble;

/// Examples:
///   openline serve --config openline.toml
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
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
