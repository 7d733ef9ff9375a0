//! The dialects that a trigger can have, and what a host sends in each without
//! being asked.

use bytestring::ByteString;

use crate::centrifugo::codes;
use crate::centrifugo::{Pushes, Unsubscribed};
use crate::outcome::{Close, Refusal, Subscribed};
use crate::pushflo;
use crate::view::{DataView, MemberView, PublicationView};

/// A protocol of existing clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PushFlo's.
    Pushflo,
    /// Centrifugo's, in JSON.
    Centrifugo,
}

/// Why the host ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The host shuts down or moves the connection.
    Shutdown,
    /// The host or the function has failed.
    Failed,
    /// The token has expired.
    Expired,
    /// The token or key was revoked.
    Revoked,
    /// The peer reads too slowly.
    Slow,
    /// It missed publications that it can still recover.
    Behind,
    /// It did not answer a ping.
    NoPong,
    /// It did not connect in time.
    Stale,
    /// It sends too much.
    TooManyRequests,
    /// The function or an operator wants it gone, for good.
    Unwanted,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 2] = [Self::Pushflo, Self::Centrifugo];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pushflo => "pushflo",
            Self::Centrifugo => "centrifugo",
        }
    }

    /// A publication for all subscribers of this dialect: encode it once, and
    /// send each the same bytes.
    pub fn publication(self, view: &PublicationView<'_>) -> ByteString {
        match self {
            Self::Pushflo => pushflo::frame::publication(view),
            Self::Centrifugo => Pushes::Wrapped.publication(view),
        }
    }

    /// The news that a connection has subscribed, if the dialect has such news.
    /// It is the same for all subscribers.
    pub fn joined(self, channel: &str, member: &MemberView<'_>) -> Option<ByteString> {
        (self == Self::Centrifugo).then(|| Pushes::Wrapped.joined(channel, member))
    }

    /// The news that a connection has left.
    pub fn left(self, channel: &str, member: &MemberView<'_>) -> Option<ByteString> {
        (self == Self::Centrifugo).then(|| Pushes::Wrapped.left(channel, member))
    }

    /// A message of the function to one peer.
    pub fn message(self, data: DataView<'_>) -> ByteString {
        match self {
            Self::Pushflo => {
                // Its clients pass such frames by, and others may read them.
                let mut out = String::with_capacity(data.len() + 2);
                crate::json::data(&mut out, data);
                out.into()
            }
            Self::Centrifugo => Pushes::Wrapped.message(data),
        }
    }

    /// The news that the host has subscribed the peer.
    pub fn subscribed(self, channel: &str, outcome: &Subscribed<'_>) -> ByteString {
        match self {
            Self::Pushflo => pushflo::frame::subscribed(channel),
            Self::Centrifugo => Pushes::Wrapped.subscribed(channel, outcome),
        }
    }

    /// The news that the host has ended a subscription.
    pub fn unsubscribed(self, channel: &str, why: Unsubscribed) -> ByteString {
        match self {
            Self::Pushflo => pushflo::frame::unsubscribed(channel),
            Self::Centrifugo => Pushes::Wrapped.unsubscribed(channel, why),
        }
    }

    /// The close frame for an ending. `None` if the dialect has no words of its
    /// own, and the host's will do.
    pub const fn close(self, ending: Ending) -> Option<Close> {
        if matches!(self, Self::Pushflo) {
            return None;
        }
        Some(match ending {
            Ending::Shutdown => codes::SHUTDOWN,
            Ending::Failed => codes::SERVER_ERROR,
            Ending::Expired => codes::EXPIRED,
            Ending::Revoked => codes::INVALID_TOKEN,
            Ending::Slow => codes::SLOW,
            Ending::Behind => codes::INSUFFICIENT_STATE,
            Ending::NoPong => codes::NO_PONG,
            Ending::Stale => codes::STALE,
            Ending::TooManyRequests => codes::TOO_MANY_REQUESTS,
            Ending::Unwanted => codes::DISCONNECT,
        })
    }

    /// A last frame that tells the peer why its connection is closed, if the
    /// dialect has one.
    pub fn farewell(self, refusal: &Refusal) -> Option<ByteString> {
        (self == Self::Pushflo).then(|| pushflo::frame::error(refusal, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: MemberView<'_> = MemberView {
        connection: "c7",
        user: "42",
        connection_info: None,
        channel_info: None,
    };

    fn publication(data: DataView<'_>) -> PublicationView<'_> {
        PublicationView {
            channel: "test-channel",
            offset: 3,
            id: "msg-1",
            event: None,
            data,
            tags: None,
            sender: Some(MEMBER),
            time_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn a_pushflo_client_gets_channel_and_identity() {
        let frame = Dialect::Pushflo.publication(&publication(DataView::Json(r#"{"a": 1}"#)));
        let expected = concat!(
            r#"{"type":"message","channel":"test-channel","messageId":"msg-1","#,
            r#""eventType":"message","clientId":"c7","data":{"a": 1},"timestamp":1700000000000}"#
        );
        assert_eq!(frame, expected);
        let binary = PublicationView {
            event: Some("e"),
            sender: None,
            ..publication(DataView::Binary(b"ab"))
        };
        let expected = concat!(
            r#"{"type":"message","channel":"test-channel","messageId":"msg-1","eventType":"e","#,
            r#""clientId":"","data":"YWI=","encoding":"base64","timestamp":1700000000000}"#
        );
        assert_eq!(Dialect::Pushflo.publication(&binary), expected);
    }

    #[test]
    fn what_is_sent_without_being_asked() {
        let [pushflo, centrifugo] = Dialect::ALL;
        assert_eq!(
            (pushflo.name(), centrifugo.name()),
            ("pushflo", "centrifugo")
        );
        assert_eq!(pushflo.joined("c", &MEMBER), None);
        assert_eq!(pushflo.left("c", &MEMBER), None);
        assert!(centrifugo.joined("c", &MEMBER).unwrap().contains("join"));
        assert!(centrifugo.left("c", &MEMBER).unwrap().contains("leave"));
        assert_eq!(pushflo.message(DataView::Text("a")), "\"a\"");
        let message = r#"{"push":{"message":{"data":"a"}}}"#;
        assert_eq!(centrifugo.message(DataView::Text("a")), message);
        let subscribed = pushflo.subscribed("c", &Subscribed::default());
        assert_eq!(subscribed, r#"{"type":"subscribed","channel":"c"}"#);
        let unsubscribed = pushflo.unsubscribed("c", Unsubscribed::ByHost);
        assert_eq!(unsubscribed, r#"{"type":"unsubscribed","channel":"c"}"#);
        assert_eq!(
            centrifugo.unsubscribed("c", Unsubscribed::ByHost),
            r#"{"push":{"channel":"c","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#
        );
        assert_eq!(
            pushflo.farewell(&Refusal::TokenExpired).unwrap(),
            r#"{"type":"error","error":"token expired","code":"INVALID_TOKEN"}"#
        );
        assert_eq!(centrifugo.farewell(&Refusal::TokenExpired), None);
    }

    /// Clients come back after a code below 3500, and stay away after others.
    #[test]
    fn endings_say_whether_to_come_back() {
        let comes_back = |ending| Dialect::Centrifugo.close(ending).unwrap().code < 3_500;
        for ending in [
            Ending::Shutdown,
            Ending::Failed,
            Ending::Expired,
            Ending::Slow,
            Ending::Behind,
            Ending::NoPong,
            Ending::TooManyRequests,
        ] {
            assert!(comes_back(ending), "{ending:?}");
            assert_eq!(Dialect::Pushflo.close(ending), None);
        }
        for ending in [Ending::Revoked, Ending::Stale, Ending::Unwanted] {
            assert!(!comes_back(ending), "{ending:?}");
        }
    }
}
