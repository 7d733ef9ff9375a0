//! `openline keys`: makes, lists and revokes API keys in a running host.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use openline_core::authentication::UnixTime;
use openline_core::channel::ChannelPattern;
use openline_core::key::Scope;
use openline_core::name::{FunctionName, KeyName};
use openline_core::units::Period;
use serde_json::{Value, json};

use super::functions::each;
use super::remote::{EXIT_CODES, RemoteArguments, function};
use super::table::{cell, plain, table};
use crate::telemetry::tell;

const EXAMPLES: &str = "\
Examples:
  openline keys make web --scope subscribe --channel 'room:*'
  openline keys make backend --scope publish --scope read --function chat --expires 30d
  openline keys list
  openline keys revoke web";

const MAKE_EXAMPLES: &str = "\
Examples:
  openline keys make web --scope subscribe --channel 'room:*'
  openline keys make backend --scope publish --scope read --function chat --expires 30d
  openline keys make party --scope publish --expires 2026-12-31T23:59:59Z
  openline keys make lambda --scope manage --aws";

const LIST_EXAMPLES: &str = "\
Examples:
  openline keys list
  openline keys list --json";

const REVOKE_EXAMPLES: &str = "\
Examples:
  openline keys revoke web";

/// The words after `openline keys`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct KeysArguments {
    #[command(subcommand)]
    word: KeysWord,
}

#[derive(Debug, Subcommand)]
enum KeysWord {
    /// Make a key, and print its text: the host keeps no secret, so it is shown
    /// only now.
    Make(Box<MakeArguments>),
    /// List the keys of the configuration and those that were made.
    List(ListArguments),
    /// Revoke a key that was made in the running host; its connections are closed.
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
#[command(after_help = MAKE_EXAMPLES, after_long_help = format!("{MAKE_EXAMPLES}\n\n{EXIT_CODES}"))]
struct MakeArguments {
    /// The key's name
    #[arg(value_name = "NAME", value_parser = key)]
    name: KeyName,
    /// What it is for; may be repeated, and none includes another
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)))]
    scopes: Vec<String>,
    /// A pattern of channels that it is for, such as 'room:*' or 'inbox:{user}';
    /// may be repeated [default: all]
    #[arg(long = "channel", value_name = "PATTERN", value_parser = pattern)]
    channels: Vec<ChannelPattern>,
    /// A function whose channels it is for; may be repeated [default: all]
    #[arg(long = "function", value_name = "NAME", value_parser = function)]
    functions: Vec<FunctionName>,
    /// How long it is good, as in 30d or 12h, or until when, as in
    /// 2026-12-31T23:59:59Z [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = end)]
    expires: Option<End>,
    /// Make a pair for AWS's tools, which sign requests: an access key id and a
    /// secret access key
    #[arg(long)]
    aws: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES, after_long_help = format!("{LIST_EXAMPLES}\n\n{EXIT_CODES}"))]
struct ListArguments {
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
#[command(after_help = REVOKE_EXAMPLES, after_long_help = format!("{REVOKE_EXAMPLES}\n\n{EXIT_CODES}"))]
struct RevokeArguments {
    /// The key
    #[arg(value_name = "NAME", value_parser = key)]
    name: KeyName,
    #[command(flatten)]
    remote: RemoteArguments,
}

/// When a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// So many seconds after it is made, by the host's clock.
    After(u64),
    At(UnixTime),
}

fn key(text: &str) -> Result<KeyName, String> {
    KeyName::new(text).map_err(|error| error.to_string())
}

fn pattern(text: &str) -> Result<ChannelPattern, String> {
    ChannelPattern::new(text).map_err(|error| error.to_string())
}

fn end(text: &str) -> Result<End, String> {
    if let Ok(at) = UnixTime::parse(text) {
        return Ok(End::At(at));
    }
    match Period::parse(text).map(|Period(time)| time.as_secs()) {
        Ok(0) => Err("the shortest time is 1 s".to_owned()),
        Ok(seconds) => Ok(End::After(seconds)),
        Err(_) => Err(
            "neither a time as in 30d, 12h or 10min, nor a moment as in 2026-12-31T23:59:59Z"
                .to_owned(),
        ),
    }
}

pub(crate) async fn run(arguments: &KeysArguments) -> anyhow::Result<()> {
    match &arguments.word {
        KeysWord::Make(arguments) => make(arguments).await,
        KeysWord::List(arguments) => list(arguments).await,
        KeysWord::Revoke(arguments) => revoke(arguments).await,
    }
}

async fn make(arguments: &MakeArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let mut body = json!({
        "name": arguments.name,
        "scopes": arguments.scopes,
        "aws": arguments.aws,
    });
    if !arguments.channels.is_empty() {
        body["channels"] = json!(arguments.channels);
    }
    if !arguments.functions.is_empty() {
        body["functions"] = json!(arguments.functions);
    }
    match arguments.expires {
        None => {}
        Some(End::After(seconds)) => body["seconds"] = json!(seconds),
        Some(End::At(moment)) => body["expires"] = json!(moment),
    }
    let made = remote.send("POST", "/v1/keys", Some(&body)).await?;
    // The key first: it must not be lost if nobody reads the rest.
    remote.print(&made, |made| match made["text"].as_str() {
        Some(text) => plain(text),
        None => format!(
            "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}",
            cell(&made["key"]["access_key_id"]),
            cell(&made["secret_access_key"])
        ),
    })?;
    let [name, scopes, channels, functions, expires, ..] = row(&made["key"]);
    tell(&plain(&format!(
        "made  {name}: {scopes} on {channels} of {functions}, until {}",
        if expires == "-" {
            "it is revoked"
        } else {
            &expires
        }
    )));
    tell("the host keeps no secret: this is shown only now");
    if made["kept"] == false {
        tell(
            "the host has no data directory, so the key ends with its process: set `data` in [server], or write a [[key]] into its configuration",
        );
    }
    Ok(())
}

async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let keys = remote.get("/v1/keys").await?;
    remote.print(&keys, |keys| {
        let head = [
            "KEY",
            "SCOPES",
            "CHANNELS",
            "FUNCTIONS",
            "EXPIRES",
            "STATE",
            "FROM",
            "CONNECTIONS",
            "ACCESS KEY ID",
        ];
        table(head, each(&keys["keys"]).map(row).collect())
    })
}

fn row(key: &Value) -> [String; 9] {
    let words = |list: &Value| each(list).map(cell).collect::<Vec<_>>().join(" ");
    let functions = match &key["functions"] {
        Value::Null => "all".to_owned(),
        named => words(named),
    };
    [
        cell(&key["name"]),
        words(&key["scopes"]),
        words(&key["channels"]),
        functions,
        cell(&key["expires"]),
        cell(&key["state"]).replace('_', " "),
        cell(&key["source"]),
        cell(&key["connections"]),
        cell(&key["access_key_id"]),
    ]
}

async fn revoke(arguments: &RevokeArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let path = format!("/v1/keys/{}", arguments.name);
    let revoked = remote.send("DELETE", &path, None).await?;
    remote.print(&revoked, |revoked| {
        format!(
            "revoked  {}: {} closed",
            cell(&revoked["name"]),
            cell(&revoked["closed"])
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_moment() {
        assert_eq!(end("30d"), Ok(End::After(30 * 86_400)));
        assert_eq!(end("12 h"), Ok(End::After(12 * 3600)));
        assert_eq!(end("1s"), Ok(End::After(1)));
        let moment = UnixTime::parse("2026-12-31T23:59:59Z").unwrap();
        assert_eq!(end("2026-12-31T23:59:59Z"), Ok(End::At(moment)));
        for bad in ["", "0", "999ms", "30", "tomorrow", "2026-12-31", "-1d"] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }
}
