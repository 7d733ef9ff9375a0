//! Which paths are checked: exact ones, and all that begin with a text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::path;

/// Patterns of one list: a site's public pages. Each request is compared with
/// all of them.
pub const CHECKED_PATHS_MAX: usize = 64;

/// A path, or with a last `*` all paths that begin with what is before it. It is
/// compared with a request's one spelling ([`path::normalise`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    path: String,
    is_prefix: bool,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    /// It does not begin with `/`.
    #[error("`{0}` does not begin with `/`")]
    Relative(String),
    /// A `*` that is not at the end.
    #[error("`{0}` has a `*` that is not its last character")]
    Star(String),
    /// The host spells such a path in another way, so that it would match none.
    #[error("`{0}` is not how the host spells a path")]
    Spelling(String),
}

impl PathPattern {
    /// Checks a pattern.
    ///
    /// # Errors
    ///
    /// See [`PathPatternError`].
    pub fn new(text: &str) -> Result<Self, PathPatternError> {
        let shown = || text.chars().take(80).collect();
        let (path, is_prefix) = match text.strip_suffix('*') {
            Some(path) => (path, true),
            None => (text, false),
        };
        if !path.starts_with('/') {
            return Err(PathPatternError::Relative(shown()));
        }
        if path.contains('*') {
            return Err(PathPatternError::Star(shown()));
        }
        // A prefix may end within a segment, but not within an escape.
        if path::normalise(path).ok().as_deref() != Some(path) {
            return Err(PathPatternError::Spelling(shown()));
        }
        Ok(Self {
            path: path.into(),
            is_prefix,
        })
    }

    /// Whether a path in its one spelling matches.
    pub fn matches(&self, path: &str) -> bool {
        if self.is_prefix {
            path.starts_with(&self.path)
        } else {
            path == self.path
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        f.write_str(if self.is_prefix { "*" } else { "" })
    }
}

impl Serialize for PathPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_or_a_prefix() {
        let matches = |pattern: &str, path: &str| PathPattern::new(pattern).unwrap().matches(path);
        assert!(matches("/login", "/login"));
        assert!(!matches("/login", "/login/"));
        assert!(!matches("/login", "/loginx"));
        assert!(matches("/public/*", "/public/a/b"));
        assert!(matches("/public/*", "/public/"));
        assert!(!matches("/public/*", "/public"));
        assert!(matches("/pub*", "/public"));
        assert!(matches("/*", "/"));
    }

    #[test]
    fn what_could_match_nothing_is_refused() {
        for bad in [
            "", "*", "login", "/a*b", "/a**", "/a//b", "/a/../b", "/%61", "/a%2", "/a b", "/é",
        ] {
            assert!(PathPattern::new(bad).is_err(), "{bad}");
        }
        for good in ["/", "/a%2Fb", "/a/*", "/a'!$&()+,;=:@"] {
            assert_eq!(PathPattern::new(good).unwrap().to_string(), good);
        }
    }
}
