//! A connection that its function has accepted: the guard that undoes the join
//! if the 101 is never written, and the task that serves it from then on.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use openline_admission::admit::Places;
use openline_channels::connection::SocketOwner;
use openline_engine::alias::Alias;
use openline_engine::binding::Binding;
use tokio::net::TcpStream;

use crate::connection::Actor;
use crate::gateway::{Gateway, Permit};
use crate::rescue::PEER_GONE;

/// The task of a connection: waits for the stream, then serves it to its end.
pub(super) async fn serve<B: Future<Output = Option<Begun>>>(begun: Pin<Box<B>>) {
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

/// An open connection.
pub(super) type Begun = (Joined, Box<Actor<TcpStream>>);

/// Waits for the stream and calls `open`.
pub(super) async fn begin(
    upgrade: OnUpgrade,
    joined: Joined,
    binding: Binding,
    close_timeout: Duration,
) -> Option<Begun> {
    let name = joined.alias.function();
    match upgrade
        .await
        .map(hyper::upgrade::Upgraded::downcast::<TokioIo<TcpStream>>)
    {
        Ok(Ok(parts)) => {
            joined.gateway.tally().open();
            joined.permit.upgraded();
            let socket = parts.io.into_inner();
            let owner = joined.owner.clone();
            let read = parts.read_buf;
            let mut actor = Actor::new(socket, read, owner, binding, close_timeout);
            actor.open().await;
            return Some((joined, actor));
        }
        Ok(Err(_)) => tracing::error!("hyper handed over a stream that it was not given"),
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
pub(super) struct Joined {
    pub(super) gateway: Arc<Gateway>,
    pub(super) alias: Arc<Alias>,
    pub(super) owner: SocketOwner,
    pub(super) _places: Places,
    pub(super) permit: Arc<Permit>,
}

impl Joined {
    /// Takes the connection out of the hub, so that nothing can be sent to it;
    /// a second call does nothing.
    fn leave(&self) {
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
