//! The events of a function, and its answers.

use bytes::Bytes;

use crate::close::CloseReason;
use crate::message::Message;
use crate::name::{AlarmName, ChannelName, Tag};

/// Names and values of headers, in their order. Names are in lower case.
pub type Headers = Vec<(String, Vec<u8>)>;

/// Something that happened to an open connection.
#[derive(Debug)]
pub enum Event {
    /// The handshake is done.
    Open,
    /// All messages that had arrived, in order; at least one.
    Messages(Vec<Message>),
    /// An alarm of the connection is due.
    Alarm(AlarmName),
    /// The connection has ended.
    Close(CloseReason),
}

/// A valid handshake that waits for the function's decision.
#[derive(Clone, Debug, Default)]
pub struct UpgradeRequest {
    /// Always `GET`.
    pub method: String,
    /// The path in its one spelling, and the query as sent.
    pub uri: String,
    /// All headers of the request.
    pub headers: Headers,
    /// Address and port of the peer. Behind a proxy that the host trusts it is
    /// the address that the proxy names, which may have no port.
    pub peer: String,
    /// Offered subprotocols, the preferred one first.
    pub subprotocols: Vec<String>,
    /// Parameters of the route, percent-decoded.
    pub route_params: RouteParams,
}

/// Parameters of a route in the route's order: name and decoded value.
pub type RouteParams = Vec<(String, String)>;

/// The function takes the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// One of the offered subprotocols; checked by the gateway.
    pub subprotocol: Option<String>,
    /// Headers for the 101 response; checked by the gateway.
    pub headers: Headers,
    /// The connection's first attachment.
    pub attachment: Bytes,
    /// Tags to find it by.
    pub tags: Vec<Tag>,
    /// Channels to subscribe to.
    pub channels: Vec<ChannelName>,
}

/// The function refuses the connection with an ordinary response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// The status; checked by the gateway.
    pub status: u16,
    /// Headers of the response; checked by the gateway.
    pub headers: Headers,
    /// The response's body; the gateway checks its size.
    pub body: Bytes,
}

/// The outcome of a message that was sent to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// It leaves with the next write.
    Sent,
    /// Accepted; this many bytes wait for a peer that reads slowly.
    Queued(u64),
    /// Not accepted: too large, or the outbox is full.
    Dropped,
    /// Not accepted: the connection is closing or closed.
    Gone,
}
