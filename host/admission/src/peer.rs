//! The peer that asks for a connection.
//!
//! So far it is the address of a TCP connection. Facts from a proxy or from a TLS
//! handshake belong here as well, so that every decision about a peer sees them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The other end of a TCP connection. `Display` writes its address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    address: SocketAddr,
}

impl Peer {
    /// A peer that has connected from an address.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Its address, without the port.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.ip().to_canonical().is_loopback()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_on_this_machine_is_told_from_others() {
        for (text, here) in [
            ("127.0.0.1:5", true),
            ("[::1]:5", true),
            ("[::ffff:127.0.0.1]:5", true),
            ("10.0.0.1:5", false),
            ("[2001:db8::1]:5", false),
        ] {
            let peer = Peer::at(text.parse().unwrap());
            assert_eq!((peer.is_loopback(), peer.to_string()), (here, text.into()));
        }
    }
}
