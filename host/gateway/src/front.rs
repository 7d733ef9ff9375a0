//! The thread that answers probes while the threads that serve hang.
//!
//! It holds the listener of the admin interface and, if there is one, that of
//! `probes`, on an asynchronous runtime of its own. It runs no code of the host
//! that could wait: it passes every request to the admin interface that is not
//! a probe on to the threads that serve. The locks that it takes are held for a
//! few instructions, without another lock. A TLS handshake computes on this
//! thread, for a millisecond at most; while its client is slow, others are
//! answered.
//!
//! Each listener has a bound on its TCP connections; for `probes` it is
//! [`PROBES_MAX`], or less where the process may open few files. Past the
//! bound, the TCP connection that has waited longest for a request is closed.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use openline_admission::peer::Peer;
use openline_core::config::Listener;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::gateway::Gateway;
use crate::requests::{Requests, Slot};
use crate::reserved::{Reserved, boxed};
use crate::upgrade::Handover;
use crate::{arrival, http as transport, listen, tls};

/// TCP connections to `probes` at once: an orchestrator, some load balancers
/// and a person, each with a few.
pub const PROBES_MAX: usize = 64;

/// How long to wait after a failed accept. The usual cause is a lack of file
/// descriptors, which ends when other connections do; clients of these
/// listeners try again.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The thread. Dropping it stops the thread.
#[derive(Debug)]
pub struct Front {
    _stop: oneshot::Sender<()>,
}

impl Front {
    /// Starts the thread. The listeners may have been opened within another
    /// runtime.
    pub fn start(
        gateway: &Arc<Gateway>,
        admin: Option<ReservedListener>,
        probes: Option<TcpListener>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let probes = probes.map(|listener| ReservedListener {
            name: "the address of probes",
            listener,
            tls: Some(Listener::Probes),
            connections_max: listen::places(PROBES_MAX),
            reserved: Arc::clone(gateway) as _,
        });
        let own = admin.into_iter().chain(probes);
        let detached: Vec<_> = own
            .map(ReservedListener::detach)
            .collect::<Result<_, _>>()?;
        let attached: Vec<_> = {
            let _within = runtime.enter();
            let own = detached.into_iter().map(Detached::attach);
            own.collect::<Result<_, _>>()?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let gateway = Arc::clone(gateway);
        thread::Builder::new()
            .name("probes".into())
            .spawn(move || {
                runtime.block_on(async {
                    for listener in attached {
                        tokio::spawn(listener.serve(Arc::clone(&gateway)));
                    }
                    // Dropping the other end stops the thread.
                    let _ = stopped.await;
                });
            })?;
        Ok(Self { _stop: stop })
    }
}

/// A listener of the host's own.
#[derive(Debug)]
pub struct ReservedListener {
    /// Its name in the log.
    pub name: &'static str,
    /// Where it accepts.
    pub listener: TcpListener,
    /// Which one it is: it speaks TLS if a certificate is for it. `None` never
    /// does.
    pub tls: Option<Listener>,
    /// TCP connections at once. Past this number, the one that has waited
    /// longest for a request is closed.
    pub connections_max: usize,
    /// Answers requests there.
    pub reserved: Arc<dyn Reserved>,
}

/// Answers the requests of one TCP connection, or of the TLS on it.
async fn serve<S: Handover>(
    stream: S,
    peer: Peer,
    gateway: &Gateway,
    slot: &Slot,
    reserved: &dyn Reserved,
) {
    let answer = |request, _| {
        let answering = reserved.answer(boxed(request), peer.clone());
        async { Ok(answering.await) }
    };
    transport::serve_requests(stream, &peer, gateway, slot, answer).await;
}

/// A listener on its way to the runtime of another thread.
#[derive(Debug)]
struct Detached {
    name: &'static str,
    listener: std::net::TcpListener,
    tls: Option<Listener>,
    connections_max: usize,
    reserved: Arc<dyn Reserved>,
}

impl ReservedListener {
    /// Accepts and answers until the future is dropped. Requests that have
    /// begun go on; when the host drains, each TCP connection gets the answer
    /// that it waits for, and ends.
    pub async fn serve(self, gateway: Arc<Gateway>) {
        let requests = Requests::new(self.connections_max);
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Without a share for each peer, because its clients often
                    // have one address.
                    let Some(slot) = requests.enter(address.ip(), 0).await else {
                        continue;
                    };
                    let (gateway, reserved) = (Arc::clone(&gateway), Arc::clone(&self.reserved));
                    let peer = Peer::at(address);
                    let tls = self.tls.and_then(|it| gateway.tls().acceptor(it));
                    tokio::spawn(async move {
                        let Some(acceptor) = tls else {
                            return serve(stream, peer, &gateway, &slot, &*reserved).await;
                        };
                        // Boxed: a handshake is large, and there for a moment.
                        let securing = Box::pin(arrival::secure(stream, acceptor, &slot, &gateway));
                        match securing.await {
                            Ok(stream) => {
                                let peer = peer.with_tls(Some(tls::facts(stream.get_ref().1)));
                                serve(stream, peer, &gateway, &slot, &*reserved).await;
                            }
                            Err(turned) => {
                                tracing::debug!(%peer, %turned, "closed before its first request");
                            }
                        }
                    });
                }
                Err(error) => {
                    let name = self.name;
                    tracing::warn!(%error, "accept failed on {name}; trying again");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Takes the listener out of the runtime in which it was opened.
    fn detach(self) -> io::Result<Detached> {
        Ok(Detached {
            name: self.name,
            listener: self.listener.into_std()?,
            tls: self.tls,
            connections_max: self.connections_max,
            reserved: self.reserved,
        })
    }
}

impl Detached {
    /// Puts the listener into the current runtime.
    fn attach(self) -> io::Result<ReservedListener> {
        Ok(ReservedListener {
            name: self.name,
            listener: TcpListener::from_std(self.listener)?,
            tls: self.tls,
            connections_max: self.connections_max,
            reserved: self.reserved,
        })
    }
}
