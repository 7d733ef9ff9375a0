//! `openline connections`, `openline send`, `openline close`: list connections,
//! send to their peers, and close them.

use std::time::Duration;

use crate::commands::client::{Ask, encoded};
use clap::Args;
use openline_core::name::FunctionName;
use openline_hint::Hinted;
use serde_json::{Value, json};

use super::remote::{EXIT_CODES, Remote, RemoteArguments, function};
use super::table::{cell, short, table};
use crate::telemetry::tell;

/// The most connections in one answer of the host.
const PAGE: usize = 1000;
/// A message is small, but the network may be slow.
const TIMEOUT: Duration = Duration::from_secs(60);

const CONNECTIONS_EXAMPLES: &str = "\
Examples:
  openline connections
  openline connections chat --tag ada
  openline connections --limit 100000 --json";

const SEND_EXAMPLES: &str = "\
Examples:
  openline send 0123456789abcdef0123456789abcdef 'the host ends in five minutes'";

const CLOSE_EXAMPLES: &str = "\
Examples:
  openline close 0123456789abcdef0123456789abcdef
  openline close 0123456789abcdef0123456789abcdef --code 4001 --reason 'signed out'";

/// The words after `openline connections`.
#[derive(Debug, Args)]
#[command(after_help = CONNECTIONS_EXAMPLES, after_long_help = format!("{CONNECTIONS_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct ConnectionsArguments {
    /// Only connections of this function
    #[arg(value_name = "NAME", value_parser = function)]
    name: Option<FunctionName>,
    /// Only connections with this tag
    #[arg(long, value_name = "TAG", requires = "name")]
    tag: Option<String>,
    /// The most connections to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    remote: RemoteArguments,
}

/// The words after `openline send`.
#[derive(Debug, Args)]
#[command(after_help = SEND_EXAMPLES, after_long_help = format!("{SEND_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct SendArguments {
    /// The connection
    #[arg(value_name = "ID")]
    id: String,
    /// The message
    #[arg(value_name = "TEXT")]
    text: String,
    #[command(flatten)]
    remote: RemoteArguments,
}

/// The words after `openline close`.
#[derive(Debug, Args)]
#[command(after_help = CLOSE_EXAMPLES, after_long_help = format!("{CLOSE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct CloseArguments {
    /// The connection
    #[arg(value_name = "ID")]
    id: String,
    /// The code of the close frame
    #[arg(long, value_name = "CODE", default_value_t = 1000)]
    code: u16,
    /// The reason in the close frame, at most 123 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(crate) async fn connections(arguments: &ConnectionsArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let (found, more) = collect(&remote, arguments).await?;
    remote.print(&found, list)?;
    if more {
        tell("there are more: raise `--limit` to see them");
    }
    Ok(())
}

pub(crate) async fn send(arguments: &SendArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let ask = Ask {
        method: "POST",
        path: format!("/v1/connections/{}/messages", encoded(&arguments.id)),
        body: Some(("text/plain", arguments.text.clone().into())),
        timeout: TIMEOUT,
    };
    let sent = remote.ask(ask, |_| {}).await?;
    let outcome = cell(&sent["outcome"]);
    remote.print(&sent, |_| outcome.clone())?;
    let (what, hint) = match outcome.as_str() {
        "dropped" => (
            "the message was not accepted",
            "it is larger than `message_bytes`, or the peer does not read",
        ),
        "gone" => ("the connection is closing", "its peer may come back"),
        _ => return Ok(()),
    };
    Err(Hinted::new(what, hint).into())
}

pub(crate) async fn close(arguments: &CloseArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let path = format!("/v1/connections/{}/close", encoded(&arguments.id));
    let body = json!({"code": arguments.code, "reason": arguments.reason});
    let closed = remote.send("POST", &path, Some(&body)).await?;
    remote.print(&closed, |closed| match closed["closed"].as_bool() {
        Some(true) => "closed".into(),
        _ => "it was closing already".into(),
    })
}

/// Fetches the wanted number of connections, in pages, and returns whether
/// there are more.
async fn collect(
    remote: &Remote,
    arguments: &ConnectionsArguments,
) -> anyhow::Result<(Value, bool)> {
    let mut filter = String::new();
    if let Some(name) = &arguments.name {
        filter += &format!("&function={name}");
    }
    if let Some(tag) = &arguments.tag {
        filter += &format!("&tag={}", encoded(tag));
    }
    let mut found = Vec::new();
    let mut after = String::new();
    while found.len() < arguments.limit {
        let limit = (arguments.limit - found.len()).min(PAGE);
        let path = format!("/v1/connections?limit={limit}{filter}{after}");
        let mut page = remote.get(&path).await?;
        if let Value::Array(connections) = page["connections"].take() {
            found.extend(connections);
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", encoded(next)),
            None => return Ok((found.into(), false)),
        }
    }
    Ok((found.into(), true))
}

fn list(connections: &Value) -> String {
    let row = |connection: &Value| {
        let tags = connection["tags"].as_array();
        let tags: Vec<_> = tags.into_iter().flatten().map(cell).collect();
        let instance = match &connection["instance"] {
            Value::Null => "hibernated".to_owned(),
            number => cell(number),
        };
        [
            cell(&connection["id"]),
            cell(&connection["function"]),
            cell(&connection["alias"]),
            short(&connection["version"]),
            instance,
            cell(&connection["buffered_bytes"]),
            cell(&tags.join(", ").into()),
        ]
    };
    let rows = connections.as_array().into_iter().flatten().map(row);
    let head = [
        "ID", "FUNCTION", "ALIAS", "VERSION", "INSTANCE", "WAITING", "TAGS",
    ];
    table(head, rows.collect())
}
