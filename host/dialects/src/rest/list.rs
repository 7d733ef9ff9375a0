//! Histories, presence, channels, connections: their queries and answers.

use std::borrow::Cow;

use super::error::ApiError;
use crate::http::Answer;
use crate::json::{self, Object};
use crate::limits::{KEY_BYTES_MAX, PAGE_MAX, POSITION_BYTES_MAX};
use crate::outcome::PresenceStats;
use crate::query;
use crate::time::iso8601;
use crate::view::{DataView, MemberView, PublicationView};

/// The entries of a page, unless the request says another number.
const PAGE_DEFAULT: u32 = 100;

/// The longest wait for a publication, in seconds: proxies close what is silent
/// for 60.
const WAIT_S_MAX: u32 = 50;

/// A publication with what only our own requests and event streams say of it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The publication.
    pub view: PublicationView<'a>,
    /// Its position as text, if it has one.
    pub position: Option<&'a str>,
    /// The key of the value that it changes, on a channel with keyed values.
    pub key: Option<&'a str>,
    /// Whether it removes that value. Its data is an empty text then.
    pub removed: bool,
}

/// A channel, in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSummary<'a> {
    /// Its name.
    pub channel: &'a str,
    /// Its subscribers on this node.
    pub subscribers: u64,
    /// The publications that it keeps.
    pub kept: u64,
    /// Where it is, if it keeps history.
    pub position: Option<&'a str>,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSummary<'a> {
    /// Its identity.
    pub connection: &'a str,
    /// Its function; empty if it has none.
    pub function: &'a str,
    /// Its user; empty if it has none.
    pub user: &'a str,
    /// The address of its peer.
    pub address: &'a str,
    /// Its tags.
    pub tags: &'a [&'a str],
    /// Its channels.
    pub channels: &'a [&'a str],
    /// When it was opened, in milliseconds since 1970.
    pub opened_ms: u64,
    /// When it last sent or was sent something.
    pub active_ms: u64,
}

/// Which part of a list of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// How the names begin.
    pub prefix: String,
    /// Of this user, in a list of connections.
    pub user: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// After this entry: the `next` of the page before.
    pub after: Option<String>,
    /// How many entries.
    pub limit: u32,
}

/// Which part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// After this position, as text.
    pub since: Option<String>,
    /// How many publications.
    pub limit: u32,
    /// Whether the newest come first.
    pub reverse: bool,
}

/// What a poll waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollQuery {
    /// After this position, as text. Without one the answer is the position of
    /// now, at once.
    pub since: Option<String>,
    /// How long it waits for the first publication, in seconds.
    pub wait_s: u32,
    /// How many publications.
    pub limit: u32,
}

fn invalid(name: &'static str, why: &'static str) -> ApiError {
    ApiError::Invalid { name, why }
}

/// A text of the query of a possible length.
fn text(query: &str, name: &'static str, bytes_max: usize) -> Result<Option<String>, ApiError> {
    let text = query::one(query, name).map_err(|_| invalid(name, "is there twice"))?;
    let text = text.filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.len() > bytes_max) {
        return Err(invalid(name, "is too long"));
    }
    Ok(text.map(Cow::into_owned))
}

fn number(query: &str, name: &'static str) -> Result<Option<u32>, ApiError> {
    let Some(text) = text(query, name, 16)? else {
        return Ok(None);
    };
    let number = text.parse();
    number
        .map(Some)
        .map_err(|_| invalid(name, "is not a number"))
}

fn limit(query: &str) -> Result<u32, ApiError> {
    match number(query, "limit")?.unwrap_or(PAGE_DEFAULT) {
        0 => Err(invalid("limit", "is 0")),
        limit => Ok(limit.min(PAGE_MAX)),
    }
}

impl ListQuery {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// When a name occurs twice, or a value is not possible.
    pub fn of_query(query: &str) -> Result<Self, ApiError> {
        Ok(Self {
            prefix: text(query, "prefix", KEY_BYTES_MAX)?.unwrap_or_default(),
            user: text(query, "user", KEY_BYTES_MAX)?,
            tag: text(query, "tag", KEY_BYTES_MAX)?,
            after: text(query, "after", KEY_BYTES_MAX)?,
            limit: limit(query)?,
        })
    }
}

impl HistoryPage {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// As [`ListQuery::of_query`].
    pub fn of_query(query: &str) -> Result<Self, ApiError> {
        let reverse = match text(query, "reverse", 16)?.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(invalid("reverse", "is neither `true` nor `false`")),
        };
        Ok(Self {
            since: text(query, "since", POSITION_BYTES_MAX)?,
            limit: limit(query)?,
            reverse,
        })
    }
}

impl PollQuery {
    /// Reads a query. A wait of more than 50 seconds is one of 50.
    ///
    /// # Errors
    ///
    /// As [`ListQuery::of_query`].
    pub fn of_query(query: &str) -> Result<Self, ApiError> {
        let wait = number(query, "wait")?;
        Ok(Self {
            since: text(query, "since", POSITION_BYTES_MAX)?,
            wait_s: wait.unwrap_or(WAIT_S_MAX).min(WAIT_S_MAX),
            limit: limit(query)?,
        })
    }
}

/// Writes a publication.
fn write(out: &mut String, stored: &Stored<'_>) {
    let view = &stored.view;
    json::object(out, |publication| {
        publication.text("channel", view.channel);
        publication.text("id", view.id);
        publication.text_if_some("position", stored.position);
        publication.text_if_some("event", view.event);
        publication.text_if_some("key", stored.key);
        publication.flag_if_set("removed", stored.removed);
        let name = match view.data {
            DataView::Json(_) => "data",
            DataView::Text(_) => "text",
            DataView::Binary(_) => "base64",
        };
        json::data(publication.key(name), view.data);
        if let Some(tags) = view.tags {
            publication.object("tags", |object| {
                tags.each(&mut |name, value| object.foreign_text(name, value));
            });
        }
        if let Some(sender) = &view.sender {
            publication.object("sender", |object| member(object, sender));
        }
        publication.text("time", &iso8601(view.time_ms));
    });
}

fn member(object: &mut Object<'_>, view: &MemberView<'_>) {
    object.text("connection", view.connection);
    object.text_if_any("user", view.user);
    object.value_if_any("info", view.connection_info);
    object.value_if_any("channel_info", view.channel_info);
}

/// A publication as a document of its own: the data of an event that has all of
/// it.
pub fn published_event(stored: &Stored<'_>) -> String {
    let mut out = String::with_capacity(192 + stored.view.data.len());
    write(&mut out, stored);
    out
}

fn write_page<'a>(
    answer: &mut Object<'_>,
    publications: impl IntoIterator<Item = Stored<'a>>,
    position: Option<&str>,
) {
    answer.array("publications", publications, |out, stored| {
        write(out, &stored)
    });
    answer.text_if_some("position", position);
}

/// The answer to a history, with the position of its last publication, or of
/// the channel if there is none.
pub fn history<'a>(
    publications: impl IntoIterator<Item = Stored<'a>>,
    position: Option<&str>,
) -> Answer {
    let body = json::document(|answer| {
        write_page(answer, publications, position);
    });
    Answer::json(200, body)
}

/// The answer to a poll. Without `recovered`, publications after the position
/// are lost, and there are none here: the peer fetches its state elsewhere and
/// goes on from the new position.
pub fn polled<'a>(
    publications: impl IntoIterator<Item = Stored<'a>>,
    position: Option<&str>,
    recovered: bool,
) -> Answer {
    let body = json::document(|answer| {
        write_page(answer, publications, position);
        answer.flag("recovered", recovered);
    });
    Answer::json(200, body)
}

/// The answer with a page of members. `next` is the last one's connection, if
/// there are more.
pub fn presence<'a>(
    stats: PresenceStats,
    members: impl IntoIterator<Item = MemberView<'a>>,
    next: Option<&str>,
) -> Answer {
    let body = json::document(|answer| {
        answer.number("connections", stats.connections.into());
        answer.number("users", stats.users.into());
        answer.array("members", members, |out, view| {
            json::object(out, |object| member(object, &view));
        });
        answer.text_if_some("next", next);
    });
    Answer::json(200, body)
}

/// The answer with a page of channels.
pub fn channels<'a>(
    channels: impl IntoIterator<Item = ChannelSummary<'a>>,
    next: Option<&str>,
) -> Answer {
    let body = json::document(|answer| {
        answer.array("channels", channels, |out, view| {
            json::object(out, |channel| {
                channel.text("channel", view.channel);
                channel.number("subscribers", view.subscribers);
                channel.number("kept", view.kept);
                channel.text_if_some("position", view.position);
            });
        });
        answer.text_if_some("next", next);
    });
    Answer::json(200, body)
}

/// The answer with a page of connections.
pub fn connections<'a>(
    connections: impl IntoIterator<Item = ConnectionSummary<'a>>,
    next: Option<&str>,
) -> Answer {
    let body = json::document(|answer| {
        answer.array("connections", connections, |out, view| {
            json::object(out, |connection| write_connection(connection, &view));
        });
        answer.text_if_some("next", next);
    });
    Answer::json(200, body)
}

/// The answer with one connection.
pub fn connection(view: &ConnectionSummary<'_>) -> Answer {
    let body = json::document(|connection| write_connection(connection, view));
    Answer::json(200, body)
}

fn write_connection(connection: &mut Object<'_>, view: &ConnectionSummary<'_>) {
    connection.text("connection", view.connection);
    connection.text_if_any("function", view.function);
    connection.text_if_any("user", view.user);
    connection.text("address", view.address);
    let texts = |out: &mut String, name: &&str| json::text(out, name);
    connection.array("tags", view.tags, texts);
    connection.array("channels", view.channels, texts);
    connection.text("opened", &iso8601(view.opened_ms));
    connection.text("active", &iso8601(view.active_ms));
}
