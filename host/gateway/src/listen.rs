//! The accept loop. It accepts, then takes a place. It survives every error of
//! `accept`, after which it only waits a little.
//!
//! Bounded by `requests` and `peer_requests`, which count TCP connections until
//! they are upgraded. Past them, the TCP connection that has waited longest for
//! its request is closed; while none waits, new peers wait in the kernel's
//! backlog. They also wait while only [`FILES_RESERVED`] of the process's files
//! are left: probes, the admin interface, the data directory and the compiler
//! need some, and peers must not take those.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use openline_core::config::Listener;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::arrival;
use crate::gateway::Gateway;
use crate::http::Site;
use crate::outside::Outside;
use crate::reserved::Reserved;

/// How many peers may wait in the kernel to be accepted, for example when many
/// reconnect at once. The kernel caps it at `somaxconn`, usually 4096.
const BACKLOG: u32 = 4096;
/// The first wait after a failed accept, and the longest. The usual cause is a
/// lack of file descriptors, which ends when other connections do.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How long the end of a silent peer may take before another one is closed for
/// the same file; usually it takes a small part of this.
const CLOSING: Duration = Duration::from_millis(100);

/// Open files that peers cannot take: 64 for connections of probes, 64 for
/// those of the admin interface, and 64 for everything else. With a small
/// limit, a quarter of it.
const FILES_RESERVED: u64 = 192;
/// How many of them are for everything else, or half of a smaller reserve: a
/// compiler takes a dozen for a moment when it starts.
const FILES_OF_REST: u64 = 64;

/// How much the kernel takes of a TCP connection before the network has room, in
/// bytes. It takes up to megabytes otherwise, and tells that it has room again when a
/// third of that is gone: a peer that reads slowly would not be seen to read.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;

/// Opens the listening socket.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restarted host gets its port back at once.
    socket.set_reuseaddr(true)?;
    // The TCP connections that it accepts have the option, too.
    #[cfg(target_os = "linux")]
    SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Who answers what is not for a function.
#[derive(Clone, Debug, Default)]
pub struct Answering {
    /// Answers below `/.openline/`; without it only probes are answered there.
    pub reserved: Option<Arc<dyn Reserved>>,
    /// Answers publishers.
    pub outside: Option<Arc<dyn Outside>>,
}

/// Accepts connections until the future is dropped. `reserved` answers below
/// `/.openline/`; without it only probes are answered there.
pub async fn accept(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    reserved: Option<Arc<dyn Reserved>>,
) {
    let answering = Answering {
        reserved,
        outside: None,
    };
    accept_at(Listener::Listen, listener, gateway, answering).await;
}

/// The same on one of the host's listeners: that of connections, or that of
/// publishers, which reaches no function.
pub async fn accept_at(
    place: Listener,
    listener: TcpListener,
    gateway: Arc<Gateway>,
    answering: Answering,
) {
    let host = Arc::new(Site {
        gateway,
        listener: place,
        reserved: answering.reserved,
        outside: answering.outside,
    });
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
                        tracing::debug!(%peer, %error, "could not move a peer's file out of the reserve");
                        continue;
                    }
                };
                // Messages are written whole, so waiting for more only delays
                // them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "could not set TCP_NODELAY");
                }
                let Some(permit) = host.gateway.permit(peer).await else {
                    tracing::debug!(%peer, "closed: the peer has as many requests as it may have (peer_requests, requests)");
                    continue;
                };
                tokio::spawn(arrival::serve(stream, peer, permit, Arc::clone(&host)));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed; trying again in {wait:?}");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// Peers' file descriptors must be below this number; `None` where there is no
/// limit.
fn files_max() -> Option<u64> {
    let files = files()?;
    Some(files - reserved(files))
}

/// How many TCP connections probes may have, and the admin interface as many:
/// `most`, or fewer where the process may open few files.
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

/// How many files the process may open; `None` where there is no limit.
fn files() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

fn reserved(files: u64) -> u64 {
    FILES_RESERVED.min(files / 4)
}

/// Keeps the reserve: a peer whose file descriptor is `most` or more waits.
#[derive(Debug)]
struct Reserve {
    most: Option<u64>,
    /// Whether the last peer had to wait.
    is_short: bool,
}

impl Reserve {
    fn is_within(&self, file: &impl AsRawFd) -> bool {
        let number = u64::try_from(file.as_raw_fd()).unwrap_or(u64::MAX);
        self.most.is_some_and(|most| number >= most)
    }

    /// Waits until a peer may have a file, and closes silent peers to make
    /// room. The system assigns the lowest free number, so duplicating the
    /// descriptor shows whether a low one is free. The peer goes on with the
    /// copy: otherwise each end would let in two peers, one on the number that
    /// became free and one on its own within the reserve.
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
                // An error means that no file at all is left.
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
