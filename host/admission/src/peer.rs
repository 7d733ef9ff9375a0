//! The peer that asks for a connection: its address, the facts of its TLS
//! handshake, and the hops between it and this host.
//!
//! Every rule, ledger and line of the log uses this one value, and functions
//! get it as `upgrade-request.peer`. Memory: a peer has at most
//! [`HOPS_MAX`](crate::hops::HOPS_MAX) hops; the facts of a client's
//! certificate are bounded where they are read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub use openline_core::tls::{ClientCertificate, TlsFacts, TlsVersion};

/// The program that asks: the other end of a TCP connection, or the client of
/// the proxy that is there. `Display` writes its address, with the port where
/// that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    ip: IpAddr,
    /// A proxy may pass on an address without a port.
    port: Option<u16>,
    /// Where the TCP connection came from first, and then nearer and nearer to
    /// the peer; none for a peer that has connected itself.
    hops: Arc<[IpAddr]>,
    /// The last hop speaks for it and has not said who it is: the address is
    /// that of the hop.
    is_unnamed: bool,
    tls: Option<Arc<TlsFacts>>,
}

impl Peer {
    /// A peer that has connected from an address.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            ip: address.ip().to_canonical(),
            port: Some(address.port()),
            hops: Arc::default(),
            is_unnamed: false,
            tls: None,
        }
    }

    /// The peer of a hop that has passed on its connection, and no address.
    pub fn unnamed(hop: SocketAddr) -> Self {
        Self::at(hop).without_name()
    }

    /// The same address, for which a hop speaks that has not said who asks.
    #[must_use]
    pub(crate) fn without_name(self) -> Self {
        Self {
            is_unnamed: true,
            ..self
        }
    }

    /// A peer for which the last of these hops speaks.
    pub(crate) fn behind(hops: Vec<IpAddr>, ip: IpAddr, port: Option<u16>) -> Self {
        Self {
            ip: ip.to_canonical(),
            port,
            hops: hops.into(),
            is_unnamed: false,
            tls: None,
        }
    }

    /// The same peer, after its TLS handshake.
    #[must_use]
    pub fn with_tls(self, facts: Option<Arc<TlsFacts>>) -> Self {
        Self { tls: facts, ..self }
    }

    /// Whether the address is that of a hop, because the hop did not name the
    /// peer. Such a peer may be anywhere.
    pub fn is_unnamed(&self) -> bool {
        self.is_unnamed
    }

    /// Its address, without the port. One of IPv4 is never written as one of
    /// IPv6.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The port of that address, if it is known.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The trusted hops that it came through, the one next to this host first.
    pub fn hops(&self) -> &[IpAddr] {
        &self.hops
    }

    /// The facts of the TLS handshake that this host has made. With a proxy in
    /// between it was made with the proxy.
    pub fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.tls.as_ref()
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.ip.is_loopback()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
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
            // One spelling, whatever the listener is of.
            let shown = text.replace("[::ffff:127.0.0.1]", "127.0.0.1");
            assert_eq!((peer.is_loopback(), peer.to_string()), (here, shown));
        }
    }

    #[test]
    fn a_port_is_shown_where_it_is_known() {
        let peer = |ip: &str, port| Peer::behind(Vec::new(), ip.parse().unwrap(), port);
        assert_eq!(peer("10.0.0.1", None).to_string(), "10.0.0.1");
        assert_eq!(peer("2001:db8::1", None).to_string(), "2001:db8::1");
        assert_eq!(peer("2001:db8::1", Some(1)).to_string(), "[2001:db8::1]:1");
    }
}
