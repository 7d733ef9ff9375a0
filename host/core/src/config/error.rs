//! The errors in a configuration file.

use std::borrow::Cow;
use std::fmt;

use openline_hint::Hint;

use crate::escape::Escaped;

/// The longest text of an error that quotes the file: what a terminal shows on
/// a few lines.
const MESSAGE_BYTES_MAX: usize = 1024;

/// One error in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, counted from 1; 0 when the error is about the whole file.
    pub line: usize,
    /// That line's text, trimmed: it shows the key.
    pub source: String,
    /// The problem.
    pub message: String,
    /// The way to fix it.
    pub hint: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        // The message may quote a key or a value, which may contain line ends.
        write!(f, "{}", Escaped::new(&self.message, MESSAGE_BYTES_MAX))?;
        if !self.source.is_empty() {
            write!(f, "\n  {}", self.source)?;
        }
        Ok(())
    }
}

impl Hint for ConfigError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.hint))
    }
}
