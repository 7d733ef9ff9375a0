//! What is wrong with a table of the configuration: the error of the rules that
//! no single key shows.

use std::borrow::Cow;
use std::fmt;

use openline_hint::Hint;

/// What is wrong with a table, and the key to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    /// The key below the table, as in `jwt.valid_until` or `history.count`.
    pub key: &'static str,
    what: String,
    hint: &'static str,
}

impl TableError {
    pub(crate) fn new(key: &'static str, what: impl Into<String>, hint: &'static str) -> Self {
        Self {
            key,
            what: what.into(),
            hint,
        }
    }
}

/// The error as the result of a check.
pub(crate) fn error<T>(
    key: &'static str,
    what: impl Into<String>,
    hint: &'static str,
) -> Result<T, TableError> {
    Err(TableError::new(key, what, hint))
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for TableError {}

impl Hint for TableError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.hint))
    }
}
