//! Requests of PushFlo's server SDK, and of those that publish with `fetch`.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /api/v1/publish` | [`PublishedView::answer`] |
//! | `POST /api/v1/channels/{slug}/messages` | [`PublishedView::answer`] |
//! | `GET /api/v1/channels/{slug}/messages` | [`history`] |
//! | `GET /api/v1/channels` | [`channels`] |
//! | `POST /api/v1/channels`, `GET`, `PATCH /api/v1/channels/{slug}` | [`ChannelView::answer`] |
//! | `DELETE /api/v1/channels/{slug}` | [`deleted`] |
//!
//! Bodies are JSON whatever their `Content-Type` says: `fetch` sends
//! `text/plain` unless it is told otherwise. Bounded by the body, which the host
//! bounds, and by the numbers of [`limits`](crate::limits).

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::frame::code_of;
use crate::http::Answer;
use crate::json::{self, Object, Text, raw};
use crate::limits::{CHANNEL_BYTES_MAX, EVENT_BYTES_MAX};
use crate::outcome::Refusal;
use crate::query;
use crate::share::kept;
use crate::time::iso8601;
use crate::view::{DataView, PublicationView};

/// The longest name of a channel for people.
pub const NAME_BYTES_MAX: usize = 256;

/// The longest description and the largest metadata of a channel.
pub const METADATA_BYTES_MAX: usize = 4 << 10;

/// The entries of a page, unless the request says another number.
pub const PAGE_DEFAULT: u32 = 25;

/// The most entries of a page.
pub const PAGE_MAX: u32 = 100;

/// What a path names. The method and the key say whether it is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/api/v1/publish`
    Publish,
    /// `/api/v1/channels`
    Channels,
    /// `/api/v1/channels/{slug}`
    Channel(String),
    /// `/api/v1/channels/{slug}/messages`
    Messages(String),
}

impl Resource {
    /// Reads a path as it was sent; one slash at its end does not matter.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/api/v1/")?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/');
        let first = segments.next()?;
        let channel = segments.next().map(|segment| {
            let name = percent_decode_str(segment).decode_utf8().ok()?;
            let fits = (1..=CHANNEL_BYTES_MAX).contains(&name.len());
            fits.then(|| name.into_owned())
        });
        match (first, channel, segments.next(), segments.next()) {
            ("publish", None, None, None) => Some(Self::Publish),
            ("channels", None, None, None) => Some(Self::Channels),
            ("channels", Some(channel), None, None) => channel.map(Self::Channel),
            ("channels", Some(channel), Some("messages"), None) => channel.map(Self::Messages),
            _ => None,
        }
    }
}

/// A request that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is not the JSON that is expected.
    #[error("the body is not the expected JSON")]
    Body,
    /// There is no channel, or its name is not possible.
    #[error("`channel` is missing or not a possible name")]
    Channel,
    /// There is nothing to publish.
    #[error("`data` or `content` is missing")]
    Data,
    /// The name of the event is too long.
    #[error("`eventType` is too long")]
    Event,
    /// A number of the query is none, or is there twice.
    #[error("`{0}` is not a number that is possible here")]
    Query(&'static str),
    /// A part of a channel is too large.
    #[error("`{0}` is missing or too large")]
    Part(&'static str),
}

impl RequestError {
    /// The answer.
    pub fn answer(&self) -> Answer {
        error(400, &self.to_string(), "VALIDATION_ERROR")
    }
}

/// What to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The channel.
    pub channel: String,
    /// The data: one JSON value, byte for byte as it came.
    pub data: Bytes,
    /// The name of its event.
    pub event: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PublishBody<'a> {
    #[serde(borrow, default)]
    channel: Text<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    content: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "eventType")]
    event: Text<'a>,
}

impl Publish {
    /// Reads a body: of `/publish`, which names the channel, or of a channel's
    /// `/messages`, whose path does. Both forms may have `data` or `content`.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub fn read(body: &Bytes, channel: Option<&str>) -> Result<Self, RequestError> {
        let read: PublishBody<'_> = object(body)?;
        let channel = channel.unwrap_or(&read.channel);
        if channel.is_empty() || channel.len() > CHANNEL_BYTES_MAX {
            return Err(RequestError::Channel);
        }
        let data = read.content.or(read.data).ok_or(RequestError::Data)?;
        if read.event.len() > EVENT_BYTES_MAX {
            return Err(RequestError::Event);
        }
        Ok(Self {
            channel: channel.to_owned(),
            data: kept(body, data.get().as_bytes()),
            event: (!read.event.is_empty()).then(|| read.event.0.into_owned()),
        })
    }
}

fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, RequestError> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(RequestError::Body);
    }
    json::read(body).map_err(|_| RequestError::Body)
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedView<'a> {
    /// Its identity.
    pub id: &'a str,
    /// The channel.
    pub channel: &'a str,
    /// The name of its event.
    pub event: Option<&'a str>,
    /// The key that published it.
    pub client: &'a str,
    /// How many subscribers of this node take it.
    pub delivered: u64,
    /// When it was published, in milliseconds since 1970.
    pub time_ms: u64,
}

impl PublishedView<'_> {
    /// The answer.
    pub fn answer(&self) -> Answer {
        let body = json::document(|result| {
            result.text("id", self.id);
            result.text("channelSlug", self.channel);
            result.text("eventType", self.event.unwrap_or("message"));
            result.text("clientId", self.client);
            result.number("delivered", self.delivered);
            result.text("createdAt", &iso8601(self.time_ms));
        });
        Answer::json(200, body)
    }
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its number; the first is 1.
    pub number: u32,
    /// The entries of a page.
    pub size: u32,
}

impl Page {
    /// Reads `page` and `pageSize`. A page that is too large is one of
    /// [`PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// When they are no positive numbers.
    pub fn of_query(query: &str) -> Result<Self, RequestError> {
        let number = number(query, "page")?.unwrap_or(1);
        let size = number_of_page(query)?.min(PAGE_MAX.into());
        match (u32::try_from(number), u32::try_from(size)) {
            (Ok(number @ 1..), Ok(size @ 1..)) => Ok(Self { number, size }),
            (Ok(1..), _) => Err(RequestError::Query("pageSize")),
            _ => Err(RequestError::Query("page")),
        }
    }

    fn write(self, object: &mut Object<'_>, total: u64) {
        object.object("pagination", |pagination| {
            pagination.number("page", self.number.into());
            pagination.number("pageSize", self.size.into());
            pagination.number("total", total);
            pagination.number("totalPages", total.div_ceil(self.size.max(1).into()));
        });
    }
}

fn number_of_page(query: &str) -> Result<u64, RequestError> {
    Ok(number(query, "pageSize")?.unwrap_or(PAGE_DEFAULT.into()))
}

fn number(query: &str, name: &'static str) -> Result<Option<u64>, RequestError> {
    let wrong = RequestError::Query(name);
    let Some(text) = query::one(query, name).map_err(|_| wrong)? else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| wrong)
}

/// Which part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The page.
    pub page: Page,
    /// Of this event alone.
    pub event: Option<String>,
    /// After this moment, in milliseconds since 1970.
    pub after_ms: Option<u64>,
    /// Before this one.
    pub before_ms: Option<u64>,
}

impl HistoryQuery {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// When a number of it is none, or a name occurs twice.
    pub fn of_query(query: &str) -> Result<Self, RequestError> {
        let event = query::one(query, "eventType").map_err(|_| RequestError::Event)?;
        let event = event.filter(|event| !event.is_empty());
        if event
            .as_ref()
            .is_some_and(|event| event.len() > EVENT_BYTES_MAX)
        {
            return Err(RequestError::Event);
        }
        Ok(Self {
            page: Page::of_query(query)?,
            event: event.map(std::borrow::Cow::into_owned),
            after_ms: number(query, "after")?,
            before_ms: number(query, "before")?,
        })
    }
}

/// The answer to a history: `items` and `pagination`, bare. With `success` and
/// `data` around, the SDK would look for `items` beside them.
pub fn history<'a>(
    page: Page,
    total: u64,
    publications: impl IntoIterator<Item = PublicationView<'a>>,
) -> Answer {
    let body = json::document(|answer| {
        answer.array("items", publications, |out, view| {
            json::object(out, |message| write_message(message, &view));
        });
        page.write(answer, total);
    });
    Answer::json(200, body)
}

fn write_message(message: &mut Object<'_>, view: &PublicationView<'_>) {
    message.text("id", view.id);
    message.text("channel", view.channel);
    message.text("eventType", view.event.unwrap_or("message"));
    message.text(
        "clientId",
        view.sender.map_or("", |sender| sender.connection),
    );
    json::data(message.key("content"), view.data);
    if matches!(view.data, DataView::Binary(_)) {
        message.text("encoding", "base64");
    }
    message.number("timestamp", view.time_ms);
}

/// A channel as it is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelView<'a> {
    /// Its name, which is its slug.
    pub slug: &'a str,
    /// Its name for people.
    pub name: &'a str,
    /// What it is for.
    pub description: Option<&'a str>,
    /// Whether subscribers need a key for it.
    pub is_private: bool,
    /// Anything, as JSON.
    pub metadata: Option<&'a str>,
    /// The publications that it keeps.
    pub messages: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was changed.
    pub updated_ms: u64,
}

impl ChannelView<'_> {
    /// The answer with this channel: 201 if it was made now.
    pub fn answer(&self, is_new: bool) -> Answer {
        let body = json::document(|channel| self.write(channel));
        Answer::json(if is_new { 201 } else { 200 }, body)
    }

    fn write(&self, channel: &mut Object<'_>) {
        channel.text("id", self.slug);
        channel.text("name", self.name);
        channel.text("slug", self.slug);
        match self.description {
            Some(description) => channel.text("description", description),
            None => channel.value("description", "null"),
        }
        channel.flag("isPrivate", self.is_private);
        channel.value("metadata", self.metadata.unwrap_or("null"));
        channel.number("messageCount", self.messages);
        channel.text("createdAt", &iso8601(self.created_ms));
        channel.text("updatedAt", &iso8601(self.updated_ms));
    }
}

/// The answer with a page of channels, which the SDK wants wrapped.
pub fn channels<'a>(
    page: Page,
    total: u64,
    channels: impl IntoIterator<Item = ChannelView<'a>>,
) -> Answer {
    let body = json::document(|answer| {
        answer.flag("success", true);
        answer.array("data", channels, |out, view| {
            json::object(out, |channel| view.write(channel));
        });
        page.write(answer, total);
    });
    Answer::json(200, body)
}

/// The answer to a channel that is gone.
pub fn deleted() -> Answer {
    Answer::empty(204)
}

/// What is to be changed about a channel, or how it is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelChange {
    /// Its slug, when it is made.
    pub slug: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// What it is for; `Some(None)` takes it away.
    pub description: Option<Option<String>>,
    /// Whether subscribers need a key for it.
    pub is_private: Option<bool>,
    /// Anything, as JSON; `Some(None)` takes it away.
    pub metadata: Option<Option<String>>,
}

#[derive(Debug, Deserialize)]
struct ChannelBody<'a> {
    #[serde(borrow)]
    slug: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "raw")]
    description: Option<&'a RawValue>,
    #[serde(rename = "isPrivate")]
    is_private: Option<bool>,
    #[serde(borrow, default, deserialize_with = "raw")]
    metadata: Option<&'a RawValue>,
}

impl ChannelChange {
    /// Reads the body of a request that makes or changes a channel.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]; for one that makes it, also when it has no name or
    /// its slug is none.
    pub fn read(body: &[u8], makes: bool) -> Result<Self, RequestError> {
        let read: ChannelBody<'_> = object(body)?;
        let bounded = |name, text: Option<Text<'_>>| {
            let text = text.map(|text| text.0.into_owned());
            let fits = |text: &String| (1..=NAME_BYTES_MAX).contains(&text.len());
            let missing = makes && text.is_none();
            if missing || !text.as_ref().is_none_or(fits) {
                return Err(RequestError::Part(name));
            }
            Ok(text)
        };
        let slug = bounded("slug", read.slug)?;
        if !slug.as_deref().is_none_or(super::is_slug) {
            return Err(RequestError::Part("slug"));
        }
        let description = read.description.map(|description| {
            let text: Option<String> = serde_json::from_str(description.get())
                .map_err(|_| RequestError::Part("description"))?;
            if text
                .as_ref()
                .is_some_and(|text| text.len() > METADATA_BYTES_MAX)
            {
                return Err(RequestError::Part("description"));
            }
            Ok(text)
        });
        let metadata = read.metadata.map(|metadata| match metadata.get() {
            "null" => Ok(None),
            text if text.len() > METADATA_BYTES_MAX => Err(RequestError::Part("metadata")),
            text => Ok(Some(text.to_owned())),
        });
        Ok(Self {
            slug,
            name: bounded("name", read.name)?,
            description: description.transpose()?,
            is_private: read.is_private,
            metadata: metadata.transpose()?,
        })
    }
}

/// The answer to a refused request. The SDK reads 401 and 403 by themselves,
/// and tries again after 429 and 5xx.
pub fn refused(refusal: &Refusal) -> Answer {
    let status = match refusal {
        Refusal::Unauthorized | Refusal::TokenExpired | Refusal::Expired => 401,
        Refusal::Denied => 403,
        Refusal::UnknownChannel | Refusal::MethodNotFound | Refusal::Unrecoverable => 404,
        Refusal::AlreadySubscribed => 409,
        Refusal::LimitExceeded | Refusal::TooManyRequests => 429,
        Refusal::BadRequest | Refusal::NotAvailable => 400,
        Refusal::Internal | Refusal::Function { .. } => 500,
    };
    error(status, &refusal.to_string(), code_of(refusal))
}

fn error(status: u16, text: &str, code: &str) -> Answer {
    let body = json::document(|error| {
        error.text("error", text);
        error.text("code", code);
    });
    Answer::json(status, body)
}

#[cfg(test)]
#[path = "rest_tests.rs"]
mod tests;
