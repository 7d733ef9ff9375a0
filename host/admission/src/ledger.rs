//! How many connections each peer has, and how often it asks for one.
//!
//! One ledger for the host and one for each function, which outlives a reload
//! of the configuration. Bounded: one entry for each peer address that has a
//! connection, or has asked for one within about a second.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use openline_core::config::ServerConfig;
use openline_core::limits::FunctionLimits;
use openline_core::rate::TokenBucket;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many entries there may be before the ledger clears those that have
/// expired. After that it clears each time the number has doubled.
const ENTRIES_KEPT: usize = 1024;

/// Counts the connections and handshakes of each peer.
#[derive(Debug)]
pub struct Ledger {
    origin: Instant,
    connections: AtomicU32,
    emptied: Notify,
    peers: DashMap<IpAddr, Entry>,
    /// How many entries there may be before the next clearing.
    kept: AtomicUsize,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    handshakes: Option<TokenBucket>,
}

/// The limits of a ledger; 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections of all peers.
    pub connections: u32,
    /// Connections of one peer.
    pub peer_connections: u32,
    /// Handshakes of one peer in a second.
    pub peer_handshakes_per_second: u32,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Connections of all peers.
    Connections,
    /// Connections of one peer.
    PeerConnections,
    /// Handshakes of one peer in a second.
    PeerHandshakes,
}

/// A connection's place in a ledger. Dropping it gives it back.
#[derive(Debug)]
pub struct Entered {
    ledger: Arc<Ledger>,
    peer: IpAddr,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            connections: AtomicU32::new(0),
            emptied: Notify::new(),
            peers: DashMap::default(),
            kept: AtomicUsize::new(ENTRIES_KEPT),
        }
    }
}

impl Ledger {
    /// Takes a place for a connection that is being decided about.
    ///
    /// # Errors
    ///
    /// When a limit is reached; then nothing is taken.
    pub fn enter(self: &Arc<Self>, peer: IpAddr, bounds: Bounds) -> Result<Entered, Reached> {
        let peer = network(peer);
        let now = self.origin.elapsed();
        self.enter_peer(peer, bounds, now)?;
        // From here on, dropping `entered` takes the entry back if a check
        // fails.
        let entered = Entered {
            ledger: Arc::clone(self),
            peer,
        };
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if bounds.connections > 0 && before >= bounds.connections {
            return Err(Reached::Connections);
        }
        Ok(entered)
    }

    fn enter_peer(&self, peer: IpAddr, bounds: Bounds, now: Duration) -> Result<(), Reached> {
        if self.peers.len() >= self.kept.load(Ordering::Relaxed) {
            self.clear(now);
        }
        let mut entry = self.peers.entry(peer).or_default();
        let rate = u64::from(bounds.peer_handshakes_per_second);
        // A reload may have changed the rate of a peer that is known.
        let has = entry.handshakes.as_ref().map_or(0, TokenBucket::per_second);
        if has != rate {
            entry.handshakes = TokenBucket::new(rate, now);
        }
        if let Some(bucket) = &mut entry.handshakes
            && !bucket.try_take(now)
        {
            return Err(Reached::PeerHandshakes);
        }
        if bounds.peer_connections > 0 && entry.connections >= bounds.peer_connections {
            return Err(Reached::PeerConnections);
        }
        entry.connections += 1;
        Ok(())
    }

    /// Forgets peers without a connection or a recent handshake.
    fn clear(&self, now: Duration) {
        self.peers.retain(|_, entry| {
            let quiet = match &mut entry.handshakes {
                Some(bucket) => bucket.is_full(now),
                None => true,
            };
            entry.connections > 0 || !quiet
        });
        let kept = ENTRIES_KEPT.max(2 * self.peers.len());
        self.kept.store(kept, Ordering::Relaxed);
    }

    /// Connections, and those that are being decided about.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until there is no connection.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.connections() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let ledger = &self.ledger;
        ledger.peers.remove_if_mut(&self.peer, |_, entry| {
            entry.connections -= 1;
            entry.connections == 0 && entry.handshakes.is_none()
        });
        if ledger.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            ledger.emptied.notify_waiters();
        }
    }
}

impl From<&FunctionLimits> for Bounds {
    fn from(limits: &FunctionLimits) -> Self {
        Self {
            connections: limits.connections,
            peer_connections: limits.peer_connections,
            peer_handshakes_per_second: limits.peer_handshakes_per_second,
        }
    }
}

impl From<&ServerConfig> for Bounds {
    fn from(server: &ServerConfig) -> Self {
        Self {
            connections: server.connections,
            peer_connections: server.peer_connections,
            peer_handshakes_per_second: server.peer_handshakes_per_second,
        }
    }
}

/// The address that stands for one peer: an IPv4 address, or the /64 network
/// that a household gets in IPv6.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: Bounds = Bounds {
        connections: 0,
        peer_connections: 0,
        peer_handshakes_per_second: 0,
    };

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_at_their_limit_and_one_past_it() {
        let ledger = Arc::new(Ledger::default());
        let bounds = Bounds {
            connections: 2,
            ..NONE
        };
        let first = ledger.enter(peer("10.0.0.1"), bounds).unwrap();
        let _second = ledger.enter(peer("10.0.0.2"), bounds).unwrap();
        let third = ledger.enter(peer("10.0.0.3"), bounds);
        assert_eq!(third.unwrap_err(), Reached::Connections);
        assert_eq!(ledger.connections(), 2);
        drop(first);
        assert!(ledger.enter(peer("10.0.0.3"), bounds).is_ok());
    }

    #[test]
    fn connections_of_a_peer_at_their_limit_and_one_past_it() {
        let ledger = Arc::new(Ledger::default());
        let bounds = Bounds {
            peer_connections: 1,
            ..NONE
        };
        let first = ledger.enter(peer("2001:db8::1"), bounds).unwrap();
        // The same network of 64 bits is the same peer.
        let second = ledger.enter(peer("2001:db8::ffff"), bounds);
        assert_eq!(second.unwrap_err(), Reached::PeerConnections);
        let _other = ledger.enter(peer("2001:db8:0:1::1"), bounds).unwrap();
        let _mapped = ledger.enter(peer("::ffff:10.0.0.1"), bounds).unwrap();
        let same = ledger.enter(peer("10.0.0.1"), bounds);
        assert_eq!(same.unwrap_err(), Reached::PeerConnections);
        drop(first);
        assert!(ledger.enter(peer("2001:db8::2"), bounds).is_ok());
    }

    #[tokio::test]
    async fn handshakes_of_a_peer_at_their_limit_and_one_past_it() {
        let ledger = Arc::new(Ledger::default());
        let bounds = Bounds {
            // So slow that the test ends before the next handshake is allowed.
            peer_handshakes_per_second: 1,
            ..NONE
        };
        drop(ledger.enter(peer("10.0.0.1"), bounds).unwrap());
        let second = ledger.enter(peer("10.0.0.1"), bounds);
        assert_eq!(second.unwrap_err(), Reached::PeerHandshakes);
        assert!(ledger.enter(peer("10.0.0.2"), bounds).is_ok());
        ledger.emptied().await;
    }

    #[test]
    fn a_changed_rate_of_handshakes_counts_for_peers_that_are_known() {
        let ledger = Arc::new(Ledger::default());
        let bounds = |peer_handshakes_per_second| Bounds {
            peer_handshakes_per_second,
            ..NONE
        };
        let enter = |rate| ledger.enter(peer("10.0.0.1"), bounds(rate));
        // It stays, so that its peer is known.
        let _open = enter(1_000_000).unwrap();
        drop(enter(1).unwrap());
        assert_eq!(enter(1).unwrap_err(), Reached::PeerHandshakes);
        // A second's worth of the new rate.
        drop(enter(2).unwrap());
        drop(enter(2).unwrap());
        // None, and the first one again.
        drop(enter(0).unwrap());
        drop(enter(1).unwrap());
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let ledger = Arc::new(Ledger::default());
        drop(ledger.enter(peer("10.0.0.1"), NONE).unwrap());
        assert!(ledger.peers.is_empty());
        let bounds = Bounds {
            peer_handshakes_per_second: 10,
            ..NONE
        };
        let stays = ledger.enter(peer("10.1.0.1"), bounds).unwrap();
        for last in 0..=255 {
            for next in 0..8 {
                let other = peer(&format!("10.0.{next}.{last}"));
                drop(ledger.enter(other, bounds).unwrap());
            }
        }
        ledger.clear(ledger.origin.elapsed() + Duration::from_secs(1));
        assert_eq!(ledger.peers.len(), 1);
        drop(stays);
    }

    proptest! {
        /// Whichever peers come and go, no limit is passed, no peer is refused
        /// below it, and no entry is left in the end.
        #[test]
        fn admits_up_to_its_bounds_and_no_further(
            steps in prop::collection::vec((0u8..6, any::<bool>()), 1..200),
            connections in 0u32..8,
            peer_connections in 0u32..4,
        ) {
            let ledger = Arc::new(Ledger::default());
            let bounds = Bounds { connections, peer_connections, ..NONE };
            let mut open: Vec<(u8, Entered)> = Vec::new();
            for (number, comes) in steps {
                let peers = |open: &[(u8, Entered)]| {
                    u32::try_from(open.iter().filter(|(other, _)| *other == number).count()).unwrap()
                };
                if !comes {
                    let place = open.iter().position(|(other, _)| *other == number);
                    place.map(|place| open.swap_remove(place));
                    continue;
                }
                let all = u32::try_from(open.len()).unwrap();
                let expected = if peer_connections > 0 && peers(&open) == peer_connections {
                    Err(Reached::PeerConnections)
                } else if connections > 0 && all == connections {
                    Err(Reached::Connections)
                } else {
                    Ok(())
                };
                let entered = ledger.enter(IpAddr::from([10, 0, 0, number]), bounds);
                prop_assert_eq!(entered.as_ref().map(drop).map_err(|reached| *reached), expected);
                open.extend(entered.map(|entered| (number, entered)));
                prop_assert_eq!(ledger.connections() as usize, open.len());
            }
            drop(open);
            prop_assert_eq!(ledger.connections(), 0);
            prop_assert!(ledger.peers.is_empty());
        }
    }
}
