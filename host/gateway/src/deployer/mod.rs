//! What is deployed on this host, and how that changes: every change is
//! checked, written, and only then done.

mod view;

use bytes::Bytes;
use openline_core::close::CloseInfo;
use openline_core::deployment::{DeploymentError, Migration, Share};
use openline_core::digest::Digest;
use openline_core::message::Message;
use openline_core::name::{AliasName, ConnectionId, FunctionName, Tag};
use openline_core::route::Route;
use openline_engine::LoadError;
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
pub struct Deployer {}

#[expect(clippy::unused_async, unused_variables, reason = "a placeholder")]
impl Deployer {
    /// All functions by name.
    pub fn functions(&self) -> Vec<FunctionView> {
        Vec::new()
    }

    /// One function.
    pub fn function(&self, name: &FunctionName) -> Result<FunctionView, ChangeError> {
        Err(ChangeError::NoFunction(name.clone()))
    }

    /// Makes a version of a component and points an alias to it.
    pub async fn deploy(
        &self,
        name: &FunctionName,
        component: Bytes,
        options: DeployOptions,
    ) -> Result<DeployedView, ChangeError> {
        Err(ChangeError::NoFunction(name.clone()))
    }

    /// Points an alias to versions by weight; each is named by the beginning
    /// of its digest.
    pub async fn set_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
        shares: Vec<(String, u32)>,
        migration: Option<Migration>,
        drain_connections_per_second: Option<u32>,
    ) -> Result<AliasView, ChangeError> {
        Err(ChangeError::NoFunction(name.clone()))
    }

    /// Gives all connections of an alias to the canary, or to the version
    /// whose digest begins so.
    pub async fn promote(
        &self,
        name: &FunctionName,
        alias: &AliasName,
        version: Option<&str>,
    ) -> Result<AliasView, ChangeError> {
        Err(ChangeError::NoFunction(name.clone()))
    }

    /// Points an alias to where it pointed before.
    pub async fn rollback(
        &self,
        name: &FunctionName,
        alias: &AliasName,
    ) -> Result<AliasView, ChangeError> {
        Err(ChangeError::NoFunction(name.clone()))
    }

    /// Removes an alias that no route leads to.
    pub async fn remove_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
    ) -> Result<(), ChangeError> {
        Err(ChangeError::NoFunction(name.clone()))
    }

    /// Removes the version whose digest begins so. With `force`, connections
    /// that are pinned to it are closed with 1012.
    pub async fn remove_version(
        &self,
        name: &FunctionName,
        version: &str,
        force: bool,
    ) -> Result<Digest, ChangeError> {
        Err(ChangeError::NoFunction(name.clone()))
    }

    /// Removes a function that no configuration names, with all it has kept;
    /// its connections are closed with 1012.
    pub async fn remove_function(&self, name: &FunctionName) -> Result<(), ChangeError> {
        Err(ChangeError::NoFunction(name.clone()))
    }

    /// Connections in the order of their ids.
    pub fn connections(&self, query: &ConnectionQuery) -> ConnectionPage {
        ConnectionPage {
            connections: Vec::new(),
            next: None,
        }
    }

    /// One connection.
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionView> {
        None
    }

    /// Puts a message into a connection's outbox, as a function would.
    pub fn send(
        &self,
        id: ConnectionId,
        message: Message,
    ) -> Option<openline_core::event::SendOutcome> {
        None
    }

    /// Closes a connection; `false` when it is closing already.
    pub fn close(&self, id: ConnectionId, info: CloseInfo) -> Option<bool> {
        None
    }
}
