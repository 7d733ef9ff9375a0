//! What becomes of what a function asks for: the outcome of a send, and the
//! error of everything else.

use std::fmt;

use crate::raw::types;

/// What became of a message that was given to a connection. Sending never
/// waits: a peer that reads slowly shows here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendOutcome {
    /// It leaves with the next write: the peer keeps up.
    Sent,
    /// Accepted, but the peer reads more slowly than it is written to: this
    /// many bytes now wait in its outbox.
    Queued(u64),
    /// Not accepted: the message is larger than `message_bytes`, or the outbox
    /// is full. A full outbox also closes the connection with 1013.
    Dropped,
    /// Not accepted: the connection is closing or closed.
    Gone,
}

impl SendOutcome {
    /// Whether the message was accepted: [`Sent`](Self::Sent) or
    /// [`Queued`](Self::Queued).
    #[must_use]
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Sent | Self::Queued(_))
    }
}

impl From<types::SendOutcome> for SendOutcome {
    fn from(outcome: types::SendOutcome) -> Self {
        match outcome {
            types::SendOutcome::Sent => Self::Sent,
            types::SendOutcome::Queued(bytes) => Self::Queued(bytes),
            types::SendOutcome::Dropped => Self::Dropped,
            types::SendOutcome::Gone => Self::Gone,
        }
    }
}

/// Why the host did not do what was asked. Programs go by [`code`](Self::code),
/// people by what it displays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: &'static str,
    text: String,
}

impl Error {
    /// What kind of error this is; the same in every version of the host:
    ///
    /// - `limit`: a limit of the function's configuration was reached,
    /// - `invalid`: an argument can never be right,
    /// - `gone`: the connection is closing or closed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::Limit(text) => Self {
                code: "limit",
                text,
            },
            types::Error::Invalid(text) => Self {
                code: "invalid",
                text,
            },
            types::Error::Gone => Self {
                code: "gone",
                text: "the connection is closing or closed".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_a_code_for_programs_and_a_text_for_people() {
        let error = Error::from(types::Error::Limit("128 channels".to_owned()));
        assert_eq!(error.code(), "limit");
        assert_eq!(error.to_string(), "128 channels");
        assert_eq!(Error::from(types::Error::Gone).code(), "gone");
    }

    #[test]
    fn only_what_waits_or_leaves_is_accepted() {
        assert!(SendOutcome::Sent.is_accepted());
        assert!(SendOutcome::Queued(1).is_accepted());
        assert!(!SendOutcome::Dropped.is_accepted());
        assert!(!SendOutcome::Gone.is_accepted());
    }
}
