//! What a peer of a dialect may do: what the terms of a channel say, of the
//! claims and the key by which it was let in, as they are now.

use std::sync::Arc;

use openline_admission::services::Service;
use openline_admission::sessions::Session;
use openline_broker::terms::Found;
use openline_channels::connection::Connection;
use openline_core::channel::{PeerRights, Right};
use openline_core::key::Scope;
use openline_core::name::{ChannelName, FunctionName};

/// A peer and its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) connection: &'a Arc<Connection>,
    /// As whom it was let in, if that was asked.
    pub(crate) session: Option<&'a Arc<Session>>,
}

/// A peer that wants to do something on a channel.
struct Asking<'a> {
    peer: Peer<'a>,
    function: &'a FunctionName,
    /// What a key is to have.
    scope: Scope,
    is_shared: bool,
}

impl Peer<'_> {
    /// Whether its API key, if it was let in by one, is for a function at all.
    pub(super) fn is_welcome(self, function: &FunctionName) -> bool {
        let key = self.session.and_then(|session| session.key());
        key.is_none_or(|key| {
            let terms = key.terms();
            Scope::ALL.iter().any(|it| terms.allow_any(*it, function))
        })
    }

    /// Whether it may do something on a channel, which has these terms. With a key,
    /// it needs its `scope`.
    pub(super) fn may(
        self,
        (right, scope): (Right, Scope),
        channel: &ChannelName,
        found: &Found,
        service: &Service,
    ) -> bool {
        let access = match right {
            Right::Subscribe => &found.terms.subscribe,
            Right::Publish => &found.terms.publish,
        };
        let asking = Asking {
            peer: self,
            function: service.alias.function(),
            scope,
            is_shared: found.is_shared,
        };
        access.allows_peer(right, channel, found.pattern.as_deref(), &asking)
    }
}

impl PeerRights for Asking<'_> {
    fn claims(&self, claim: &str, is_it: &mut dyn FnMut(&str) -> bool) -> bool {
        let session = self.peer.session;
        session.is_some_and(|session| session.claims(claim, is_it))
    }

    fn key_allows(&self, channel: &ChannelName, _: Right) -> bool {
        let key = self.peer.session.and_then(|session| session.key());
        key.is_some_and(|key| match self.is_shared {
            true => key.allows_shared(self.scope, channel),
            false => key.allows(self.scope, channel, self.function),
        })
    }
}
