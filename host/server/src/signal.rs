//! Signals: the first SIGTERM or SIGINT asks for a drain, the second ends the
//! process at once; SIGHUP asks to read the configuration again.
//!
//! A process inherits the signal mask of its parent, and passes it on to its
//! threads and children. Some supervisors and wrappers block signals that they
//! wait for themselves and forget to unblock them, so [`unblock`] comes before
//! everything else.
//!
//! By default SIGTERM and SIGHUP kill a process, and are lost for the first
//! process of a container. [`Signals`] changes that from the moment it is made,
//! which is the first thing that a host does. Signals that arrive before the
//! host waits for them are kept.

use nix::sys::signal::{SigSet, Signal as System};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that this program or a child of it waits for or ends by: for example
/// Ctrl-C for a command, and the limit on CPU time for a compiler.
const NEEDED: [System; 5] = [
    System::SIGHUP,
    System::SIGINT,
    System::SIGTERM,
    System::SIGCHLD,
    System::SIGXCPU,
];

/// Receives signals from the moment it is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// The request that a signal makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Stop,
    Reload,
}

/// Unblocks the needed signals for this thread and for those that it starts
/// from now on. Call it before there are others.
pub(crate) fn unblock() -> std::io::Result<()> {
    Ok(SigSet::from_iter(NEEDED).thread_unblock()?)
}

impl Signals {
    /// Must be called within a runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            // A request to end comes before all others.
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Waits for a request to end. A request for a reload meanwhile is kept for
    /// [`next`](Self::next).
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
