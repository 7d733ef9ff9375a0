//! Tickets and revocations.

use std::time::Duration;

use http::StatusCode;
use openline_authentication::{Revocation, TicketRequest};
use openline_control::{RevokedView, schema};
use openline_core::authentication::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::call::Call;
use crate::change::to_its_end;
use crate::json::json;
use crate::problem::{Answered, Problem};
use crate::responses::{BadBody, NotChanged, Unprocessable};

/// A ticket that is to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MakeTicket {
    /// Whom it stands for; becomes the claim `sub`.
    subject: Option<String>,
    /// Other claims, at most 8 KiB of JSON.
    #[serde(default)]
    #[schema(value_type = Object)]
    claims: Map<String, Value>,
    /// How many seconds it is good; by default, and at most, the trigger's
    /// `time`.
    seconds: Option<u64>,
    /// When the connection ends that is opened with it, as in
    /// `2026-12-31T23:59:59Z`.
    #[schema(value_type = Option<String>)]
    expires: Option<UnixTime>,
}

/// A ticket that was made.
#[derive(Debug, Serialize, ToSchema)]
struct Ticket {
    /// It is good once.
    ticket: String,
    /// Until when, as in `2026-12-31T23:59:59Z`.
    valid_until: String,
}

/// Tokens that are to be revoked: one by its `token`, those of a `subject` that
/// were made before a moment, or all that were made `before` one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revoke {
    /// The `jti` of one token.
    token: Option<String>,
    /// The `sub` of tokens; those that were made before `before`. Without it,
    /// those that were made until now, the whole second included.
    subject: Option<String>,
    /// Tokens that were made (`iat`) before this moment, or do not say when.
    #[schema(value_type = Option<String>)]
    before: Option<UnixTime>,
    /// When the last of the tokens ends, with `token` and `subject`: until then,
    /// and 5 minutes more, the host remembers. By default it does not forget.
    #[schema(value_type = Option<String>)]
    until: Option<UnixTime>,
}

impl Revoke {
    fn check(self) -> Result<Revocation, Problem> {
        let expires = self.until.unwrap_or(UnixTime(u64::MAX));
        match (self.token, self.subject, self.before, self.until) {
            (Some(id), None, None, _) => Ok(Revocation::Token { id, expires }),
            (None, Some(subject), before, _) => Ok(Revocation::Subject {
                subject,
                before: before.unwrap_or_else(next_second),
                expires,
            }),
            (None, None, Some(before), None) => Ok(Revocation::Before(before)),
            _ => {
                let message = "this says not which tokens";
                let hint = "give `token`, `subject` with or without `before`, or `before` alone";
                Err(Problem::new(422, "revocation", message).hint(hint))
            }
        }
    }
}

/// The end of the current second. The moments at which tokens and tickets were
/// made are whole seconds, so the beginning of this one would spare those that were
/// made in it.
fn next_second() -> UnixTime {
    let now = openline_admission::authenticate::now();
    now.wall.plus(Duration::from_secs(1))
}

#[utoipa::path(
    post,
    path = "/v1/functions/{name}/triggers/{trigger}/tickets",
    operation_id = "makeTicket",
    tag = "triggers",
    summary = "Make a ticket for a connection",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("trigger" = schema::TriggerName, Path, description = "The trigger, which has `auth = \"ticket\"`.")
    ),
    description = "A server makes it for a page, which opens one connection with it. It does not outlive the host's process.",
    request_body = MakeTicket,
    responses(
        (status = 201, description = "The ticket.", body = Ticket),
        NotChanged,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn ticket(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, trigger) = (call.function()?, call.trigger()?);
    let written: MakeTicket = call.body.json_or_default().await?;
    let request = TicketRequest {
        subject: written.subject,
        claims: written.claims,
        time: written.seconds.map(Duration::from_secs),
        expires: written.expires,
    };
    let (ticket, end) = deployer.ticket(&name, &trigger, request)?;
    let made = Ticket {
        ticket,
        valid_until: end.to_string(),
    };
    Ok(json(StatusCode::CREATED, &made))
}

#[utoipa::path(
    post,
    path = "/v1/functions/{name}/revocations",
    operation_id = "revoke",
    tag = "functions",
    summary = "Revoke tokens of a function's peers",
    params(("name" = schema::FunctionName, Path, description = "The function.")),
    description = "Connections that were opened with them, or with tickets that have the same claims, are closed with 1008. With a data directory it outlives the host's process.",
    request_body = Revoke,
    responses(
        (status = 200, description = "They are revoked.", body = RevokedView),
        NotChanged,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn revoke(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let name = call.function()?;
    let written: Revoke = call.body.json().await?;
    let revocation = written.check()?;
    let revoking = async move { deployer.revoke(&name, revocation).await };
    Ok(json(StatusCode::OK, &to_its_end(revoking).await??))
}
