//! `openline ticket` and `openline revoke`: make a ticket for a connection, and
//! revoke tokens, in a running host.

use clap::Args;
use openline_core::authentication::UnixTime;
use openline_core::name::{FunctionName, TriggerName};
use serde_json::{Map, Value, json};

use super::remote::{EXIT_CODES, RemoteArguments, function, trigger};
use super::table::cell;

const TICKET_EXAMPLES: &str = "\
Examples:
  openline ticket chat chat-room --subject ann
  openline ticket chat chat-room --subject ann --claims '{\"role\": \"admin\"}' --seconds 10";

const REVOKE_EXAMPLES: &str = "\
Examples:
  openline revoke chat --token 5f2b7c
  openline revoke chat --subject ann
  openline revoke chat --before 2026-12-31T00:00:00Z";

/// The words after `openline ticket`.
#[derive(Debug, Args)]
#[command(after_help = TICKET_EXAMPLES, after_long_help = format!("{TICKET_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct TicketArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// The trigger, which has `auth = "ticket"`
    #[arg(value_name = "TRIGGER", value_parser = trigger)]
    trigger: TriggerName,
    /// Whom the ticket stands for
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Other claims, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    claims: Option<Map<String, Value>>,
    /// How long it is good [default: the trigger's `time`]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// When the connection ends, as in 2026-12-31T23:59:59Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires: Option<UnixTime>,
    #[command(flatten)]
    remote: RemoteArguments,
}

/// The words after `openline revoke`.
#[derive(Debug, Args)]
#[command(after_help = REVOKE_EXAMPLES, after_long_help = format!("{REVOKE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct RevokeArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    /// The `jti` of one token
    #[arg(long, value_name = "JTI", conflicts_with_all = ["subject", "before"])]
    token: Option<String>,
    /// The `sub` of tokens that were made until now, or before `--before`
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Tokens that were made before this moment, as in 2026-12-31T23:59:59Z
    #[arg(long, value_name = "TIME", value_parser = moment, required_unless_present_any = ["token", "subject"])]
    before: Option<UnixTime>,
    /// When the last of these tokens ends; until then, and 5 minutes more, the host remembers
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<UnixTime>,
    #[command(flatten)]
    remote: RemoteArguments,
}

fn moment(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse(text).map_err(|error| error.to_string())
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
}

pub(crate) async fn ticket(arguments: &TicketArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let (name, trigger) = (&arguments.name, &arguments.trigger);
    let path = format!("/v1/functions/{name}/triggers/{trigger}/tickets");
    let body = json!({
        "subject": arguments.subject,
        "claims": arguments.claims.clone().unwrap_or_default(),
        "seconds": arguments.seconds,
        "expires": arguments.expires,
    });
    let made = remote.send("POST", &path, Some(&body)).await?;
    remote.print(&made, |made| cell(&made["ticket"]))
}

pub(crate) async fn revoke(arguments: &RevokeArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let name = &arguments.name;
    let path = format!("/v1/functions/{name}/revocations");
    let body = json!({
        "token": arguments.token,
        "subject": arguments.subject,
        "before": arguments.before,
        "until": arguments.until,
    });
    let revoked = remote.send("POST", &path, Some(&body)).await?;
    remote.print(&revoked, |revoked| {
        format!("revoked  {name}: {} closed", cell(&revoked["closed"]))
    })
}
