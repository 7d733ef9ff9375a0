//! The body of `POST /v1/publish`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::ApiError;
use crate::base64::decoded;
use crate::json::{self, Elements, JsonError, Members, Text, are_distinct, or_default, raw};
use crate::limits::{
    BATCH_MAX, CHANNEL_BYTES_MAX, EVENT_BYTES_MAX, KEY_BYTES_MAX, POSITION_BYTES_MAX,
    TAG_BYTES_MAX, TAGS_MAX,
};
use crate::share::kept;

/// What is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publications {
    /// The publications, in their order.
    pub list: Vec<Publication>,
    /// Whether the answer is that of a batch.
    pub is_batch: bool,
}

/// A publication for one channel or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The channels: at least one, each a possible length.
    pub channels: Vec<String>,
    /// Whether the channels were a list, so that the results are one, too.
    pub is_broadcast: bool,
    /// The data; none removes the key.
    pub body: Option<Body>,
    /// The name of its event.
    pub event: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// The key that makes a repetition harmless.
    pub idempotency_key: Option<String>,
    /// The version of the value.
    pub version: Option<Version>,
    /// The position at which the channel must be.
    pub expect: Option<String>,
    /// The key of the value, in a channel that keeps one for each.
    pub key: Option<String>,
    /// The connection that does not get it.
    pub skip_connection: Option<String>,
    /// The user whose connections do not get it.
    pub skip_user: Option<String>,
}

/// Data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// One JSON value, byte for byte as it came.
    Json(Bytes),
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

/// The version of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The number.
    pub number: u64,
    /// What it counts in; another epoch begins anew.
    pub epoch: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    #[serde(borrow)]
    publications: Elements<PublicationBody<'a>, BATCH_MAX>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicationBody<'a> {
    #[serde(borrow)]
    channel: Option<Text<'a>>,
    #[serde(borrow)]
    channels: Option<Elements<Text<'a>, BATCH_MAX>>,
    #[serde(borrow, default, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    base64: Option<Text<'a>>,
    #[serde(borrow)]
    event: Option<Text<'a>>,
    #[serde(borrow, default)]
    tags: Members<(Text<'a>, Text<'a>), TAGS_MAX>,
    #[serde(borrow)]
    idempotency_key: Option<Text<'a>>,
    version: Option<u64>,
    #[serde(borrow)]
    version_epoch: Option<Text<'a>>,
    #[serde(borrow)]
    expect: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    remove: bool,
    #[serde(borrow)]
    skip_connection: Option<Text<'a>>,
    #[serde(borrow)]
    skip_user: Option<Text<'a>>,
}

/// Tells a batch from a publication.
#[derive(Debug, Deserialize)]
struct Peek<'a> {
    #[serde(borrow)]
    publications: Option<&'a RawValue>,
}

impl Publications {
    /// Reads a body, which is refused as a whole.
    ///
    /// # Errors
    ///
    /// When it is not the JSON that is expected, or a part of it is too long.
    pub fn read(body: &Bytes) -> Result<Self, ApiError> {
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(ApiError::Malformed("an object is expected".to_owned()));
        }
        let malformed = |error: JsonError| match error {
            JsonError::Malformed(why) => ApiError::Malformed(why),
            JsonError::Deep => ApiError::Malformed(error.to_string()),
        };
        let peek: Peek<'_> = json::read(body).map_err(malformed)?;
        let is_batch = peek.publications.is_some();
        let read = if is_batch {
            let batch: BatchBody<'_> = json::read(body).map_err(malformed)?;
            batch.publications.0
        } else {
            vec![json::read(body).map_err(malformed)?]
        };
        let list = read.into_iter().map(|one| Publication::of(body, one));
        let list = list.collect::<Result<Vec<_>, _>>()?;
        if list.iter().map(|one| one.channels.len()).sum::<usize>() > BATCH_MAX {
            return Err(ApiError::TooMany);
        }
        Ok(Self { list, is_batch })
    }
}

const fn invalid(name: &'static str, why: &'static str) -> ApiError {
    ApiError::Invalid { name, why }
}

/// A text of a possible length, if it is there.
fn bounded(
    name: &'static str,
    text: Option<Text<'_>>,
    bytes_max: usize,
) -> Result<Option<String>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    match text.len() {
        0 => Err(invalid(name, "is empty")),
        length if length > bytes_max => Err(invalid(name, "is too long")),
        _ => Ok(Some(text.0.into_owned())),
    }
}

impl Publication {
    fn of(whole: &Bytes, read: PublicationBody<'_>) -> Result<Self, ApiError> {
        let is_broadcast = read.channels.is_some();
        let names = match (read.channel, read.channels) {
            (Some(channel), None) => vec![channel],
            (None, Some(channels)) if !channels.0.is_empty() => channels.0,
            (None, Some(_)) => return Err(invalid("channels", "is empty")),
            (Some(_), Some(_)) => return Err(invalid("channels", "stands beside `channel`")),
            (None, None) => return Err(invalid("channel", "is missing")),
        };
        let names = names.into_iter().map(|name| {
            let name = bounded("channel", Some(name), CHANNEL_BYTES_MAX)?;
            Ok(name.unwrap_or_default())
        });
        let key = bounded("key", read.key, KEY_BYTES_MAX)?;
        let body = match (read.data, read.text, read.base64) {
            (Some(data), None, None) => Some(Body::Json(kept(whole, data.get().as_bytes()))),
            (None, Some(text), None) => Some(Body::Text(text.0.into_owned())),
            (None, None, Some(encoded)) => {
                let bytes = decoded(&encoded);
                let bytes = bytes.ok_or(invalid("base64", "is not base64"))?;
                Some(Body::Binary(bytes.into()))
            }
            (None, None, None) => None,
            _ => return Err(invalid("data", "is there more than once")),
        };
        match (&body, read.remove) {
            (None, false) => return Err(invalid("data", "is missing")),
            (Some(_), true) => return Err(invalid("data", "stands beside `remove`")),
            (None, true) if key.is_none() => return Err(invalid("key", "is missing")),
            _ => {}
        }
        let epoch = bounded("version_epoch", read.version_epoch, KEY_BYTES_MAX)?;
        let version = match (read.version, epoch) {
            (Some(number), epoch) => Some(Version {
                number,
                epoch: epoch.unwrap_or_default(),
            }),
            (None, None) => None,
            (None, Some(_)) => return Err(invalid("version", "is missing")),
        };
        let tags = read.tags.0.into_iter().map(|(name, value)| {
            if name.is_empty() || name.len() > TAG_BYTES_MAX || value.len() > TAG_BYTES_MAX {
                return Err(invalid(
                    "tags",
                    "has a tag without name, or a tag that is too long",
                ));
            }
            Ok((name.0.into_owned(), value.0.into_owned()))
        });
        let tags = tags.collect::<Result<Vec<_>, _>>()?;
        if !are_distinct(&tags) {
            return Err(invalid("tags", "has a name twice"));
        }
        Ok(Self {
            channels: names.collect::<Result<_, _>>()?,
            is_broadcast,
            body,
            event: bounded("event", read.event, EVENT_BYTES_MAX)?,
            tags,
            idempotency_key: bounded("idempotency_key", read.idempotency_key, KEY_BYTES_MAX)?,
            version,
            expect: bounded("expect", read.expect, POSITION_BYTES_MAX)?,
            key,
            skip_connection: bounded("skip_connection", read.skip_connection, KEY_BYTES_MAX)?,
            skip_user: bounded("skip_user", read.skip_user, KEY_BYTES_MAX)?,
        })
    }
}
