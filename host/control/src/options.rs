//! What is asked: how a component is deployed, and which connections are shown.

use openline_core::deployment::Migration;
use openline_core::name::{AliasName, ConnectionId, FunctionName, Tag};
use openline_core::route::Route;

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
