//! `openline aliases`, `openline promote`, `openline rollback`: show where the
//! aliases of a function point, and move them.

use clap::Args;
use openline_core::name::{AliasName, FunctionName};
use openline_hint::Hinted;
use serde_json::{Value, json};

use super::deploy::MigrationWord;
use super::remote::{EXIT_CODES, Remote, RemoteArguments, alias, function};
use super::table::{cell, short, table};

const ALIASES_EXAMPLES: &str = "\
Examples:
  openline aliases chat
  openline aliases chat live a1b2c3=90 d4e5f6=10
  openline aliases chat next d4e5f6 --migration pin";

const PROMOTE_EXAMPLES: &str = "\
Examples:
  openline promote chat
  openline promote chat a1b2c3 --alias next";

const ROLLBACK_EXAMPLES: &str = "\
Examples:
  openline rollback chat
  openline rollback chat --alias next";

/// The words after `openline aliases`.
#[derive(Debug, Args)]
#[command(after_help = ALIASES_EXAMPLES, after_long_help = format!("{ALIASES_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct AliasesArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// Only this alias
    #[arg(value_name = "ALIAS", value_parser = alias)]
    alias: Option<AliasName>,
    /// Point the alias to these versions: the beginning of each digest, and how
    /// many of a hundred connections the version gets; a single version gets
    /// all
    #[arg(value_name = "VERSION=WEIGHT", value_parser = share)]
    shares: Vec<(String, u32)>,
    /// What happens to open connections [default: as before]
    #[arg(long, value_enum, value_name = "HOW", requires = "shares")]
    migration: Option<MigrationWord>,
    /// How many connections a drain closes in a second
    #[arg(long, value_name = "N", requires = "shares")]
    drain_per_second: Option<u32>,
    #[command(flatten)]
    remote: RemoteArguments,
}

/// The words after `openline promote`.
#[derive(Debug, Args)]
#[command(after_help = PROMOTE_EXAMPLES, after_long_help = format!("{PROMOTE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct PromoteArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// The beginning of the digest of the version that is to have all
    /// connections [default: the canary]
    #[arg(value_name = "VERSION")]
    digest: Option<String>,
    /// The alias
    #[arg(long, value_name = "ALIAS", default_value = "live", value_parser = alias)]
    alias: AliasName,
    #[command(flatten)]
    remote: RemoteArguments,
}

/// The words after `openline rollback`.
#[derive(Debug, Args)]
#[command(after_help = ROLLBACK_EXAMPLES, after_long_help = format!("{ROLLBACK_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct RollbackArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// The alias
    #[arg(long, value_name = "ALIAS", default_value = "live", value_parser = alias)]
    alias: AliasName,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(crate) async fn aliases(arguments: &AliasesArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let name = &arguments.name;
    if let (Some(alias), false) = (&arguments.alias, arguments.shares.is_empty()) {
        let share =
            |(version, weight): &(String, u32)| json!({"version": version, "weight": weight});
        let shares: Vec<_> = arguments.shares.iter().map(share).collect();
        let body = json!({
            "shares": shares,
            "migration": arguments.migration.map(MigrationWord::word),
            "drain_connections_per_second": arguments.drain_per_second,
        });
        let path = format!("/v1/functions/{name}/aliases/{alias}");
        let set = remote.send("PUT", &path, Some(&body)).await?;
        return show(&remote, alias, &set);
    }
    let mut answer = remote.get(&format!("/v1/functions/{name}/aliases")).await?;
    if let (Some(alias), Some(all)) = (&arguments.alias, answer["aliases"].as_object_mut()) {
        all.retain(|name, _| name == alias.as_str());
        if all.is_empty() {
            let what = format!("`{name}` has no alias `{alias}`");
            let hint = format!("`openline aliases {name}` lists those it has");
            return Err(Hinted::new(what, hint).into());
        }
    }
    let aliases = &answer["aliases"];
    remote.print(aliases, list)
}

pub(crate) async fn promote(arguments: &PromoteArguments) -> anyhow::Result<()> {
    let (name, alias) = (&arguments.name, &arguments.alias);
    let path = format!("/v1/functions/{name}/aliases/{alias}/promote");
    let body = json!({"version": arguments.digest});
    let remote = arguments.remote.remote()?;
    let set = remote.send("POST", &path, Some(&body)).await?;
    show(&remote, alias, &set)
}

pub(crate) async fn rollback(arguments: &RollbackArguments) -> anyhow::Result<()> {
    let (name, alias) = (&arguments.name, &arguments.alias);
    let path = format!("/v1/functions/{name}/aliases/{alias}/rollback");
    let remote = arguments.remote.remote()?;
    let set = remote.send("POST", &path, None).await?;
    show(&remote, alias, &set)
}

/// Prints where an alias points now.
fn show(remote: &Remote, alias: &AliasName, set: &Value) -> anyhow::Result<()> {
    remote.print(set, |set| {
        format!("alias    {alias} = {}", shares(&set["shares"]))
    })
}

fn list(aliases: &Value) -> String {
    let row = |(name, alias): (&String, &Value)| {
        [
            name.clone(),
            shares(&alias["shares"]),
            cell(&alias["migration"]),
            cell(&alias["drain_connections_per_second"]),
            cell(&alias["rollbacks"]),
        ]
    };
    let aliases = aliases.as_object();
    let rows = aliases.into_iter().flatten().map(row).collect();
    let head = ["ALIAS", "VERSIONS", "MIGRATION", "DRAINED/S", "ROLLBACKS"];
    table(head, rows)
}

/// Formats shares as on the command line.
pub(super) fn shares(shares: &Value) -> String {
    let share = |share: &Value| format!("{}={}", short(&share["version"]), cell(&share["weight"]));
    let shares = shares.as_array();
    let shares: Vec<_> = shares.into_iter().flatten().map(share).collect();
    shares.join(" ")
}

fn share(text: &str) -> Result<(String, u32), String> {
    let (version, weight) = text.split_once('=').unwrap_or((text, "100"));
    let weight = weight.parse().map_err(|_| {
        format!("`{weight}` is not a weight: write how many of a hundred connections it gets")
    })?;
    Ok((version.into(), weight))
}
