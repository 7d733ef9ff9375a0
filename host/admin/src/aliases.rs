//! Aliases of a function: listed, pointed elsewhere, removed.

use std::collections::BTreeMap;

use http::StatusCode;
use openline_core::deployment::Migration;
use openline_core::name::AliasName;
use serde::{Deserialize, Serialize};

use crate::problem::{Problem, nothing};
use crate::serve::{Answered, Call, json, to_its_end};
use openline_control::AliasView;

#[derive(Serialize)]
struct Aliases {
    aliases: BTreeMap<AliasName, AliasView>,
}

/// The body of a request that points an alias to versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shares {
    shares: Vec<ShareNamed>,
    migration: Option<Migration>,
    drain_connections_per_second: Option<u32>,
}

/// A version by the beginning of its digest, and how many of a hundred.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareNamed {
    version: String,
    weight: u32,
}

/// The body of a request that gives an alias to one version.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Promotion {
    version: Option<String>,
}

impl Call<'_> {
    /// The alias that the path names.
    fn alias(&self) -> Result<AliasName, Problem> {
        Ok(AliasName::new(&self.values[1])?)
    }
}

pub(crate) fn list(call: &Call<'_>) -> Answered {
    let aliases = call.view()?.aliases;
    Ok(json(StatusCode::OK, &Aliases { aliases }))
}

pub(crate) async fn set(call: Call<'_>) -> Answered {
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

pub(crate) async fn remove(call: &Call<'_>) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, alias) = (call.function()?, call.alias()?);
    to_its_end(async move { deployer.remove_alias(&name, &alias).await }).await??;
    Ok(nothing())
}

pub(crate) async fn promote(call: Call<'_>) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, alias) = (call.function()?, call.alias()?);
    let version = call.body.json_or_default::<Promotion>().await?.version;
    let promoting = async move { deployer.promote(&name, &alias, version.as_deref()).await };
    let view = to_its_end(promoting).await??;
    Ok(json(StatusCode::OK, &view))
}

pub(crate) async fn rollback(call: &Call<'_>) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, alias) = (call.function()?, call.alias()?);
    let view = to_its_end(async move { deployer.rollback(&name, &alias).await }).await??;
    Ok(json(StatusCode::OK, &view))
}
