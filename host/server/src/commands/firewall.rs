//! `openline firewall test`: which rule decides about a described request, and
//! why.
//!
//! It reads a configuration as a host does, lists included, and finds the
//! trigger of the request. It asks no host, and counts nothing: every rate has
//! its whole burst.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use openline_core::config::Config;
use openline_core::trigger::{Found, TriggerPlace, TriggerTable};
use openline_firewall::describe::{Described, describe};
use openline_firewall::rules::Firewalls;
use openline_hint::Hinted;
use serde_json::{Map, Value, json};

use crate::assemble::{self, Configured, Source};
use crate::causes;
use crate::hints::Refused;
use crate::telemetry::print;

/// The largest file that describes a request, in bytes: the largest head of a
/// request several times over.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  openline firewall test --config openline.toml https://chat.example.org/chat/lobby
  openline firewall test --config openline.toml /chat/lobby --peer 192.0.2.7 --header 'origin: https://evil.example'
  openline firewall test --config openline.toml /admin --claims '{\"role\": \"guest\"}' --json

Exit codes: 0 the request passes, 1 failure, 3 the request does not pass, 64 the command
line is wrong, 78 the configuration is wrong.";

/// The words after `openline firewall`.
#[derive(Debug, Args)]
pub(crate) struct FirewallArguments {
    #[command(subcommand)]
    word: FirewallWord,
}

#[derive(Debug, Subcommand)]
enum FirewallWord {
    /// Say which rule decides about a described request, and why.
    Test(TestArguments),
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct TestArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The request's URL, or only its path and query
    #[arg(value_name = "URL", required_unless_present = "request")]
    url: Option<String>,
    /// The request's method
    #[arg(long, default_value = "GET", conflicts_with = "request")]
    method: String,
    /// The peer's address, with or without a port
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        conflicts_with = "request"
    )]
    peer: String,
    /// A header, as in 'origin: https://example.org'; may be repeated
    #[arg(long = "header", value_name = "HEADER", value_parser = header, conflicts_with = "request")]
    headers: Vec<(String, String)>,
    /// The verified claims of the peer's token, as JSON
    #[arg(long, value_name = "JSON", value_parser = claims, conflicts_with = "request")]
    claims: Option<Map<String, Value>>,
    /// A file that describes the request as JSON: `url`, and if you want
    /// `method`, `peer`, `headers` (pairs), `claims`, and `tls` with `protocol`,
    /// `server_name`, `failed` and `client` (`subject`, `issuer`, `serial`,
    /// `fingerprint`)
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    request: Option<PathBuf>,
    /// The firewall of the trigger [default: that of the trigger that the
    /// request leads to]
    #[arg(long, value_name = "NAME")]
    firewall: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &FirewallArguments) -> anyhow::Result<()> {
    let FirewallWord::Test(arguments) = &arguments.word;
    test(arguments)
}

fn test(arguments: &TestArguments) -> anyhow::Result<()> {
    let source = Source::File(arguments.config.clone());
    let Configured { config, rules } = source.read()?;
    let firewalls = assemble::firewalls(&config, rules, &source)?.firewalls;
    let described = match &arguments.request {
        Some(file) => read(file)?,
        None => Described {
            method: arguments.method.clone(),
            url: arguments.url.clone().unwrap_or_default(),
            peer: arguments.peer.clone(),
            headers: arguments.headers.clone(),
            tls: None,
            claims: arguments.claims.clone(),
        },
    };
    let led = led(&config, &described)?;
    let name = match (&arguments.firewall, &led) {
        (Some(name), _) => Some(name.as_str()),
        (None, Some((_, name))) => name.as_deref(),
        (None, None) => None,
    };
    let host = config.server.firewall.as_deref();
    let host = host.map(|name| find(&firewalls, name)).transpose()?;
    let trigger = name.map(|name| find(&firewalls, name)).transpose()?;
    let report = describe(&firewalls, host, trigger, &described)?;
    let place = led.map(|(place, _)| place);
    if arguments.json {
        let mut value = json!(report);
        value["trigger"] = json!(place.as_ref().map(ToString::to_string));
        print(&serde_json::to_string_pretty(&value)?)?;
    } else {
        let leads = match place {
            Some(place) => format!("leads to {place}"),
            None => "leads to no trigger: only the host's firewall decides".into(),
        };
        print(&format!("{leads}\n{report}"))?;
    }
    if report.decision == "pass" {
        return Ok(());
    }
    let what = format!("the request does not pass: {}", report.decision);
    let hint = "the report says which criteria hold";
    Err(anyhow::Error::new(Refused(Hinted::new(what, hint))))
}

/// The trigger that a request leads to, and the name of its firewall.
fn led(
    config: &Config,
    described: &Described,
) -> anyhow::Result<Option<(TriggerPlace, Option<String>)>> {
    let mut table = TriggerTable::default();
    for function in &config.functions {
        for trigger in &function.triggers {
            let place = TriggerPlace {
                function: function.name.clone(),
                trigger: trigger.name.clone(),
            };
            let target = (place.clone(), trigger.firewall.clone());
            table.insert(trigger, &place, &target)?;
        }
    }
    let (host, path) = described.place()?;
    Ok(
        match table.find(host.as_deref(), &path, &described.method) {
            Found::Target(target, _) => Some(target.clone()),
            Found::Methods(_) | Found::Nothing => None,
        },
    )
}

fn find(firewalls: &Firewalls, name: &str) -> Result<openline_firewall::rules::FirewallId, Hinted> {
    firewalls.find(name).ok_or_else(|| {
        let names: Vec<_> = firewalls.names().collect();
        let hint = match names.as_slice() {
            [] => "the configuration has no [[firewall]]".to_owned(),
            names => format!("the configuration has `{}`", names.join("`, `")),
        };
        Hinted::new(format!("there is no firewall `{name}`"), hint)
    })
}

fn read(path: &Path) -> Result<Described, Hinted> {
    let shown = path.display();
    let unread = |error: std::io::Error| {
        let hint = causes::of_reading(error.kind(), "give the path of a file");
        Hinted::new(format!("{shown} cannot be read: {error}"), hint)
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unread)?;
    let mut file = file.take(REQUEST_BYTES_MAX + 1);
    file.read_to_string(&mut text).map_err(unread)?;
    if text.len() as u64 > REQUEST_BYTES_MAX {
        let hint = "a host takes no request of that size";
        return Err(Hinted::new(format!("{shown} has more than 1 MiB"), hint));
    }
    serde_json::from_str(&text).map_err(|error| {
        let hint = "as in {\"url\": \"https://example.org/chat\", \"peer\": \"192.0.2.1\", \"headers\": [[\"origin\", \"https://example.org\"]]}";
        Hinted::new(format!("{shown} describes no request: {error}"), hint)
    })
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("write a name, a colon and a value")?;
    Ok((name.trim().into(), value.trim().into()))
}

fn claims(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not an object of JSON: {error}"))
}
