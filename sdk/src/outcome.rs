//! The results of a function's requests: the outcome of a send and of a
//! publication, and the error of everything else.

use std::fmt;

use crate::raw::{channels, common, types};

/// The outcome of a message that was sent to a connection. Sending never waits;
/// a peer that reads slowly shows here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendOutcome {
    /// It leaves with the next write: the peer keeps up.
    Sent,
    /// Accepted, but the peer reads more slowly than the function writes: this
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

/// The outcome of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Published {
    deliveries: u64,
    everywhere: bool,
}

impl Published {
    /// How many outboxes of this host took the message.
    #[must_use]
    pub fn deliveries(self) -> u64 {
        self.deliveries
    }

    /// Whether the message was given to all hosts that serve this function.
    /// True if this is the only host; otherwise false while the link to the
    /// others is down.
    #[must_use]
    pub fn reached_all_hosts(self) -> bool {
        self.everywhere
    }
}

impl From<channels::Outcome> for Published {
    fn from(outcome: channels::Outcome) -> Self {
        Self {
            deliveries: outcome.deliveries,
            everywhere: outcome.reach == channels::Reach::AllHosts,
        }
    }
}

/// Why the host did not carry out a request. Programs use [`code`](Self::code),
/// people read the displayed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: &'static str,
    text: String,
}

impl Error {
    /// The kind of error, the same in every version of the host:
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

impl From<common::Error> for Error {
    fn from(error: common::Error) -> Self {
        match error {
            common::Error::Limit(text) => Self {
                code: "limit",
                text,
            },
            common::Error::Invalid(text) => Self {
                code: "invalid",
                text,
            },
            common::Error::Gone => Self {
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
        let error = Error::from(common::Error::Limit("128 channels".to_owned()));
        assert_eq!(error.code(), "limit");
        assert_eq!(error.to_string(), "128 channels");
        assert_eq!(Error::from(common::Error::Gone).code(), "gone");
    }

    #[test]
    fn only_what_waits_or_leaves_is_accepted() {
        assert!(SendOutcome::Sent.is_accepted());
        assert!(SendOutcome::Queued(1).is_accepted());
        assert!(!SendOutcome::Dropped.is_accepted());
        assert!(!SendOutcome::Gone.is_accepted());
    }
}
