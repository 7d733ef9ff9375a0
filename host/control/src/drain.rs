//! Ends connections whose version is not served any more, at a bounded pace.
//! Each connection ends once its messages are answered.
//!
//! A drain picks connections by the version of their last event, but each
//! connection decides for itself whether it is left behind: a quiet one may
//! meanwhile belong to a version that is served. The drain stops when its alias
//! moves again; a further drain goes on from there.

use std::sync::Arc;
use std::time::Duration;

use openline_channels::connection::Connection;
use openline_core::config::ServerConfig;
use openline_core::deployment::Migration;
use openline_core::digest::Digest;
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;

use crate::managed::{Managed, Moved};

/// The shortest time between two steps of a drain: often enough to be even,
/// seldom enough to cost nothing.
pub(crate) const PACE: Duration = Duration::from_millis(10);
/// How often a drain looks for remaining connections. Connections that were
/// being accepted meanwhile check by themselves.
const PASSES_MAX: usize = 10;

/// Begins to end the connections that an alias has left behind, if the alias
/// drains.
pub(crate) fn drain(managed: &Managed, moved: Moved, server: &ServerConfig) {
    if moved.migration != Migration::Drain {
        return;
    }
    let per_second = moved
        .per_second
        .unwrap_or(server.drain_connections_per_second);
    let commons = Arc::clone(&managed.commons);
    let alias = moved.alias;
    let generation = alias.generation();
    tokio::spawn(async move {
        for _ in 0..PASSES_MAX {
            let left = left_behind(&commons, &alias);
            if left.is_empty() {
                return;
            }
            let goes_on = || alias.generation() == generation;
            end(left, per_second, Connection::reconsider, goes_on).await;
            if !goes_on() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

/// Begins to end all connections of a version that was removed, or of a
/// function.
pub(crate) fn drain_all(commons: &Arc<Commons>, version: Option<Digest>, per_second: u32) {
    let commons = Arc::clone(commons);
    if let Some(version) = version {
        commons.remove_version(version);
    }
    tokio::spawn(async move {
        let stamp = version.map(|version| version.stamp());
        let mut connections = commons.hub().snapshot();
        connections.retain(|connection| stamp.is_none_or(|stamp| connection.server().0 == stamp));
        let ask = match version {
            Some(_) => Connection::reconsider,
            None => Connection::redeploy,
        };
        end(connections, per_second, ask, || true).await;
    });
}

/// Connections of an alias whose version it does not lead to any more.
/// Connections of a version that it leads to stay, even if they have been quiet
/// for several moves.
fn left_behind(commons: &Commons, alias: &Alias) -> Vec<Arc<Connection>> {
    let split = alias.split();
    let serves = |stamp: u64| {
        let mut shares = split.shares.iter();
        shares.any(|(version, _)| version.digest().stamp() == stamp)
    };
    let mut connections = commons.hub().snapshot();
    connections.retain(|connection| {
        connection.facts().alias == *alias.name()
            && connection.is_open()
            && !serves(connection.server().0)
    });
    connections
}

/// Asks connections to end, at a pace, until told to stop.
async fn end(
    connections: Vec<Arc<Connection>>,
    per_second: u32,
    ask: fn(&Connection),
    goes_on: impl Fn() -> bool,
) {
    let per_second = per_second.max(1);
    let each = (per_second / 100).max(1);
    let mut pace = tokio::time::interval((Duration::from_secs(1) * each / per_second).max(PACE));
    for some in connections.chunks(each as usize) {
        pace.tick().await;
        if !goes_on() {
            return;
        }
        for connection in some {
            ask(connection);
            connection.wake();
        }
    }
}
