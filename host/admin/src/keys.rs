//! API keys: lists, makes and revokes them.

use std::time::Duration;

use http::StatusCode;
use openline_control::{KeyView, NewKeyView, RevokedKeyView, schema};
use openline_core::authentication::UnixTime;
use openline_core::channel::ChannelPattern;
use openline_core::key::{KeyTerms, Scopes};
use openline_core::name::{FunctionName, KeyName};
use openline_hint::Hint;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::change::to_its_end;
use crate::json::json;
use crate::problem::{Answered, Problem};
use crate::responses::{BadBody, NotChanged, Refused, Unprocessable};

/// The API keys of the host.
#[derive(Serialize, ToSchema)]
struct Keys {
    /// By name.
    keys: Vec<KeyView>,
}

/// A key that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MakeKey {
    /// Its name, which no other key has.
    #[schema(value_type = schema::KeyName)]
    name: KeyName,
    /// What it is for. None includes another.
    #[schema(value_type = Vec<schema::KeyScope>, min_items = 1)]
    scopes: Scopes,
    /// Patterns of the channels that it is for, such as `room:*` or
    /// `inbox:{user}`; all without it.
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 64)]
    channels: Option<Vec<ChannelPattern>>,
    /// The functions whose channels it is for; all without it.
    #[schema(value_type = Option<Vec<schema::FunctionName>>, min_items = 1, max_items = 64)]
    functions: Option<Vec<FunctionName>>,
    /// When it ends, as in `2026-12-31T23:59:59Z`; or `seconds`, or never.
    #[schema(value_type = Option<String>)]
    expires: Option<UnixTime>,
    /// How many seconds it is good.
    #[schema(minimum = 1)]
    seconds: Option<u64>,
    /// Whether it is a pair for AWS's tools, which sign; `false` by default.
    #[serde(default)]
    #[schema(required = false)]
    aws: bool,
}

impl MakeKey {
    fn terms(self) -> Result<KeyTerms, Problem> {
        let expires = match (self.expires, self.seconds) {
            (Some(_), Some(_)) => {
                let message = "a key ends at `expires`, or after `seconds`";
                return Err(Problem::new(422, "key", message).hint("leave one of them out"));
            }
            (None, Some(seconds)) => {
                let now = openline_admission::authenticate::now();
                Some(now.wall.plus(Duration::from_secs(seconds)))
            }
            (expires, None) => expires,
        };
        let terms = KeyTerms {
            name: self.name,
            scopes: self.scopes,
            channels: self.channels.unwrap_or_else(KeyTerms::all_channels),
            functions: self.functions,
            expires,
        };
        terms.check().map_err(|error| {
            let hint = error.hint().unwrap_or_default().into_owned();
            Problem::new(422, "key", error.to_string()).hint(hint)
        })?;
        Ok(terms)
    }
}

#[utoipa::path(
    get,
    path = "/v1/keys",
    operation_id = "keys",
    tag = "keys",
    summary = "The API keys of the host",
    description = "Those of the configuration, and those that were made in the running host. No answer has the text of a key.",
    responses(
        (status = 200, description = "The keys.", body = Keys),
        Refused
    )
)]
pub(crate) async fn list(call: Call) -> Answered {
    let keys = call.context.deployer.keys();
    Ok(json(StatusCode::OK, &Keys { keys }))
}

#[utoipa::path(
    post,
    path = "/v1/keys",
    operation_id = "makeKey",
    tag = "keys",
    summary = "Make an API key",
    description = "The answer is the only place where its text, or its secret access key, is shown: the host keeps no secret. The key is in force at once; with a data directory it outlives the host's process.",
    request_body = MakeKey,
    responses(
        (status = 201, description = "The key.", body = NewKeyView),
        NotChanged,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn make(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let written: MakeKey = call.body.json().await?;
    let aws = written.aws;
    let terms = written.terms()?;
    let made: NewKeyView = to_its_end(async move { deployer.make_key(terms, aws).await }).await??;
    Ok(json(StatusCode::CREATED, &made))
}

#[utoipa::path(
    delete,
    path = "/v1/keys/{name}",
    operation_id = "revokeKey",
    tag = "keys",
    summary = "Revoke an API key",
    params(("name" = schema::KeyName, Path, description = "The key, which was made in the running host.")),
    description = "Connections that it has let in are closed with 1008. A key of the configuration cannot be revoked here: take it out of the file, and reload the host.",
    responses(
        (status = 200, description = "It is revoked.", body = RevokedKeyView),
        NotChanged
    )
)]
pub(crate) async fn revoke(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let name = KeyName::new(&call.values[0])?;
    let revoked: RevokedKeyView =
        to_its_end(async move { deployer.revoke_key(&name).await }).await??;
    Ok(json(StatusCode::OK, &revoked))
}
