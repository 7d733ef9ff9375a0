//! One peer: it behaves in one way for a while and then is through.
//!
//! Bounded: a peer opens one connection; every wait for the host ends after
//! [`PATIENCE`], and the whole of it some time after its lifetime.

mod client;
mod faults;
mod host_ends;
mod message;
mod polite;
mod requests;
mod rooms;
mod rude;
mod violations;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::table::{Behaviour, Row};
use crate::tally::Tally;

pub(crate) use client::{Client, NotOpened};

/// The longest wait for something that the host owes a peer: long enough for
/// two cores that carry host and peers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a peer may take beyond its lifetime: a few waits for the host in a
/// row. A peer that has not finished by then hangs.
const OVERTIME: Duration = Duration::from_secs(180);

/// Addresses that peers come from, 127.0.1.1 and on: each has 28,000 ports,
/// and a closed connection keeps its port for a minute. So many that a bound
/// of connections or handshakes for one address leaves them alone.
const ADDRESSES: u8 = 200;

/// The things that all peers share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) host: SocketAddr,
    pub(crate) tally: Tally,
}

/// Something was not as the host owes it: a few words, the same for the same
/// fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

/// One peer of the soak.
#[derive(Debug)]
pub(crate) struct Peer {
    site: Arc<Site>,
    random: Rng,
    /// When it is to come to its end.
    until: Instant,
}

/// Behaves as a row of the table says until `until`, and counts what came of it.
pub(crate) async fn behave(site: &Arc<Site>, row: &'static Row, random: Rng, until: Instant) {
    let mut peer = Peer {
        site: Arc::clone(site),
        random,
        until,
    };
    let tally = &site.tally;
    tally.peers.fetch_add(1, Relaxed);
    let through = Box::pin(peer.behave(row.behaviour));
    let outcome = tokio::time::timeout_at(until + OVERTIME, through).await;
    tally.peers.fetch_sub(1, Relaxed);
    tally.behaved.count(row.name.to_owned());
    let wrong = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(Wrong(wrong))) => wrong,
        Err(_) => "the peer hangs".to_owned(),
    };
    tally.wrongs.count(format!("{}: {wrong}", row.name));
}

impl Peer {
    async fn behave(&mut self, behaviour: Behaviour) -> Result<(), Wrong> {
        match behaviour {
            Behaviour::Idle => polite::idle(self).await,
            Behaviour::Echo => polite::echo(self).await,
            Behaviour::Burst => polite::burst(self).await,
            Behaviour::Big => polite::big(self).await,
            Behaviour::Fragments => polite::fragments(self).await,
            Behaviour::Metered => polite::metered(self).await,
            Behaviour::Sleep => polite::sleep(self).await,
            Behaviour::Paused => polite::paused(self).await,
            Behaviour::Chat => rooms::chat(self).await,
            Behaviour::Counter => rooms::counter(self).await,
            Behaviour::Closed => host_ends::closed(self).await,
            Behaviour::Brief => host_ends::brief(self).await,
            Behaviour::Abort => host_ends::abort(self).await,
            Behaviour::Quiet => host_ends::quiet(self).await,
            Behaviour::Rated => host_ends::rated(self).await,
            Behaviour::Vanish => rude::vanish(self).await,
            Behaviour::Reset => rude::reset(self).await,
            Behaviour::HalfClose => rude::half_close(self).await,
            Behaviour::CloseAndGo => rude::close_and_go(self).await,
            Behaviour::NeverRead => rude::never_read(self).await,
            Behaviour::PingFlood => rude::ping_flood(self).await,
            Behaviour::Violation => violations::violation(self).await,
            Behaviour::HalfFrame => violations::half_frame(self).await,
            Behaviour::HalfRequest => requests::half_request(self).await,
            Behaviour::Refused => requests::refused(self).await,
            Behaviour::Page => requests::page(self).await,
            Behaviour::Reject => requests::reject(self).await,
            Behaviour::Trap => faults::trap(self).await,
            Behaviour::Compute => faults::compute(self).await,
            Behaviour::Flood => faults::flood(self).await,
            Behaviour::Memory => faults::memory(self).await,
            Behaviour::Recurse => faults::recurse(self).await,
            Behaviour::AwaitForever => faults::await_forever(self).await,
            Behaviour::FaultAsync => faults::in_flight(self).await,
            Behaviour::Hub => faults::hub(self).await,
        }
    }

    async fn connect(&mut self) -> io::Result<TcpStream> {
        connect(self.site.host, &mut self.random).await
    }

    /// Opens a connection, which the host owes.
    async fn open(&mut self, path: &str) -> Result<Client, Wrong> {
        Ok(Client::open(self, path).await?)
    }

    /// One of a few.
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(..all.len())]
    }

    /// The path of any function that peers only talk with.
    fn any_path(&mut self) -> String {
        match self.random.u8(..8) {
            0..3 => "/echo".to_owned(),
            3..6 => "/echo-async".to_owned(),
            6 => rooms::chat_path(self),
            _ => rooms::counter_path(self),
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// A moment so many milliseconds from now, but not past this peer's end.
    fn pause(&mut self, milliseconds: std::ops::Range<u64>) -> Instant {
        let pause = Duration::from_millis(self.random.u64(milliseconds));
        self.until.min(Instant::now() + pause)
    }
}

/// A TCP connection to the host, from one of many addresses.
pub(crate) async fn connect(host: SocketAddr, random: &mut Rng) -> io::Result<TcpStream> {
    connect_with(TcpSocket::new_v4()?, host, random).await
}

async fn connect_with(
    socket: TcpSocket,
    host: SocketAddr,
    random: &mut Rng,
) -> io::Result<TcpStream> {
    let last = random.u8(1..=ADDRESSES);
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 1, last));
    // Elsewhere than under Linux only 127.0.0.1 is this machine; then all come
    // from there.
    let _ = socket.bind(SocketAddr::new(address, 0));
    let stream = tokio::time::timeout(PATIENCE, socket.connect(host))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// When what the host owes a peer is late.
fn patience() -> Instant {
    Instant::now() + PATIENCE
}
