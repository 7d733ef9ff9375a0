//! JSON of strangers, read within bounds, and JSON for them, written without a
//! tree in between.
//!
//! Bounded in bytes by the caller's limit on messages and bodies, and in depth
//! by [`DEPTH_MAX`]: serde_json bounds what it turns into types, and not what
//! it passes by as raw text.

use std::borrow::Cow;
use std::fmt::Write;

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use memchr::memchr2;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

use crate::view::DataView;

/// How deep arrays and objects of others may be nested. It is what serde_json
/// allows, and well within what the parsers of clients take: Python's fails at
/// about 1,000.
pub const DEPTH_MAX: usize = 128;

/// Why JSON cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not the JSON that was expected.
    #[error("not the expected JSON: {0}")]
    Malformed(String),
    /// It is nested deeper than [`DEPTH_MAX`].
    #[error("JSON nested deeper than {DEPTH_MAX} levels")]
    Deep,
}

/// Whether brackets nest no deeper than [`DEPTH_MAX`]. The text is JSON, or will
/// be refused for another reason.
fn is_flat(text: &[u8]) -> bool {
    // Most values have fewer brackets than that in all, which vector
    // instructions count.
    let opens = |byte: &&u8| matches!(byte, b'[' | b'{');
    if text.iter().filter(opens).count() <= DEPTH_MAX {
        return true;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// Reads a value of a known shape.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, JsonError> {
    if !is_flat(text) {
        return Err(JsonError::Deep);
    }
    serde_json::from_slice(text).map_err(|error| JsonError::Malformed(error.to_string()))
}

/// Whether the text is one value, within the bounds.
pub(crate) fn is_value(text: &str) -> bool {
    is_flat(text.as_bytes()) && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// A text that borrows from the input, unless it has escapes. `null` is the
/// empty text, as for readers in Go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// A structure, written as an object. serde would also read it from an array of
/// its members, which no other reader takes.
#[derive(Debug, Default)]
pub(crate) struct Fields<T>(T);

impl<T> std::ops::Deref for Fields<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Fields<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Fields)
            }
        }
        deserializer.deserialize_map(Read(std::marker::PhantomData))
    }
}

/// `null` is the default, as for readers in Go.
pub(crate) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A value as its text. `null` is a value, too: it differs from a member that is
/// not there.
pub(crate) fn raw<'de, D>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error>
where
    D: Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// An object with at most so many members, in their order.
#[derive(Debug)]
pub(crate) struct Members<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for Members<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, N, V, const MAX: usize> Deserialize<'de> for Members<(N, V), MAX>
where
    N: Deserialize<'de>,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<N, V, const MAX: usize>(std::marker::PhantomData<(N, V)>);
        impl<'de, N, V, const MAX: usize> Visitor<'de> for Read<N, V, MAX>
        where
            N: Deserialize<'de>,
            V: Deserialize<'de>,
        {
            type Value = Members<(N, V), MAX>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "an object of at most {MAX} members")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Members(Vec::new()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    if members.len() == MAX {
                        return Err(de::Error::invalid_length(MAX + 1, &self));
                    }
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_any(Read(std::marker::PhantomData))
    }
}

/// Whether all names differ. Of a name that occurs twice, readers take one value
/// or the other. Only for lists of few.
pub(crate) fn are_distinct(members: &[(String, String)]) -> bool {
    let twice = |(at, (name, _)): (usize, &(String, String))| {
        members[..at].iter().any(|(other, _)| other == name)
    };
    !members.iter().enumerate().any(twice)
}

/// An array of at most so many elements. `null` is an empty one.
#[derive(Debug)]
pub(crate) struct Elements<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for Elements<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Elements<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T, const MAX: usize>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Read<T, MAX> {
            type Value = Elements<T, MAX>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "an array of at most {MAX} elements")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Elements(Vec::new()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut array: A,
            ) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = array.next_element()? {
                    if elements.len() == MAX {
                        return Err(de::Error::invalid_length(MAX + 1, &self));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_any(Read(std::marker::PhantomData))
    }
}

/// Writes a string: quoted and escaped.
pub(crate) fn text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest
        .bytes()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
    {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            other => {
                // A string does not fail to be written to.
                let _ = write!(out, "\\u{other:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Writes a value as it stands, on one line: frames of many values are joined
/// by line feeds, and lines of event streams end with either. Between tokens,
/// the only place where JSON can have them, both are white space.
pub(crate) fn value(out: &mut String, json: &str) {
    if memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
        for line in json.split(['\n', '\r']) {
            out.push_str(line);
        }
    } else {
        out.push_str(json);
    }
}

/// Writes data: JSON as it stands, text as a string, bytes as base64.
pub(crate) fn data(out: &mut String, data: DataView<'_>) {
    match data {
        DataView::Json(json) => value(out, json),
        DataView::Text(plain) => text(out, plain),
        DataView::Binary(bytes) => {
            out.push('"');
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
    }
}

/// The members of an object that is being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    fn separate(&mut self) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
    }

    /// Begins a member, whose value the caller writes. The name needs no escapes.
    pub(crate) fn key(&mut self, name: &'static str) -> &mut String {
        self.separate();
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    /// Begins a member whose name is not ours.
    pub(crate) fn foreign_key(&mut self, name: &str) -> &mut String {
        self.separate();
        text(self.out, name);
        self.out.push(':');
        self.out
    }

    /// A member whose name is not ours.
    pub(crate) fn foreign_text(&mut self, name: &str, content: &str) {
        text(self.foreign_key(name), content);
    }

    /// An object as a member whose name is not ours.
    pub(crate) fn foreign_object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        object(self.foreign_key(name), write);
    }

    pub(crate) fn text(&mut self, name: &'static str, content: &str) {
        text(self.key(name), content);
    }

    /// Leaves the member out if the text is empty.
    pub(crate) fn text_if_any(&mut self, name: &'static str, content: &str) {
        if !content.is_empty() {
            self.text(name, content);
        }
    }

    /// Leaves the member out if there is no text. An empty one is written.
    pub(crate) fn text_if_some(&mut self, name: &'static str, content: Option<&str>) {
        if let Some(content) = content {
            self.text(name, content);
        }
    }

    pub(crate) fn number(&mut self, name: &'static str, number: u64) {
        let _ = write!(self.key(name), "{number}");
    }

    /// Leaves the member out if the number is 0.
    pub(crate) fn number_if_any(&mut self, name: &'static str, number: u64) {
        if number != 0 {
            self.number(name, number);
        }
    }

    pub(crate) fn flag(&mut self, name: &'static str, flag: bool) {
        self.key(name).push_str(if flag { "true" } else { "false" });
    }

    /// Leaves the member out unless it is true.
    pub(crate) fn flag_if_set(&mut self, name: &'static str, flag: bool) {
        if flag {
            self.flag(name, true);
        }
    }

    pub(crate) fn value(&mut self, name: &'static str, json: &str) {
        value(self.key(name), json);
    }

    /// Leaves the member out if there is no value.
    pub(crate) fn value_if_any(&mut self, name: &'static str, json: Option<&str>) {
        if let Some(json) = json {
            self.value(name, json);
        }
    }

    pub(crate) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Object<'_>)) {
        object(self.key(name), write);
    }

    /// An array, each element of which the caller writes.
    pub(crate) fn array<T>(
        &mut self,
        name: &'static str,
        elements: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut String, T),
    ) {
        array(self.key(name), elements, write);
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }
}

/// Writes an array, each element of which the caller writes.
pub(crate) fn array<T>(
    out: &mut String,
    elements: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (number, element) in elements.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write(out, element);
    }
    out.push(']');
}

/// Writes an object.
pub(crate) fn object(out: &mut String, write: impl FnOnce(&mut Object<'_>)) {
    let mut object = Object::begin(out);
    write(&mut object);
    object.end();
}

/// An object as a text of its own.
pub(crate) fn document(write: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::with_capacity(128);
    object(&mut out, write);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn depth_is_bounded_whatever_is_in_strings() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(is_value(&nested(DEPTH_MAX)));
        assert!(!is_value(&nested(DEPTH_MAX + 1)));
        assert!(!is_value(&nested(1_000_000)));
        let wide = format!("[{}1]", "[],".repeat(1_000));
        assert!(is_value(&wide));
        let quoted = format!("\"\\\"{}\"", "[".repeat(1_000));
        assert!(is_value(&quoted));
        assert_eq!(
            read::<&RawValue>(nested(1_000).as_bytes()).unwrap_err(),
            JsonError::Deep
        );
    }

    #[test]
    fn null_is_a_default_and_also_a_value() {
        #[derive(Debug, serde::Deserialize)]
        struct Shape<'a> {
            #[serde(borrow, default)]
            name: Text<'a>,
            #[serde(default, deserialize_with = "or_default")]
            number: u32,
            #[serde(borrow, default, deserialize_with = "raw")]
            data: Option<&'a RawValue>,
            #[serde(default)]
            list: Elements<u8, 2>,
        }
        let empty = r#"{"name":null,"number":null,"data":null,"list":null,"more":1}"#;
        let shape: Shape<'_> = read(empty.as_bytes()).unwrap();
        assert_eq!((&*shape.name, shape.number), ("", 0));
        assert_eq!(shape.data.map(RawValue::get), Some("null"));
        assert!(shape.list.0.is_empty());
        let shape: Shape<'_> = read(br#"{"name":"\u0061","list":[1,2]}"#).unwrap();
        assert_eq!((&*shape.name, shape.list.0.len()), ("a", 2));
        assert!(shape.data.is_none());
        assert!(read::<Shape<'_>>(br#"{"list":[1,2,3]}"#).is_err());
        assert!(read::<Members<(Text<'_>, u8), 1>>(br#"{"a":1}"#).is_ok());
        assert!(read::<Members<(Text<'_>, u8), 1>>(br#"{"a":1,"b":2}"#).is_err());
        assert!(matches!(
            read::<Shape<'_>>(b"[]x"),
            Err(JsonError::Malformed(_))
        ));
    }

    #[test]
    fn an_object_has_commas_between_its_members() {
        let written = document(|object| {
            object.text("a", "\u{1}\"\\/\n");
            object.number_if_any("b", 0);
            object.flag_if_set("c", true);
            object.value("d", "{\n\"e\": 1}\r\n");
            object.array("f", [1, 2], |out, number| out.push_str(&number.to_string()));
            object.object("g", |_| ());
        });
        let expected = r#"{"a":"\u0001\"\\/\n","c":true,"d":{"e": 1},"f":[1,2],"g":{}}"#;
        assert_eq!(written, expected);
    }

    proptest! {
        #[test]
        fn a_written_text_reads_as_it_was(plain in ".*") {
            let mut written = String::new();
            text(&mut written, &plain);
            prop_assert!(!written.contains(['\n', '\r']));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), plain);
        }

        #[test]
        fn a_value_on_one_line_means_the_same(
            list in proptest::collection::vec(".{0,8}", 0..8),
        ) {
            let pretty = serde_json::to_string_pretty(&list).unwrap();
            let mut written = String::new();
            value(&mut written, &pretty);
            prop_assert!(!written.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&written).unwrap(), list);
        }
    }
}
