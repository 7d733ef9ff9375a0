//! A connection's wire: messages in, messages out, its end. Only this folder
//! knows the codec of frames.
//!
//! A wire has no buffer of its own. It reads into a buffer of its thread and
//! writes from another one ([`scratch`]), and keeps what is left over when a
//! poll ends: bytes that it may not parse yet, a part of a message, what the
//! kernel has not taken. An idle wire has none of these.

mod closing;
mod compression;
pub(crate) mod negotiation;
mod pool;
mod reading;
mod scratch;
mod writing;

use std::time::Duration;

use bytes::Bytes;
use openline_core::limits::FunctionLimits;
use openline_websocket::{Limits, Receiver};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use writing::Unsent;

pub(crate) use compression::Compression;
pub(crate) use pool::release_unused;
pub(crate) use reading::{Reader, Received};
pub(super) use writing::Writer;

/// A socket of a peer.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// Whether it keeps bytes that it has taken until it is flushed. Where it
    /// does not, the compiler leaves out what that needs.
    const KEEPS: bool = false;

    /// Makes writing fail when the peer's machine acknowledges or takes nothing
    /// for that long; `None` restores the system's own time.
    fn give_up_after(&self, _time: Option<Duration>) {}
}

impl Socket for TcpStream {
    #[cfg(target_os = "linux")]
    fn give_up_after(&self, time: Option<Duration>) {
        let time = time.map_or(0, |time| time.as_millis().max(1));
        let time = u32::try_from(time).unwrap_or(u32::MAX);
        // If this fails, the system's own, longer time applies.
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(self, time) {
            tracing::debug!(%error, "could not set the time after which the system gives up a peer");
        }
    }
}

impl Socket for TlsStream<TcpStream> {
    const KEEPS: bool = true;

    fn give_up_after(&self, time: Option<Duration>) {
        self.get_ref().0.give_up_after(time);
    }
}

/// A WebSocket of a peer.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    socket: S,
    limits: Limits,
    /// The state of a message or header of which a part has come.
    partial: Option<Box<Receiver>>,
    /// A close frame or a violation has come, behind which there is nothing.
    over: bool,
    /// Bytes that were read and not parsed, because a batch was full or reading
    /// was held. They come before those in the socket. At most as many as one
    /// read brings, or as came behind the handshake.
    rest: Bytes,
    hold: Hold,
    /// There only if compression was agreed on.
    compression: Option<Box<Compression>>,
    /// What was received since this was last taken.
    counted: Counted,
    /// What the kernel has not taken.
    unsent: Option<Box<Unsent>>,
    /// Control frames to be written, in order, behind what is unsent.
    control: Vec<u8>,
    /// Whether the socket keeps bytes that it has not been flushed of.
    unflushed: bool,
    /// Whether the last write found the kernel's buffer full.
    blocked: bool,
    /// Whether the kernel took bytes after it had been full, which shows that
    /// the peer's machine has acknowledged earlier ones.
    progress: bool,
}

/// How much of the reading is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing: reads from the socket.
    Nothing,
    /// Takes nothing more from the socket, but still parses what was read.
    Socket,
    /// Takes nothing and parses nothing.
    Everything,
}

/// What was received since the last time it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Messages that have begun, and control frames.
    pub(crate) frames: u64,
    /// Bytes on the wire, and those that decompression has added.
    pub(crate) bytes: u64,
}

impl<S: Socket> Wire<S> {
    /// `read` holds the bytes that the peer sent right after its handshake;
    /// they are counted, too.
    pub(crate) fn new(
        socket: S,
        read: Bytes,
        limits: &FunctionLimits,
        compression: Option<Box<Compression>>,
    ) -> Self {
        let limits = Limits {
            message_bytes: limits.message_bytes,
            fragments: limits.fragments,
        };
        Self {
            socket,
            limits,
            partial: None,
            over: false,
            counted: Counted {
                frames: 0,
                bytes: read.len() as u64,
            },
            // An empty part of hyper's buffer would keep all of it.
            rest: if read.is_empty() { Bytes::new() } else { read },
            hold: Hold::Nothing,
            compression,
            unsent: None,
            control: Vec::new(),
            unflushed: false,
            blocked: false,
            progress: false,
        }
    }

    /// Bounds the messages that begin from now on.
    pub(super) fn bound(&mut self, message_bytes: usize, fragments: u32) {
        self.limits = Limits {
            message_bytes,
            fragments,
        };
    }

    /// Reads what the peer has sent, within this poll.
    pub(crate) fn reader(&mut self) -> Reader<'_, S> {
        Reader::new(self)
    }

    /// Writes to the peer, within this poll.
    pub(super) fn writer(&mut self) -> Writer<'_, S> {
        Writer::new(self)
    }

    /// Stops reading or resumes it; returns whether it was stopped before. The
    /// code that resumes it reads next: nothing else wakes the task.
    pub(super) fn hold(&mut self, hold: Hold) -> bool {
        std::mem::replace(&mut self.hold, hold) != Hold::Nothing
    }

    pub(super) fn is_held(&self) -> bool {
        self.hold != Hold::Nothing
    }

    /// Whether nothing is taken and nothing parsed.
    pub(super) fn is_stopped(&self) -> bool {
        self.hold == Hold::Everything
    }

    /// What was received since this was last called, and whether the peer's
    /// machine has shown that it is alive by taking bytes.
    pub(crate) fn take_heard(&mut self) -> (Counted, bool) {
        let counted = std::mem::take(&mut self.counted);
        (counted, std::mem::take(&mut self.progress))
    }

    /// How many bytes it keeps of a message that is arriving, and how many that
    /// it has not parsed.
    #[inline]
    pub(super) fn kept_bytes(&self) -> (usize, usize) {
        let partial = self.partial.as_ref();
        let partial = partial.map_or(0, |partial| partial.arrived_bytes());
        let inflated = self.compression.as_ref();
        let inflated = inflated.map_or(0, |compression| compression.inflating_bytes());
        (partial + inflated, self.rest.len())
    }

    /// Whether nothing is kept of what came or is to go.
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_none()
            && self.rest.is_empty()
            && self.unsent.is_none()
            && self.control.is_empty()
            && !self.unflushed
            && self.compression.as_ref().is_none_or(|it| it.is_empty())
    }

    /// Notes that nothing has come or gone for a while; answers whether the
    /// wire needs no further look as long as that lasts.
    pub(super) fn rest(&mut self) -> bool {
        self.compression.as_mut().is_none_or(|it| it.rest())
    }

    /// Whether the last write found the kernel's buffer full.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Makes writing fail when the peer's machine takes nothing for that long.
    pub(super) fn give_up_after(&self, time: Option<Duration>) {
        self.socket.give_up_after(time);
    }
}

#[cfg(test)]
mod compression_tests;
#[cfg(test)]
mod tests;
