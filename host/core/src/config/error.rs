//! What is said of something wrong in a configuration file.

use std::fmt;

/// Something wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, counted from 1; 0 when it is about the whole file.
    pub line: usize,
    /// That line's text, trimmed: it shows the key.
    pub source: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}", self.message)?;
        if !self.source.is_empty() {
            write!(f, "\n  {}", self.source)?;
        }
        write!(f, "\n  hint: {}", self.hint)
    }
}
