//! The thread that answers probes while the threads that serve hang.
//!
//! It holds the listener of the admin interface and, if there is one, that of
//! `probes`, on an asynchronous runtime of its own. It runs no code of the host
//! that could wait: a request to the admin interface that is no probe is
//! answered by the threads that serve, and this one only passes it on. The
//! locks that it takes are held for a few instructions, with no other lock
//! taken meanwhile.
//!
//! Bounded: each listener has a number of TCP connections, `probes`
//! [`PROBES_MAX`]; past it the one that has waited for a request for longest is
//! closed.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::gateway::Gateway;
use crate::reserved::{Detached, ReservedListener};

/// TCP connections to `probes` at once: an orchestrator, some load balancers
/// and a person, each with a few.
pub const PROBES_MAX: usize = 64;

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
        admin: Option<ReservedListener>,
        probes: Option<TcpListener>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let probes = probes.map(|listener| ReservedListener {
            name: "the address of probes",
            listener,
            connections_max: PROBES_MAX,
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
                    // Dropping the other end is what stops it.
                    let _ = stopped.await;
                });
            })?;
        Ok(Self { _stop: stop })
    }
}
