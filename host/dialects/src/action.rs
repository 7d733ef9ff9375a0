//! What a peer asks for, in the words of no dialect.
//!
//! Texts share the memory of the frame in which they came: a host copies what it
//! keeps. Data may be kept: it shares the frame only if it is most of it, so that
//! a publication of a few bytes does not hold a frame of megabytes.

use bytes::Bytes;
use bytestring::ByteString;

use crate::filter::Filter;
use crate::history::HistoryLimit;
use crate::outcome::Close;
use crate::reply::Reply;

/// What the host is to do for the peer, in the order in which the peer asked.
///
/// An action with a [`Reply`] is answered by exactly one of its methods. The
/// answers may be sent in any order: peers match them by themselves.
#[derive(Debug)]
pub enum Action {
    /// Authenticate the peer, and answer with
    /// [`Session::connected`](crate::Session::connected) or
    /// [`Session::refused`](crate::Session::refused). It is the first action of
    /// a session, and there is no other until it is answered.
    Connect(Box<Connect>),
    /// Subscribe the connection to a channel.
    Subscribe(Reply, Box<Subscribe>),
    /// End its subscription.
    Unsubscribe(Reply, ByteString),
    /// Publish to a channel.
    Publish(Reply, Publish),
    /// List the subscribers of a channel.
    Presence(Reply, ByteString),
    /// Count them.
    PresenceStats(Reply, ByteString),
    /// Read a channel's history.
    History(Reply, HistoryQuery),
    /// Call the function, and answer with what it returns.
    Call(Reply, Call),
    /// Hand the function a message; it has no answer.
    Message(Bytes),
    /// Check a new token of the connection.
    Refresh(Reply, ByteString),
    /// Check a new token of a subscription.
    RefreshSubscription(Reply, RefreshSubscription),
    /// Send this frame to the peer: an answer that needs nothing of the host.
    Send(ByteString),
    /// Nothing: the peer has answered a ping, so it is there.
    Pong,
    /// Close the connection. There are no actions after it.
    Close(Close),
}

/// The first thing a peer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// Its token, or its key; empty if it has none.
    pub token: ByteString,
    /// Data for the function, as JSON.
    pub data: Option<Bytes>,
    /// The name of the client library, for logs. Untrusted.
    pub name: ByteString,
    /// Its version. Untrusted.
    pub version: ByteString,
    /// Headers that a browser could not send with the request. Untrusted.
    pub headers: Vec<(ByteString, ByteString)>,
    /// Channels that the host should subscribe the peer to, or had before a
    /// break, with the positions that it has reached.
    pub subscriptions: Vec<(ByteString, Option<Since>)>,
}

/// A position that a peer has reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The epoch; empty if the peer does not know one.
    pub epoch: ByteString,
    /// The offset of the last publication that it has seen.
    pub offset: u64,
}

/// A wish to be subscribed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// The channel. Its bytes are bounded, and the rest is for the host to check.
    pub channel: ByteString,
    /// A token for this channel; empty if there is none.
    pub token: ByteString,
    /// Data for the function, as JSON.
    pub data: Option<Bytes>,
    /// Where to continue.
    pub since: Option<Since>,
    /// Whether the peer would rather be refused than miss publications after
    /// `since`: answer [`Refusal::Unrecoverable`](crate::Refusal::Unrecoverable).
    pub reject_unrecovered: bool,
    /// Whether it asks that others joining and leaving be shown.
    pub join_leave: bool,
    /// Whether it asks for positions.
    pub positioned: bool,
    /// Whether it asks that it can recover.
    pub recoverable: bool,
    /// Which publications it wants.
    pub filter: Option<Filter>,
}

/// A publication of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The channel.
    pub channel: ByteString,
    /// The data: one JSON value, byte for byte as it came.
    pub data: Bytes,
}

/// Which part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The channel.
    pub channel: ByteString,
    /// From which position on, which is not part of it.
    pub since: Option<Since>,
    /// How many publications.
    pub limit: HistoryLimit,
    /// Whether the newest come first.
    pub reverse: bool,
}

/// A call of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method; may be empty.
    pub method: ByteString,
    /// The data, as JSON. Empty if there is none.
    pub data: Bytes,
}

/// A new token of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshSubscription {
    /// The channel.
    pub channel: ByteString,
    /// The token.
    pub token: ByteString,
}
