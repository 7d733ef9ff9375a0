//! `openline run`: serves components without a configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use openline_core::config::{Config, FunctionConfig, ServerConfig};
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_hint::Hinted;

use crate::assemble::Source;
use crate::certificates;
use crate::host;
use crate::signal::Signals;
use crate::telemetry::tell;
use crate::watchdog::Watchdog;

const EXAMPLES: &str = "\
Examples:
  openline run echo.wasm
  openline run echo.wasm chat.wasm --listen 127.0.0.1:9000
  openline run echo.wasm --tls";

/// The words after `openline run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArguments {
    /// Components; each is served at /NAME, the file's name without its
    /// extension.
    #[arg(required = true, value_name = "COMPONENT")]
    components: Vec<PathBuf>,
    /// Where to listen; port 0 takes a free port.
    #[arg(long, value_name = "ADDRESS", default_value_t = ServerConfig::default().listen)]
    listen: SocketAddr,
    /// Speak TLS, with a certificate that is made for trying it and kept in the
    /// user's data folder. No client trusts it by itself.
    #[arg(long)]
    tls: bool,
}

pub(crate) async fn run(
    arguments: &RunArguments,
    signals: Signals,
    watchdog: Watchdog,
) -> anyhow::Result<()> {
    let certificate = match arguments.tls {
        true => {
            let certificate = certificates::self_signed(arguments.listen)?;
            let shown = certificate.certificate.display();
            tell(&format!("certificate   {shown}"));
            vec![certificate]
        }
        false => Vec::new(),
    };
    let server = ServerConfig {
        listen: arguments.listen,
        certificate,
        ..ServerConfig::default()
    };
    let mut functions: Vec<FunctionConfig> = Vec::new();
    for component in &arguments.components {
        let function = function(component)?;
        if functions.iter().any(|other| other.name == function.name) {
            let what = format!("two components are named `{}`", function.name);
            let hint = "rename one of the files, or use a configuration with `openline serve`";
            return Err(Hinted::new(what, hint).into());
        }
        functions.push(function);
    }
    let config = Config {
        server,
        channels: Vec::new(),
        functions,
        keys: Vec::new(),
    };
    host::serve(Source::Words(Box::new(config)), signals, watchdog).await
}

fn function(component: &Path) -> anyhow::Result<FunctionConfig> {
    let stem = component
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let name = FunctionName::new(stem).map_err(|error| {
        let shown = component.display();
        let what = format!("{shown} has no name to serve it by: {error}");
        Hinted::new(what, "rename the file")
    })?;
    let route = Route::new(&format!("/{name}"))?;
    Ok(FunctionConfig::new(name, Some(component.into()), route))
}
