//! The errors in a configuration file.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use openline_hint::Hint;

use super::file::error_at;
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

impl ConfigError {
    /// An error at a place in a text, in bytes; without one it is about the
    /// whole text.
    pub fn at(text: &str, span: Option<Range<usize>>, message: String, hint: String) -> Self {
        error_at(text, span, message, hint)
    }
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
