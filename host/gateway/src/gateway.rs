//! What all TCP connections of a host share: the functions that they ask for,
//! places for those that are not upgraded, counts, and whether the host hangs.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openline_admission::services::Services;

use crate::liveness::Liveness;
use crate::requests::{Requests, Slot};
use crate::tally::Tally;

/// The network side of one host.
#[derive(Debug)]
pub struct Gateway {
    services: Arc<Services>,
    tally: Tally,
    requests: Arc<Requests>,
    /// What `peer_requests` may be at most: half of `requests`.
    peer_requests_max: u32,
    sockets: AtomicUsize,
    liveness: OnceLock<Arc<Liveness>>,
}

/// A TCP connection: one of `requests` until it is upgraded, and counted as
/// long as it lives.
#[derive(Debug)]
pub(crate) struct Permit {
    gateway: Arc<Gateway>,
    slot: Slot,
}

impl Gateway {
    /// Of these functions. `requests` stays as it is when the host starts.
    pub fn new(services: Arc<Services>) -> Self {
        let most = services.table().config.requests;
        Self {
            services,
            tally: Tally::default(),
            requests: Requests::new(most as usize),
            peer_requests_max: most.div_ceil(2),
            sockets: AtomicUsize::new(0),
            liveness: OnceLock::new(),
        }
    }

    /// The functions on their routes.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// What has happened since the host started.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// From now on probes are answered by what a watchdog sees. Once only: what
    /// comes later is not taken.
    pub fn watch(&self, liveness: Arc<Liveness>) {
        let _ = self.liveness.set(liveness);
    }

    /// For how long the host has hung, if it does.
    pub(crate) fn hung(&self) -> Option<Duration> {
        self.liveness.get()?.hung()
    }

    /// Takes a place for a TCP connection, and waits for one. None if its peer
    /// has all that it may have.
    pub(crate) async fn permit(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        let most = self.services.table().config.peer_requests;
        let most = most.min(self.peer_requests_max);
        let slot = self.requests.enter(peer, most).await?;
        Some(Permit::new(self, slot))
    }

    /// Has one TCP connection end that waits for a request and has been silent.
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

    /// It is a connection now, and counted as such: another request may come.
    pub(crate) fn upgraded(&self) {
        self.slot.leave();
    }

    /// Its place among those that are not upgraded.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gateway.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}
