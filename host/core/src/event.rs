//! The events of a function, and its answers.

use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::affinity::Affinity;
use crate::call::Call;
use crate::close::CloseReason;
use crate::message::Message;
use crate::name::{AlarmName, ChannelName, Tag};
use crate::tls::TlsFacts;

/// Names and values of headers, in their order. Names are in lower case.
pub type Headers = Vec<(String, Vec<u8>)>;

/// Something that happened to an open connection.
#[derive(Debug)]
pub enum Event {
    /// The handshake is done.
    Open,
    /// All messages that had arrived, in order; at least one.
    Messages(Vec<Message>),
    /// The peer calls the function, and waits for an answer.
    Call(Box<Call>),
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
    /// What the peer's TLS handshake with this host has shown.
    pub tls: Option<Arc<TlsFacts>>,
    /// The verified claims of the peer, as a JSON object.
    pub claims: Option<String>,
    /// The value of the cookie that chooses the instance, if one does. The
    /// function does not get it.
    pub sticky: Option<String>,
    /// The claim that chooses the instance, if one does, as a text.
    pub claim: Option<String>,
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

/// A request has no single value that chooses an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoValue;

// === impl UpgradeRequest ===

impl UpgradeRequest {
    /// The value that chooses the instance, decoded.
    ///
    /// # Errors
    ///
    /// When the request has no value, a header twice, or a value that is no
    /// text.
    pub fn value_of(&self, affinity: &Affinity) -> Result<String, NoValue> {
        match affinity {
            Affinity::Param(name) => {
                let mut params = self.route_params.iter();
                let found = params.find(|(other, _)| other == name);
                found.map(|(_, value)| value.clone()).ok_or(NoValue)
            }
            Affinity::Header(name) => {
                let mut headers = self.headers.iter().filter(|(other, _)| other == name);
                let (Some((_, value)), None) = (headers.next(), headers.next()) else {
                    return Err(NoValue);
                };
                let value = std::str::from_utf8(value).map_err(|_| NoValue)?;
                Ok(value.trim().to_owned()).and_then(some)
            }
            Affinity::Query(name) => {
                let query = self.uri.split_once('?').map_or("", |(_, query)| query);
                let pairs = query
                    .split('&')
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                // The first one, as functions read it.
                let mut pairs = pairs.filter(|(key, _)| decoded(key).as_deref() == Ok(name));
                let (_, value) = pairs.next().ok_or(NoValue)?;
                decoded(value).and_then(some)
            }
            Affinity::Cookie(_) => self.sticky.clone().ok_or(NoValue),
            Affinity::Claim(_) => self.claim.clone().ok_or(NoValue).and_then(some),
        }
    }
}

/// An empty value chooses nothing.
fn some(value: String) -> Result<String, NoValue> {
    if value.is_empty() {
        Err(NoValue)
    } else {
        Ok(value)
    }
}

/// A part of a query as a form writes it: `+` is a space.
fn decoded(text: &str) -> Result<String, NoValue> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(String::from).map_err(|_| NoValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_request_is_decoded_and_there_is_one() {
        let request = UpgradeRequest {
            uri: "/a?x=1&room=a+b%2Fc&room=second&empty=&bad=%ff".into(),
            headers: [
                ("x-room", "  one "),
                ("x-two", "1"),
                ("x-two", "2"),
                ("x-no", ""),
            ]
            .map(|(name, value)| (name.into(), value.as_bytes().to_vec()))
            .into(),
            route_params: vec![("room".into(), "r".into())],
            sticky: Some("s".into()),
            ..UpgradeRequest::default()
        };
        let value = |text: &str| request.value_of(&Affinity::new(text).unwrap());
        for (text, expected) in [
            ("room", Ok("r")),
            ("param:other", Err(NoValue)),
            ("header:X-Room", Ok("one")),
            ("header:x-two", Err(NoValue)),
            ("header:x-no", Err(NoValue)),
            ("header:x-none", Err(NoValue)),
            ("query:room", Ok("a b/c")),
            ("query:empty", Err(NoValue)),
            ("query:bad", Err(NoValue)),
            ("query:none", Err(NoValue)),
            ("cookie:any", Ok("s")),
        ] {
            assert_eq!(value(text), expected.map(String::from), "{text}");
        }
    }
}
