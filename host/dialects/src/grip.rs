//! Publishing as GRIP does, which Pushpin and Fastly Fanout speak, and the
//! `pubcontrol` libraries of many languages.
//!
//! ```text
//! POST /publish/
//! {"items":[{"channel":"c","id":"2","prev-id":"1","meta":{"k":"v"},
//!            "formats":{"ws-message":{"content":"text"}}}]}
//! ```
//!
//! The formats may also stand beside the channel, without `formats`: libraries
//! write the one form, and Pushpin's documentation the other. Of the formats
//! this reads `ws-message`, and of an item without it the content of
//! `http-stream`. An item that has neither is accepted and publishes
//! nothing. Texts of errors are Pushpin's.
//!
//! Bounded by the body, which the host bounds, and by [`ITEMS_MAX`].

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base64::decoded;
use crate::http::Answer;
use crate::json::{self, Elements, Text};
use crate::limits::{CHANNEL_BYTES_MAX, ITEMS_MAX, KEY_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX};

/// One item: something to do in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The channel.
    pub channel: String,
    /// Its identity, which makes a repetition harmless.
    pub id: Option<String>,
    /// The identity of the item before it. Pushpin sorts by it; here the order
    /// is that of the requests, so a mismatch is for the host to count.
    pub previous_id: Option<String>,
    /// Its meta data: tags.
    pub tags: Vec<(String, String)>,
    /// What to do.
    pub action: Action,
}

/// What an item does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends text to the subscribers.
    Text(String),
    /// Sends bytes.
    Binary(Bytes),
    /// Closes the subscribers' connections.
    Close {
        /// The code, if it is one that may be sent.
        code: Option<u16>,
        /// The reason; may be empty.
        reason: String,
    },
    /// Nothing that this host does: pings, refreshes, and formats for transports
    /// that it does not have.
    Nothing,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GripError {
    /// It is no JSON.
    #[error("Body is not valid JSON.")]
    Json,
    /// It is JSON, and no object.
    #[error("Invalid format.")]
    Shape,
    /// Something in it is missing or wrong.
    #[error("Invalid format: {0}")]
    Format(String),
}

impl GripError {
    /// The answer, which is the same text whatever the publisher accepts.
    pub fn answer(&self) -> Answer {
        Answer {
            content_type: Some("text/plain"),
            ..Answer::json(400, format!("{self}\n"))
        }
    }
}

/// How the publisher wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// As text.
    Text,
    /// As JSON.
    Json,
}

impl Accepted {
    /// Reads an `Accept` header, if there is one: the last type in it that can
    /// be served, as Pushpin does. `None` if there is no such type.
    pub fn of(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept else {
            return Some(Self::Text);
        };
        let mut types = accept.split(',').filter_map(|entry| {
            match entry.split(';').next().unwrap_or_default().trim() {
                "text/plain" | "text/*" | "*/*" | "*" => Some(Self::Text),
                "application/json" | "application/*" => Some(Self::Json),
                _ => None,
            }
        });
        types.next_back()
    }

    /// The answer to items that were published.
    pub fn published(self) -> Answer {
        match self {
            Self::Text => text(200, "Published\n"),
            Self::Json => Answer::json(200, "{\"message\":\"Published\"}\n".to_owned()),
        }
    }
}

fn text(status: u16, body: &str) -> Answer {
    Answer {
        content_type: Some("text/plain"),
        ..Answer::json(status, body.to_owned())
    }
}

/// The answer to a publisher that accepts neither text nor JSON.
pub fn not_acceptable() -> Answer {
    text(
        406,
        "Not Acceptable. Supported formats are text/plain and application/json.\n",
    )
}

/// The answer to another method than POST.
pub fn method_not_allowed() -> Answer {
    Answer {
        header: Some(("allow", "POST")),
        ..text(405, "Method not allowed.\n")
    }
}

#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    items: Option<&'a RawValue>,
}

/// The parts of an item, each read by itself so that an error can name it.
#[derive(Debug, Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "prev-id")]
    previous_id: Option<&'a RawValue>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    formats: Option<&'a RawValue>,
    #[serde(borrow, rename = "ws-message")]
    message: Option<&'a RawValue>,
    #[serde(borrow, rename = "http-stream")]
    stream: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Formats<'a> {
    #[serde(borrow, rename = "ws-message")]
    message: Option<&'a RawValue>,
    #[serde(borrow, rename = "http-stream")]
    stream: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Format<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow, rename = "content-bin")]
    binary: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

/// Reads the body of `POST /publish/`: the items, in their order. It is refused
/// as a whole.
///
/// # Errors
///
/// See [`GripError`].
pub fn read(body: &[u8]) -> Result<Vec<Item>, GripError> {
    json::read::<&RawValue>(body).map_err(|_| GripError::Json)?;
    if !is_object(body) {
        return Err(GripError::Shape);
    }
    let read: Body<'_> = json::read(body).map_err(|_| GripError::Shape)?;
    let items = read
        .items
        .ok_or_else(|| format("object does not contain 'items'"))?;
    if !items.get().starts_with('[') {
        return Err(format("object contains 'items' with wrong type"));
    }
    let items: Elements<&RawValue, ITEMS_MAX> = serde_json::from_str(items.get())
        .map_err(|_| format(&format!("more than {ITEMS_MAX} items")))?;
    items.0.into_iter().map(item).collect()
}

fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

fn format(why: &str) -> GripError {
    GripError::Format(why.to_owned())
}

const ITEM: &str = "publish item object";

/// Reads an object of which the members may be anything.
fn object<'a, T: Deserialize<'a>>(value: &'a RawValue, what: &str) -> Result<T, GripError> {
    let no_object = || format(&format!("{what} is not an object"));
    if !is_object(value.get().as_bytes()) {
        return Err(no_object());
    }
    serde_json::from_str(value.get()).map_err(|_| no_object())
}

/// Reads a text of at most so many bytes.
fn text_of(
    value: Option<&RawValue>,
    what: &str,
    name: &str,
    bytes_max: usize,
) -> Result<Option<String>, GripError> {
    let Some(value) = value else { return Ok(None) };
    let wrong = |how: &str| format(&format!("{what} contains '{name}' with {how}"));
    let text: Text<'_> = serde_json::from_str(value.get()).map_err(|_| wrong("wrong type"))?;
    if text.len() > bytes_max {
        return Err(wrong("invalid value"));
    }
    Ok(Some(text.0.into_owned()))
}

fn item(value: &RawValue) -> Result<Item, GripError> {
    let parts: Parts<'_> = object(value, ITEM)?;
    let channel = text_of(parts.channel, ITEM, "channel", CHANNEL_BYTES_MAX)?;
    let channel = channel
        .filter(|channel| !channel.is_empty())
        .ok_or_else(|| format(&format!("{ITEM} does not contain 'channel'")))?;
    let id = text_of(parts.id, ITEM, "id", KEY_BYTES_MAX)?;
    let previous_id = text_of(parts.previous_id, ITEM, "prev-id", KEY_BYTES_MAX)?;
    let (message, stream) = match parts.formats {
        Some(formats) => {
            let formats: Formats<'_> = object(formats, "'formats'")?;
            (formats.message, formats.stream)
        }
        None => (parts.message, parts.stream),
    };
    let action = match (message, stream) {
        (Some(message), _) => action(message, "'ws-message'")?,
        (None, Some(stream)) => match action(stream, "'http-stream'")? {
            // It closes streams alone.
            Action::Close { .. } => Action::Nothing,
            content => content,
        },
        (None, None) => Action::Nothing,
    };
    Ok(Item {
        channel,
        id: id.filter(|id| !id.is_empty()),
        previous_id: previous_id.filter(|id| !id.is_empty()),
        tags: parts.meta.map(tags).transpose()?.unwrap_or_default(),
        action,
    })
}

fn tags(meta: &RawValue) -> Result<Vec<(String, String)>, GripError> {
    if !is_object(meta.get().as_bytes()) {
        return Err(format(&format!("{ITEM} contains 'meta' with wrong type")));
    }
    let read: Result<json::Members<(Text<'_>, &RawValue), TAGS_MAX>, _> =
        serde_json::from_str(meta.get());
    let members = read.map_err(|_| format(&format!("'meta' has more than {TAGS_MAX} members")))?;
    let tags = members.0.into_iter().map(|(name, value)| {
        let text = text_of(Some(value), "'meta'", &name, TAG_BYTES_MAX)?;
        if name.len() > TAG_BYTES_MAX {
            return Err(format("'meta' contains a name that is too long"));
        }
        Ok((name.0.into_owned(), text.unwrap_or_default()))
    });
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    if !json::are_distinct(&tags) {
        return Err(format("'meta' contains a name twice"));
    }
    Ok(tags)
}

fn action(value: &RawValue, what: &str) -> Result<Action, GripError> {
    let read: Format<'_> = object(value, what)?;
    let text = |value, name| text_of(value, what, name, usize::MAX);
    match text(read.action, "action")?.as_deref() {
        None | Some("send" | "") => {}
        Some("hint" | "refresh") => return Ok(Action::Nothing),
        Some("close") => {
            let code = close_code(read.code, what)?;
            let mut reason = text(read.reason, "reason")?.unwrap_or_default();
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
            return Ok(Action::Close { code, reason });
        }
        Some(_) => return Err(wrong_value(what, "action")),
    }
    let kind = text(read.kind, "type")?;
    let is_binary = match kind.as_deref() {
        None => read.binary.is_some(),
        Some("text") => false,
        Some("binary") => true,
        Some("ping" | "pong") => return Ok(Action::Nothing),
        Some(_) => {
            return Err(format(&format!(
                "{what} contains 'type' with unknown value"
            )));
        }
    };
    let bytes = if let Some(encoded) = text(read.binary, "content-bin")? {
        decoded(&encoded).ok_or_else(|| wrong_value(what, "content-bin"))?
    } else if let Some(content) = text(read.content, "content")? {
        content.into_bytes()
    } else {
        let why = format!("{what} does not contain 'content' or 'content-bin'");
        return Err(format(&why));
    };
    if is_binary {
        return Ok(Action::Binary(bytes.into()));
    }
    let content = String::from_utf8(bytes).map_err(|_| wrong_value(what, "content-bin"))?;
    Ok(Action::Text(content))
}

fn wrong_value(what: &str, name: &str) -> GripError {
    format(&format!("{what} contains '{name}' with invalid value"))
}

/// The longest reason of a close frame.
const REASON_BYTES_MAX: usize = 123;

/// A code that may not be sent is as good as none.
fn close_code(value: Option<&RawValue>, what: &str) -> Result<Option<u16>, GripError> {
    let Some(value) = value else { return Ok(None) };
    let code: i64 = serde_json::from_str(value.get())
        .map_err(|_| format(&format!("{what} contains 'code' with wrong type")))?;
    if code < 0 {
        return Err(wrong_value(what, "code"));
    }
    let code = u16::try_from(code).ok();
    Ok(code.filter(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)))
}

#[cfg(test)]
#[path = "grip_tests.rs"]
mod tests;
