//! Bytes that outlive instances: one state for each affinity value, or one for
//! the whole function if it has no affinity. The next instance loads what an
//! earlier one saved, even in another version of the function, and even after a
//! restart if the host has a data directory. At most 128 KiB.
//!
//! Save data that must not be lost before you tell any peer about it, because a
//! fault ends an instance without warning.
//! [`Handler::hibernate`](crate::Handler::hibernate) is for data that is only
//! costly to lose. With affinity a value has one instance, and so one writer;
//! where there are several, use [`save_if`].
//!
//! ```
//! use std::error::Error;
//!
//! use openline_sdk::prelude::*;
//! use openline_sdk::state;
//!
//! /// Counts the messages of all instances, one after the other.
//! #[derive(Default)]
//! struct Count {
//!     /// The saved count; `None` until this instance has loaded it.
//!     messages: Option<u64>,
//! }
//!
//! impl Count {
//!     /// Counts one more. If the count cannot be loaded it stays unknown, so that a
//!     /// wrong count is not saved over it.
//!     fn count(&mut self) -> Result<u64, Box<dyn Error>> {
//!         let before = match self.messages {
//!             Some(messages) => messages,
//!             None => state::load()?.map_or(0, |saved| {
//!                 saved.bytes.try_into().map_or(0, u64::from_le_bytes)
//!             }),
//!         };
//!         let messages = before + 1;
//!         state::save(messages.to_le_bytes())?;
//!         self.messages = Some(messages);
//!         Ok(messages)
//!     }
//! }
//!
//! impl Handler for Count {
//!     fn message(&mut self, connection: &Connection, _message: Message) {
//!         match self.count() {
//!             Ok(messages) => connection.send(messages.to_string()),
//!             Err(error) => connection.send(format!("not counted: {error}")),
//!         };
//!     }
//! }
//!
//! openline_sdk::export!(Count);
//! ```

use std::fmt;

use crate::outcome::Error;
use crate::raw::state;

/// A saved state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// The version that [`save_if`] compares. It is 1 at first, and grows with
    /// each save.
    pub version: u64,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Why a state was not saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveError {
    /// The state has this version instead of the expected one; 0 if there is no
    /// state. Only [`save_if`] returns this.
    Conflict(u64),
    /// A limit of the function's configuration was reached; the text names it.
    Limit(String),
    /// The host cannot write at the moment.
    Unavailable,
}

/// Loads the state, if there is one.
///
/// # Errors
///
/// When the host cannot read it.
pub fn load() -> Result<Option<Snapshot>, Error> {
    Ok(state::load()?.map(Snapshot::from))
}

/// Replaces the state, whatever its version, and returns the new version once
/// it is written.
///
/// # Errors
///
/// [`SaveError::Limit`] if it is larger than 128 KiB,
/// [`SaveError::Unavailable`] if the host cannot write.
pub fn save(bytes: impl AsRef<[u8]>) -> Result<u64, SaveError> {
    Ok(state::save(bytes.as_ref(), None)?)
}

/// Like [`save`], but only if the state still has the version `expected`, or 0
/// for no state. It is for instances that share a state: load it, change it,
/// save it, and begin again after a conflict.
///
/// # Errors
///
/// [`SaveError::Conflict`] if it does not, otherwise as for [`save`].
///
/// ```no_run
/// use openline_sdk::state::{self, SaveError};
///
/// /// Appends a line to the lines that all instances have written.
/// fn append(line: &str) -> Result<(), Box<dyn std::error::Error>> {
///     loop {
///         let (expected, mut bytes) = match state::load()? {
///             Some(saved) => (saved.version, saved.bytes),
///             None => (0, Vec::new()),
///         };
///         bytes.extend_from_slice(line.as_bytes());
///         match state::save_if(&bytes, expected) {
///             Ok(_version) => return Ok(()),
///             Err(SaveError::Conflict(_)) => continue,
///             Err(error) => return Err(error.into()),
///         }
///     }
/// }
/// ```
pub fn save_if(bytes: impl AsRef<[u8]>, expected: u64) -> Result<u64, SaveError> {
    Ok(state::save(bytes.as_ref(), Some(expected))?)
}

/// Removes the state; the next save begins at version 1 again.
///
/// # Errors
///
/// When the host cannot write.
pub fn clear() -> Result<(), Error> {
    Ok(state::clear()?)
}

impl From<state::Snapshot> for Snapshot {
    fn from(snapshot: state::Snapshot) -> Self {
        Self {
            version: snapshot.version,
            bytes: snapshot.bytes,
        }
    }
}

impl SaveError {
    /// The kind of error, the same in every version of the host: `conflict`,
    /// `limit` or `unavailable`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Limit(_) => "limit",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(version) => {
                write!(formatter, "the saved version is {version} by now")
            }
            Self::Limit(text) => formatter.write_str(text),
            Self::Unavailable => formatter.write_str("the host cannot write at the moment"),
        }
    }
}

impl std::error::Error for SaveError {}

impl From<state::SaveError> for SaveError {
    fn from(error: state::SaveError) -> Self {
        match error {
            state::SaveError::Conflict(version) => Self::Conflict(version),
            state::SaveError::Limit(text) => Self::Limit(text),
            state::SaveError::Unavailable => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_a_code_for_programs_and_a_text_for_people() {
        let conflict = SaveError::from(state::SaveError::Conflict(3));
        assert_eq!(conflict, SaveError::Conflict(3));
        assert_eq!(conflict.code(), "conflict");
        assert_eq!(conflict.to_string(), "the saved version is 3 by now");
        let limit = SaveError::from(state::SaveError::Limit("at most 128 KiB".to_owned()));
        assert_eq!(limit.code(), "limit");
        assert_eq!(limit.to_string(), "at most 128 KiB");
        let unavailable = SaveError::from(state::SaveError::Unavailable);
        assert_eq!(unavailable.code(), "unavailable");
    }
}
