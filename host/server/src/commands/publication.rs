//! A publication as the interface for publishers shows it, for people and for
//! programs: one line, and nothing in it can control a terminal.

use std::borrow::Cow;

use openline_core::escape::Escaped;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::table::plain_value;

/// A publication. What its data is, the sender says.
#[derive(Debug, Deserialize)]
pub(super) struct Publication<'a> {
    #[serde(borrow, default)]
    pub(super) position: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) event: Option<Cow<'a, str>>,
    /// The key of the value, on a channel with keyed values.
    #[serde(borrow, default)]
    pub(super) key: Option<Cow<'a, str>>,
    /// Whether the value of the key was removed; there is no data then.
    #[serde(default)]
    pub(super) removed: bool,
    #[serde(borrow, default, deserialize_with = "some")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) time: Option<Cow<'a, str>>,
}

impl Publication<'_> {
    /// The data on one line: JSON as it was written, text escaped, bytes in
    /// base64.
    pub(super) fn shown(&self) -> String {
        match (self.data, &self.text, &self.base64) {
            (Some(data), _, _) => plain_value(data.get()),
            (None, Some(text), _) | (None, None, Some(text)) => escaped(text),
            (None, None, None) => String::new(),
        }
    }
}

/// Text on one line, with control characters escaped.
pub(super) fn escaped(text: &str) -> String {
    Escaped::new(text, usize::MAX).to_string()
}

/// `null` is data.
fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_each_sort_is_on_one_line() {
        for (part, expected) in [
            (
                r#""data":{"a":"\u001b[2J","n":1e999}"#,
                r#"{"a":"\u001b[2J","n":1e999}"#,
            ),
            (r#""data":null"#, "null"),
            (r#""text":"a\nb\u001b""#, "a\\nb\\u{1b}"),
            (r#""base64":"/wo=""#, "/wo="),
            (r#""key":"k""#, ""),
        ] {
            let json = format!(r#"{{"channel":"c","id":"1",{part}}}"#);
            let publication: Publication<'_> = serde_json::from_str(&json).unwrap();
            assert_eq!(publication.shown(), expected, "{part}");
        }
        let long = "x".repeat(1 << 20);
        let json = format!(r#"{{"channel":"c","text":"{long}"}}"#);
        let publication: Publication<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(publication.shown().len(), long.len());
    }
}
