//! Where a secret comes from. A configuration names the place and never has the
//! secret itself, so that it can be shown and kept like any other text.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest name of an environment variable.
const VARIABLE_BYTES_MAX: usize = 256;

/// The place of a secret: `env:NAME` or `file:PATH`. The server reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Environment(String),
    /// A file, of which one line end at its end is not part of the secret.
    File(PathBuf),
}

/// Why a text names no place. It does not show the text, which may be a secret
/// that was written there by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretSourceError {
    /// Neither `env:` nor `file:`.
    #[error(
        "a secret is not written into the configuration: name its place as in `env:NAME` or `file:PATH`"
    )]
    Kind,
    /// `env:` without a name that a variable can have.
    #[error("`env:` needs the name of an environment variable, of letters, digits and `_`")]
    Variable,
    /// `file:` without a path.
    #[error("`file:` needs the path of a file")]
    Path,
}

impl SecretSource {
    /// Reads `env:NAME` or `file:PATH`.
    ///
    /// # Errors
    ///
    /// See [`SecretSourceError`].
    pub fn parse(text: &str) -> Result<Self, SecretSourceError> {
        if let Some(name) = text.strip_prefix("env:") {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let is_name =
                (1..=VARIABLE_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter);
            let name = is_name.then(|| Self::Environment(name.into()));
            return name.ok_or(SecretSourceError::Variable);
        }
        match text.strip_prefix("file:") {
            Some("") => Err(SecretSourceError::Path),
            Some(path) => Ok(Self::File(path.into())),
            None => Err(SecretSourceError::Kind),
        }
    }

    /// Whether it is a file whose path depends on a folder.
    pub(super) fn is_relative(&self) -> bool {
        matches!(self, Self::File(path) if path.is_relative())
    }

    /// Makes the path of a file relative to a folder.
    pub(crate) fn be_relative_to(&mut self, folder: &Path) {
        if let Self::File(path) = self {
            *path = folder.join(&*path);
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_places_and_nothing_else() {
        for text in ["env:CHAT_SECRET", "file:/run/secrets/chat", "file:chat.key"] {
            assert_eq!(SecretSource::parse(text).unwrap().to_string(), text);
        }
        let most = "N".repeat(VARIABLE_BYTES_MAX);
        assert!(SecretSource::parse(&format!("env:{most}")).is_ok());
        for (bad, why) in [
            ("hunter2hunter2", SecretSourceError::Kind),
            ("", SecretSourceError::Kind),
            ("env:", SecretSourceError::Variable),
            ("env:A B", SecretSourceError::Variable),
            (&format!("env:{most}N"), SecretSourceError::Variable),
            ("file:", SecretSourceError::Path),
        ] {
            let error = SecretSource::parse(bad).unwrap_err();
            assert_eq!(error, why, "{bad}");
            assert!(bad.is_empty() || !error.to_string().contains("hunter2"));
        }
    }
}
