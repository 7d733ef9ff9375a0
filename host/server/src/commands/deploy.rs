//! `openline deploy`: sends a component to a host, which makes a version of it
//! and points an alias to it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use crate::commands::client::{Ask, encoded};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use openline_core::config::ServerConfig;
use openline_core::name::{AliasName, FunctionName};
use openline_core::route::Route;
use serde_json::Value;

use super::aliases::shares;
use super::remote::{EXIT_CODES, RemoteArguments, alias, function};
use super::table::{plain, short};
use crate::assemble::of_file;
use crate::component;
use crate::telemetry::tell;

/// Longer than the usual `compile_timeout` of a host, which ends a compilation
/// first.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

const EXAMPLES: &str = "\
Examples:
  openline deploy chat target/openline/chat.wasm
  openline deploy chat chat.wasm --weight 10 --note 'faster joins'
  openline deploy news news.wasm --route /news/{topic} --probe";

/// The words after `openline deploy`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct DeployArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// The component's file
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// The alias that is to point to it
    #[arg(long, value_name = "ALIAS", default_value = "live", value_parser = alias)]
    alias: AliasName,
    /// How many of a hundred connections it gets, as a canary; the other
    /// versions share the rest as before [default: 100]
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// What happens to open connections [default: as before, or as configured]
    #[arg(long, value_enum, value_name = "HOW")]
    migration: Option<MigrationWord>,
    /// How many connections a drain closes in a second
    #[arg(long, value_name = "N")]
    drain_per_second: Option<u32>,
    /// The route of the function, if the host's configuration does not name it
    #[arg(long, value_name = "ROUTE", value_parser = route)]
    route: Option<Route>,
    /// A note about this version, such as the first line of a commit message
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Let the host first ask a trial instance about a made-up connection
    #[arg(long)]
    probe: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

/// What happens to open connections when their alias moves.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MigrationWord {
    /// Their next event goes to the new version
    Migrate,
    /// They stay with their version until they end
    Pin,
    /// They are closed with 1012 at a bounded pace
    Drain,
}

impl MigrationWord {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Pin => "pin",
            Self::Drain => "drain",
        }
    }
}

pub(crate) async fn run(arguments: &DeployArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let component = read(arguments)?;
    let bar = io::stderr()
        .is_terminal()
        .then(|| progress_bar(component.len()));
    let ask = Ask {
        method: "POST",
        path: path(arguments),
        body: Some(("application/wasm", component)),
        timeout: TIMEOUT,
    };
    let shown = bar.clone();
    let sent = move |bytes| {
        if let Some(bar) = &shown {
            bar.set_position(bytes);
            if bar.length() == Some(bytes) {
                bar.set_prefix("compiling");
            }
        }
    };
    let deployed = remote.ask(ask, sent).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let deployed = deployed?;
    remote.print(&deployed, |deployed| words(arguments, deployed))?;
    if deployed["in_memory"] == true {
        tell("note: the host has no data directory; it forgets this when it ends");
    }
    Ok(())
}

fn words(arguments: &DeployArguments, deployed: &Value) -> String {
    let (name, alias) = (&arguments.name, &arguments.alias);
    let version = short(&deployed["version"]);
    let news = match deployed["version_is_new"].as_bool() {
        Some(true) => "new",
        _ => "it was there",
    };
    let moved = match deployed["alias_moved"].as_bool() {
        Some(true) => "",
        _ => ", as before",
    };
    let shares = shares(&deployed["alias"]["shares"]);
    plain_lines(&[
        format!("version  {name} {version} ({news})"),
        format!("alias    {alias} = {shares}{moved}"),
    ])
}

fn plain_lines(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| plain(line)).collect();
    lines.join("\n")
}

/// Reads the component, up to the size that any host could allow; this host may
/// allow less.
fn read(arguments: &DeployArguments) -> anyhow::Result<Bytes> {
    let mut rows = ServerConfig::ROWS.iter();
    let most = rows.find(|row| row.name == "component_bytes");
    let most = most.map_or(u64::MAX, |row| row.most);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let path = &arguments.component;
    let read = component::read(path, most);
    let bytes = read.map_err(|error| {
        let what = format!("{}: {error}", path.display());
        of_file(what, path, &error)
    })?;
    Ok(bytes.into())
}

fn path(arguments: &DeployArguments) -> String {
    let mut path = format!(
        "/v1/functions/{}/versions?alias={}",
        arguments.name, arguments.alias
    );
    let pace = arguments.drain_per_second.map(|pace| pace.to_string());
    for (key, value) in [
        ("weight", arguments.weight.map(|weight| weight.to_string())),
        ("migration", arguments.migration.map(|it| it.word().into())),
        ("drain_connections_per_second", pace),
        ("route", arguments.route.as_ref().map(Route::to_string)),
        ("note", arguments.note.clone()),
        ("probe", arguments.probe.then(|| "true".into())),
    ] {
        if let Some(value) = value {
            path += &format!("&{key}={}", encoded(&value));
        }
    }
    path
}

fn progress_bar(bytes: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:32}] {bytes} of {total_bytes}");
    let bar = ProgressBar::new(u64::try_from(bytes).unwrap_or(u64::MAX));
    bar.set_prefix("sending");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn route(text: &str) -> Result<Route, String> {
    Route::new(text).map_err(|error| error.to_string())
}
