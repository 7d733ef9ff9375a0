//! `openline triggers`: lists the triggers of a function, and makes, changes
//! and removes them in a running host.

use std::collections::BTreeMap;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use openline_core::authentication::{
    AuthMethod, FirstMessageConfig, JwtConfig, SignatureConfig, TicketConfig,
};
use openline_core::name::{AliasName, FunctionName, TriggerName};
use openline_core::trigger::{CorsWritten, METHODS};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::functions::{each, place, with_urls};
use super::remote::{EXIT_CODES, RemoteArguments, alias, function, trigger};
use super::table::cell;

const EXAMPLES: &str = "\
Examples:
  openline triggers list chat
  openline triggers set chat beta --route /beta/{room} --alias beta
  openline triggers set chat site --route /chat/{room} --host chat.example.org
  openline triggers remove chat beta";

const LIST_EXAMPLES: &str = "\
Examples:
  openline triggers list chat
  openline triggers list chat --json";

const SET_EXAMPLES: &str = "\
Examples:
  openline triggers set chat beta --route /beta/{room} --alias beta
  openline triggers set chat site --route /chat/{room} --host chat.example.org --host '*.example.com'
  openline triggers set chat site --route /chat/{room} --origin https://app.example.org
  openline triggers set chat site --route /chat/{room} --cors '{allow_origins = [\"https://app.example.org\"]}'
  openline triggers set chat pages --route /chat/{room} --auth ticket
  openline triggers set chat app --route /app/{room} --auth jwt --jwt '{secret = \"env:APP_SECRET\"}'
  openline triggers set files inner --route '/files/{*path}' --no-internet";

const REMOVE_EXAMPLES: &str = "\
Examples:
  openline triggers remove chat beta";

/// The words after `openline triggers`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct TriggersArguments {
    #[command(subcommand)]
    word: TriggersWord,
}

#[derive(Debug, Subcommand)]
enum TriggersWord {
    /// List the triggers of a function.
    List(ListArguments),
    /// Make a trigger, or change one that was made in the running host.
    Set(Box<SetArguments>),
    /// Remove a trigger that was made in the running host; its connections
    /// stay.
    Remove(RemoveArguments),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES, after_long_help = format!("{LIST_EXAMPLES}\n\n{EXIT_CODES}"))]
struct ListArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES, after_long_help = format!("{SET_EXAMPLES}\n\n{EXIT_CODES}"))]
struct SetArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// The trigger
    #[arg(value_name = "TRIGGER", value_parser = trigger)]
    trigger: TriggerName,
    /// The paths that it matches: {name} stands for a segment, a last {*name}
    /// for the rest
    #[arg(long, value_name = "ROUTE")]
    route: String,
    /// A host that it is on, such as chat.example.org, or *.example.org for all
    /// below; may be repeated [default: all hosts]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// A method that it takes; may be repeated [default: GET]
    #[arg(long = "method", value_name = "METHOD", value_parser = PossibleValuesParser::new(METHODS))]
    methods: Vec<String>,
    /// The alias that it leads to [default: the function's]
    #[arg(long, value_name = "ALIAS", value_parser = alias, conflicts_with = "digest")]
    alias: Option<AliasName>,
    /// The version that it leads to instead: the beginning of its digest
    #[arg(long = "to-version", value_name = "VERSION")]
    digest: Option<String>,
    /// Refuse peers that are not in the host's `private_networks`
    #[arg(long)]
    no_internet: bool,
    /// An origin of web pages that it takes besides those of the host itself,
    /// such as https://app.example.org or https://*.example.org; * stands for
    /// all; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Refuse requests without an origin
    #[arg(long)]
    origin_required: bool,
    /// What web pages of other sites may do by ordinary requests:
    /// `function-compute`, or the keys of `cors` in braces, as in the
    /// configuration
    #[arg(long, value_name = "CORS", value_parser = cors)]
    cors: Option<CorsWritten>,
    /// The firewall of the host's configuration that its requests have to pass
    /// after the host's own
    #[arg(long, value_name = "NAME")]
    firewall: Option<String>,
    /// How it authenticates requests: none, jwt, first-message, signature or
    /// ticket [default: it takes all]
    #[arg(long, value_name = "METHOD", value_parser = method)]
    auth: Option<AuthMethod>,
    /// The keys of `[function.trigger.jwt]` in braces, as in the configuration.
    /// Secrets are places on the host, `env:NAME` or `file:/PATH`, and paths
    /// begin at `/`
    #[arg(long, value_name = "TABLE", value_parser = table::<JwtConfig>)]
    jwt: Option<Box<JwtConfig>>,
    /// Those of `[function.trigger.signature]`
    #[arg(long, value_name = "TABLE", value_parser = table::<SignatureConfig>)]
    signature: Option<Box<SignatureConfig>>,
    /// Those of `[function.trigger.ticket]`
    #[arg(long, value_name = "TABLE", value_parser = table::<TicketConfig>)]
    ticket: Option<Box<TicketConfig>>,
    /// Those of `[function.trigger.first_message]`
    #[arg(long, value_name = "TABLE", value_parser = table::<FirstMessageConfig>)]
    first_message: Option<Box<FirstMessageConfig>>,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
#[command(after_help = REMOVE_EXAMPLES, after_long_help = format!("{REMOVE_EXAMPLES}\n\n{EXIT_CODES}"))]
struct RemoveArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// The trigger
    #[arg(value_name = "TRIGGER", value_parser = trigger)]
    trigger: TriggerName,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(crate) async fn run(arguments: &TriggersArguments) -> anyhow::Result<()> {
    match &arguments.word {
        TriggersWord::List(arguments) => list(arguments).await,
        TriggersWord::Set(arguments) => set(arguments).await,
        TriggersWord::Remove(arguments) => remove(arguments).await,
    }
}

async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let path = format!("/v1/functions/{}/triggers", arguments.name);
    let answer = remote.get(&path).await?;
    remote.print(&answer["triggers"], |triggers| {
        let head = [
            "TRIGGER", "ROUTE", "METHODS", "LEADS TO", "PEERS", "AUTH", "FROM",
        ];
        with_urls(head, each(triggers).map(row).collect(), each(triggers))
    })
}

fn row(trigger: &Value) -> [String; 7] {
    let methods: Vec<_> = each(&trigger["methods"]).map(cell).collect();
    let peers = match trigger["internet"].as_bool() {
        Some(false) => "private",
        _ => "all",
    };
    [
        cell(&trigger["name"]),
        place(trigger),
        methods.join(" "),
        cell(&trigger["target"]),
        peers.into(),
        cell(&trigger["auth"]),
        cell(&trigger["source"]),
    ]
}

async fn set(arguments: &SetArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let (name, trigger) = (&arguments.name, &arguments.trigger);
    let mut body = Map::new();
    body.insert("route".into(), json!(arguments.route));
    body.insert("hosts".into(), json!(arguments.hosts));
    body.insert("internet".into(), json!(!arguments.no_internet));
    body.insert("origins".into(), json!(arguments.origins));
    body.insert("origin_required".into(), json!(arguments.origin_required));
    if !arguments.methods.is_empty() {
        body.insert("methods".into(), json!(arguments.methods));
    }
    if let Some(cors) = &arguments.cors {
        body.insert("cors".into(), json!(cors));
    }
    if let Some(firewall) = &arguments.firewall {
        body.insert("firewall".into(), json!(firewall));
    }
    for (key, value) in [
        ("auth", json!(arguments.auth)),
        ("jwt", json!(arguments.jwt)),
        ("signature", json!(arguments.signature)),
        ("ticket", json!(arguments.ticket)),
        ("first_message", json!(arguments.first_message)),
    ] {
        if !value.is_null() {
            body.insert(key.into(), value);
        }
    }
    body.insert("alias".into(), json!(arguments.alias));
    body.insert("version".into(), json!(arguments.digest));
    let path = format!("/v1/functions/{name}/triggers/{trigger}");
    let set = remote
        .send("PUT", &path, Some(&Value::Object(body)))
        .await?;
    remote.print(&set, |set| {
        let target = cell(&set["target"]);
        let mut lines = vec![format!(
            "trigger  {name} {trigger}: {} leads to {target}",
            place(set)
        )];
        lines.extend(each(&set["urls"]).map(|url| format!("address  {}", cell(url))));
        lines.join("\n")
    })
}

/// What `cors` is in the configuration, as an argument.
fn cors(text: &str) -> Result<CorsWritten, String> {
    if !text.trim_start().starts_with('{') {
        return Ok(CorsWritten::Word(text.into()));
    }
    inline(text)
}

/// A table of authentication, as an argument.
fn table<T: DeserializeOwned>(text: &str) -> Result<Box<T>, String> {
    if !text.trim_start().starts_with('{') {
        return Err("a table is in braces, as in {time = \"10 s\"}".to_owned());
    }
    inline(text).map(Box::new)
}

/// A way to authenticate.
fn method(text: &str) -> Result<AuthMethod, String> {
    let written = toml::Value::String(text.into());
    written
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

/// A table in braces.
fn inline<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let written = toml::from_str::<BTreeMap<String, T>>(&format!("table = {text}"));
    let written = written.map_err(|error| error.message().to_owned());
    let written = written?.remove("table");
    written.ok_or_else(|| "the braces are empty".to_owned())
}

async fn remove(arguments: &RemoveArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let (name, trigger) = (&arguments.name, &arguments.trigger);
    let path = format!("/v1/functions/{name}/triggers/{trigger}");
    remote.send("DELETE", &path, None).await?;
    let removed = json!({"function": name, "trigger": trigger});
    remote.print(&removed, |_| format!("removed  {name} {trigger}"))
}
