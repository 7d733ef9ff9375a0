//! `openline remove`: removes a version, an alias, or a whole function.

use crate::commands::client::encoded;
use clap::Args;
use openline_core::name::{AliasName, FunctionName};
use serde_json::json;

use super::remote::{EXIT_CODES, RemoteArguments, alias, function};

const EXAMPLES: &str = "\
Examples:
  openline remove chat a1b2c3            a version that no alias points to
  openline remove chat --alias next      an alias that no trigger leads to
  openline remove chat                   the function, with all it has kept";

/// The words after `openline remove`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct RemoveArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// Only the version whose digest begins with this
    #[arg(value_name = "VERSION")]
    digest: Option<String>,
    /// Only this alias
    #[arg(long, value_name = "ALIAS", value_parser = alias, conflicts_with = "digest")]
    alias: Option<AliasName>,
    /// Close connections that are pinned to the version, with 1012
    #[arg(long, requires = "digest")]
    force: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(crate) async fn run(arguments: &RemoveArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let name = &arguments.name;
    let function = format!("/v1/functions/{name}");
    let (path, what) = match (&arguments.digest, &arguments.alias) {
        (Some(version), _) => {
            let force = arguments.force;
            let path = format!("{function}/versions/{}?force={force}", encoded(version));
            (path, json!({"function": name, "version": version}))
        }
        (None, Some(alias)) => {
            let path = format!("{function}/aliases/{alias}");
            (path, json!({"function": name, "alias": alias}))
        }
        (None, None) => (function, json!({"function": name})),
    };
    let removed = remote.send("DELETE", &path, None).await?;
    let removed = if removed.is_null() { what } else { removed };
    remote.print(&removed, |removed| {
        let whole = removed["version"].as_str();
        let whole = whole.or(arguments.alias.as_ref().map(AliasName::as_str));
        match whole {
            Some(part) => format!("removed  {name} {part}"),
            None => format!("removed  {name}"),
        }
    })
}
