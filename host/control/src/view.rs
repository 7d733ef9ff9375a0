//! What the admin interface shows: functions, versions, aliases, connections,
//! as they are at one moment. The names of the fields are those of its JSON.

use std::collections::BTreeMap;

use openline_core::deployment::{CallStyle, Migration, Share};
use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema;

/// A function.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Function)]
pub struct FunctionView {
    /// Its name.
    #[schema(value_type = schema::FunctionName)]
    pub name: FunctionName,
    /// Where it is reached.
    pub routes: Vec<RouteView>,
    /// The configuration names it; else it was deployed with a route.
    pub configured: bool,
    /// The route parameter that chooses the instance.
    pub affinity: Option<String>,
    /// Connections that are open.
    pub connections: usize,
    /// Instances that are live.
    pub instances: u32,
    /// The oldest first.
    pub versions: Vec<VersionView>,
    /// By name.
    #[schema(value_type = BTreeMap<String, AliasView>)]
    pub aliases: BTreeMap<AliasName, AliasView>,
}

/// A route of a function, and what it leads to.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Route)]
pub struct RouteView {
    /// As configured: `{name}` stands for one segment.
    pub route: String,
    /// The alias, or the beginning of the digest of a version.
    pub target: String,
}

/// A version of a function.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub struct VersionView {
    /// Its name.
    #[schema(value_type = schema::Digest)]
    pub digest: Digest,
    /// The size of its component.
    pub bytes: u64,
    /// How its WebSocket handler is called.
    #[schema(value_type = schema::CallStyle)]
    pub handler: CallStyle,
    /// Milliseconds since 1970.
    pub deployed_at: u64,
    /// What its author says of it.
    pub note: Option<String>,
    /// Connections whose next event goes to it.
    pub connections: u32,
    /// Its live instances, the oldest first.
    pub instances: Vec<InstanceView>,
    /// For how many more milliseconds it is given nothing, because it keeps
    /// failing.
    pub backed_off: Option<u64>,
    /// Why it cannot serve although an alias or a route leads to it: its component
    /// does not load, or is gone. Its connections go to the other versions, or are
    /// refused.
    pub unloaded: Option<String>,
}

/// A live instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Instance)]
pub struct InstanceView {
    /// Names it as long as the process lives.
    pub number: u64,
    /// The affinity value that it serves.
    pub key: Option<String>,
    /// Connections that are bound to it.
    pub connections: u32,
    /// Milliseconds since it was made.
    pub age: u64,
}

/// An alias of a function.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Alias)]
pub struct AliasView {
    /// Where it points; the weights are 100 together.
    #[schema(value_type = Vec<schema::Share>)]
    pub shares: Vec<Share>,
    /// What becomes of connections when it moves.
    #[schema(value_type = schema::Migration)]
    pub migration: Migration,
    /// How many connections a drain closes in a second, if not the host's.
    #[schema(minimum = 1)]
    pub drain_connections_per_second: Option<u32>,
    /// How many moves can be taken back.
    pub rollbacks: usize,
}

/// A connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionView {
    /// Names it.
    #[schema(value_type = schema::ConnectionId)]
    pub id: String,
    /// Its function.
    #[schema(value_type = schema::FunctionName)]
    pub function: FunctionName,
    /// The alias that it came by.
    #[schema(value_type = schema::AliasName)]
    pub alias: AliasName,
    /// The beginning of the digest of the version that its last event went to.
    pub version: String,
    /// The live instance that it is bound to; null when it is hibernated.
    pub instance: Option<u64>,
    /// What `upgrade` chose.
    pub subprotocol: Option<String>,
    /// Of its route.
    pub route_params: Vec<(String, String)>,
    /// The words it is found by.
    pub tags: Vec<String>,
    /// The size of its attachment.
    pub attachment_bytes: usize,
    /// What waits to be written.
    pub buffered_bytes: u64,
    /// Nanoseconds from the last ping to its answer.
    pub round_trip: Option<u64>,
    /// The function has stopped reading from it.
    pub paused: bool,
    /// Messages that the host answered by itself.
    pub auto_responded: u64,
}

/// A page of connections, in the order of their ids.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ConnectionPage)]
pub struct ConnectionPage {
    /// At most as many as were asked for.
    pub connections: Vec<ConnectionView>,
    /// What to pass as `after` for the next page; null on the last.
    #[schema(value_type = Option<schema::ConnectionId>)]
    pub next: Option<String>,
}

/// What a deploy has done.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Deployed)]
pub struct DeployedView {
    /// The version's name.
    #[schema(value_type = schema::Digest)]
    pub version: Digest,
    /// It was not there before.
    pub version_is_new: bool,
    /// The alias points elsewhere than before.
    pub alias_moved: bool,
    /// Where the alias points now.
    pub alias: AliasView,
    /// What was deployed is forgotten when the process ends: there is no data
    /// directory.
    pub in_memory: bool,
}
