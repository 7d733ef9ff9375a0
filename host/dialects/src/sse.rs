//! Server-Sent Events, for peers whose proxies break WebSockets:
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
//!
//! Each event has the position after it as its `id`, which browsers send back as
//! `Last-Event-ID` when they connect again. The events of a channel are the same
//! for all its subscribers: each is written once.
//!
//! ```text
//! retry: 3000
//!
//! id: p1
//! event: created
//! data: {"a":1}
//!
//! ```
//!
//! A request that ends is made again by the browser, unless the answer is 204.

use std::borrow::Cow;
use std::fmt::Display;
use std::fmt::Write;

use bytestring::ByteString;

use crate::limits::POSITION_BYTES_MAX;
use crate::query;
use crate::rest::{Stored, published_event};
use crate::view::DataView;

/// The type of the stream.
pub const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// Headers of the answer beside its type: no cache keeps it, and no proxy
/// gathers it.
pub const HEADERS: [(&str, &str); 2] = [
    ("cache-control", "private, no-cache, no-store, no-transform"),
    ("x-accel-buffering", "no"),
];

/// A line that means nothing, and keeps proxies from closing what is silent.
pub const PING: &str = ":\n\n";

/// The name of the event that says that publications were lost: the peer is to
/// fetch its state elsewhere. Its data is empty, and its `id` the new position.
pub const LOST: &str = "openline-lost";

/// The name of an event whose data is bytes in base64.
pub const BINARY: &str = "binary";

/// The name of the last event of a held answer: why it ends.
pub const CLOSE: &str = "openline-close";

/// What the data of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The data of the publication alone, under the name of its event. Bytes are
    /// in base64, under the name [`BINARY`] if the event has none.
    Data,
    /// A document with all of the publication, always under the name `message`.
    Document,
}

/// The beginning of a stream: how long a browser waits before it connects
/// again, in milliseconds.
pub fn retry(wait_ms: u32) -> ByteString {
    format!("retry: {wait_ms}\n\n").into()
}

/// A publication. It has an `id` if it has a position.
pub fn publication(stored: &Stored<'_>, form: Form) -> ByteString {
    let view = &stored.view;
    let mut out = String::with_capacity(96 + view.data.len());
    if let Some(position) = stored.position {
        field(&mut out, "id", position);
    }
    match form {
        Form::Document => lines(&mut out, &published_event(stored)),
        Form::Data => {
            let is_binary = matches!(view.data, DataView::Binary(_));
            if let Some(event) = view.event.or(is_binary.then_some(BINARY)) {
                field(&mut out, "event", event);
            }
            match view.data {
                DataView::Json(text) | DataView::Text(text) => lines(&mut out, text),
                DataView::Binary(_) => {
                    let mut quoted = String::new();
                    crate::json::data(&mut quoted, view.data);
                    lines(&mut out, quoted.trim_matches('"'));
                }
            }
        }
    }
    out.push('\n');
    out.into()
}

/// The event [`LOST`], after which the reader is at this position. Without one the
/// reader forgets its last id, or it would ask for what is lost each time it
/// comes back.
pub fn lost(position: Option<impl Display>) -> ByteString {
    let id = position.map_or_else(String::new, |it| it.to_string());
    // Without data there is no event.
    format!("id: {id}\nevent: {LOST}\ndata:\n\n").into()
}

/// A text of a function as an event without name and `id`.
pub fn text(text: &str) -> ByteString {
    push(text)
}

/// Bytes of a function, in base64, as an event of the name [`BINARY`].
pub fn binary(bytes: &[u8]) -> ByteString {
    let view = DataView::Binary(bytes);
    let mut quoted = String::new();
    crate::json::data(&mut quoted, view);
    let text = quoted.trim_matches('"');
    let mut out = String::with_capacity(text.len() + 24);
    field(&mut out, "event", BINARY);
    lines(&mut out, text);
    out.push('\n');
    out.into()
}

/// The event [`CLOSE`]: a document with the code, the reason, and whether to connect
/// again. A browser that does waits as long as the last `retry` says.
pub fn closed(code: u16, reason: &str, reconnect: &str) -> ByteString {
    let document = crate::json::document(|object| {
        object.number("code", code.into());
        object.text("reason", reason);
        object.text("reconnect", reconnect);
    });
    format!("event: {CLOSE}\ndata: {document}\n\n").into()
}

/// The positions of a peer of a held answer: what its `Last-Event-ID` has, or else
/// `lastEventId` in the query, by which libraries send it that cannot send headers.
/// They have commas between them. None if these are no ids of the host: a function
/// may have its own.
pub fn last_ids<'a>(last_event_id: Option<&'a [u8]>, query: &'a str) -> Cow<'a, str> {
    let of_header = last_event_id.filter(|id| !id.is_empty());
    match of_header {
        Some(id) => std::str::from_utf8(id).unwrap_or_default().into(),
        None => query::one(query, "lastEventId")
            .ok()
            .flatten()
            .unwrap_or_default(),
    }
}

/// A push of Centrifugo, as its clients of event streams read it: an event
/// without name and `id`.
pub fn push(push: &str) -> ByteString {
    let mut out = String::with_capacity(push.len() + 8);
    lines(&mut out, push);
    out.push('\n');
    out.into()
}

/// A field on one line. A value that would end the line is left out, and so is
/// an `id` that browsers would pass by.
fn field(out: &mut String, name: &str, value: &str) {
    if !value.contains(['\n', '\r', '\0']) {
        // A string does not fail to be written to.
        let _ = writeln!(out, "{name}: {value}");
    }
}

/// The data, whose lines may end in any way, and end in one way for the reader.
fn lines(out: &mut String, data: &str) {
    let mut rest = data;
    loop {
        let end = rest.find(['\n', '\r']);
        out.push_str("data: ");
        out.push_str(&rest[..end.unwrap_or(rest.len())]);
        out.push('\n');
        let Some(end) = end else { return };
        let after = &rest[end..];
        rest = after.strip_prefix("\r\n").unwrap_or(&after[1..]);
    }
}

/// Where a peer wants to continue: its `Last-Event-ID`, or else `since` in the
/// query, for its first request and for libraries that cannot send headers.
///
/// # Errors
///
/// When it is too long to be a position, or has what no position has.
pub fn since(last_event_id: Option<&[u8]>, query: &str) -> Result<Option<String>, SinceError> {
    let of_header = last_event_id.filter(|id| !id.is_empty());
    let text = match of_header {
        Some(id) => String::from_utf8(id.to_vec()).map_err(|_| SinceError)?,
        None => match query::one(query, "since").map_err(|_| SinceError)? {
            Some(since) => since.into_owned(),
            None => return Ok(None),
        },
    };
    if text.len() > POSITION_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(SinceError);
    }
    Ok((!text.is_empty()).then_some(text))
}

/// The peer sent a text that is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`Last-Event-ID` or `since` is not a position")]
pub struct SinceError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::view::PublicationView;

    fn stored<'a>(data: DataView<'a>, position: Option<&'a str>) -> Stored<'a> {
        let view = PublicationView {
            channel: "c",
            offset: 1,
            id: "m",
            event: Some("created"),
            data,
            tags: None,
            sender: None,
            time_ms: 0,
        };
        Stored {
            view,
            position,
            key: None,
            removed: false,
        }
    }

    /// Reads a stream as the specification says: `id`, `event`, `data`.
    fn read(stream: &str) -> Vec<(String, String, String)> {
        let (mut events, mut id, mut name) = (Vec::new(), String::new(), String::new());
        let mut data: Vec<String> = Vec::new();
        for line in stream.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
            if line.is_empty() {
                let (name, data) = (std::mem::take(&mut name), std::mem::take(&mut data));
                if !data.is_empty() {
                    events.push((id.clone(), name, data.join("\n")));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "id" => id = value,
                "event" => name = value,
                "data" => data.push(value),
                _ => {}
            }
        }
        events
    }

    #[test]
    fn an_event_has_its_position_and_its_lines() {
        let json = publication(
            &stored(DataView::Json("{\n \"a\":1}"), Some("p1")),
            Form::Data,
        );
        let expected = "id: p1\nevent: created\ndata: {\ndata:  \"a\":1}\n\n";
        assert_eq!(json, expected);
        let text = publication(&stored(DataView::Text("a\r\nb\rc\n"), None), Form::Data);
        assert_eq!(
            text,
            "event: created\ndata: a\ndata: b\ndata: c\ndata: \n\n"
        );
        let binary = publication(&stored(DataView::Binary(&[0, 255]), None), Form::Data);
        assert_eq!(binary, "event: created\ndata: AP8=\n\n");
        let mut nameless = stored(DataView::Binary(&[0, 255]), None);
        nameless.view.event = None;
        let nameless = publication(&nameless, Form::Data);
        assert_eq!(nameless, "event: binary\ndata: AP8=\n\n");
        assert_eq!(super::binary(&[0, 255]), nameless);
        assert_eq!(super::text("a\r\nb"), "data: a\ndata: b\n\n");
        assert_eq!(
            closed(1000, "say \"bye\"\n", "yes"),
            "event: openline-close\ndata: {\"code\":1000,\"reason\":\"say \\\"bye\\\"\\n\",\"reconnect\":\"yes\"}\n\n"
        );
        let document = publication(&stored(DataView::Text("a\nb"), Some("p1")), Form::Document);
        let expected = concat!(
            "id: p1\ndata: {\"channel\":\"c\",\"id\":\"m\",\"position\":\"p1\",\"event\":\"created\",",
            "\"text\":\"a\\nb\",\"time\":\"1970-01-01T00:00:00.000Z\"}\n\n"
        );
        assert_eq!(document, expected);
        assert_eq!(lost(Some(7)), "id: 7\nevent: openline-lost\ndata:\n\n");
        assert_eq!(lost(None::<u8>), "id: \nevent: openline-lost\ndata:\n\n");
        assert_eq!(retry(3_000), "retry: 3000\n\n");
        assert_eq!(push("{}"), "data: {}\n\n");
    }

    #[test]
    fn nothing_can_forge_a_field() {
        let forged = Stored {
            view: PublicationView {
                event: Some("a\ndata: b"),
                ..stored(DataView::Text("a\n\nid: 9"), None).view
            },
            position: Some("1\nid: 2"),
            key: None,
            removed: false,
        };
        let written = publication(&forged, Form::Data);
        assert_eq!(written, "data: a\ndata: \ndata: id: 9\n\n");
    }

    #[test]
    fn a_position_comes_from_the_header_first() {
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(since(Some(b"p2"), "since=p1"), some("p2"));
        assert_eq!(since(Some(b""), "since=p1"), some("p1"));
        assert_eq!(since(None, "a=b"), Ok(None));
        assert_eq!(since(None, "since="), Ok(None));
        for bad in [&b"\xff"[..], b"a\x01b"] {
            assert_eq!(since(Some(bad), ""), Err(SinceError));
        }
        assert_eq!(since(None, "since=a&since=b"), Err(SinceError));
        let long = |bytes: usize| since(Some(&vec![b'a'; bytes]), "").is_ok();
        assert!(long(POSITION_BYTES_MAX) && !long(POSITION_BYTES_MAX + 1));
    }

    #[test]
    fn ids_come_from_the_header_first() {
        assert_eq!(last_ids(Some(b"a-1,b-2"), "lastEventId=c"), "a-1,b-2");
        assert_eq!(last_ids(Some(b""), "lastEventId=a-1%2Cb-2"), "a-1,b-2");
        for query in ["", "x=1", "lastEventId=a&lastEventId=b", "lastEventId=%FF"] {
            assert_eq!(last_ids(None, query), "", "{query}");
        }
        assert_eq!(last_ids(Some(b"\xff"), "lastEventId=c"), "");
    }

    proptest! {
        #[test]
        fn any_publications_are_as_many_events(
            texts in proptest::collection::vec("[a-z:\r\n ]{0,30}", 0..6),
        ) {
            let mut stream = retry(1).to_string();
            for (number, text) in texts.iter().enumerate() {
                let position = number.to_string();
                let stored = stored(DataView::Text(text), Some(&position));
                stream += &publication(&stored, Form::Data);
                stream += PING;
            }
            let events = read(&stream);
            prop_assert_eq!(events.len(), texts.len());
            for (number, (id, name, data)) in events.iter().enumerate() {
                prop_assert_eq!(id, &number.to_string());
                prop_assert_eq!(name, "created");
                let text = texts[number].replace("\r\n", "\n").replace('\r', "\n");
                prop_assert_eq!(data, &text);
            }
        }
    }
}
