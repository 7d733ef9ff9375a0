//! Affinity: which part of a request chooses the instance. All connections with
//! one value share one instance.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest name of a header, a cookie or a key of the query, in bytes: a
/// word.
const NAME_BYTES_MAX: usize = 64;

/// The part of a request whose value chooses the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// A parameter of the route.
    Param(String),
    /// A header, its name in lower case.
    Header(String),
    /// A key of the query.
    Query(String),
    /// A cookie that the host makes, signs and sets on the 101.
    Cookie(String),
    /// A claim of the peer's token, ticket or signature.
    Claim(String),
}

/// Why a text is not an affinity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AffinityError {
    /// The word before the colon is none of the five.
    #[error("`{0}` is not an affinity: there is no such kind")]
    Kind(String),
    /// The name behind the colon.
    #[error("`{0}` is not an affinity: the name is empty, too long, or has other characters")]
    Name(String),
}

impl Affinity {
    /// Reads `param:room`, `header:x-room`, `query:room`, `cookie:NAME`,
    /// `claim:sub`; a bare name is a parameter.
    ///
    /// # Errors
    ///
    /// See [`AffinityError`].
    pub fn new(text: &str) -> Result<Self, AffinityError> {
        let shown = || text.chars().take(80).collect();
        let (kind, name) = text.split_once(':').unwrap_or(("param", text));
        let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        let all = |letter: fn(u8) -> bool| is_name && name.bytes().all(letter);
        let (valid, affinity): (bool, fn(String) -> Self) = match kind {
            "param" => (all(is_word), Self::Param),
            "header" => (
                all(is_token) && !name.to_ascii_lowercase().starts_with("openline-"),
                |name| Self::Header(name.to_ascii_lowercase()),
            ),
            "query" => (all(|byte| byte.is_ascii_graphic()), Self::Query),
            "cookie" => (all(is_token), Self::Cookie),
            "claim" => (all(|byte| byte.is_ascii_graphic()), Self::Claim),
            _ => return Err(AffinityError::Kind(shown())),
        };
        if valid {
            Ok(affinity(name.into()))
        } else {
            Err(AffinityError::Name(shown()))
        }
    }

    /// The parameter that every route of the function needs, if one does.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Param(name) => Some(name),
            _ => None,
        }
    }

    /// The cookie that the host sets, if it does.
    pub fn cookie(&self) -> Option<&str> {
        match self {
            Self::Cookie(name) => Some(name),
            _ => None,
        }
    }
}

/// Letters of a parameter's name.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A parameter of the route.
impl From<&str> for Affinity {
    fn from(name: &str) -> Self {
        Self::Param(name.into())
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Param(name) => f.write_str(name),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
        }
    }
}

impl Serialize for Affinity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Affinity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_kinds_and_a_bare_parameter() {
        for (text, shown) in [
            ("room", "room"),
            ("param:room", "room"),
            ("header:X-Room", "header:x-room"),
            ("query:room[id]", "query:room[id]"),
            ("cookie:line", "cookie:line"),
            ("claim:https://a.org/room", "claim:https://a.org/room"),
        ] {
            let affinity = Affinity::new(text).unwrap();
            assert_eq!(affinity.to_string(), shown);
            assert_eq!(Affinity::new(shown), Ok(affinity));
        }
        let most = "n".repeat(NAME_BYTES_MAX);
        assert!(Affinity::new(&format!("cookie:{most}")).is_ok());
        for bad in [
            "",
            "param:",
            "a b",
            "header:a b",
            "header:openline-x",
            "cookie:a=b",
            "cookie:a;b",
            "query:",
            "query:a b",
            "claim:",
            "claim:a b",
            "room:x",
            &format!("cookie:{most}n"),
        ] {
            assert!(Affinity::new(bad).is_err(), "{bad}");
        }
    }
}
