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
use tokio::time::Instant;

use crate::gateway::Gateway;
use crate::http::{self, Site};
use crate::reserved::Reserved;

/// How many peers may wait in the kernel to be accepted: what a burst of
/// reconnecting peers fills. The kernel caps it at `somaxconn`, usually 4096.
const BACKLOG: u32 = 4096;
/// The first wait after a failed accept, and the longest. The usual cause is a
/// lack of file descriptors, which other connections' ends cure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How long the end of a silent peer may take before another one is closed for
/// the same file: many times what it takes.
const CLOSING: Duration = Duration::from_millis(100);

/// Open files that are left to others than peers: 64 connections of probes, 64
/// of the admin interface, and as many for all else. Of a small limit a quarter.
const FILES_RESERVED: u64 = 192;
/// What of them is for all else, or half of fewer: a compiler takes a dozen for
/// a moment when it starts.
const FILES_OF_REST: u64 = 64;

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
    let mut reserve = Reserve {
        most: files_max(),
        is_short: false,
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                wait = BACK_OFF.0;
                let stream = match reserve.admit(stream, &host.gateway).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        tracing::debug!(%peer, %error, "its file is not moved");
                        continue;
                    }
                };
                // Messages are whole when they are written: waiting for more
                // only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "nodelay is not set");
                }
                let Some(permit) = host.gateway.permit(peer.ip()).await else {
                    tracing::debug!(%peer, "it has as many requests as it may have (peer_requests, requests)");
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
    let files = files()?;
    Some(files - reserved(files))
}

/// How many TCP connections probes may have, and the admin interface as well:
/// `most`, or fewer where the process may have few files.
pub fn places(most: usize) -> usize {
    let share = files()
        .map(share)
        .and_then(|share| usize::try_from(share).ok());
    share.map_or(most, |share| most.min(share))
}

fn share(files: u64) -> u64 {
    let reserved = reserved(files);
    let rest = FILES_OF_REST.min(reserved / 2);
    ((reserved - rest) / 2).max(1)
}

/// Files that the process may have open; none where there is no limit.
fn files() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

fn reserved(files: u64) -> u64 {
    FILES_RESERVED.min(files / 4)
}

/// Keeps the reserve: peers whose files have numbers from `most` on wait.
#[derive(Debug)]
struct Reserve {
    most: Option<u64>,
    /// The last peer had to wait.
    is_short: bool,
}

impl Reserve {
    fn is_within(&self, file: &impl AsRawFd) -> bool {
        let number = u64::try_from(file.as_raw_fd()).unwrap_or(u64::MAX);
        self.most.is_some_and(|most| number >= most)
    }

    /// Waits until a peer may have a file. The system gives the lowest number that
    /// is free, so a copy's number says whether there is one, and the peer goes on
    /// with that copy: else each end would let two in, one on the number that
    /// became free and one on its own within the reserve. Silent peers make room.
    async fn admit(&mut self, stream: TcpStream, gateway: &Gateway) -> io::Result<TcpStream> {
        if !self.is_within(&stream) {
            self.is_short = false;
            return Ok(stream);
        }
        if !self.is_short {
            tracing::warn!("few files are left; accepting waits for connections to end");
            self.is_short = true;
        }
        let mut wait = BACK_OFF.0;
        let mut closing: Option<Instant> = None;
        loop {
            match rustix::io::dup(stream.as_fd()) {
                Ok(copy) if !self.is_within(&copy) => {
                    drop(stream.into_std()?);
                    return TcpStream::from_std(copy.into());
                }
                // Also where no file at all is left.
                Ok(_) | Err(_) => {
                    let is_over = closing.is_none_or(|since| since.elapsed() >= CLOSING);
                    if is_over && gateway.close_silent() {
                        closing = Some(Instant::now());
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_and_the_admin_interface_leave_files_to_the_rest() {
        for (files, each, rest) in [
            (1 << 20, 64, 64),
            (768, 64, 64),
            (767, 63, 64),
            (128, 8, 16),
        ] {
            assert_eq!(share(files), each, "{files}");
            assert!(reserved(files) >= 2 * each + rest, "{files}");
        }
        assert_eq!(share(8), 1);
        assert_eq!(places(1), 1);
    }
}
