//! Shows connections, and sends to them, from outside functions.

use std::collections::HashSet;
use std::sync::Arc;

use openline_channels::connection::{Compressed, Connection, Sizes};
use openline_core::close::{CloseInfo, CloseReason};
use openline_core::event::SendOutcome;
use openline_core::message::Message;
use openline_core::name::ConnectionId;
use openline_engine::commons::Commons;

use crate::deployer::Deployer;
use crate::options::ConnectionQuery;
use crate::view::{CompressedView, CompressionView, ConnectionPage, ConnectionView, TlsView};

impl Deployer {
    /// Connections in the order of their ids.
    pub fn connections(&self, query: &ConnectionQuery) -> ConnectionPage {
        // Functions that no trigger leads to any more have connections, too.
        let functions = self.inner.services.functions();
        let asked = functions.into_iter().filter(|function| {
            let name = query.function.as_ref();
            name.is_none_or(|name| name == function.name())
        });
        let mut found = Vec::new();
        // One more than asked for shows whether there is another page.
        let limit = query.limit.saturating_add(1);
        for function in asked {
            let hub = function.hub();
            let page = match &query.tag {
                Some(tag) => hub.by_tag(tag, query.after, limit),
                None => hub.page(query.after, limit),
            };
            let live = live(&function);
            found.extend(page.into_iter().map(|connection| {
                let view = view(&function, &live, &connection);
                (connection.id(), view)
            }));
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let last = found.last().map(|(id, _)| id.to_string());
        ConnectionPage {
            connections: found.into_iter().map(|(_, view)| view).collect(),
            next: last.filter(|_| more),
        }
    }

    /// One connection.
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionView> {
        let (function, connection) = self.find(id)?;
        Some(view(&function, &live(&function), &connection))
    }

    /// Puts a message into a connection's outbox, as a function would.
    pub fn send(&self, id: ConnectionId, message: Message) -> Option<SendOutcome> {
        let (_, connection) = self.find(id)?;
        let outcome = connection.push(message);
        connection.wake();
        Some(outcome)
    }

    /// Closes a connection; `false` if it is already closing.
    pub fn close(&self, id: ConnectionId, info: CloseInfo) -> Option<bool> {
        let (_, connection) = self.find(id)?;
        let first = connection.end(CloseReason::Operator(info));
        connection.wake();
        Some(first)
    }

    fn find(&self, id: ConnectionId) -> Option<(Arc<Commons>, Arc<Connection>)> {
        let functions = self.inner.services.functions();
        functions.into_iter().find_map(|function| {
            let connection = function.hub().get(id)?;
            Some((function, connection))
        })
    }
}

/// The numbers of the live instances of a function.
fn live(function: &Commons) -> HashSet<u64> {
    let versions = function.versions();
    let instances = versions.iter().flat_map(|version| version.list());
    instances.map(|instance| instance.number).collect()
}

fn view(function: &Commons, live: &HashSet<u64>, connection: &Connection) -> ConnectionView {
    let (version, instance) = connection.server();
    let facts = connection.facts();
    let round_trip = connection.round_trip();
    ConnectionView {
        id: connection.id().to_string(),
        function: function.name().clone(),
        kind: facts.kind.name(),
        peer: facts.peer.to_string(),
        tls: facts.tls.as_deref().map(TlsView::new),
        alias: facts.alias.clone(),
        version: format!("{version:016x}"),
        instance: Some(instance).filter(|instance| live.contains(instance)),
        subprotocol: facts.subprotocol.clone(),
        route_params: facts.route_params.clone(),
        tags: connection
            .tags()
            .iter()
            .map(|tag| tag.as_str().to_owned())
            .collect(),
        attachment_bytes: connection.attachment().len(),
        buffered_bytes: connection.buffered_bytes(),
        round_trip: round_trip.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        paused: connection.is_paused(),
        auto_responded: connection.auto_responded(),
        compression: facts.compressed.as_deref().map(compression),
    }
}

fn compression(of: &Compressed) -> CompressionView {
    let sizes = |sizes: &Sizes| {
        let (bytes, compressed_bytes) = sizes.bytes();
        CompressedView {
            bytes,
            compressed_bytes,
        }
    };
    CompressionView {
        mode: of.mode,
        window_bits: of.window_bits,
        sent: sizes(&of.sent),
        received: sizes(&of.received),
    }
}
