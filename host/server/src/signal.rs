//! Signals: the first SIGTERM or SIGINT asks for a drain, the second ends the
//! process at once; SIGHUP asks to read the configuration again.
//!
//! A process has the mask of signals of the one that started it, and so have
//! its threads and children. Some supervisors and wrappers block what they wait
//! for themselves, and forget that: [`unblock`] comes before all else.
//!
//! The system's own answers (SIGTERM and SIGHUP kill, and are lost for the
//! first process of a container) are out of the way from the moment that
//! [`Signals`] is made, which is the first thing that a host does. What comes
//! before it is waited for is kept.

use nix::sys::signal::{SigSet, Signal as System};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What this program or a child of it waits for, or ends by: a command by
/// Ctrl-C, a compiler by the limit on its CPU time.
const NEEDED: [System; 5] = [
    System::SIGHUP,
    System::SIGINT,
    System::SIGTERM,
    System::SIGCHLD,
    System::SIGXCPU,
];

/// Listens from the moment it is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Stop,
    Reload,
}

/// Lets the signals that are needed through to this thread, and to those that
/// it starts from now on. To be called before there are others.
pub(crate) fn unblock() -> std::io::Result<()> {
    Ok(SigSet::from_iter(NEEDED).thread_unblock()?)
}

impl Signals {
    /// To be called within a runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            // Ending comes before everything else.
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Waits until ending is asked for. A reload that is asked for meanwhile
    /// is what comes [next](Self::next).
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
