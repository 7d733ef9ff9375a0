//! Aliases of a function: lists, moves and removes them.

use std::collections::BTreeMap;

use http::StatusCode;
use openline_control::{AliasView, schema};
use openline_core::deployment::Migration;
use openline_core::name::AliasName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::change::to_its_end;
use crate::json::json;
use crate::problem::{Answered, Problem, nothing};
use crate::responses::{BadBody, NotChanged, NotFound, Unprocessable};

/// The aliases of a function.
#[derive(Serialize, ToSchema)]
struct Aliases {
    /// By name.
    #[schema(value_type = BTreeMap<String, AliasView>)]
    aliases: BTreeMap<AliasName, AliasView>,
}

/// Where an alias is to point.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SetAlias)]
#[serde(deny_unknown_fields)]
struct Shares {
    /// The weights must add up to 100.
    shares: Vec<ShareNamed>,
    /// What happens to open connections; without it, as before.
    #[schema(value_type = Option<schema::Migration>)]
    migration: Option<Migration>,
    /// How many connections a drain closes in a second.
    #[schema(minimum = 1, maximum = 10_000_000)]
    drain_connections_per_second: Option<u32>,
}

/// A part of the connections.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ShareNamed {
    /// The beginning of a version's digest, at least 6 letters.
    version: String,
    /// How many of a hundred connections.
    #[schema(minimum = 1, maximum = 100)]
    weight: u32,
}

/// The version that is to have all connections.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Promote)]
#[serde(deny_unknown_fields)]
struct Promotion {
    /// The beginning of its digest; without it, the canary.
    version: Option<String>,
}

impl Call {
    /// The alias that the path names.
    fn alias(&self) -> Result<AliasName, Problem> {
        Ok(AliasName::new(&self.values[1])?)
    }
}

#[utoipa::path(
    get,
    path = "/v1/functions/{name}/aliases",
    operation_id = "aliases",
    tag = "aliases",
    summary = "The aliases of a function",
    params(("name" = schema::FunctionName, Path, description = "The function.")),
    responses(
        (status = 200, description = "The aliases.", body = Aliases),
        NotFound
    )
)]
pub(crate) async fn list(call: Call) -> Answered {
    let aliases = call.view()?.aliases;
    Ok(json(StatusCode::OK, &Aliases { aliases }))
}

#[utoipa::path(
    put,
    path = "/v1/functions/{name}/aliases/{alias}",
    operation_id = "setAlias",
    tag = "aliases",
    summary = "Point an alias to versions by weight",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("alias" = schema::AliasName, Path, description = "The alias.")
    ),
    request_body = Shares,
    responses(
        (status = 200, description = "Where it points now.", body = AliasView),
        NotChanged,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn set(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, alias) = (call.function()?, call.alias()?);
    let written: Shares = call.body.json().await?;
    let shares = written.shares.into_iter();
    let shares = shares.map(|share| (share.version, share.weight)).collect();
    let (migration, pace) = (written.migration, written.drain_connections_per_second);
    let setting = async move {
        deployer
            .set_alias(&name, &alias, shares, migration, pace)
            .await
    };
    let view = to_its_end(setting).await??;
    Ok(json(StatusCode::OK, &view))
}

#[utoipa::path(
    delete,
    path = "/v1/functions/{name}/aliases/{alias}",
    operation_id = "removeAlias",
    tag = "aliases",
    summary = "Remove an alias that no trigger leads to",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("alias" = schema::AliasName, Path, description = "The alias.")
    ),
    responses(
        (status = 204, description = "The alias is removed."),
        NotChanged
    )
)]
pub(crate) async fn remove(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, alias) = (call.function()?, call.alias()?);
    to_its_end(async move { deployer.remove_alias(&name, &alias).await }).await??;
    Ok(nothing())
}

#[utoipa::path(
    post,
    path = "/v1/functions/{name}/aliases/{alias}/promote",
    operation_id = "promote",
    tag = "aliases",
    summary = "Give all connections of an alias to one version",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("alias" = schema::AliasName, Path, description = "The alias.")
    ),
    request_body = Option<Promotion>,
    responses(
        (status = 200, description = "Where it points now.", body = AliasView),
        NotChanged,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn promote(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, alias) = (call.function()?, call.alias()?);
    let version = call.body.json_or_default::<Promotion>().await?.version;
    let promoting = async move { deployer.promote(&name, &alias, version.as_deref()).await };
    let view = to_its_end(promoting).await??;
    Ok(json(StatusCode::OK, &view))
}

#[utoipa::path(
    post,
    path = "/v1/functions/{name}/aliases/{alias}/rollback",
    operation_id = "rollback",
    tag = "aliases",
    summary = "Point an alias to where it pointed before",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("alias" = schema::AliasName, Path, description = "The alias.")
    ),
    responses(
        (status = 200, description = "Where it points now.", body = AliasView),
        NotChanged
    )
)]
pub(crate) async fn rollback(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, alias) = (call.function()?, call.alias()?);
    let view = to_its_end(async move { deployer.rollback(&name, &alias).await }).await??;
    Ok(json(StatusCode::OK, &view))
}
