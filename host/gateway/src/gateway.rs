//! The state that all TCP connections of a host share: the functions, places
//! for TCP connections that are not upgraded, counts, and whether the host
//! hangs.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openline_admission::services::Services;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::liveness::Liveness;
use crate::request_id::{RequestId, RequestIds};
use crate::requests::{Requests, Slot};
use crate::tally::Tally;

/// How often the operator is told of a refusal that a key would change.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The network side of one host.
#[derive(Debug)]
pub struct Gateway {
    services: Arc<Services>,
    tally: Tally,
    requests: Arc<Requests>,
    /// The most that `peer_requests` can be: half of `requests`.
    peer_requests_max: u32,
    sockets: AtomicUsize,
    liveness: OnceLock<Arc<Liveness>>,
    /// When the operator was told last of a refusal that a key would change.
    told: Mutex<Option<Instant>>,
    ids: RequestIds,
}

/// A TCP connection. It takes one of `requests` until it is upgraded, and is
/// counted as long as it lives.
#[derive(Debug)]
pub(crate) struct Permit {
    gateway: Arc<Gateway>,
    slot: Slot,
}

impl Gateway {
    /// Makes the gateway of these functions. `requests` stays as it was when
    /// the host started.
    pub fn new(services: Arc<Services>) -> Self {
        let most = services.table().config.requests;
        Self {
            services,
            tally: Tally::default(),
            requests: Requests::new(most as usize),
            peer_requests_max: most.div_ceil(2),
            sockets: AtomicUsize::new(0),
            liveness: OnceLock::new(),
            told: Mutex::new(None),
            ids: RequestIds::default(),
        }
    }

    /// The functions on their routes.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// The counts since the host started.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets a watchdog decide how probes are answered from now on. Only the
    /// first call has an effect.
    pub fn watch(&self, liveness: Arc<Liveness>) {
        let _ = self.liveness.set(liveness);
    }

    /// For how long the host has hung, if it does.
    pub(crate) fn hung(&self) -> Option<Duration> {
        self.liveness.get()?.hung()
    }

    /// An id for a request that has come.
    pub(crate) fn request_id(&self) -> RequestId {
        self.ids.next()
    }

    /// Whether to tell the operator of a refusal that a key would change: at most
    /// once a second, because any peer can cause it.
    pub(crate) fn tells(&self) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock();
        let due = told.is_none_or(|told| now - told >= TOLD_EVERY);
        if due {
            *told = Some(now);
        }
        due
    }

    /// Takes a place for a TCP connection, and waits for one if necessary.
    /// `None` if its peer has all the places that it may have.
    pub(crate) async fn permit(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        let most = self.services.table().config.peer_requests;
        let most = most.min(self.peer_requests_max);
        let slot = self.requests.enter(peer, most).await?;
        Some(Permit::new(self, slot))
    }

    /// Closes one TCP connection that waits for a request and has been silent.
    pub(crate) fn close_silent(&self) -> bool {
        self.requests.close_silent()
    }

    /// TCP connections that are not upgraded.
    pub fn requests(&self) -> usize {
        self.requests.taken()
    }

    /// TCP connections.
    pub fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }
}

impl Permit {
    fn new(gateway: &Arc<Gateway>, slot: Slot) -> Self {
        gateway.sockets.fetch_add(1, Ordering::Relaxed);
        Self {
            gateway: Arc::clone(gateway),
            slot,
        }
    }

    /// Returns the place: the request has become a connection, which is counted
    /// elsewhere.
    pub(crate) fn upgraded(&self) {
        self.slot.leave();
    }

    /// Its place among the TCP connections that are not upgraded.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gateway.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}
