//! Messages that the host answers by itself.

use crate::message::Message;

/// How a peer's message is compared with a pair's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchKind {
    /// The message equals the request and is of the same kind, text or binary.
    #[default]
    Exact,
    /// The message begins with the request and is of the same kind.
    Prefix,
}

/// A pair of a message and its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoResponse {
    /// How messages are compared.
    pub match_kind: MatchKind,
    /// The message that others are compared with.
    pub request: Message,
    /// The message that the host sends to the peer.
    pub reply: Message,
}

impl AutoResponse {
    /// Whether this pair answers a message.
    pub fn matches(&self, message: &Message) -> bool {
        let (request, message): (&[u8], &[u8]) = match (&self.request, message) {
            (Message::Text(request), Message::Text(message)) => {
                (&request.as_bytes()[..], &message.as_bytes()[..])
            }
            (Message::Binary(request), Message::Binary(message)) => (request, message),
            _ => return false,
        };
        match self.match_kind {
            MatchKind::Exact => message == request,
            MatchKind::Prefix => message.starts_with(request),
        }
    }
}
