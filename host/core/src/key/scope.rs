//! What a key is for. No scope includes another one: a key that may manage
//! channels cannot publish unless it says so.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One thing that a key may do, on the channels of its patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// To get what is published.
    Subscribe,
    /// To publish.
    Publish,
    /// To read history, presence, counts, and what is known of connections.
    Read,
    /// To make, change and remove channels, and to end connections.
    Manage,
}

/// What a key may do: at least one [`Scope`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

/// Why words are not the scopes of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// An unknown word.
    #[error("`{0}` is not one of `subscribe`, `publish`, `read` and `manage`")]
    Word(String),
    /// A key without a scope could do nothing.
    #[error("a key needs at least one of `subscribe`, `publish`, `read` and `manage`")]
    None,
}

impl Scope {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Subscribe, Self::Publish, Self::Read, Self::Manage];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub fn new(word: &str) -> Result<Self, ScopeError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == word);
        found.ok_or_else(|| ScopeError::Word(word.chars().take(40).collect()))
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Scopes {
    /// These scopes; one that is repeated counts once.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, ScopeError> {
        let bits = scopes.into_iter().fold(0, |bits, it| bits | it.bit());
        if bits == 0 {
            return Err(ScopeError::None);
        }
        Ok(Self(bits))
    }

    /// Whether this is one of them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Each of them, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    /// How the text of a new key with these scopes begins. `PushFlo`'s clients
    /// check it: `pub_` may be in pages, `sec_` only on servers, and `mgmt_`
    /// only with whoever runs the channels.
    pub const fn prefix(self) -> &'static str {
        if self.has(Scope::Manage) {
            "mgmt_"
        } else if self.has(Scope::Publish) || self.has(Scope::Read) {
            "sec_"
        } else {
            "pub_"
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Scopes {
    /// The words, with spaces between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{scope}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<Scope>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(words: &[&str]) -> Scopes {
        Scopes::new(words.iter().map(|word| Scope::new(word).unwrap())).unwrap()
    }

    #[test]
    fn each_word_is_one_scope_and_none_includes_another() {
        for scope in Scope::ALL {
            assert_eq!(Scope::new(scope.as_str()), Ok(scope));
            let alone = Scopes::new([scope, scope]).unwrap();
            for other in Scope::ALL {
                assert_eq!(alone.has(other), other == scope, "{scope} {other}");
            }
            assert_eq!(alone.to_string(), scope.as_str());
        }
        assert_eq!(Scopes::new([]), Err(ScopeError::None));
        for bad in ["", "Publish", "admin", "publish "] {
            assert_eq!(Scope::new(bad), Err(ScopeError::Word(bad.into())));
        }
        let long = "x".repeat(1000);
        assert_eq!(Scope::new(&long), Err(ScopeError::Word("x".repeat(40))));
    }

    #[test]
    fn the_prefix_is_that_of_the_most_that_a_key_may_do() {
        for (words, prefix) in [
            (&["subscribe"][..], "pub_"),
            (&["publish"], "sec_"),
            (&["read"], "sec_"),
            (&["subscribe", "read"], "sec_"),
            (&["manage"], "mgmt_"),
            (&["subscribe", "publish", "read", "manage"], "mgmt_"),
        ] {
            assert_eq!(scopes(words).prefix(), prefix, "{words:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let both = scopes(&["read", "subscribe"]);
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(text, r#"["subscribe","read"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(&text).unwrap(), both);
        assert!(serde_json::from_str::<Scopes>("[]").is_err());
        assert_eq!(both.to_string(), "subscribe read");
        assert_eq!(format!("{both:?}"), "{Subscribe, Read}");
    }
}
