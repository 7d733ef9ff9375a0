//! JSON of strangers: one object, in which no name occurs twice.
//!
//! serde_json keeps the last of two members with one name; other libraries keep
//! the first. A token that has both would mean different things to different
//! readers, so it means nothing. Bounded by the text, and by serde_json's 128
//! levels.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The members of an object with distinct names.
struct Distinct(Map<String, Value>);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Distinct;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Distinct, A::Error> {
                let mut map = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if map.insert(name, value).is_some() {
                        return Err(de::Error::custom("a member occurs twice"));
                    }
                }
                Ok(Distinct(map))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Reads one object.
///
/// # Errors
///
/// When the text is something else, or when a name occurs twice.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_slice(text).map(|Distinct(map)| map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_with_distinct_names() {
        assert_eq!(object(br#" {"a": 1, "b": {"a": 2}} "#).unwrap().len(), 2);
        for bad in [
            &b""[..],
            b"[]",
            b"null",
            b"{}x",
            br#"{"a": 1, "a": 1}"#,
            br#"{"a": 1, "\u0061": 2}"#,
            b"{\"a\": \"\xff\"}",
            b"{\"a\": NaN}",
        ] {
            assert!(object(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let nested = |levels: usize| {
            let text = format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
            object(text.as_bytes())
        };
        assert!(nested(100).is_ok());
        assert!(nested(100_000).is_err());
    }
}
