//! How the peer of a connection is reached: by a WebSocket, or by an answer that
//! is held.

use std::fmt;

use serde::Serialize;

/// How the peer of a connection is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionKind {
    /// By a WebSocket.
    #[default]
    WebSocket,
    /// By an answer whose events are messages.
    EventStream,
    /// By an answer whose bytes are those of messages.
    Stream,
    /// By an answer that waits for one message.
    Poll,
}

impl ConnectionKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "event-stream",
            Self::Stream => "stream",
            Self::Poll => "poll",
        }
    }

    /// The kind of held answer of a name; a WebSocket is none.
    pub fn held(name: &[u8]) -> Option<Self> {
        let all = [Self::EventStream, Self::Stream, Self::Poll];
        all.into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// Whether it is a held answer, whose peer sends nothing.
    pub const fn is_held(self) -> bool {
        !matches!(self, Self::WebSocket)
    }
}

impl fmt::Display for ConnectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_held_answers_are_found_by_name() {
        for kind in [
            ConnectionKind::EventStream,
            ConnectionKind::Stream,
            ConnectionKind::Poll,
        ] {
            assert!(kind.is_held());
            assert_eq!(ConnectionKind::held(kind.name().as_bytes()), Some(kind));
        }
        assert!(!ConnectionKind::WebSocket.is_held());
        for other in ["websocket", "Stream", "stream ", "", "event_stream"] {
            assert_eq!(ConnectionKind::held(other.as_bytes()), None, "{other}");
        }
    }
}
