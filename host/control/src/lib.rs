//! What is deployed on this host, and how that changes: every change is
//! checked, written, and only then done.
//!
//! A change makes a new [`Managed`] of a function beside the one that serves,
//! with all its versions compiled and tried. When it is written, aliases and
//! routes are made to lead to it; none of that can fail. Changes are made one
//! after the other; compiling is done before.

mod change;
mod connections;
mod drain;
mod identity;
mod managed;
mod start;
mod stop;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use openline_core::config::ServerConfig;
use openline_core::deployment::{DeploymentError, Migration};
use openline_core::digest::Digest;
use openline_core::name::{AliasName, ConnectionId, FunctionName, Tag};
use openline_core::route::Route;
use openline_engine::LoadError;
use openline_engine::alias::Alias;
use openline_engine::runtime::{Runtime, Taken};
use openline_store::Store;
use parking_lot::RwLock;

pub use change::Prepared;
use identity::Identities;
use managed::Managed;
use openline_admission::services::Services;
pub use start::{Component, Reloaded, StartError};
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

/// Why a change was not made. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such function.
    #[error("there is no function `{0}`")]
    NoFunction(FunctionName),
    /// A function that no configuration names needs a route.
    #[error("`{0}` is new here and has no route")]
    NoRoute(FunctionName),
    /// Another function has the route, or it is not one.
    #[error("{0}")]
    Route(String),
    /// The configuration names the function.
    #[error("`{0}` is in the host's configuration")]
    Configured(FunctionName),
    /// A route leads to the alias or the version.
    #[error("the route {0} leads to it")]
    Routed(String),
    /// Connections are pinned to the version.
    #[error("{connections} connections are bound to the version {}", .version.short())]
    Connected {
        /// The version.
        version: Digest,
        /// How many.
        connections: u32,
    },
    /// The rules of deployments.
    #[error(transparent)]
    Rule(#[from] DeploymentError),
    /// The component cannot be a version.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A made-up connection made the function fail.
    #[error("the function fails when it is asked about a connection: {0}")]
    Probe(String),
    /// It could not be written.
    #[error("the change could not be written: {0}")]
    Store(String),
    /// A version's component is not there any more.
    #[error("the component of version {} is not in the data directory", .0.short())]
    Missing(Digest),
}

impl ChangeError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoFunction(_) => "list the functions, or deploy it with a route",
            Self::NoRoute(_) => "give it one, as in `--route /chat/{room}`",
            Self::Route(_) => "choose another route",
            Self::Configured(_) => "take it out of the configuration and reload the host",
            Self::Routed(_) => "change the route in the host's configuration first",
            Self::Connected { .. } => {
                "wait until they have ended, or force it: they are closed with 1012"
            }
            Self::Rule(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Probe(_) => "deploy without the probe if `upgrade` needs what a probe has not",
            Self::Store(_) => "look at the host's data directory and its log",
            Self::Missing(_) => "deploy the component again",
        }
    }
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
    runtime: Arc<Runtime>,
    store: Store,
    in_memory: bool,
    services: Arc<Services>,
    identities: Identities,
    /// Held while something changes.
    changing: tokio::sync::Mutex<()>,
    state: RwLock<State>,
}

/// What is in force.
#[derive(Clone, Debug)]
struct State {
    server: ServerConfig,
    functions: BTreeMap<FunctionName, Arc<Managed>>,
}

impl Deployer {
    /// The functions on their routes, as the gateway serves them.
    pub fn services(&self) -> &Arc<Services> {
        &self.inner.services
    }

    /// What is taken of the engine at this moment.
    pub fn taken(&self) -> Taken {
        self.inner.runtime.taken()
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
        start::routes(&self.inner.state.read().functions)
    }

    fn managed(&self, name: &FunctionName) -> Result<Arc<Managed>, ChangeError> {
        let state = self.inner.state.read();
        let found = state.functions.get(name).cloned();
        found.ok_or_else(|| ChangeError::NoFunction(name.clone()))
    }
}
