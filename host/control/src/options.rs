//! Options of requests: how to deploy a component, and which connections to
//! show.

use openline_core::deployment::Migration;
use openline_core::name::{AliasName, ConnectionId, FunctionName, Tag};
use openline_core::route::Route;

/// How a component is deployed.
#[derive(Clone, Debug)]
pub struct DeployOptions {
    /// The alias that is to point to it.
    pub alias: AliasName,
    /// How many of a hundred connections it gets; all if `None`.
    pub weight: Option<u32>,
    /// What happens to open connections; if `None`, as the alias or else the
    /// configuration says.
    pub migration: Option<Migration>,
    /// How many connections a drain closes in a second.
    pub drain_connections_per_second: Option<u32>,
    /// The route of a function that no configuration names.
    pub route: Option<Route>,
    /// Its author's note.
    pub note: Option<String>,
    /// Whether to ask a trial instance about a made-up connection first.
    pub probe: bool,
}

/// Which connections are asked for.
#[derive(Clone, Debug, Default)]
pub struct ConnectionQuery {
    /// Connections of this function only.
    pub function: Option<FunctionName>,
    /// Connections with this tag; needs a function.
    pub tag: Option<Tag>,
    /// Connections after this one, in the order of their ids.
    pub after: Option<ConnectionId>,
    /// The most connections to return.
    pub limit: usize,
}
