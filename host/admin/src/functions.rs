//! Functions and their versions: listed, deployed, removed.

use http::StatusCode;
use openline_core::component::Component;
use openline_core::deployment::Migration;
use openline_core::name::{AliasName, FunctionName};
use openline_core::route::Route;
use serde::Serialize;

use crate::problem::{Problem, nothing};
use crate::query::Query;
use crate::serve::{Answered, Call, json, to_its_end};
use openline_control::{DeployOptions, FunctionView, VersionView};
use openline_gateway::reserved::Answer;

#[derive(Serialize)]
struct Functions {
    functions: Vec<FunctionView>,
}

#[derive(Serialize)]
struct Versions {
    versions: Vec<VersionView>,
}

#[derive(Serialize)]
struct Removed {
    version: String,
}

impl Call<'_> {
    /// The function that the path names.
    pub(crate) fn function(&self) -> Result<FunctionName, Problem> {
        Ok(FunctionName::new(&self.values[0])?)
    }

    /// What is told about it.
    pub(crate) fn view(&self) -> Result<FunctionView, Problem> {
        Ok(self.context.deployer.function(&self.function()?)?)
    }
}

pub(crate) fn list(call: &Call<'_>) -> Answer {
    let functions = call.context.deployer.functions();
    json(StatusCode::OK, &Functions { functions })
}

pub(crate) fn show(call: &Call<'_>) -> Answered {
    Ok(json(StatusCode::OK, &call.view()?))
}

pub(crate) async fn remove(call: &Call<'_>) -> Answered {
    let (deployer, name) = (call.context.deployer.clone(), call.function()?);
    to_its_end(async move { deployer.remove_function(&name).await }).await??;
    Ok(nothing())
}

pub(crate) fn versions(call: &Call<'_>) -> Answered {
    let versions = call.view()?.versions;
    Ok(json(StatusCode::OK, &Versions { versions }))
}

pub(crate) async fn deploy(call: Call<'_>) -> Answered {
    let (deployer, name) = (call.context.deployer.clone(), call.function()?);
    let options = options(&call.query)?;
    call.body
        .is(&["application/wasm", "application/octet-stream"])?;
    let place = call.context.components.acquire().await;
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
    // Compiling is no change yet: it stops when whoever asked hangs up.
    let prepared = deployer.prepare(&name, component, options).await?;
    let deploying = async move { deployer.deploy_prepared(prepared).await };
    let deployed = to_its_end(deploying).await??;
    drop(place);
    let status = if deployed.version_is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(json(status, &deployed))
}

pub(crate) async fn remove_version(call: &Call<'_>) -> Answered {
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
