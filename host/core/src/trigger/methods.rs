//! The methods of requests that a trigger takes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The methods that a trigger can take: those of Function Compute.
pub const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];

/// A set of [`METHODS`] that is not empty. `Display` lists it as `Allow` does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Methods(u8);

/// A list is not one of methods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodsError {
    /// There is nothing that the trigger would take.
    #[error("`methods` is empty")]
    Empty,
    /// A word is not one of [`METHODS`].
    #[error("`{0}` is not a method")]
    Unknown(String),
}

impl Methods {
    /// Reads a list of words; repeated ones count once.
    ///
    /// # Errors
    ///
    /// When the list is empty, or a word is not one of [`METHODS`].
    pub fn new<T: AsRef<str>>(words: &[T]) -> Result<Self, MethodsError> {
        let mut set = 0;
        for word in words {
            let word = word.as_ref();
            let unknown = || MethodsError::Unknown(word.chars().take(80).collect());
            set |= bit(word).ok_or_else(unknown)?;
        }
        if set == 0 {
            return Err(MethodsError::Empty);
        }
        Ok(Self(set))
    }

    /// All of them.
    pub fn all() -> Self {
        Self((1 << METHODS.len()) - 1)
    }

    /// Whether it has a method.
    pub fn contains(self, method: &str) -> bool {
        bit(method).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Whether a method is in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The words, in the order of [`METHODS`].
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        METHODS.into_iter().filter(move |word| self.contains(word))
    }
}

/// A method's place in the set. Methods are case-sensitive (RFC 9110 section
/// 9.1).
fn bit(method: &str) -> Option<u8> {
    let place = METHODS.iter().position(|word| *word == method)?;
    Some(1 << place)
}

/// GET, by which a WebSocket is asked for.
impl Default for Methods {
    fn default() -> Self {
        Self(1)
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{word}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Methods({self})")
    }
}

impl Serialize for Methods {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words())
    }
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        Self::new(&words).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_methods() {
        assert_eq!(Methods::default().to_string(), "GET");
        let some = Methods::new(&["PUT", "GET", "PUT"]).unwrap();
        assert_eq!(some.to_string(), "GET, PUT");
        assert!(some.contains("PUT") && !some.contains("put") && !some.contains("TRACE"));
        assert!(some.overlaps(Methods::default()));
        assert!(!some.overlaps(Methods::new(&["HEAD"]).unwrap()));
        let all = Methods::new(&METHODS).unwrap();
        assert!(METHODS.iter().all(|word| all.contains(word)));
        assert_eq!(Methods::new::<&str>(&[]), Err(MethodsError::Empty));
        for bad in ["get", "TRACE", "CONNECT", "", "*"] {
            assert!(Methods::new(&["GET", bad]).is_err(), "{bad}");
        }
    }
}
