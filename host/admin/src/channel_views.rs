//! What the admin interface says of channels, and how a publish is written.
//!
//! Bounded by what `channels` shows at once. Data is text, JSON as it was
//! published, or base64 (RFC 4648 section 4).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytestring::ByteString;
use openline_broker::channel;
use openline_broker::log::Page;
use openline_broker::outcome;
use openline_broker::outcome::PublishError;
use openline_broker::position::Position;
use openline_broker::presence::{Member, PresenceCounts};
use openline_broker::publication::{Data, Publication, Tags};
use openline_broker::terms::Found;
use openline_channels::entry::Except;
use openline_channels::reading::ChannelView;
use openline_channels::space::Publishing;
use openline_control::schema;
use openline_core::message::Compress;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::channel_terms::{self, ChannelTermsView};
use crate::problem::Problem;

/// A page of channels.
#[derive(Serialize, ToSchema)]
pub(crate) struct Channels {
    /// By name.
    pub(crate) channels: Vec<Channel>,
    /// What `after` of the next page is, if there is one.
    pub(crate) next: Option<String>,
}

/// A channel, in a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Channel {
    /// Its name.
    name: String,
    /// Subscribers on this node.
    subscribers: usize,
    /// Publications since the channel is there.
    published: u64,
    /// The bytes of what it remembers.
    bytes: usize,
    /// The publications that it keeps.
    kept: usize,
    /// Its position, if publications have one.
    position: Option<String>,
}

/// A channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelDetails)]
pub(crate) struct Details {
    /// Its name.
    name: String,
    /// Subscribers on this node.
    subscribers: usize,
    /// Publications since the channel is there.
    published: u64,
    /// The bytes of what it remembers.
    bytes: usize,
    /// The publications that it keeps.
    kept: usize,
    /// Its position, if publications have one.
    position: Option<String>,
    /// Whether functions share it.
    shared: bool,
    /// Connections that are there, with presence.
    member_connections: Option<usize>,
    /// Different users among them.
    member_users: Option<usize>,
    /// What holds for it, and the pattern of the configuration that says so.
    terms: ChannelTermsView,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelMembers)]
pub(crate) struct Members {
    /// By connection.
    pub(crate) members: Vec<MemberView>,
    /// What `after` of the next page is, if there is one.
    pub(crate) next: Option<String>,
}

/// A member of a channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelMember)]
pub(crate) struct MemberView {
    /// Its connection.
    #[schema(value_type = schema::ConnectionId)]
    connection: String,
    /// Its user.
    user: Option<String>,
    /// What it says of itself: text, or base64 of bytes.
    info: Option<String>,
}

/// A page of a history.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelHistory)]
pub(crate) struct History {
    /// In the order that was asked for.
    publications: Vec<PublicationView>,
    /// The channel's position.
    position: String,
    /// Whether publications between `since` and the page are gone.
    has_gap: bool,
    /// Whether there is more in this direction.
    has_more: bool,
}

/// A page of values.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelValues)]
pub(crate) struct Values {
    /// In the order of their last changes.
    pub(crate) values: Vec<PublicationView>,
    /// What `after` of the next page is, if there is one.
    pub(crate) next: Option<u64>,
}

/// A publication.
#[derive(Serialize, ToSchema)]
#[schema(as = Publication)]
pub(crate) struct PublicationView {
    /// Its position, on channels that count.
    position: Option<String>,
    /// The publisher's name for it.
    id: Option<String>,
    /// What sort it is.
    event: Option<String>,
    /// Which value it changes.
    key: Option<String>,
    /// Whether it removes that value.
    removed: bool,
    /// What `data` is: text, JSON as it was published, or base64 of bytes.
    #[schema(pattern = "^(text|json|binary)$")]
    kind: &'static str,
    /// What is said.
    data: String,
    /// How many bytes it has.
    bytes: usize,
    /// Words for filters.
    tags: BTreeMap<String, String>,
    /// The connection that published it, if one did.
    sender: Option<String>,
    /// Its user.
    user: Option<String>,
    /// When it was published, in milliseconds since 1970.
    time: u64,
}

/// What to publish: one of `text`, `json` and `base64`, or `remove`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Publish {
    /// Text.
    text: Option<String>,
    /// JSON, written as a text, which subscribers get as it is.
    json: Option<String>,
    /// Bytes.
    base64: Option<String>,
    /// The publisher's name for it: at most 128 bytes.
    id: Option<String>,
    /// What sort it is: at most 128 bytes.
    event: Option<String>,
    /// Which value it changes, on keyed channels: at most 256 bytes.
    key: Option<String>,
    /// Whether it removes that value.
    remove: bool,
    /// Words for filters: at most 32.
    tags: BTreeMap<String, String>,
    /// A repetition with the same one is not done again: at most 128 bytes.
    idempotency_key: Option<String>,
}

/// What became of a publish.
#[derive(Serialize, ToSchema)]
#[schema(as = PublishOutcome)]
pub(crate) struct Outcome {
    /// The publication's position, or the channel's if it was suppressed.
    position: Option<String>,
    /// How many subscribers of this node took it.
    delivered: u64,
    /// How far it went.
    #[schema(pattern = "^(everywhere|local)$")]
    scope: String,
    /// Why nothing was published, although nothing is wrong.
    suppressed: Option<String>,
}

/// The result of an unsubscribe.
#[derive(Serialize, ToSchema)]
pub(crate) struct Unsubscribed {
    /// Whether there was a subscription.
    pub(crate) unsubscribed: bool,
}

fn owned(text: Option<&ByteString>) -> Option<String> {
    text.map(|text| text.to_string())
}

fn shown(position: Option<Position>) -> Option<String> {
    position.map(|position| position.to_string())
}

/// The kind of data, and its text.
fn text_of(data: &Data) -> (&'static str, String) {
    match data {
        Data::Text(text) => ("text", text.to_string()),
        Data::Json(text) => ("json", text.to_string()),
        Data::Binary(bytes) => ("binary", STANDARD.encode(bytes)),
    }
}

impl Channel {
    pub(crate) fn new(view: &ChannelView) -> Self {
        Self {
            name: view.name.as_str().to_owned(),
            subscribers: view.subscribers,
            published: view.published,
            bytes: view.bytes,
            kept: view.kept,
            position: shown(view.position),
        }
    }
}

impl Details {
    pub(crate) fn new(view: &ChannelView, found: &Found, counts: Option<PresenceCounts>) -> Self {
        Self {
            name: view.name.as_str().to_owned(),
            subscribers: view.subscribers,
            published: view.published,
            bytes: view.bytes,
            kept: view.kept,
            position: shown(view.position),
            shared: found.is_shared,
            member_connections: counts.map(|counts| counts.connections),
            member_users: counts.map(|counts| counts.users),
            terms: channel_terms::found(found),
        }
    }
}

impl MemberView {
    pub(crate) fn new(member: &Member) -> Self {
        Self {
            connection: member.connection.to_string(),
            user: owned(member.user.as_ref()),
            info: member.info.as_ref().map(|info| text_of(info).1),
        }
    }
}

impl History {
    pub(crate) fn new(page: &Page) -> Self {
        Self {
            publications: page.publications.iter().map(PublicationView::new).collect(),
            position: page.top.to_string(),
            has_gap: page.has_gap,
            has_more: page.has_more,
        }
    }
}

impl PublicationView {
    pub(crate) fn new(publication: &Publication) -> Self {
        let (kind, data) = text_of(&publication.data);
        let sender = publication.sender.as_ref();
        let pair = |(name, value): &(ByteString, ByteString)| (name.to_string(), value.to_string());
        Self {
            position: shown(publication.position),
            id: owned(publication.id.as_ref()),
            event: owned(publication.event.as_ref()),
            key: owned(publication.key.as_ref()),
            removed: publication.removed,
            kind,
            data,
            bytes: publication.data.bytes(),
            tags: publication.tags.as_slice().iter().map(pair).collect(),
            sender: sender.map(|sender| sender.connection.to_string()),
            user: sender.and_then(|sender| owned(sender.user.as_ref())),
            time: publication.time.0,
        }
    }
}

impl Outcome {
    pub(crate) fn new(outcome: &outcome::Outcome) -> Self {
        Self {
            position: shown(outcome.position),
            delivered: outcome.local,
            scope: outcome.scope.to_string(),
            suppressed: outcome.suppressed.map(|why| why.to_string()),
        }
    }
}

impl Publish {
    /// What the channel gets. Its sizes are not checked.
    pub(crate) fn publishing(self) -> Result<Publishing, Problem> {
        let data = match (self.text, self.json, self.base64) {
            (Some(text), None, None) => Data::Text(text.into()),
            (None, Some(text), None) => {
                let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text);
                is_json.map_err(|error| {
                    unprocessable("not_json", format!("`json` is no JSON: {error}"))
                        .hint("correct it, or send it as `text`")
                })?;
                Data::Json(text.into())
            }
            (None, None, Some(text)) => {
                let bytes = STANDARD.decode(text);
                let bytes = bytes.map_err(|error| {
                    unprocessable("not_base64", format!("`base64` is not base64: {error}"))
                        .hint("encode it as RFC 4648 section 4 says, with padding")
                })?;
                Data::Binary(bytes.into())
            }
            (None, None, None) if self.remove => Data::Text(ByteString::new()),
            _ => {
                let message = "a publication has one of `text`, `json` and `base64`";
                let hint = match self.remove {
                    true => "to remove a value, give `remove` and `key` alone",
                    false => "give one of them",
                };
                return Err(unprocessable("data", message.into()).hint(hint));
            }
        };
        let pairs = self.tags.into_iter();
        let tags = Tags::new(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )?;
        let text = |text: Option<String>| text.map(ByteString::from);
        Ok(Publishing {
            request: channel::Publish {
                data,
                id: text(self.id),
                event: text(self.event),
                key: text(self.key),
                remove: self.remove,
                tags,
                sender: None,
                idempotency_key: text(self.idempotency_key),
                version: None,
                expected: None,
            },
            compress: Compress::default(),
            except: Except::default(),
        })
    }
}

fn unprocessable(word: &'static str, message: String) -> Problem {
    Problem::new(422, word, message)
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let (status, word, hint) = match &error {
            PublishError::TooLarge { .. } => (413, "too_large", "send less"),
            PublishError::Denied => (403, "denied", "see the channel's terms"),
            PublishError::Conflict { .. } => (409, "conflict", "read the channel again"),
            PublishError::Full { .. } => (
                503,
                "full",
                "wait, or raise the bound in the host's configuration",
            ),
            PublishError::Unavailable => (503, "unavailable", "repeat it with an idempotency key"),
            PublishError::InvalidName(_) => (422, "invalid_name", "see the channel's terms"),
        };
        Self::new(status, word, error.to_string()).hint(hint)
    }
}
