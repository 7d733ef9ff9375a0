//! Functions and their versions: lists, deploys and removes them.

use std::sync::Arc;

use http::StatusCode;
use openline_control::{DeployOptions, DeployedView, FunctionView, VersionView, schema};
use openline_core::component::Component;
use openline_core::deployment::Migration;
use openline_core::name::{AliasName, FunctionName};
use openline_core::route::Route;
use serde::Serialize;
use utoipa::ToSchema;

use crate::call::Call;
use crate::change::to_its_end;
use crate::json::json;
use crate::problem::{Answered, Problem, nothing};
use crate::query::Query;
use crate::responses::{BadBody, NotChanged, NotFound, Refused, Unprocessable};
use openline_gateway::reserved::Answer;

/// All functions.
#[derive(Serialize, ToSchema)]
struct Functions {
    /// By name.
    functions: Vec<FunctionView>,
}

/// The versions of a function.
#[derive(Serialize, ToSchema)]
struct Versions {
    /// The oldest first.
    versions: Vec<VersionView>,
}

/// The version that was removed.
#[derive(Serialize, ToSchema)]
struct Removed {
    /// Its name.
    #[schema(value_type = schema::Digest)]
    version: String,
}

impl Call {
    /// The function that the path names.
    pub(crate) fn function(&self) -> Result<FunctionName, Problem> {
        Ok(FunctionName::new(&self.values[0])?)
    }

    /// Its view.
    pub(crate) fn view(&self) -> Result<FunctionView, Problem> {
        Ok(self.context.deployer.function(&self.function()?)?)
    }
}

#[utoipa::path(
    get,
    path = "/v1/functions",
    operation_id = "functions",
    tag = "functions",
    summary = "All functions",
    responses(
        (status = 200, description = "The functions.", body = Functions),
        Refused
    )
)]
pub(crate) async fn list(call: Call) -> Answer {
    let functions = call.context.deployer.functions();
    json(StatusCode::OK, &Functions { functions })
}

#[utoipa::path(
    get,
    path = "/v1/functions/{name}",
    operation_id = "function",
    tag = "functions",
    summary = "A function",
    params(("name" = schema::FunctionName, Path, description = "The function.")),
    responses(
        (status = 200, description = "The function.", body = FunctionView),
        NotFound
    )
)]
pub(crate) async fn show(call: Call) -> Answered {
    Ok(json(StatusCode::OK, &call.view()?))
}

#[utoipa::path(
    delete,
    path = "/v1/functions/{name}",
    operation_id = "removeFunction",
    tag = "functions",
    summary = "Remove a function that no configuration names",
    params(("name" = schema::FunctionName, Path, description = "The function.")),
    description = "Its states and alarms are removed with it, and its connections are closed with 1012.",
    responses(
        (status = 204, description = "The function is removed."),
        NotChanged
    )
)]
pub(crate) async fn remove(call: Call) -> Answered {
    let (deployer, name) = (call.context.deployer.clone(), call.function()?);
    to_its_end(async move { deployer.remove_function(&name).await }).await??;
    Ok(nothing())
}

#[utoipa::path(
    get,
    path = "/v1/functions/{name}/versions",
    operation_id = "versions",
    tag = "versions",
    summary = "The versions of a function",
    params(("name" = schema::FunctionName, Path, description = "The function.")),
    responses(
        (status = 200, description = "The versions.", body = Versions),
        NotFound
    )
)]
pub(crate) async fn versions(call: Call) -> Answered {
    let versions = call.view()?.versions;
    Ok(json(StatusCode::OK, &Versions { versions }))
}

#[utoipa::path(
    post,
    path = "/v1/functions/{name}/versions",
    operation_id = "deploy",
    tag = "versions",
    summary = "Make a version of a component and point an alias to it",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("alias" = Option<schema::AliasName>, Query, description = "The alias that is to point to it; `live` by default."),
        ("weight" = Option<u32>, Query, minimum = 1, maximum = 100, description = "How many of a hundred connections it gets; all by default. The other versions share the rest as before."),
        ("migration" = Option<schema::Migration>, Query, description = "What happens to open connections; by default, as the alias or else the configuration says."),
        ("drain_connections_per_second" = Option<u32>, Query, minimum = 1, maximum = 10_000_000, description = "How many connections a drain closes in a second; by default, the host's number."),
        ("route" = Option<String>, Query, description = "The route of a function that no configuration names, such as `/chat/{room}`."),
        ("note" = Option<String>, Query, description = "A note about the version: at most 256 bytes."),
        ("probe" = Option<bool>, Query, description = "Ask a trial instance about a made-up connection first.")
    ),
    description = "The component is compiled, checked against the contract and started once before anything changes. A component that is refused, or arrives only in part, changes nothing.",
    request_body(
        description = "The component, at most `component_bytes` of the host.",
        content(("application/wasm"), ("application/octet-stream"))
    ),
    responses(
        (status = 201, description = "The version is new.", body = DeployedView),
        (status = 200, description = "The version existed before; the alias may have moved.", body = DeployedView),
        NotChanged,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn deploy(call: Call) -> Answered {
    let (deployer, name) = (call.context.deployer.clone(), call.function()?);
    let options = options(&call.query)?;
    call.body
        .is(&["application/wasm", "application/octet-stream"])?;
    let place = Arc::clone(&call.context.components).acquire_owned().await;
    let most = call.context.component_bytes;
    let limit = "a component (component_bytes)";
    let bytes = call.body.read(most, limit).await?;
    if bytes.is_empty() {
        let problem = Problem::bad("incomplete", "the body is empty; nothing has changed");
        return Err(problem.hint("send the component's bytes, as `curl --data-binary @FILE` does"));
    }
    // Hashing takes a millisecond or more for each MiB.
    let hashing = tokio::task::spawn_blocking(move || Component::new(bytes));
    let component = hashing.await.map_err(|_| Problem::internal())?;
    // Compiling changes nothing yet, so it stops when the client hangs up.
    let prepared = deployer.prepare(&name, component, options).await?;
    let deploying = async move {
        let deployed = deployer.deploy_prepared(prepared).await;
        // The component is in memory until here, even if the client hangs up.
        drop(place);
        deployed
    };
    let deployed = to_its_end(deploying).await??;
    let status = if deployed.version_is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(json(status, &deployed))
}

#[utoipa::path(
    delete,
    path = "/v1/functions/{name}/versions/{version}",
    operation_id = "removeVersion",
    tag = "versions",
    summary = "Remove a version that no alias points to",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("version" = String, Path, pattern = "^[0-9a-f]{6,64}$", description = "The beginning of the digest of a version: at least 6 letters, and enough to name only one version of the function."),
        ("force" = Option<bool>, Query, description = "Close connections that are pinned to it, with 1012.")
    ),
    responses(
        (status = 200, description = "The version is removed.", body = Removed),
        NotChanged
    )
)]
pub(crate) async fn remove_version(call: Call) -> Answered {
    let (deployer, name) = (call.context.deployer.clone(), call.function()?);
    let (version, force) = (call.values[1].clone(), call.query.flag("force")?);
    let removing = async move { deployer.remove_version(&name, &version, force).await };
    let version = to_its_end(removing).await??.to_string();
    Ok(json(StatusCode::OK, &Removed { version }))
}

fn options(query: &Query) -> Result<DeployOptions, Problem> {
    let alias = query.text("alias").map(AliasName::new).transpose()?;
    let route = query.text("route").map(Route::new).transpose();
    let migration = |text: &str| match text {
        "migrate" => Some(Migration::Migrate),
        "pin" => Some(Migration::Pin),
        "drain" => Some(Migration::Drain),
        _ => None,
    };
    Ok(DeployOptions {
        alias: alias.unwrap_or_default(),
        weight: query.number("weight")?,
        migration: query.parsed("migration", "`migrate`, `pin` or `drain`", migration)?,
        drain_connections_per_second: query.number("drain_connections_per_second")?,
        route: route.map_err(|error| Problem::bad("bad_query", error))?,
        note: query.text("note").map(Into::into),
        probe: query.flag("probe")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["alias", "weight", "migration", "route", "note", "probe"];

    fn read(raw: &str) -> Result<DeployOptions, &'static str> {
        let query = Query::parse(Some(raw), KEYS).unwrap();
        options(&query).map_err(|problem| problem.error())
    }

    #[test]
    fn how_it_is_deployed_is_read_from_the_query() {
        let read = read("alias=next&weight=10&migration=drain&route=/c/{room}&probe=true").unwrap();
        assert_eq!((read.alias.as_str(), read.weight), ("next", Some(10)));
        assert_eq!(read.migration, Some(Migration::Drain));
        assert_eq!(read.route.unwrap().as_str(), "/c/{room}");
        assert!(read.probe && read.note.is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_before_the_body_is_read() {
        for (bad, error) in [
            ("alias=", "bad_name"),
            ("alias=a/b", "bad_name"),
            ("alias=abcdef", "bad_name"),
            ("weight=ten", "bad_query"),
            ("weight=99999999999", "bad_query"),
            ("migration=Drain", "bad_query"),
            ("route=c", "bad_query"),
            ("route=/.openline/x", "bad_query"),
            ("probe=1", "bad_query"),
        ] {
            assert_eq!(read(bad).unwrap_err(), error, "{bad}");
        }
    }
}
