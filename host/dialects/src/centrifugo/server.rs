//! Centrifugo's server API, as backends call it: `POST /api/{method}` with a key
//! in `X-API-Key`, or in `Authorization: apikey …`.
//!
//! Read here: publish, broadcast, subscribe, unsubscribe, disconnect, presence,
//! presence_stats, history, history_remove, channels and info. Answers have
//! `result` or `error`, with status 200. Not here: batches and what only
//! Centrifugo PRO has. Bounded by the body, which the host bounds, and by the
//! numbers of [`limits`](crate::limits).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::PositionRequest;
use super::codes::{DISCONNECT, error_of};
use super::reply::{history_result, presence_result, presence_stats_result};
use crate::base64::decoded;
use crate::history::HistoryLimit;
use crate::http::Answer;
use crate::json::{self, Elements, Fields, Members, Object, Text, are_distinct, or_default, raw};
use crate::limits::{BATCH_MAX, CHANNEL_BYTES_MAX, KEY_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX};
use crate::outcome::{PresenceStats, Refusal};
use crate::share::kept;
use crate::view::{MemberView, PositionView, PublicationView};

/// What a backend asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Publish: [`published`], or [`broadcast`] if it `is_broadcast`.
    Publish(Publish),
    /// Subscribe connections to a channel: [`done`].
    Subscribe(String, Who),
    /// End their subscription: [`done`].
    Unsubscribe(String, Who),
    /// Close connections: [`done`].
    Disconnect(Who, u16, String),
    /// The subscribers of a channel: [`presence`].
    Presence(String),
    /// How many there are: [`presence_stats`].
    PresenceStats(String),
    /// A channel's history: [`history`].
    History(History),
    /// Forget it: [`done`].
    RemoveHistory(String),
    /// The channels with subscribers whose names fit a pattern: [`channels`].
    Channels(String),
    /// What there is: [`info`].
    Info,
}

/// A publication for one channel or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The channels; at least one.
    pub channels: Vec<String>,
    /// Whether it came as a broadcast.
    pub is_broadcast: bool,
    /// The data: one JSON value, or bytes that were in base64.
    pub data: Data,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// Whether it is not kept.
    pub skip_history: bool,
    /// The key that makes a repetition harmless.
    pub idempotency_key: Option<String>,
    /// The version of the value; 0 is none.
    pub version: u64,
    /// What it counts in.
    pub version_epoch: String,
}

/// Data of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// One JSON value, byte for byte as it came.
    Json(Bytes),
    /// Bytes.
    Binary(Bytes),
}

/// Which connections: those of a user, or one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The user; empty is every connection without one.
    pub user: String,
    /// The connection, if it is one alone.
    pub connection: Option<String>,
}

/// Which part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The channel.
    pub channel: String,
    /// After this offset of this epoch.
    pub since: Option<(u64, String)>,
    /// How many publications.
    pub limit: HistoryLimit,
    /// Whether the newest come first.
    pub reverse: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such method: the answer is 404.
    #[error("there is no such method")]
    Method,
    /// The body is not JSON of the shape that is expected: the answer is 400.
    #[error("the body is not the expected JSON")]
    Body,
    /// It is, and makes no sense: the answer is an error of code 107.
    #[error("bad request")]
    BadRequest,
}

impl RequestError {
    /// The answer.
    pub fn answer(self) -> Answer {
        match self {
            Self::Method => Answer::empty(404),
            Self::Body => Answer::empty(400),
            Self::BadRequest => refused(&Refusal::BadRequest),
        }
    }
}

/// The members of all requests. Each means the same wherever it occurs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    channels: Elements<Text<'a>, BATCH_MAX>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    b64data: Text<'a>,
    #[serde(borrow)]
    tags: Members<(Text<'a>, Text<'a>), TAGS_MAX>,
    #[serde(deserialize_with = "or_default")]
    skip_history: bool,
    #[serde(borrow)]
    idempotency_key: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    version: u64,
    #[serde(borrow)]
    version_epoch: Text<'a>,
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(borrow)]
    client: Text<'a>,
    #[serde(borrow)]
    pattern: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    limit: i32,
    #[serde(deserialize_with = "or_default")]
    reverse: bool,
    #[serde(borrow)]
    since: Option<Fields<PositionRequest<'a>>>,
    #[serde(borrow)]
    disconnect: Option<Fields<Disconnect<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disconnect<'a> {
    #[serde(deserialize_with = "or_default")]
    code: u16,
    #[serde(borrow)]
    reason: Text<'a>,
}

/// The longest reason of a close frame.
const REASON_BYTES_MAX: usize = 123;

impl Request {
    /// Reads the path below `/api/` and the body. An empty body has no members.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub fn read(method: &str, body: &Bytes) -> Result<Self, RequestError> {
        let read: Body<'_> = match body.trim_ascii_start().first() {
            None => Body::default(),
            Some(b'{') => json::read(body).map_err(|_| RequestError::Body)?,
            Some(_) => return Err(RequestError::Body),
        };
        let channel = || name(&read.channel);
        Ok(match method {
            "publish" => {
                let channels = vec![channel()?];
                Self::Publish(publish(body, &read, channels, false)?)
            }
            "broadcast" => {
                let channels = read.channels.0.iter().map(|channel| name(channel));
                let channels = channels.collect::<Result<Vec<_>, _>>()?;
                if channels.is_empty() {
                    return Err(RequestError::BadRequest);
                }
                Self::Publish(publish(body, &read, channels, true)?)
            }
            "subscribe" => Self::Subscribe(channel()?, who(&read)?),
            "unsubscribe" => Self::Unsubscribe(channel()?, who(&read)?),
            "disconnect" => {
                let (code, reason) = close(read.disconnect.as_deref())?;
                Self::Disconnect(who(&read)?, code, reason)
            }
            "presence" => Self::Presence(channel()?),
            "presence_stats" => Self::PresenceStats(channel()?),
            "history" => Self::History(History {
                channel: channel()?,
                since: read
                    .since
                    .as_ref()
                    .map(|since| (since.offset, since.epoch.to_string())),
                limit: HistoryLimit::of_number(read.limit),
                reverse: read.reverse,
            }),
            "history_remove" => Self::RemoveHistory(channel()?),
            "channels" => Self::Channels(bounded(&read.pattern, CHANNEL_BYTES_MAX)?),
            "info" => Self::Info,
            _ => return Err(RequestError::Method),
        })
    }
}

fn bounded(text: &str, bytes_max: usize) -> Result<String, RequestError> {
    if text.len() > bytes_max {
        return Err(RequestError::BadRequest);
    }
    Ok(text.to_owned())
}

fn name(channel: &str) -> Result<String, RequestError> {
    if channel.is_empty() {
        return Err(RequestError::BadRequest);
    }
    bounded(channel, CHANNEL_BYTES_MAX)
}

fn who(read: &Body<'_>) -> Result<Who, RequestError> {
    let connection = bounded(&read.client, KEY_BYTES_MAX)?;
    Ok(Who {
        user: bounded(&read.user, KEY_BYTES_MAX)?,
        connection: (!connection.is_empty()).then_some(connection),
    })
}

/// The code and reason with which connections are closed.
fn close(given: Option<&Disconnect<'_>>) -> Result<(u16, String), RequestError> {
    match given {
        None => Ok((DISCONNECT.code, DISCONNECT.reason.to_owned())),
        Some(given) if !(3_000..5_000).contains(&given.code) => Err(RequestError::BadRequest),
        Some(given) => Ok((given.code, bounded(&given.reason, REASON_BYTES_MAX)?)),
    }
}

fn publish(
    body: &Bytes,
    read: &Body<'_>,
    channels: Vec<String>,
    is_broadcast: bool,
) -> Result<Publish, RequestError> {
    let data = match (read.data, &*read.b64data) {
        (_, encoded) if !encoded.is_empty() => {
            Data::Binary(decoded(encoded).ok_or(RequestError::BadRequest)?.into())
        }
        (Some(data), _) => Data::Json(kept(body, data.get().as_bytes())),
        (None, _) => return Err(RequestError::BadRequest),
    };
    let tags = read.tags.0.iter().map(|(name, value)| {
        Ok((
            bounded(name, TAG_BYTES_MAX)?,
            bounded(value, TAG_BYTES_MAX)?,
        ))
    });
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    if !are_distinct(&tags) {
        return Err(RequestError::BadRequest);
    }
    let key = bounded(&read.idempotency_key, KEY_BYTES_MAX)?;
    Ok(Publish {
        channels,
        is_broadcast,
        data,
        tags,
        skip_history: read.skip_history,
        idempotency_key: (!key.is_empty()).then_some(key),
        version: read.version,
        version_epoch: bounded(&read.version_epoch, KEY_BYTES_MAX)?,
    })
}

/// An answer with a result.
fn result(write: impl FnOnce(&mut Object<'_>)) -> Answer {
    let body = json::document(|answer| answer.object("result", write));
    Answer::json(200, body)
}

/// The answer to a refused request.
pub fn refused(refusal: &Refusal) -> Answer {
    Answer::json(200, json::document(|answer| write_error(answer, refusal)))
}

fn write_error(answer: &mut Object<'_>, refusal: &Refusal) {
    answer.object("error", |error| {
        error.number("code", error_of(refusal).0.into());
        error.text("message", &refusal.to_string());
    });
}

fn write_position(result: &mut Object<'_>, position: Option<PositionView<'_>>) {
    if let Some(position) = position {
        result.number("offset", position.offset);
        result.text("epoch", position.epoch);
    }
}

/// The answer to a publication, with its position if the channel keeps history.
pub fn published(position: Option<PositionView<'_>>) -> Answer {
    result(|result| write_position(result, position))
}

/// The answer to a broadcast, in the order of its channels.
pub fn broadcast<'a>(
    outcomes: impl IntoIterator<Item = Result<Option<PositionView<'a>>, &'a Refusal>>,
) -> Answer {
    result(|result| {
        result.array("responses", outcomes, |out, outcome| {
            json::object(out, |response| match outcome {
                Ok(position) => {
                    response.object("result", |result| write_position(result, position));
                }
                Err(refusal) => write_error(response, refusal),
            });
        });
    })
}

/// The answer to what has no result.
pub fn done() -> Answer {
    result(|_| ())
}

/// The answer with the subscribers of a channel.
pub fn presence<'a>(members: impl IntoIterator<Item = MemberView<'a>>) -> Answer {
    result(|result| presence_result(result, members))
}

/// The answer with their number.
pub fn presence_stats(stats: PresenceStats) -> Answer {
    result(|result| presence_stats_result(result, stats))
}

/// The answer with a history.
pub fn history<'a>(
    end: PositionView<'_>,
    publications: impl IntoIterator<Item = PublicationView<'a>>,
) -> Answer {
    result(|result| history_result(result, end, publications))
}

/// The answer with channels and their subscribers.
pub fn channels<'a>(channels: impl IntoIterator<Item = (&'a str, u32)>) -> Answer {
    result(|result| {
        result.object("channels", |list| {
            for (channel, subscribers) in channels {
                list.foreign_object(channel, |info| {
                    info.number("num_clients", subscribers.into())
                });
            }
        });
    })
}

/// A node, in the answer to `info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeView<'a> {
    /// Its identity.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The version of the host.
    pub version: &'a str,
    /// Its connections and their distinct users.
    pub stats: PresenceStats,
    /// Its channels.
    pub channels: u32,
    /// Its subscriptions.
    pub subscriptions: u32,
    /// For how long it has been there, in seconds.
    pub uptime_s: u32,
}

/// The answer with the nodes.
pub fn info<'a>(nodes: impl IntoIterator<Item = NodeView<'a>>) -> Answer {
    result(|result| {
        result.array("nodes", nodes, |out, view| {
            json::object(out, |node| {
                node.text("uid", view.id);
                node.text("name", view.name);
                node.text("version", view.version);
                presence_stats_result(node, view.stats);
                node.number("num_channels", view.channels.into());
                node.number("uptime", view.uptime_s.into());
                node.number("num_subs", view.subscriptions.into());
            });
        });
    })
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
