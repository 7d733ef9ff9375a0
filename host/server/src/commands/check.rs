//! `openline check`: validates without serving.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use openline_core::config::{self, Config, ServerConfig};
use openline_core::name::FunctionName;
use openline_core::trigger::Trigger;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_engine::{CallStyle, Handler};
use openline_gateway::tls::files::Files;
use openline_hint::{Hint, Hinted};

use crate::assemble::{self, Configured, Source};
use crate::telemetry::{print, tell};

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
    let Configured { mut config, rules } = source.read()?;
    let firewalls = assemble::firewalls(&config, rules, &source)?.firewalls;
    let certificates = assemble::certificates(&config, &source, None)?;
    // The files that it names can be read.
    assemble::acme(&config, &source)?;
    openline_control::check_secrets(&config)
        .map_err(|error| Hinted::about(error.to_string(), &error))?;
    openline_control::check_keys(&config)
        .map_err(|error| Hinted::about(error.to_string(), &error))?;
    // Components are tried with them.
    openline_control::read_secrets(&mut config)
        .map_err(|error| Hinted::about(error.to_string(), &error))?;
    let mut warnings = certificates
        .as_ref()
        .map(Files::warnings)
        .unwrap_or_default();
    warnings.extend(config::warnings(&config.server, triggers(&config)));
    warnings.extend(openline_control::configured_key_warnings(&config));
    for warning in &warnings {
        tell(&format!("warning: {}", warning.explained()));
    }
    let runtime = assemble::runtime(&config, false)?;
    assemble::try_out(&runtime, &config, firewalls.rules(), &source).await?;
    let warned = match warnings.len() {
        0 => String::new(),
        found => format!(", {found} warning(s)"),
    };
    print(&format!(
        "{}: {} function(s), no errors{warned}",
        arguments.config.display(),
        config.functions.len()
    ))?;
    Ok(())
}

/// Its triggers, each with its function. Which of them answers requests shows only
/// when the host serves.
fn triggers(config: &Config) -> impl Iterator<Item = (&FunctionName, &Trigger, bool)> {
    let functions = config.functions.iter();
    functions.flat_map(|it| it.triggers.iter().map(|trigger| (&it.name, trigger, true)))
}

/// What a component is, as far as people want to know it.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The interfaces of its handlers.
    pub(crate) handlers: String,
    /// Whether triggers can lead to it.
    pub(crate) is_reachable: bool,
    /// Whether rules of a firewall can name it.
    pub(crate) inspects: bool,
    /// Whether channels can wake it.
    pub(crate) hears: bool,
}

/// Checks a component that was built just now against the contract, as the host
/// would when it loads it, and says which handler it exports.
pub(crate) fn contract(bytes: &[u8]) -> anyhow::Result<Checked> {
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
        Ok(contract) => {
            let named = |handler, plain, asynchronous| match contract.handlers.get(handler)? {
                CallStyle::Plain => Some(plain),
                CallStyle::Async => Some(asynchronous),
            };
            let websocket = ("websocket-handler", "async-websocket-handler");
            let websocket = named(Handler::WebSocket, websocket.0, websocket.1);
            let http = named(
                Handler::Http,
                "wasi:http/incoming-handler",
                "wasi:http/handler",
            );
            let firewall = named(Handler::Firewall, "firewall", "async-firewall");
            let channel = ("channel-handler", "async-channel-handler");
            let channel = named(Handler::Channel, channel.0, channel.1);
            let is_reachable = websocket.is_some() || http.is_some();
            let (inspects, hears) = (firewall.is_some(), channel.is_some());
            let named = [websocket, http, firewall, channel].into_iter().flatten();
            let named: Vec<_> = named.collect();
            Ok(Checked {
                handlers: named.join(" and "),
                is_reachable,
                inspects,
                hears,
            })
        }
        Err(error) => Err(assemble::built(error.to_string(), &error).into()),
    }
}
