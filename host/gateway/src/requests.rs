//! TCP connections that are not upgraded: how many each peer has, and which of
//! them is closed to make room.
//!
//! Bounded by the number of places, and by a number for each peer address, which
//! counts those that wait for a place as well. When
//! a place is needed, a TCP connection that waits for a request is closed: the
//! one that has waited longest, of the peer that has the most of these. So a
//! peer that opens sockets and sends nothing cannot keep others out, and a slow
//! peer with a single socket is the last to lose it. A TCP connection whose
//! peer has not yet read its answer counts as waiting.
//!
//! If none waits, functions are deciding about handshakes in all places. The
//! peer that has the most of these loses its newest, with a refusal, if it then
//! still has as many as the peer that needs the place. So a few peers cannot
//! keep all others out until `upgrade_timeout`. The newest goes, so that
//! earlier ones can finish.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use openline_admission::ledger::network;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long a peer must be silent before it is closed because files are few. A
/// peer that was just accepted has probably sent its request, and a busy host
/// has not read it yet.
const SILENCE: Duration = Duration::from_millis(500);

/// The places of TCP connections that are not upgraded.
#[derive(Debug)]
pub(crate) struct Requests {
    places: Arc<Semaphore>,
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many places there are.
    most: usize,
    peers: HashMap<IpAddr, Peer>,
    /// The connections of all peers. While there are more than places, some
    /// wait for a place, and TCP connections that begin to wait for a request
    /// are closed.
    connections: usize,
    /// TCP connections that wait for a request, by the number of their wait.
    waiting: HashMap<u64, Waiting>,
    /// The peers of TCP connections that wait. The last one makes room.
    ranks: BTreeSet<Rank>,
    /// The peers of handshakes that functions are deciding about, with the
    /// number of each.
    deciding: BTreeSet<(usize, IpAddr)>,
    /// Numbers the waits and the decisions.
    number: u64,
}

#[derive(Debug, Default)]
struct Peer {
    /// Those that have a place, less those that were told to return it; and
    /// those that wait for one.
    connections: u32,
    /// Keys of [`State::waiting`], oldest first.
    waiting: BTreeSet<u64>,
    /// Handshakes that a function is deciding about, oldest first.
    deciding: BTreeMap<u64, Arc<Notify>>,
}

/// How many TCP connections of a peer wait, and since when the oldest does.
type Rank = (usize, Reverse<u64>, IpAddr);

#[derive(Debug)]
struct Waiting {
    peer: IpAddr,
    since: Instant,
    slot: Arc<Signal>,
}

/// Tells a TCP connection that its place is needed.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    standing: Mutex<Standing>,
    closed: Notify,
}

/// Its lock is taken alone or while [`State`] is locked, never the other way
/// round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// A request is being answered.
    #[default]
    Busy,
    /// It waits for a request, under this key.
    Waits(u64),
    /// It has returned its place until it waits again: all of its streams are
    /// WebSockets.
    Away,
    /// It has lost its place.
    Gone,
}

/// The place of one TCP connection, until it is dropped or [left](Self::leave).
#[derive(Debug)]
pub(crate) struct Slot {
    requests: Arc<Requests>,
    peer: IpAddr,
    signal: Arc<Signal>,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

/// A handshake that a function is deciding about, until it is dropped.
#[derive(Debug)]
pub(crate) struct Deciding<'a> {
    slot: &'a Slot,
    number: u64,
    displaced: Arc<Notify>,
}

// === impl Requests ===

impl Requests {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            most: places,
            state: Mutex::new(State {
                most: places,
                ..State::default()
            }),
        })
    }

    /// Closes a TCP connection that has been silent for [`SILENCE`], because
    /// its file is needed. Returns whether there was one.
    pub(crate) fn close_silent(&self) -> bool {
        self.state.lock().close_silent()
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }

    /// Takes a place for a peer that has connected, and waits for one if all
    /// are busy. `None` if the peer has `peer_max` places and none of them
    /// waits (0 means no limit), or if the peer itself helps to keep all places
    /// busy and others may be waiting to be accepted after it.
    pub(crate) async fn enter(self: &Arc<Self>, peer: IpAddr, peer_max: u32) -> Option<Slot> {
        let slot = self.enter_busy(peer, peer_max).await?;
        let mut state = self.state.lock();
        state.wait(slot.peer, &slot.signal);
        // A request that has come goes before a TCP connection that waits for
        // one, even if it asked for the place later.
        if state.connections > state.most {
            let oldest = state.ranks.last().map(|(_, oldest, _)| oldest.0);
            oldest.map(|number| state.close(number));
        }
        drop(state);
        Some(slot)
    }

    /// The same for a request that has come, so that its place makes no room
    /// for others.
    pub(crate) async fn enter_busy(self: &Arc<Self>, peer: IpAddr, peer_max: u32) -> Option<Slot> {
        let peer = network(peer);
        if !self.state.lock().count(peer, peer_max) {
            return None;
        }
        // From here on, dropping it takes it out of the count, whether it has
        // its place by then or not.
        let mut slot = Slot {
            requests: Arc::clone(self),
            peer,
            signal: Arc::default(),
            place: Mutex::default(),
        };
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let may_wait = self.state.lock().make_room(peer);
                if !may_wait {
                    return None;
                }
                let place = Arc::clone(&self.places).acquire_owned().await;
                place.expect("the semaphore is never closed")
            }
        };
        *slot.place.get_mut() = Some(place);
        Some(slot)
    }
}

// === impl State ===

impl State {
    /// Counts one more connection of a peer, if the peer may have one.
    fn count(&mut self, peer: IpAddr, peer_max: u32) -> bool {
        let has_share = self.has_share(peer, peer_max);
        if has_share {
            self.connections += 1;
            self.change(peer, |entry| entry.connections += 1);
        }
        has_share
    }

    /// Whether a peer may have one more place, if necessary that of one of its
    /// waiting TCP connections.
    fn has_share(&mut self, peer: IpAddr, peer_max: u32) -> bool {
        let Some(entry) = self.peers.get(&peer) else {
            return true;
        };
        if peer_max == 0 || entry.connections < peer_max {
            return true;
        }
        let oldest = entry.waiting.first().copied();
        oldest.is_some_and(|number| self.close(number))
    }

    /// Makes room for a newcomer that is counted: closes the oldest waiting TCP
    /// connection of the peer that has the most of them. If none waits, it
    /// refuses a handshake; the next TCP connection that begins to wait is
    /// closed. Returns whether the newcomer may wait for the place; while it
    /// waits, no other peer is accepted.
    fn make_room(&mut self, newcomer: IpAddr) -> bool {
        if self.connections <= self.most {
            // A place is about to be returned.
            return true;
        }
        let oldest = self.ranks.last().map(|(_, oldest, _)| oldest.0);
        if oldest.is_some_and(|number| self.close(number)) {
            return true;
        }
        let own = self.peers.get(&newcomer);
        let is_cause = own.is_some_and(|entry| !entry.deciding.is_empty());
        self.displace(newcomer) || !is_cause || self.peers.len() == 1
    }

    /// Refuses the newest handshake of the peer that has the most of them, if
    /// that peer then still has as many as the newcomer. Returns whether it
    /// did.
    fn displace(&mut self, newcomer: IpAddr) -> bool {
        let Some((most, peer)) = self.deciding.last().copied() else {
            return false;
        };
        let has = self.peers.get(&newcomer);
        if most <= has.map_or(0, |entry| entry.connections as usize) {
            return false;
        }
        let mut newest = None;
        self.change(peer, |entry| newest = entry.deciding.pop_last());
        if let Some((_, displaced)) = newest {
            displaced.notify_one();
        }
        true
    }

    /// Closes the oldest waiting TCP connection of the peer that has the most
    /// of them, if it has been silent for long enough that no request is on its
    /// way.
    fn close_silent(&mut self) -> bool {
        let oldest = self.ranks.last().map(|(_, oldest, _)| oldest.0);
        let is_silent = |number: &u64| {
            let waiting = self.waiting.get(number);
            waiting.is_some_and(|waiting| waiting.since.elapsed() >= SILENCE)
        };
        let silent = oldest.filter(is_silent);
        silent.is_some_and(|number| self.close(number))
    }

    fn close(&mut self, number: u64) -> bool {
        let Some(Waiting { peer, slot, .. }) = self.waiting.remove(&number) else {
            return false;
        };
        *slot.standing.lock() = Standing::Gone;
        slot.closed.notify_one();
        self.forget(peer, Some(number));
        true
    }

    /// Notes that a TCP connection begins to wait for a request.
    fn wait(&mut self, peer: IpAddr, slot: &Arc<Signal>) {
        self.number += 1;
        let number = self.number;
        *slot.standing.lock() = Standing::Waits(number);
        let slot = Arc::clone(slot);
        let since = Instant::now();
        self.waiting.insert(number, Waiting { peer, since, slot });
        self.change(peer, |entry| _ = entry.waiting.insert(number));
    }

    /// Notes that a TCP connection waits for its next request, and closes it if
    /// another one waits for its place.
    fn wait_again(&mut self, peer: IpAddr, slot: &Arc<Signal>) {
        self.wait(peer, slot);
        if self.connections > self.most {
            self.close(self.number);
        }
    }

    /// Notes that a request has come on one that waited.
    fn resume(&mut self, peer: IpAddr, number: u64) {
        self.waiting.remove(&number);
        self.change(peer, |entry| _ = entry.waiting.remove(&number));
    }

    /// Forgets a TCP connection that has returned or lost its place.
    fn forget(&mut self, peer: IpAddr, number: Option<u64>) {
        self.connections -= 1;
        self.change(peer, |entry| {
            if let Some(number) = number {
                entry.waiting.remove(&number);
            }
            entry.connections -= 1;
        });
    }

    /// Changes a peer's entry, and its rank with it. An entry without
    /// connections is removed.
    fn change(&mut self, peer: IpAddr, change: impl FnOnce(&mut Peer)) {
        let entry = self.peers.entry(peer).or_default();
        let (before, decided) = (entry.rank(peer), entry.deciding.len());
        change(entry);
        let (after, deciding) = (entry.rank(peer), entry.deciding.len());
        if entry.connections == 0 && deciding == 0 {
            self.peers.remove(&peer);
        }
        if let Some(before) = before {
            self.ranks.remove(&before);
        }
        self.ranks.extend(after);
        if decided != deciding {
            self.deciding.remove(&(decided, peer));
            if deciding > 0 {
                self.deciding.insert((deciding, peer));
            }
        }
    }
}

// === impl Peer ===

impl Peer {
    fn rank(&self, peer: IpAddr) -> Option<Rank> {
        let oldest = *self.waiting.first()?;
        Some((self.waiting.len(), Reverse(oldest), peer))
    }
}

// === impl Slot ===

impl Slot {
    /// A request has come: the TCP connection is not closed before the answer.
    pub(crate) fn begin(&self) {
        let mut state = self.requests.state.lock();
        let standing = *self.signal.standing.lock();
        if let Standing::Waits(number) = standing {
            *self.signal.standing.lock() = Standing::Busy;
            state.resume(self.peer, number);
        }
    }

    /// The request is answered: the TCP connection waits for the next one.
    pub(crate) fn end(&self) {
        let mut state = self.requests.state.lock();
        let standing = *self.signal.standing.lock();
        if standing == Standing::Busy {
            state.wait_again(self.peer, &self.signal);
        }
    }

    /// Gives the place back until [`return_to`](Self::return_to): all that the
    /// TCP connection carries is counted elsewhere.
    pub(crate) fn step_aside(&self) {
        let mut state = self.requests.state.lock();
        let standing = *self.signal.standing.lock();
        if standing == Standing::Busy {
            *self.signal.standing.lock() = Standing::Away;
            state.forget(self.peer, None);
            drop(state);
            self.place.lock().take();
        }
    }

    /// The TCP connection waits for its next request, in a new place if it has
    /// given up its own. If no place is free, or its peer has `peer_max` places
    /// (0 means no limit), it is closed.
    pub(crate) fn return_to(&self, peer_max: u32) {
        let mut state = self.requests.state.lock();
        let standing = *self.signal.standing.lock();
        match standing {
            Standing::Busy => state.wait_again(self.peer, &self.signal),
            Standing::Away => {
                let place = Arc::clone(&self.requests.places).try_acquire_owned();
                match place {
                    Ok(place) if state.count(self.peer, peer_max) => {
                        *self.place.lock() = Some(place);
                        state.wait_again(self.peer, &self.signal);
                    }
                    _ => {
                        *self.signal.standing.lock() = Standing::Gone;
                        self.signal.closed.notify_one();
                    }
                }
            }
            Standing::Waits(_) | Standing::Gone => {}
        }
    }

    /// A function begins to decide about the handshake.
    pub(crate) fn decide(&self) -> Deciding<'_> {
        let displaced = Arc::<Notify>::default();
        let mut state = self.requests.state.lock();
        state.number += 1;
        let number = state.number;
        let signal = Arc::clone(&displaced);
        state.change(self.peer, |entry| _ = entry.deciding.insert(number, signal));
        drop(state);
        Deciding {
            slot: self,
            number,
            displaced,
        }
    }

    /// Counts the place as another peer's, whom a proxy has named, before the
    /// first request. Returns whether that peer may have it: if not, or if it
    /// was lost, it is to be closed.
    pub(crate) fn belongs_to(&mut self, peer: IpAddr, peer_max: u32) -> bool {
        let peer = network(peer);
        let mut state = self.requests.state.lock();
        let standing = *self.signal.standing.lock();
        let Standing::Waits(number) = standing else {
            return false;
        };
        if peer == self.peer {
            return true;
        }
        if !state.count(peer, peer_max) {
            return false;
        }
        state.waiting.remove(&number);
        state.forget(self.peer, Some(number));
        self.peer = peer;
        state.wait(peer, &self.signal);
        true
    }

    /// Waits until the place is needed for another TCP connection.
    pub(crate) async fn closed(&self) {
        self.signal.closed().await;
    }

    /// The signal for which [`closed`](Self::closed) waits.
    pub(crate) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }

    /// Gives the place back; a second call does nothing.
    pub(crate) fn leave(&self) {
        let mut state = self.requests.state.lock();
        let standing = std::mem::replace(&mut *self.signal.standing.lock(), Standing::Gone);
        match standing {
            Standing::Busy => state.forget(self.peer, None),
            Standing::Waits(number) => {
                state.waiting.remove(&number);
                state.forget(self.peer, Some(number));
            }
            Standing::Away | Standing::Gone => {}
        }
        drop(state);
        self.place.lock().take();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.leave();
    }
}

// === impl Signal ===

impl Signal {
    /// Waits until the place is needed for another TCP connection.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }
}

// === impl Deciding ===

impl Deciding<'_> {
    /// Waits until the place is needed for another peer.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Deciding<'_> {
    fn drop(&mut self) {
        let mut state = self.slot.requests.state.lock();
        state.change(self.slot.peer, |entry| {
            entry.deciding.remove(&self.number);
        });
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
