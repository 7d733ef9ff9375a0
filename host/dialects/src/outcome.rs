//! What became of what a peer asked, in the words of no dialect.

use crate::view::{PositionView, PublicationView};

/// A close code with its reason, as they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: u16,
    /// The reason: a few words, well below 123 bytes.
    pub reason: &'static str,
}

/// The outcome of a subscription.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscribed<'a> {
    /// Where the channel is now, if it keeps positions. The publications that
    /// follow on this connection come after it.
    pub position: Option<PositionView<'a>>,
    /// Whether the peer can recover in this channel.
    pub recoverable: bool,
    /// What became of the wish to continue.
    pub recovery: Recovery<'a>,
    /// The seconds until the subscription ends without a new token.
    pub ttl_s: Option<u32>,
    /// Data of the function for the peer, as JSON.
    pub data: Option<&'a str>,
}

/// What became of the wish to continue at a position.
#[derive(Clone, Copy, Debug, Default)]
pub enum Recovery<'a> {
    /// The peer had none.
    #[default]
    NotAsked,
    /// It gets all that it missed, in order.
    Recovered(&'a [PublicationView<'a>]),
    /// It gets nothing, and must fetch its state elsewhere.
    Failed,
}

/// How many subscribers a channel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceStats {
    /// Connections.
    pub connections: u32,
    /// Distinct users.
    pub users: u32,
}

/// Why a wish is refused, with the same words in every dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The host has failed; the peer may try again.
    #[error("internal server error")]
    Internal,
    /// The peer's token or key is not good.
    #[error("unauthorized")]
    Unauthorized,
    /// There is no such channel.
    #[error("unknown channel")]
    UnknownChannel,
    /// The peer may not do this.
    #[error("permission denied")]
    Denied,
    /// The function has no such method.
    #[error("method not found")]
    MethodNotFound,
    /// The connection is subscribed to the channel.
    #[error("already subscribed")]
    AlreadySubscribed,
    /// It has as much as it may have.
    #[error("limit exceeded")]
    LimitExceeded,
    /// What it asked makes no sense; asking again does not help.
    #[error("bad request")]
    BadRequest,
    /// The channel, or the host, does not do this.
    #[error("not available")]
    NotAvailable,
    /// The token was good once: a new one helps.
    #[error("token expired")]
    TokenExpired,
    /// The connection or subscription has expired.
    #[error("expired")]
    Expired,
    /// The peer asks too often; it may try again later.
    #[error("too many requests")]
    TooManyRequests,
    /// The publications after the position are gone.
    #[error("unrecoverable position")]
    Unrecoverable,
    /// An error of the function.
    #[error("{message}")]
    Function {
        /// Its code; Centrifugo leaves 400 to 1999 to applications.
        code: u32,
        /// Its text.
        message: String,
        /// Whether trying again may help.
        temporary: bool,
    },
}

/// What a peer is told once it is known.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// Its connection's identity.
    pub connection: &'a str,
    /// The version of the host; may be empty.
    pub version: &'a str,
    /// The name of the node; may be empty.
    pub node: &'a str,
    /// A name of the session for transports that send commands in requests of
    /// their own; may be empty.
    pub session: &'a str,
    /// The seconds between pings of the host. 0 is none.
    pub ping_s: u32,
    /// Whether the peer is to answer them.
    pub pong: bool,
    /// The seconds until the connection ends without a new token.
    pub ttl_s: Option<u32>,
    /// Data of the function for the peer, as JSON.
    pub data: Option<&'a str>,
    /// The channels to which the host has subscribed it.
    pub subscriptions: &'a [HostSubscription<'a>],
    /// The time of the host, in milliseconds since 1970.
    pub time_ms: u64,
}

/// A subscription that the host has made.
#[derive(Clone, Copy, Debug)]
pub struct HostSubscription<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The offset at which the peer wanted to continue, or 0.
    pub since: u64,
    /// The outcome.
    pub outcome: Subscribed<'a>,
}
