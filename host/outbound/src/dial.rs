//! Makes TCP connections: looks the name up, checks each address, and dials exactly
//! those that passed.
//!
//! A look-up is used once. Whoever runs the DNS of a name may answer with another
//! address each time, so an address that was checked and a second look-up for
//! dialling would be two different things. If some of the addresses are allowed,
//! only those are dialled. They are tried one after the other, a quarter of a
//! second apart, the families by turns (RFC 8305), and the first that answers wins.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use openline_core::outbound::{Destination, Grant, Host, canonical};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::OutboundError;
use crate::own::OwnListeners;
use crate::resolve::{LookupPart, Lookups};

/// How long one address is tried alone: RFC 8305 section 8.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Finds, checks and dials.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) lookups: Lookups,
    pub(crate) own: OwnListeners,
}

impl Dialer {
    /// A TCP connection to an address of the destination that the grant allows.
    pub(crate) async fn dial(
        &self,
        part: &LookupPart,
        to: &Destination,
        grant: Grant<'_>,
        until: Instant,
    ) -> Result<TcpStream, OutboundError> {
        let found = match &to.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let found = timeout_at(until, self.lookups.find(part, name)).await;
                found.map_err(|_| OutboundError::LookupTimeout)??
            }
        };
        let allowed: Vec<_> = found
            .into_iter()
            .map(canonical)
            .filter(|address| grant.allows(*address))
            .map(|address| SocketAddr::new(address, to.port))
            .collect();
        if allowed.is_empty() {
            let host = to.host.to_string();
            return Err(OutboundError::AddressDenied(host));
        }
        let foreign: Vec<_> = by_turns(allowed)
            .into_iter()
            .filter(|address| !self.own.has(*address))
            .collect();
        let dialled = timeout_at(until, self.first(foreign)).await;
        dialled.map_err(|_| OutboundError::ConnectTimeout)?
    }

    /// The first of these addresses that answers.
    async fn first(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, OutboundError> {
        // Without any, all were the host's own.
        let mut error = OutboundError::OwnListener;
        let mut rest = addresses.into_iter();
        let mut attempts = FuturesUnordered::new();
        loop {
            match rest.next() {
                Some(next) => attempts.push(self.attempt(next)),
                None if attempts.is_empty() => return Err(error),
                None => {}
            }
            tokio::select! {
                Some(attempt) = attempts.next() => match attempt {
                    Ok(stream) => return Ok(stream),
                    Err(why) => error = why,
                },
                () = sleep(ATTEMPT_DELAY), if rest.len() > 0 => {}
            }
        }
    }

    async fn attempt(&self, address: SocketAddr) -> Result<TcpStream, OutboundError> {
        let failed = |error| OutboundError::of_connecting(&error);
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        let peer = stream.peer_addr().map_err(failed)?;
        let local = stream.local_addr().map_err(failed)?;
        if self.own.are_reached(local, peer) {
            return Err(OutboundError::OwnListener);
        }
        // Calls are written in whole pieces.
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }
}

/// The same addresses, with the families by turns, beginning with that of the
/// first.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|it| it.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut mixed = Vec::with_capacity(one.len() + other.len());
    while one.len() + other.len() > 0 {
        mixed.extend(one.next());
        mixed.extend(other.next());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let all = ["[2::1]:1", "[2::2]:1", "[2::3]:1", "1.1.1.1:1"].map(at);
        let mixed = by_turns(all.to_vec());
        assert_eq!(
            mixed,
            ["[2::1]:1", "1.1.1.1:1", "[2::2]:1", "[2::3]:1"].map(at)
        );
        assert_eq!(by_turns(vec![at("1.1.1.1:1")]), [at("1.1.1.1:1")]);
        assert!(by_turns(Vec::new()).is_empty());
    }
}
