//! What is deployed on this host, and how that changes: every change is
//! checked, written, and only then done.
//!
//! All go one way: [`plan`] says what is to become of a function, [`prepare`]
//! loads its versions beside what serves, and [`apply`] writes it and has it
//! serve, which cannot fail any more. [`start`] does so for a whole
//! configuration, [`deploy`] and [`operations`] for one function. Changes are
//! made one after the other; compiling is done before.

mod apply;
mod connections;
mod deploy;
mod drain;
mod error;
mod identity;
mod managed;
mod operations;
mod plan;
mod prepare;
pub mod schema;
mod start;
mod stop;
mod view;

use std::sync::Arc;

use openline_admission::services::Services;
use openline_core::config::ServerConfig;
use openline_core::deployment::{HandlerKind, Migration};
use openline_core::name::{AliasName, ConnectionId, FunctionName, Tag};
use openline_core::route::Route;
use openline_engine::alias::Alias;
use openline_engine::runtime::Taken;
use openline_engine::version::Version;
use parking_lot::RwLock;

use apply::Functions;
pub use deploy::Prepared;
pub use error::{ChangeError, StartError};
use managed::Managed;
use prepare::Loader;
pub use start::{ConfiguredComponent, Reloaded};
pub use view::{
    AliasView, ConnectionPage, ConnectionView, DeployedView, FunctionView, InstanceView, RouteView,
    VersionView,
};

/// How a component is deployed.
#[derive(Clone, Debug)]
pub struct DeployOptions {
    /// The alias that is to point to it.
    pub alias: AliasName,
    /// How many of a hundred connections it gets; all without it.
    pub weight: Option<u32>,
    /// What becomes of open connections; as it was, or as configured, without.
    pub migration: Option<Migration>,
    /// How many connections a drain closes in a second.
    pub drain_connections_per_second: Option<u32>,
    /// Where a function is reached that no configuration names.
    pub route: Option<Route>,
    /// What its author says of it.
    pub note: Option<String>,
    /// Ask a trial instance about a made-up connection first.
    pub probe: bool,
}

/// Which connections are asked for.
#[derive(Clone, Debug, Default)]
pub struct ConnectionQuery {
    /// Of this function only.
    pub function: Option<FunctionName>,
    /// With this tag; needs a function.
    pub tag: Option<Tag>,
    /// Behind this one, in the order of their ids.
    pub after: Option<ConnectionId>,
    /// At most so many.
    pub limit: usize,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deployer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    loader: Loader,
    in_memory: bool,
    services: Arc<Services>,
    /// Held while something changes.
    changing: tokio::sync::Mutex<()>,
    state: RwLock<State>,
}

/// What is in force.
#[derive(Clone, Debug)]
struct State {
    server: ServerConfig,
    functions: Functions,
}

impl Deployer {
    /// The functions on their routes, as the gateway serves them.
    pub fn services(&self) -> &Arc<Services> {
        &self.inner.services
    }

    /// What is taken of the engine at this moment.
    pub fn taken(&self) -> Taken {
        self.inner.loader.runtime.taken()
    }

    /// Whether what is deployed is forgotten when the process ends.
    pub fn is_in_memory(&self) -> bool {
        self.inner.in_memory
    }

    /// All functions by name.
    pub fn functions(&self) -> Vec<FunctionView> {
        let state = self.inner.state.read();
        state.functions.values().map(|it| it.view()).collect()
    }

    /// One function.
    pub fn function(&self, name: &FunctionName) -> Result<FunctionView, ChangeError> {
        Ok(self.managed(name)?.view())
    }

    /// All routes, with the aliases that they lead to.
    pub fn routes(&self) -> Vec<(Route, Arc<Alias>)> {
        apply::routes(&self.inner.state.read().functions)
    }

    fn managed(&self, name: &FunctionName) -> Result<Arc<Managed>, ChangeError> {
        let state = self.inner.state.read();
        let found = state.functions.get(name).cloned();
        found.ok_or_else(|| ChangeError::NoFunction(name.clone()))
    }
}

/// The handler as a deployment has it.
fn handler_of(version: &Version) -> HandlerKind {
    match version.handler() {
        openline_engine::HandlerKind::Plain => HandlerKind::Plain,
        openline_engine::HandlerKind::Async => HandlerKind::Async,
    }
}
