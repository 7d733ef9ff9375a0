//! Socket.IO's packets, revision 5 of the protocol: from the text and the
//! attachments of messages to values, and back. Pure functions.
//!
//! A packet with binary data is several messages: the text, with a placeholder
//! for each piece, then each piece by itself. [`Partial`] joins them; it is
//! bounded by [`ATTACHMENTS_MAX`] and [`PACKET_BYTES_MAX`].
//!
//! Source: the Socket.IO protocol
//! (<https://github.com/socketio/socket.io-protocol>). Where it is silent, this
//! refuses what the reference parser (`socket.io-parser`) refuses. This one is
//! stricter: JSON is nested at most 128 deep, has at most [`VALUES_MAX`] values
//! and no half of a surrogate pair; an acknowledgement's id is at most 2^53 - 1;
//! and events, acknowledgements and refusals have data.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The most attachments of one packet; the reference parser's default.
pub(crate) const ATTACHMENTS_MAX: usize = 10;

/// The largest packet, with its attachments, in bytes.
pub(crate) const PACKET_BYTES_MAX: usize = 4_000_000;

/// The most values, keys included, in the JSON of one packet. Values are up to a
/// hundred times larger in memory than as text: these are 20 MB at most.
pub(crate) const VALUES_MAX: usize = 50_000;

/// The largest id of an acknowledgement: the largest whole number that
/// JavaScript has.
pub(crate) const ID_MAX: u64 = (1 << 53) - 1;

/// The namespace that has no name on the wire.
pub(crate) const MAIN: &str = "/";

/// Names that mean something else to clients or to the reference server.
const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// What a packet is. The binary kinds of the wire are those with attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asks for a namespace, or says that it is open. The data is an object or
    /// nothing.
    Connect,
    /// Leaves a namespace. No data.
    Disconnect,
    /// An array: the name of the event, then its arguments.
    Event,
    /// An array: what an event is answered with. It has the event's id.
    Ack,
    /// Refuses a namespace. The data is a string or an object.
    ConnectError,
}

/// One packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) kind: Kind,
    /// With its leading slash.
    pub(crate) namespace: String,
    /// Of an acknowledgement, or of an event that asks for one.
    pub(crate) id: Option<u64>,
    pub(crate) data: Option<Value>,
    /// What the placeholders in the data stand for.
    pub(crate) attachments: Vec<Vec<u8>>,
}

/// Why a message is not a packet, or not the one that must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// No type, or one that does not exist.
    Type,
    /// No number of attachments where one must be, more than
    /// [`ATTACHMENTS_MAX`], or a placeholder without one.
    Attachments,
    /// An id that no acknowledgement has.
    Id,
    /// No JSON, or data that this kind of packet does not have.
    Payload,
    /// More than [`PACKET_BYTES_MAX`] or [`VALUES_MAX`].
    TooLarge,
}

/// A text message: a packet, or the beginning of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decoded {
    Whole(Packet),
    Part(Partial),
}

/// A packet whose attachments have not all arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Partial {
    packet: Packet,
    missing: usize,
    bytes: usize,
}

impl Partial {
    /// Takes the next attachment; the packet, once it was the last one.
    pub(crate) fn attach(mut self, bytes: Vec<u8>) -> Result<Decoded, Invalid> {
        self.bytes += bytes.len();
        if self.bytes > PACKET_BYTES_MAX {
            return Err(Invalid::TooLarge);
        }
        self.packet.attachments.push(bytes);
        self.missing -= 1;
        if self.missing > 0 {
            return Ok(Decoded::Part(self));
        }
        let data = self.packet.data.as_ref();
        if data.is_some_and(|data| !has_right_placeholders(data, self.packet.attachments.len())) {
            return Err(Invalid::Attachments);
        }
        Ok(Decoded::Whole(self.packet))
    }

    /// How many bytes it holds, without the overhead of values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Reads the text of a packet, without the type of the layer below.
pub(crate) fn decode(text: &str) -> Result<Decoded, Invalid> {
    let (kind, is_binary) = match text.as_bytes().first() {
        Some(b'0') => (Kind::Connect, false),
        Some(b'1') => (Kind::Disconnect, false),
        Some(b'2') => (Kind::Event, false),
        Some(b'3') => (Kind::Ack, false),
        Some(b'4') => (Kind::ConnectError, false),
        Some(b'5') => (Kind::Event, true),
        Some(b'6') => (Kind::Ack, true),
        _ => return Err(Invalid::Type),
    };
    let mut rest = &text[1..];
    let mut missing = 0;
    if is_binary {
        let (count, after) = rest.split_once('-').ok_or(Invalid::Attachments)?;
        missing = whole_number(count)
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count <= ATTACHMENTS_MAX)
            .ok_or(Invalid::Attachments)?;
        rest = after;
    }
    let mut namespace = MAIN;
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (id, rest) = rest.split_at(digits);
    let id = match id {
        "" => None,
        digits => Some(whole_number(digits).ok_or(Invalid::Id)?),
    };
    if has_too_many_values(rest) {
        return Err(Invalid::TooLarge);
    }
    let data = match rest {
        "" => None,
        text => Some(serde_json::from_str(text).map_err(|_| Invalid::Payload)?),
    };
    if !is_right_payload(kind, data.as_ref()) {
        return Err(Invalid::Payload);
    }
    let packet = Packet {
        kind,
        namespace: namespace.to_owned(),
        id,
        data,
        attachments: Vec::new(),
    };
    if missing == 0 {
        return Ok(Decoded::Whole(packet));
    }
    let bytes = text.len();
    if bytes > PACKET_BYTES_MAX {
        return Err(Invalid::TooLarge);
    }
    Ok(Decoded::Part(Partial {
        packet,
        missing,
        bytes,
    }))
}

/// Digits that are a number of at most [`ID_MAX`].
fn whole_number(digits: &str) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok())
        .flatten()
        .filter(|number| *number <= ID_MAX)
}

/// Counts what begins, ends or separates values outside of strings, so that
/// text is refused before it becomes values.
fn has_too_many_values(json: &str) -> bool {
    let (mut values, mut in_string, mut is_escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b',' | b':' if !in_string => values += 1,
            _ => {}
        }
    }
    values > VALUES_MAX
}

/// Whether a packet of this kind may have this data.
fn is_right_payload(kind: Kind, data: Option<&Value>) -> bool {
    match (kind, data) {
        (Kind::Connect, data) => data.is_none_or(Value::is_object),
        (Kind::Disconnect, data) => data.is_none(),
        (Kind::Event, Some(Value::Array(array))) => match array.first() {
            Some(Value::String(name)) => !RESERVED_EVENTS.contains(&name.as_str()),
            Some(Value::Number(_)) => true,
            _ => false,
        },
        (Kind::Ack, Some(data)) => data.is_array(),
        (Kind::ConnectError, Some(data)) => data.is_string() || data.is_object(),
        (Kind::Event | Kind::Ack | Kind::ConnectError, _) => false,
    }
}

/// Whether every placeholder stands for an attachment. JSON is nested at most
/// 128 deep, and so is this.
fn has_right_placeholders(data: &Value, attachments: usize) -> bool {
    match data {
        Value::Object(object) if is_placeholder(object) => {
            placeholder_index(object).is_some_and(|index| index < attachments)
        }
        Value::Object(object) => object
            .values()
            .all(|value| has_right_placeholders(value, attachments)),
        Value::Array(array) => array
            .iter()
            .all(|value| has_right_placeholders(value, attachments)),
        _ => true,
    }
}

fn is_placeholder(object: &Map<String, Value>) -> bool {
    object.get("_placeholder") == Some(&Value::Bool(true))
}

fn placeholder_index(object: &Map<String, Value>) -> Option<usize> {
    usize::try_from(object.get("num")?.as_u64()?).ok()
}

impl Packet {
    /// A packet without id, data and attachments.
    pub(crate) fn new(kind: Kind, namespace: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            id: None,
            data: None,
            attachments: Vec::new(),
        }
    }

    /// With data.
    pub(crate) fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// With the id of an acknowledgement.
    pub(crate) fn with_id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    /// With attachments, for which the data has placeholders.
    pub(crate) fn attach(mut self, attachments: Vec<Vec<u8>>) -> Self {
        self.attachments = attachments;
        self
    }

    /// The text of the packet, without the type of the layer below. The
    /// attachments follow it as messages of their own.
    pub(crate) fn encode(&self) -> String {
        let kind = match (self.kind, self.attachments.is_empty()) {
            (Kind::Connect, _) => '0',
            (Kind::Disconnect, _) => '1',
            (Kind::Event, true) => '2',
            (Kind::Ack, true) => '3',
            (Kind::ConnectError, _) => '4',
            (Kind::Event, false) => '5',
            (Kind::Ack, false) => '6',
        };
        let mut text = String::from(kind);
        // Writing to a string does not fail.
        if !self.attachments.is_empty() {
            let _ = write!(text, "{}-", self.attachments.len());
        }
        if self.namespace != MAIN {
            text.push_str(&self.namespace);
            text.push(',');
        }
        if let Some(id) = self.id {
            let _ = write!(text, "{id}");
        }
        if let Some(data) = &self.data {
            let _ = write!(text, "{data}");
        }
        text
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
