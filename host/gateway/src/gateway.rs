//! The state that all TCP connections of a host share: the functions, places
//! for TCP connections that are not upgraded and for TLS handshakes, counts, and whether the host
//! hangs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openline_admission::hops;
use openline_admission::services::Services;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::liveness::Liveness;
use crate::request_id::{RequestId, RequestIds};
use crate::requests::{Requests, Slot};
use crate::tally::Tally;
use crate::tls::Tls;

/// How often the operator is told of a refusal that a key would change.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The network side of one host.
#[derive(Debug)]
pub struct Gateway {
    services: Arc<Services>,
    tally: Tally,
    tls: Tls,
    requests: Arc<Requests>,
    /// TLS handshakes in progress.
    handshakes: Arc<Requests>,
    /// Half of them, for one peer.
    peer_handshakes: u32,
    /// Makes room for one newcomer after the other, as [`Requests`] needs it.
    handshake_turn: tokio::sync::Mutex<()>,
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

/// The place of a request, and of the WebSocket that it becomes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A TCP connection of its own.
    Connection(Arc<Permit>),
    /// A stream of HTTP/2.
    Stream(Arc<StreamPlace>),
}

/// A stream's place in `requests`, until it is upgraded. Its TCP connection has
/// one of its own, unless all of its streams are WebSockets.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    slot: Slot,
    stream: Arc<dyn Held>,
}

/// The stream that a place holds.
pub(crate) trait Held: fmt::Debug + Send + Sync {
    /// It has become a WebSocket, which is counted elsewhere.
    fn upgraded(&self);
}

impl Gateway {
    /// Makes the gateway of these functions. `requests` stays as it was when
    /// the host started.
    pub fn new(services: Arc<Services>) -> Self {
        let table = services.table();
        let (most, handshakes) = (table.config.requests, table.config.tls_handshakes);
        drop(table);
        Self {
            services,
            tally: Tally::default(),
            tls: Tls::default(),
            requests: Requests::new(most as usize),
            handshakes: Requests::new(handshakes as usize),
            peer_handshakes: handshakes.div_ceil(2),
            handshake_turn: tokio::sync::Mutex::default(),
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

    /// The certificates of the listener for connections; none until some are
    /// put into force.
    pub fn tls(&self) -> &Tls {
        &self.tls
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
    /// `None` if its peer has all the places that it may have. A proxy that is
    /// going to name its peer may have all: the share is that peer's.
    pub(crate) async fn permit(self: &Arc<Self>, from: SocketAddr) -> Option<Permit> {
        let most = match hops::announces(&self.services.table().config, from) {
            true => 0,
            false => self.peer_requests(),
        };
        let slot = self.requests.enter(from.ip(), most).await?;
        Some(Permit::new(self, slot))
    }

    /// Takes a place for a request on a stream, and waits for one if necessary;
    /// the place holds the stream. `None` if its peer has all the places that it
    /// may have.
    pub(crate) async fn stream(&self, peer: IpAddr, stream: Arc<dyn Held>) -> Option<Place> {
        let most = self.peer_requests();
        let slot = self.requests.enter_busy(peer, most).await?;
        Some(Place::Stream(Arc::new(StreamPlace { slot, stream })))
    }

    /// Takes a place for a TLS handshake, and waits for one if necessary: the
    /// oldest of the peer with the most ends for it. Waiting is bounded by
    /// `requests` and by the caller's time.
    pub(crate) async fn handshake(&self, peer: IpAddr) -> Option<Slot> {
        let _turn = self.handshake_turn.lock().await;
        self.handshakes.enter(peer, self.peer_handshakes).await
    }

    /// TLS handshakes in progress.
    pub fn handshakes(&self) -> usize {
        self.handshakes.taken()
    }

    /// How many places a peer may have; 0 means no limit.
    fn peer_requests(&self) -> u32 {
        let most = self.services.table().config.peer_requests;
        most.min(self.peer_requests_max)
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

    /// Counts it as that peer's, before the first request; see
    /// [`Slot::belongs_to`].
    pub(crate) fn belongs_to(&mut self, peer: IpAddr) -> bool {
        let most = self.gateway.peer_requests();
        self.slot.belongs_to(peer, most)
    }

    /// Its last stream has ended: it waits for its next request; see
    /// [`Slot::return_to`].
    pub(crate) fn return_to(&self) {
        self.slot.return_to(self.gateway.peer_requests());
    }

    /// Its place among the TCP connections that are not upgraded.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }
}

impl Place {
    /// Returns the place among the requests: the request has become a
    /// connection, which is counted elsewhere.
    pub(crate) fn upgraded(&self) {
        self.slot().leave();
        if let Self::Stream(place) = self {
            place.stream.upgraded();
        }
    }

    /// Gives the place among the requests up for the time of a poll that waits,
    /// which is counted elsewhere.
    pub(crate) fn step_aside(&self) {
        match self {
            Self::Connection(permit) => permit.slot().step_aside(),
            Self::Stream(_) => self.upgraded(),
        }
    }

    /// The poll has its answer: its TCP connection waits for the next request. It is
    /// closed if there is no place for it.
    pub(crate) fn return_to(&self) {
        if let Self::Connection(permit) = self {
            permit.return_to();
        }
    }

    /// The place among the requests.
    pub(crate) fn slot(&self) -> &Slot {
        match self {
            Self::Connection(permit) => permit.slot(),
            Self::Stream(stream) => &stream.slot,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gateway.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}
