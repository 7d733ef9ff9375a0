//! The servers that are compared, and what each of them can do.

use serde::Serialize;

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// hyper and tokio-tungstenite, one flush for all that was read
    Native,
    /// The same with a flush for each message
    NativeFlushEach,
    /// The host with plain functions
    Openline,
    /// The host with asynchronous functions
    OpenlineAsync,
    /// Bun's own server
    Bun,
    /// Deno's own server
    Deno,
    /// Node with the package `ws`
    Node,
    /// workerd with a plain fetch handler
    Workerd,
    /// websocketd: a process, `cat`, for each connection
    Websocketd,
}

/// The peer that all others are compared with.
pub(crate) const BASE: Peer = Peer::Native;

/// Connections of a server that has a process for each: each takes 2 MB.
const PROCESSES_MAX: u32 = 200;

impl Peer {
    pub(crate) const ALL: [Self; 9] = [
        Self::Native,
        Self::NativeFlushEach,
        Self::Openline,
        Self::OpenlineAsync,
        Self::Bun,
        Self::Deno,
        Self::Node,
        Self::Workerd,
        Self::Websocketd,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeFlushEach => "native, flush each",
            Self::Openline => "openline",
            Self::OpenlineAsync => "openline, async",
            Self::Bun => "Bun",
            Self::Deno => "Deno",
            Self::Node => "Node, ws",
            Self::Workerd => "workerd",
            Self::Websocketd => "websocketd, cat",
        }
    }

    pub(crate) fn is_openline(self) -> bool {
        matches!(self, Self::Openline | Self::OpenlineAsync)
    }

    /// Whether it was written here, and not by others.
    pub(crate) fn is_ours(self) -> bool {
        self.is_openline() || matches!(self, Self::Native | Self::NativeFlushEach)
    }

    /// Whether it delivers one message to many. There is one function for it,
    /// a plain one; a native server that flushes each message does it as the
    /// other does; and a process knows nothing of the others.
    pub(crate) fn fans_out(self) -> bool {
        !matches!(
            self,
            Self::NativeFlushEach | Self::OpenlineAsync | Self::Websocketd
        )
    }

    /// Whether it compresses as its script or configuration says.
    pub(crate) fn compresses(self) -> bool {
        matches!(
            self,
            Self::Openline | Self::OpenlineAsync | Self::Bun | Self::Node
        )
    }

    /// Whether it carries text only: a line of a process is a message.
    pub(crate) fn is_text_only(self) -> bool {
        self == Self::Websocketd
    }

    /// How many of these connections it is given.
    pub(crate) fn connections(self, connections: u32) -> u32 {
        match self {
            Self::Websocketd => connections.min(PROCESSES_MAX),
            _ => connections,
        }
    }
}
