//! The host's own listeners that no function may call, whatever its configuration
//! lists: those by which the host is operated.
//!
//! An address that a listener has is refused before it is dialled. A listener on
//! all addresses cannot be told by its address alone; a TCP connection to it has
//! the same address at both ends, or a loopback address.

use std::net::SocketAddr;
use std::sync::Arc;

use openline_core::outbound::canonical;
use parking_lot::Mutex;

/// These listeners.
#[derive(Debug, Default)]
pub(crate) struct OwnListeners(Mutex<Arc<[SocketAddr]>>);

impl OwnListeners {
    /// Replaces them, when the host has bound its listeners.
    pub(crate) fn replace(&self, listeners: impl IntoIterator<Item = SocketAddr>) {
        let canonical = |it: SocketAddr| SocketAddr::new(canonical(it.ip()), it.port());
        *self.0.lock() = listeners.into_iter().map(canonical).collect();
    }

    /// Whether an address is one of theirs.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        let listeners = Arc::clone(&self.0.lock());
        let is_it = |it: &SocketAddr| {
            let wide = it.ip().is_unspecified() && address.ip().is_loopback();
            it.port() == address.port() && (it.ip() == address.ip() || wide)
        };
        listeners.iter().any(is_it)
    }

    /// Whether a TCP connection leads to one of them.
    pub(crate) fn are_reached(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        let (local, ip) = (canonical(local.ip()), canonical(peer.ip()));
        let listeners = Arc::clone(&self.0.lock());
        let wide = |it: &SocketAddr| it.ip().is_unspecified() && it.port() == peer.port();
        self.has(SocketAddr::new(ip, peer.port())) || (local == ip && listeners.iter().any(wide))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn listeners_are_known_by_any_form_of_their_address() {
        let own = OwnListeners::default();
        assert!(!own.has(at("127.0.0.1:1")));
        own.replace([
            at("127.0.0.1:1"),
            at("[::ffff:10.0.0.1]:2"),
            at("0.0.0.0:3"),
        ]);
        for (address, expected) in [
            ("127.0.0.1:1", true),
            ("127.0.0.1:2", false),
            ("127.0.0.2:1", false),
            ("10.0.0.1:2", true),
            ("127.0.0.9:3", true),
            ("[::1]:3", true),
            ("10.0.0.1:3", false),
        ] {
            assert_eq!(own.has(at(address)), expected, "{address}");
        }
        // A connection from an address to itself.
        for (local, peer, expected) in [
            ("10.0.0.1:50000", "10.0.0.1:3", true),
            ("[::ffff:10.0.0.1]:50000", "10.0.0.1:3", true),
            ("10.0.0.2:50000", "10.0.0.1:3", false),
            ("10.0.0.1:50000", "10.0.0.1:4", false),
            ("127.0.0.1:50000", "127.0.0.1:1", true),
        ] {
            assert_eq!(
                own.are_reached(at(local), at(peer)),
                expected,
                "{local} to {peer}"
            );
        }
    }
}
