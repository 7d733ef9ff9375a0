//! The accept loop. It accepts, then takes a place, and survives every error
//! of `accept`: all it does about one is to wait a little.
//!
//! Bounded by `requests` and `peer_requests`, which count until they are
//! upgraded: past it the one that has waited for its request for longest is
//! closed. While none waits, peers do, in the kernel's backlog. They also wait
//! while only [`FILES_RESERVED`] of the process's files are left: probes, the
//! admin interface, the data directory and the compiler need some, and peers
//! should not be able to take those.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use openline_admission::peer::Peer;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::gateway::Gateway;
use crate::http::{self, Site};
use crate::reserved::Reserved;

/// How many peers may wait in the kernel to be accepted: what a burst of
/// reconnecting peers fills. The kernel caps it at `somaxconn`, usually 4096.
const BACKLOG: u32 = 4096;
/// The first wait after a failed accept, and the longest. The usual cause is a
/// lack of file descriptors, which other connections' ends cure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Open files that are left to others than peers: 64 connections of probes, 64
/// of the admin interface, and as many for all else. Of a small limit a quarter.
const FILES_RESERVED: u64 = 192;

/// Opens the listening socket.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restarted host gets its port back at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until it is dropped. `reserved` answers below
/// `/.openline/`; without it nothing is there but probes.
pub async fn accept(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    reserved: Option<Arc<dyn Reserved>>,
) {
    let host = Arc::new(Site { gateway, reserved });
    let mut wait = BACK_OFF.0;
    let files = files_max();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                wait = BACK_OFF.0;
                await_files(&stream, files).await;
                // Messages are whole when they are written: waiting for more
                // only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "nodelay is not set");
                }
                let Some(permit) = host.gateway.permit(peer.ip()).await else {
                    tracing::debug!(%peer, "it has as many requests as it may have (peer_requests)");
                    continue;
                };
                tokio::spawn(http::serve(
                    stream,
                    Peer::at(peer),
                    permit,
                    Arc::clone(&host),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed; trying again in {wait:?}");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// The number that a peer's file must be below; none where there is no limit.
fn files_max() -> Option<u64> {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    Some(files - FILES_RESERVED.min(files / 4))
}

/// Waits until a peer may have a file. The system gives the lowest number that
/// is free, so the number says how many there are.
async fn await_files(stream: &TcpStream, most: Option<u64>) {
    let is_few = |fd: &dyn AsRawFd| {
        let number = u64::try_from(fd.as_raw_fd()).unwrap_or(u64::MAX);
        most.is_some_and(|most| number >= most)
    };
    if !is_few(stream) {
        return;
    }
    tracing::warn!("few files are left; accepting waits for connections to end");
    let mut wait = BACK_OFF.0;
    while rustix::io::dup(stream.as_fd()).map_or(true, |lowest| is_few(&lowest)) {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF.1);
    }
}
