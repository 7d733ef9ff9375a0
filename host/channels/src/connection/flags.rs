//! The requests to the owner of a socket, and what it says of itself: one bit
//! each, in one word that the owner compares with each message.

use crate::sync::{AtomicU16, Ordering};

/// One bit of a connection's [`Flags`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Flag {
    /// The function has stopped the reading.
    Paused,
    /// The host ends: the connection is to leave with 1001.
    Draining,
    /// Another version has taken over: the connection is to leave with 1012.
    Redeployed,
    /// The owner is to check whether the connection's version is still served.
    Reconsider,
    /// Its channels may have other terms: the owner is to look at what its peer
    /// has asked for.
    Doubtful,
    /// The connection is to end at once and without a close frame.
    Terminated,
    /// An alarm was set that the owner has not seen.
    AlarmSet,
    /// There are automatic responses.
    Answers,
    /// The owner keeps no buffers for it.
    Asleep,
    /// Its function was told of its end: it keeps nothing any more. Set with
    /// `attached` locked.
    Released,
}

/// All flags of a connection.
#[derive(Debug)]
pub(super) struct Flags(AtomicU16);

/// The flags of a connection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u16);

impl Flag {
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl Flags {
    pub(super) fn new() -> Self {
        Self(AtomicU16::new(0))
    }

    pub(super) fn set(&self, flag: Flag, set: bool) {
        if set {
            self.0.fetch_or(flag.bit(), Ordering::Release);
        } else {
            self.0.fetch_and(!flag.bit(), Ordering::Release);
        }
    }

    pub(super) fn has(&self, flag: Flag) -> bool {
        self.0.load(Ordering::Acquire) & flag.bit() != 0
    }

    /// Clears a flag, and answers whether it was set.
    pub(super) fn take(&self, flag: Flag) -> bool {
        let bit = flag.bit();
        self.has(flag) && self.0.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    pub(super) fn see(&self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }

    /// Whether there is a request that the owner has not seen. Those that it
    /// takes (alarms, to reconsider, and to doubt) are new if they are there.
    pub(super) fn is_changed(&self, seen: Seen) -> bool {
        const ASKED: u16 = Flag::Paused.bit()
            | Flag::Draining.bit()
            | Flag::Redeployed.bit()
            | Flag::Terminated.bit();
        const TAKEN: u16 = Flag::AlarmSet.bit() | Flag::Reconsider.bit() | Flag::Doubtful.bit();
        let now = self.see();
        (now.0 ^ seen.0) & ASKED != 0 || now.0 & TAKEN != 0
    }
}
