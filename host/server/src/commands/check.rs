//! `openline check`: validates without serving.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use openline_core::config::ServerConfig;
use openline_engine::CallStyle;
use openline_engine::runtime::{Runtime, RuntimeOptions};

use crate::assemble::{self, Source};
use crate::certificates;
use crate::telemetry::print;

const EXAMPLES: &str = "\
Examples:
  openline check --config openline.toml";

/// The words after `openline check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) async fn run(arguments: &CheckArguments) -> anyhow::Result<()> {
    let source = Source::File(arguments.config.clone());
    let config = source.read()?;
    let certificates = assemble::certificates(&config, &source, None)?;
    certificates::warn(certificates.as_ref());
    let acme = assemble::acme(&config, &source)?;
    certificates::tell_missing(certificates.as_ref(), acme.as_ref());
    let runtime = assemble::runtime(&config, false)?;
    assemble::try_out(&runtime, &config, &source).await?;
    print(&format!(
        "{}: {} function(s), no errors",
        arguments.config.display(),
        config.functions.len()
    ))?;
    Ok(())
}

/// Checks a component that was built just now against the contract, as the host
/// would when it loads it, and says which handler it exports.
pub(crate) fn contract(bytes: &[u8]) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // One place is enough for the trial instance. With the cache, the first
    // start of a host with this component is instant.
    let options = RuntimeOptions {
        instances: 1,
        compiler: assemble::compiler(),
        ..RuntimeOptions::new(&ServerConfig::default(), assemble::default_cache())
    };
    let engine = Arc::new(Runtime::new(options)?);
    let checked = runtime.block_on(engine.check(bytes.to_vec()));
    match checked {
        Ok(contract) => Ok(match contract.handlers.call_style() {
            CallStyle::Plain => "websocket-handler".into(),
            CallStyle::Async => "async-websocket-handler".into(),
        }),
        Err(error) => Err(assemble::built(error.to_string(), &error).into()),
    }
}
