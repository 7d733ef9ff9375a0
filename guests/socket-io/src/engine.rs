//! Engine.IO 4 over WebSockets: the layer below Socket.IO, with the heartbeat
//! and the kind of each message. Pure functions of text; no packet is larger
//! than [`PAYLOAD_BYTES_MAX`], which the caller checks.
//!
//! Binary messages are attachments of the layer above and have no type here.
//! The form `b` and base64, for transports without binary messages, is refused.
//!
//! Source: the Engine.IO protocol, revision 4
//! (<https://github.com/socketio/engine.io-protocol>).

use std::time::Duration;

use serde_json::json;

/// The largest message that a peer may send, in bytes, as it is told in the
/// open packet; the default of Socket.IO's server (`maxHttpBufferSize`).
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1_000_000;

/// A ping of the server, which the peer answers with a pong.
pub(crate) const PING: &str = "2";

/// How a Socket.IO packet begins in a message of this layer.
pub(crate) const MESSAGE: &str = "4";

/// What a peer sends in a text message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The peer asks to end the connection.
    Close,
    /// The answer to a ping.
    Pong,
    /// A packet of the layer above.
    Message(&'a str),
    /// A type that the reference server takes and does nothing about: open,
    /// upgrade and noop.
    Ignored,
}

/// Why a text is not a packet of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// No type, or one that does not exist.
    Type,
    /// Since revision 4 only the server sends pings.
    HeartbeatDirection,
}

/// Reads a text message of a peer.
pub(crate) fn decode(text: &str) -> Result<Packet<'_>, Invalid> {
    match text.as_bytes().first() {
        Some(b'0' | b'5' | b'6') => Ok(Packet::Ignored),
        Some(b'1') => Ok(Packet::Close),
        Some(b'2') => Err(Invalid::HeartbeatDirection),
        Some(b'3') => Ok(Packet::Pong),
        Some(b'4') => Ok(Packet::Message(&text[1..])),
        _ => Err(Invalid::Type),
    }
}

/// When the server pings, and how long it waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// From the last pong, or from the beginning, to the next ping.
    pub(crate) interval: Duration,
    /// From a ping to the end of a connection that has not answered.
    pub(crate) timeout: Duration,
}

impl Heartbeat {
    /// The defaults of Socket.IO's server.
    pub(crate) const DEFAULT: Self = Self {
        interval: Duration::from_secs(25),
        timeout: Duration::from_secs(20),
    };

    /// The shortest and the longest time of either kind, in milliseconds.
    const MILLISECONDS: std::ops::RangeInclusive<u64> = 100..=3_600_000;

    /// Two numbers of milliseconds; `None` if one is none or out of range.
    pub(crate) fn parse(interval: &str, timeout: &str) -> Option<Self> {
        let time = |text: &str| {
            let milliseconds = text.parse().ok()?;
            Self::MILLISECONDS
                .contains(&milliseconds)
                .then(|| Duration::from_millis(milliseconds))
        };
        Some(Self {
            interval: time(interval)?,
            timeout: time(timeout)?,
        })
    }

    /// How long a connection may be in no namespace after it has opened: as
    /// long as one that is dead would stay, which by default are the 45 seconds
    /// of Socket.IO's server (`connectTimeout`), but not less than a peer far
    /// away may need.
    pub(crate) fn connect_timeout(self) -> Duration {
        const LEAST: Duration = Duration::from_secs(5);
        (self.interval + self.timeout).max(LEAST)
    }
}

/// The open packet, the first of a connection: without other transports to
/// upgrade to, and with times in milliseconds.
pub(crate) fn open(sid: &str, heartbeat: Heartbeat) -> String {
    let handshake = json!({
        "sid": sid,
        "upgrades": [],
        "pingInterval": heartbeat.interval.as_millis() as u64,
        "pingTimeout": heartbeat.timeout.as_millis() as u64,
        "maxPayload": PAYLOAD_BYTES_MAX,
    });
    format!("0{handshake}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_type_is_what_the_protocol_says() {
        assert_eq!(decode("1"), Ok(Packet::Close));
        assert_eq!(decode("3"), Ok(Packet::Pong));
        assert_eq!(decode("3probe"), Ok(Packet::Pong));
        assert_eq!(decode("4"), Ok(Packet::Message("")));
        assert_eq!(decode("42[\"ä\"]"), Ok(Packet::Message("2[\"ä\"]")));
        for ignored in ["0", "5", "6"] {
            assert_eq!(decode(ignored), Ok(Packet::Ignored));
        }
        for ping in ["2", "2probe"] {
            assert_eq!(decode(ping), Err(Invalid::HeartbeatDirection));
        }
        for wrong in ["", "7", "abc", "ä", " 4", "bAQID"] {
            assert_eq!(decode(wrong), Err(Invalid::Type), "{wrong}");
        }
    }

    #[test]
    fn the_open_packet_is_the_handshake_of_the_protocol() {
        let open = open("lv_VI97HAXpY6yYWAAAC", Heartbeat::DEFAULT);
        let expected = "0{\"sid\":\"lv_VI97HAXpY6yYWAAAC\",\"upgrades\":[],\
                        \"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}";
        assert_eq!(open, expected);
    }

    #[test]
    fn a_heartbeat_has_times_within_its_range() {
        for (interval, timeout) in [("100", "3600000"), ("3600000", "100")] {
            assert!(Heartbeat::parse(interval, timeout).is_some());
        }
        for wrong in ["99", "3600001", "", "-1", "1e3", "99999999999999999999"] {
            assert_eq!(Heartbeat::parse(wrong, "100"), None, "{wrong}");
            assert_eq!(Heartbeat::parse("100", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_namespace_must_be_joined_within_a_time() {
        let timeout = |interval, timeout| {
            let heartbeat = Heartbeat::parse(interval, timeout).unwrap();
            heartbeat.connect_timeout().as_millis()
        };
        assert_eq!(Heartbeat::DEFAULT.connect_timeout().as_secs(), 45);
        assert_eq!(timeout("100", "100"), 5000);
        assert_eq!(timeout("4900", "101"), 5001);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,16}") {
            let _ = decode(&text);
        }
    }
}
