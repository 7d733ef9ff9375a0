//! Answers to what a peer asked.

use bytestring::ByteString;

use crate::centrifugo;
use crate::outcome::{PresenceStats, Refusal, Subscribed};
use crate::pushflo;
use crate::view::{DataView, MemberView, PositionView, PublicationView};

/// Answers one [`Action`](crate::Action), in the words of the peer's dialect. It
/// is small, owns what it needs, and may wait for its outcome on another task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub(crate) Kind);

/// How a dialect matches an answer to what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Centrifugo {
        /// The number of the command.
        id: u32,
        /// The offset from which it recovers, which the answer repeats.
        since: u64,
    },
    Pushflo {
        channel: ByteString,
    },
}

impl Reply {
    /// Answers [`Action::Subscribe`](crate::Action::Subscribe). Send it before
    /// any publication of the channel.
    pub fn subscribed(&self, outcome: &Subscribed<'_>) -> ByteString {
        match &self.0 {
            Kind::Centrifugo { id, since } => centrifugo::reply::subscribed(*id, *since, outcome),
            Kind::Pushflo { channel } => pushflo::frame::subscribed(channel),
        }
    }

    /// Answers [`Action::Unsubscribe`](crate::Action::Unsubscribe).
    pub fn unsubscribed(&self) -> ByteString {
        match &self.0 {
            Kind::Centrifugo { id, .. } => centrifugo::reply::empty(*id, "unsubscribe"),
            Kind::Pushflo { channel } => pushflo::frame::unsubscribed(channel),
        }
    }

    /// Answers [`Action::Publish`](crate::Action::Publish).
    pub fn published(&self) -> ByteString {
        self.centrifugo(|id| centrifugo::reply::empty(id, "publish"))
    }

    /// Answers [`Action::Presence`](crate::Action::Presence).
    pub fn presence<'a>(&self, members: impl IntoIterator<Item = MemberView<'a>>) -> ByteString {
        self.centrifugo(|id| centrifugo::reply::presence(id, members))
    }

    /// Answers [`Action::PresenceStats`](crate::Action::PresenceStats).
    pub fn presence_stats(&self, stats: PresenceStats) -> ByteString {
        self.centrifugo(|id| centrifugo::reply::presence_stats(id, stats))
    }

    /// Answers [`Action::History`](crate::Action::History), with the position
    /// of the history's end.
    pub fn history<'a>(
        &self,
        end: PositionView<'_>,
        publications: impl IntoIterator<Item = PublicationView<'a>>,
    ) -> ByteString {
        self.centrifugo(|id| centrifugo::reply::history(id, end, publications))
    }

    /// Answers [`Action::Call`](crate::Action::Call) with what the function has
    /// returned.
    pub fn returned(&self, data: DataView<'_>) -> ByteString {
        self.centrifugo(|id| centrifugo::reply::returned(id, data))
    }

    /// Answers [`Action::Refresh`](crate::Action::Refresh): the seconds until
    /// the new token expires, if it does.
    pub fn refreshed(&self, client: &str, ttl_s: Option<u32>) -> ByteString {
        self.centrifugo(|id| centrifugo::reply::refreshed(id, client, ttl_s))
    }

    /// Answers [`Action::RefreshSubscription`](crate::Action::RefreshSubscription)
    /// in the same way.
    pub fn subscription_refreshed(&self, ttl_s: Option<u32>) -> ByteString {
        self.centrifugo(|id| centrifugo::reply::subscription_refreshed(id, ttl_s))
    }

    /// Refuses what was asked.
    pub fn refused(&self, refusal: &Refusal) -> ByteString {
        match &self.0 {
            Kind::Centrifugo { id, .. } => centrifugo::reply::refused(*id, refusal),
            Kind::Pushflo { channel } => pushflo::frame::error(refusal, Some(channel)),
        }
    }

    /// PushFlo's clients can only subscribe and unsubscribe, so there is
    /// nothing else that could be answered.
    fn centrifugo(&self, write: impl FnOnce(u32) -> ByteString) -> ByteString {
        match &self.0 {
            Kind::Centrifugo { id, .. } => write(*id),
            Kind::Pushflo { channel } => {
                pushflo::frame::error(&Refusal::NotAvailable, Some(channel))
            }
        }
    }
}
