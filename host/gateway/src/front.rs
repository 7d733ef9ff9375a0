//! The thread that answers probes while the threads that serve hang.
//!
//! It holds the listener of the admin interface and, if there is one, that of
//! `probes`, on an asynchronous runtime of its own. It runs no code of the host
//! that could wait: a request to the admin interface that is no probe is
//! answered by the threads that serve, and this one only passes it on. The
//! locks that it takes are held for a few instructions, with no other lock
//! taken meanwhile.
//!
//! Bounded: [`PROBES_MAX`] TCP connections to `probes`, or fewer where the
//! process may have few files, and as many to the [admin interface](crate::admin);
//! past them the one that has waited for a request for longest is closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::admin::Admin;
use crate::gateway::Gateway;
use crate::requests::Requests;
use crate::rescue::{Answer, Refusal};
use crate::{http as transport, listen, page};

/// TCP connections to `probes` at once: an orchestrator, some load balancers
/// and a person, each with a few.
pub const PROBES_MAX: usize = 64;

/// How long to wait after a failed accept. The usual cause is a lack of file
/// descriptors, which other connections' ends cure.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The thread; it stops when this is dropped.
#[derive(Debug)]
pub struct Front {
    _stop: oneshot::Sender<()>,
}

impl Front {
    /// Starts the thread. The listeners may have been opened within another
    /// runtime.
    pub fn start(
        gateway: &Arc<Gateway>,
        admin: Option<Admin>,
        probes: Option<TcpListener>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let admin = admin.map(Admin::detach).transpose()?;
        let probes = probes.map(TcpListener::into_std).transpose()?;
        let (admin, probes) = {
            let _within = runtime.enter();
            (
                admin.map(|admin| admin.attach()).transpose()?,
                probes.map(TcpListener::from_std).transpose()?,
            )
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let gateway = Arc::clone(gateway);
        thread::Builder::new()
            .name("probes".into())
            .spawn(move || {
                runtime.block_on(async {
                    admin.map(|admin| tokio::spawn(admin.serve()));
                    probes.map(|listener| tokio::spawn(accept(listener, gateway)));
                    // Dropping the other end is what stops it.
                    let _ = stopped.await;
                });
            })?;
        Ok(Self { _stop: stop })
    }
}

/// Accepts probes until it is dropped.
async fn accept(listener: TcpListener, gateway: Arc<Gateway>) {
    let requests = Requests::new(listen::places(PROBES_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // No share for each peer: a proxy's probes have one address.
                let Some(slot) = requests.enter(peer.ip(), 0).await else {
                    continue;
                };
                let gateway = Arc::clone(&gateway);
                tokio::spawn(async move {
                    let answer = |request| answer(&gateway, request, peer);
                    transport::hold(stream, peer, &gateway, &slot, answer).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed on the address of probes; trying again");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn answer(gateway: &Gateway, request: Request<Incoming>, peer: SocketAddr) -> Answer {
    let path = request.uri().path();
    tracing::debug!(%peer, path, "probe");
    page::probe(gateway, path).unwrap_or_else(|| Refusal::NotFound.answer())
}
