//! One publication on one channel, whatever the protocol is.

use bytes::Bytes;
use bytestring::ByteString;
use openline_admission::keys::Key;
use openline_broker::channel::Publish;
use openline_broker::outcome::{Outcome, PublishError};
use openline_broker::position::Position;
use openline_broker::publication::{Data, Tags};
use openline_channels::durable::Answered;
use openline_channels::space::Publishing;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_dialects::Refusal;
use openline_dialects::rest::{ApiError, Missing};

use crate::access::{Denied, Place};

/// Why a publication, or another request, fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Denied(Denied),
    Refused(PublishError),
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// A publication that was done, or suppressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) channel: ChannelName,
    pub(crate) id: String,
    pub(crate) outcome: Outcome,
}

impl Done {
    /// Its position as text.
    pub(crate) fn position(&self) -> Option<String> {
        self.outcome.position.map(|position| position.to_string())
    }
}

/// A publication that is in its channel, and may wait for the disk.
#[derive(Debug)]
pub(crate) struct Begun {
    channel: ChannelName,
    /// The id that it was given.
    id: Option<ByteString>,
    answered: Answered,
}

/// Publishes, if the key may.
pub(crate) async fn publish(
    place: &Place,
    key: &Key,
    channel: &str,
    publishing: Publishing,
) -> Result<Done, Fault> {
    begin(place, key, channel, publishing).await?.end().await
}

/// Publishes, if the key may, and does not wait for the disk.
pub(crate) async fn begin(
    place: &Place,
    key: &Key,
    channel: &str,
    mut publishing: Publishing,
) -> Result<Begun, Fault> {
    let (name, space) = place.channel(key, Scope::Publish, channel)?;
    let bytes = publishing.request.data.bytes();
    let most = place.limits.message_bytes;
    if bytes > most {
        let what = "the data";
        let found = bytes;
        return Err(Fault::Refused(PublishError::TooLarge { what, found, most }));
    }
    // Publications of channels that count are named by their positions.
    let counts = space.find(&name).terms.has_positions();
    if publishing.request.id.is_none() && !counts {
        publishing.request.id = Some(unique().into());
    }
    let id = publishing.request.id.clone();
    let answered = space.publish_in_turn(&name, publishing).await;
    Ok(Begun {
        channel: name,
        id,
        answered: answered.map_err(Fault::Refused)?,
    })
}

impl Begun {
    /// Waits until it is done.
    pub(crate) async fn end(self) -> Result<Done, Fault> {
        let outcome = self.answered.wait().await.map_err(Fault::Refused)?;
        let id = match (self.id, outcome.position) {
            (Some(id), _) => id.to_string(),
            (None, Some(position)) => position.to_string(),
            (None, None) => unique(),
        };
        Ok(Done {
            channel: self.channel,
            id,
            outcome,
        })
    }
}

/// A publication of data and nothing else.
pub(crate) fn of_data(data: Data) -> Publishing {
    Publishing::new(Publish::new(data))
}

/// JSON as it came.
pub(crate) fn json(bytes: Bytes) -> Data {
    // What was read as JSON is UTF-8.
    match ByteString::try_from(bytes) {
        Ok(text) => Data::Json(text),
        Err(_) => Data::Json("null".into()),
    }
}

/// Text from a source that does not say what it is, and bytes.
pub(crate) fn text(text: String) -> Data {
    Data::Text(text.into())
}

/// Tags.
pub(crate) fn tags(tags: Vec<(String, String)>) -> Result<Tags, Fault> {
    let tags = tags
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    Tags::new(tags).map_err(Fault::Refused)
}

/// A position that a caller has sent.
pub(crate) fn position(text: &str) -> Option<Position> {
    text.parse().ok()
}

fn unique() -> String {
    let mut bits = [0; 12];
    getrandom::fill(&mut bits).expect("the operating system has random numbers");
    bits.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Fault {
    /// In the words of our own protocol.
    pub(crate) fn ours(&self) -> ApiError {
        match self {
            Self::Denied(denied) => denied.ours(),
            Self::Refused(refused) => match refused {
                PublishError::TooLarge { .. } => ApiError::TooLarge,
                PublishError::Denied => ApiError::Denied,
                PublishError::Conflict { present } => ApiError::Conflict {
                    position: present.map_or_else(String::new, |it| it.to_string()),
                },
                PublishError::Full { .. } => ApiError::Full,
                PublishError::Unavailable => ApiError::Unavailable,
                PublishError::InvalidName(why) => ApiError::Malformed((*why).to_owned()),
            },
        }
    }

    /// In the words that the dialects share.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Denied(denied) => match denied {
                Denied::Missing | Denied::Invalid => Refusal::Unauthorized,
                Denied::Query => Refusal::BadRequest,
                Denied::Scope => Refusal::Denied,
                Denied::Rate(_) => Refusal::TooManyRequests,
                Denied::Channel | Denied::Function | Denied::NoFunction => Refusal::UnknownChannel,
            },
            Self::Refused(refused) => match refused {
                PublishError::TooLarge { .. } => Refusal::LimitExceeded,
                PublishError::Denied => Refusal::Denied,
                PublishError::Conflict { .. } | PublishError::InvalidName(_) => Refusal::BadRequest,
                PublishError::Full { .. } => Refusal::LimitExceeded,
                PublishError::Unavailable => Refusal::Internal,
            },
        }
    }

    /// After how many seconds to try again, if that helps.
    pub(crate) fn wait_s(&self) -> Option<u64> {
        match self {
            Self::Denied(Denied::Rate(wait)) => Some(wait.as_secs().max(1)),
            _ => None,
        }
    }
}

impl Denied {
    /// In the words of our own protocol.
    pub(crate) fn ours(self) -> ApiError {
        let invalid = |name, why| ApiError::Invalid { name, why };
        match self {
            Self::Missing | Self::Invalid => ApiError::Unauthorized,
            Self::Query => invalid(
                "query",
                "has a parameter twice, or one that is too long or not UTF-8",
            ),
            Self::Scope => ApiError::Denied,
            Self::Rate(_) => ApiError::RateLimited,
            Self::Channel => invalid(
                "channel",
                "is no name: 1 to 256 bytes without control characters",
            ),
            Self::Function => ApiError::NotFound(Missing::Function),
            Self::NoFunction => invalid(
                "function",
                "is missing in the query, and functions do not share this channel",
            ),
        }
    }
}
