//! A connection that its function has accepted: the guard that undoes the join
//! if the 101 is never written, and the task that serves it from then on.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use openline_admission::admit::Places;
use openline_admission::sessions::Session;
use openline_channels::connection::SocketOwner;
use openline_engine::alias::Alias;
use openline_engine::binding::Binding;

use super::handover::Handover;
use crate::connection::Actor;
use crate::gateway::{Gateway, Place};
use crate::rescue::PEER_GONE;

/// The task of a connection: waits for the stream, then serves it to its end.
pub(super) async fn serve<S, B>(begun: Pin<Box<B>>)
where
    S: Handover,
    B: Future<Output = Option<Begun<S>>>,
{
    let Some((joined, mut actor)) = begun.await else {
        return;
    };
    let reason = actor.serve().await;
    joined.leave();
    Box::pin(actor.end(&reason)).await;
    joined.gateway.tally().end(&reason);
    let name = joined.alias.function();
    tracing::debug!(function = %name, %reason, "a connection ended");
}

/// All that an accepted connection consists of, but its stream.
pub(super) type Owned = (Joined, Binding, Option<Arc<Session>>);

/// An open connection.
pub(super) type Begun<S> = (Joined, Box<Actor<S>>);

/// Waits for the stream and calls `open`.
pub(super) async fn begin<S: Handover>(
    upgrade: OnUpgrade,
    (joined, binding, session): Owned,
    close_timeout: Duration,
) -> Option<Begun<S>> {
    let name = joined.alias.function();
    match upgrade.await.map(S::of) {
        Ok(Some((socket, read))) => {
            joined.gateway.tally().open();
            joined.place.upgraded();
            let owner = joined.owner.clone();
            let mut actor = Actor::new(socket, read, owner, binding, close_timeout);
            actor.authenticate(session);
            actor.open().await;
            return Some((joined, actor));
        }
        Ok(None) => tracing::error!("hyper handed over a stream that it was not given"),
        // The peer went away before the 101 was written. The connection was
        // never open, so the function is not told.
        Err(error) => {
            joined.gateway.tally().refuse(PEER_GONE);
            tracing::debug!(function = %name, %error, "an upgrade was abandoned");
        }
    }
    None
}

/// Everything that a connection holds as long as it lives: its place in its
/// function's hub, its place in the ledgers, and its socket's permit.
pub(crate) struct Joined {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) alias: Arc<Alias>,
    pub(crate) owner: SocketOwner,
    pub(crate) _places: Places,
    pub(crate) place: Place,
}

impl Joined {
    /// Takes the connection out of the hub, so that nothing can be sent to it;
    /// a second call does nothing.
    pub(crate) fn leave(&self) {
        self.owner.finish();
        self.alias.hub().leave(self.owner.connection());
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.leave();
        self.owner.release();
    }
}
