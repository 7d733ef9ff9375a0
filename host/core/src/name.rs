//! Checked names: code that holds one of these need not check it again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::DIGEST_LETTERS_MIN;
use crate::limits::{ALARM_NAME_BYTES_MAX, CHANNEL_NAME_BYTES_MAX, TAG_BYTES_MAX};
use crate::route::Route;

/// The longest function name, in bytes: it becomes a label in logs and a
/// segment of paths.
pub const FUNCTION_NAME_BYTES_MAX: usize = 64;

/// The name of a function: 1 to 64 of `a-z`, `A-Z`, `0-9`, `-`, `_` and `.`,
/// the first of them a letter or a digit. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName(Arc<str>);

/// The name of a channel: 1 to 256 bytes of UTF-8 without control characters.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// A tag, to find connections by: 1 to 256 bytes of UTF-8. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// The name of an alarm: 1 to 64 bytes of UTF-8. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlarmName(Arc<str>);

/// The name of an alias: like a function's name, but not one that looks like a
/// digest. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AliasName(Arc<str>);

/// The name of a trigger: like a function's name. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TriggerName(Arc<str>);

/// The name of an API key: like a function's name. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(Arc<str>);

/// Names one connection on every node: 128 random bits, written as 32
/// characters of `0-9a-f`. Code that knows the id can send to the connection,
/// so it must not be guessable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u128);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a function's name.
    #[error(
        "`{0}` is not a function name: 1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit"
    )]
    Function(String),
    /// Not a channel's name.
    #[error("a channel name has 1 to {CHANNEL_NAME_BYTES_MAX} bytes, this one has {0}")]
    Channel(usize),
    /// A channel's name that a log or a terminal would obey.
    #[error("a channel name has no control characters, this one has one at byte {0}")]
    ChannelControl(usize),
    /// Not a tag.
    #[error("a tag has 1 to {TAG_BYTES_MAX} bytes, this one has {0}")]
    Tag(usize),
    /// Not an alarm's name.
    #[error("an alarm's name has 1 to {ALARM_NAME_BYTES_MAX} bytes, this one has {0}")]
    Alarm(usize),
    /// Not a trigger's name.
    #[error(
        "`{0}` is not the name of a trigger: 1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit"
    )]
    Trigger(String),
    /// Not a key's name.
    #[error(
        "`{0}` is not the name of a key: 1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit"
    )]
    Key(String),
    /// Not an alias.
    #[error(
        "`{0}` is not an alias: 1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit, and not the digest of a version"
    )]
    Alias(String),
}

// === impl FunctionName ===

impl FunctionName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if is_word(name) {
            Ok(Self(name.into()))
        } else {
            Err(NameError::Function(shortened(name)))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for FunctionName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FunctionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

// === impl TriggerName ===

impl TriggerName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if is_word(name) {
            Ok(Self(name.into()))
        } else {
            Err(NameError::Trigger(shortened(name)))
        }
    }

    /// The name of a trigger that has none of its own: `chat-room` for
    /// `/chat/{room}`, and `root` for `/`.
    pub fn of(route: &Route) -> Self {
        let letter = |letter: char| letter.is_ascii_alphanumeric() || "_.".contains(letter);
        let words = route.as_str().split(|it| !letter(it));
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        let name = words.join("-");
        let name = name.trim_start_matches(|it: char| !it.is_ascii_alphanumeric());
        let name: String = name.chars().take(FUNCTION_NAME_BYTES_MAX).collect();
        Self::new(&name).unwrap_or_else(|_| Self("root".into()))
    }

    /// The first of this name and those with a number behind it that is not
    /// taken.
    #[must_use]
    pub fn free(self, taken: impl Fn(&Self) -> bool) -> Self {
        let mut name = self.clone();
        let mut number = 2u32;
        while taken(&name) {
            let end = format!("-{number}");
            let most = FUNCTION_NAME_BYTES_MAX - end.len();
            let begin: String = self.0.chars().take(most).collect();
            name = Self((begin + &end).into());
            number += 1;
        }
        name
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TriggerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TriggerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TriggerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

// === impl KeyName ===

impl KeyName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if is_word(name) {
            Ok(Self(name.into()))
        } else {
            Err(NameError::Key(shortened(name)))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for KeyName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

// === impl ChannelName ===

impl ChannelName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if !(1..=CHANNEL_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(NameError::Channel(name.len()));
        }
        match name.find(char::is_control) {
            None => Ok(Self(name.into())),
            Some(at) => Err(NameError::ChannelControl(at)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Tag ===

impl Tag {
    /// Checks a tag.
    pub fn new(word: &str) -> Result<Self, NameError> {
        if (1..=TAG_BYTES_MAX).contains(&word.len()) {
            Ok(Self(word.into()))
        } else {
            Err(NameError::Tag(word.len()))
        }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl AlarmName ===

impl AlarmName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if (1..=ALARM_NAME_BYTES_MAX).contains(&name.len()) {
            Ok(Self(name.into()))
        } else {
            Err(NameError::Alarm(name.len()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AlarmName {
    /// The name that sorts before all others.
    pub fn first() -> Self {
        Self("\0".into())
    }
}

// === impl AliasName ===

impl AliasName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let digest =
            name.len() >= DIGEST_LETTERS_MIN && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_word(name) && !digest {
            Ok(Self(name.into()))
        } else {
            Err(NameError::Alias(shortened(name)))
        }
    }

    /// The alias that serves by default.
    pub fn live() -> Self {
        Self("live".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for AliasName {
    fn default() -> Self {
        Self::live()
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AliasName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AliasName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn is_word(name: &str) -> bool {
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    first && rest && name.len() <= FUNCTION_NAME_BYTES_MAX
}

fn shortened(name: &str) -> String {
    name.chars().take(80).collect()
}

// === impl ConnectionId ===

impl ConnectionId {
    /// Makes an identity of random bits; the caller is responsible for their
    /// quality.
    pub fn from_random(bits: u128) -> Self {
        Self(bits)
    }

    /// Reads what `Display` wrote; anything else names no connection.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == 32
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !valid {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl ConnectionId {
    /// Its bits, as `from_random` takes them.
    pub fn bits(self) -> u128 {
        self.0
    }

    /// The connection's point of 0 to 99, which never changes. It decides where
    /// the connection goes when an alias splits connections by weight.
    pub fn point(self) -> u32 {
        u32::try_from(self.0 % 100).unwrap_or(0)
    }

    /// The first of its 16 bytes: ids that begin alike are neighbours.
    pub fn first_byte(self) -> u8 {
        self.0.to_be_bytes()[0]
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_name_at_its_length_and_past_it() {
        assert!(FunctionName::new(&"a".repeat(FUNCTION_NAME_BYTES_MAX)).is_ok());
        assert!(FunctionName::new(&"a".repeat(FUNCTION_NAME_BYTES_MAX + 1)).is_err());
        for bad in ["", "-a", "a/b", "ä", "a b", "../x"] {
            assert!(FunctionName::new(bad).is_err(), "{bad}");
            assert!(KeyName::new(bad).is_err(), "{bad}");
        }
        assert!(KeyName::new(&"a".repeat(FUNCTION_NAME_BYTES_MAX)).is_ok());
        assert!(KeyName::new(&"a".repeat(FUNCTION_NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_trigger_is_named_after_its_route() {
        let of = |route: &str| TriggerName::of(&Route::new(route).unwrap());
        for (route, expected) in [
            ("/", "root"),
            ("/chat", "chat"),
            ("/chat/{room}", "chat-room"),
            ("/a-b/c.d/{*rest}", "a-b-c.d-rest"),
            ("/._a/!", "a"),
            ("/%C3%BC", "C3-BC"),
        ] {
            assert_eq!(of(route).as_str(), expected, "{route}");
        }
        let long = of(&format!("/{}", "a".repeat(100)));
        assert_eq!(long.as_str().len(), FUNCTION_NAME_BYTES_MAX);
        let second = long.clone().free(|name| *name == long);
        assert_eq!(second.as_str(), format!("{}-2", "a".repeat(62)));
        let taken = ["chat", "chat-2"];
        let third = of("/chat").free(|name| taken.contains(&name.as_str()));
        assert_eq!(third.as_str(), "chat-3");
        assert_eq!(TriggerName::new(third.as_str()), Ok(third));
    }

    #[test]
    fn a_channel_name_at_its_length_and_past_it() {
        assert!(ChannelName::new("").is_err());
        assert!(ChannelName::new(&"c".repeat(CHANNEL_NAME_BYTES_MAX)).is_ok());
        assert!(ChannelName::new(&"c".repeat(CHANNEL_NAME_BYTES_MAX + 1)).is_err());
        for (bad, at) in [("a\nb", 1), ("\0", 0), ("é\u{85}", 2), ("ab\x7f", 2)] {
            assert_eq!(ChannelName::new(bad), Err(NameError::ChannelControl(at)));
        }
        assert!(ChannelName::new("chat:*.> é").is_ok());
    }

    #[test]
    fn an_identity_reads_back_only_as_it_was_written() {
        let id = ConnectionId::from_random(0xab);
        assert_eq!(ConnectionId::parse(&id.to_string()), Some(id));
        let upper = id.to_string().to_uppercase();
        for bad in ["", "ab", "+0000000000000000000000000000000", upper.as_str()] {
            assert_eq!(ConnectionId::parse(bad), None, "{bad}");
        }
    }
}
