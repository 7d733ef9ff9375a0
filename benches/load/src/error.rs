//! Why a run gave no report, each with a hint for the person who started it.
//!
//! A failure of single connections while others work is no error here: the
//! report counts it.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use openline_hint::Hint;

use crate::connect::ConnectFailure;

/// A run that could not be made, or that measured nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A setting is out of its bounds.
    #[error("{name}: {problem}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The problem with its value.
        problem: String,
    },
    /// The process may not open as many files as there are connections.
    #[error("{needed} open files are needed, and the limit is {limit}")]
    OpenFiles {
        /// Files needed, connections and some more.
        needed: u64,
        /// The number that the system allows.
        limit: u64,
    },
    /// The host's name has no address.
    #[error("cannot find the address of `{host}`: {error}")]
    Resolve {
        /// The name in the URL.
        host: String,
        /// The error from the resolver.
        error: io::Error,
    },
    /// The first connection could not be opened.
    #[error("cannot open a connection to {target}: {failure}")]
    Connect {
        /// Where to.
        target: String,
        /// The cause.
        failure: ConnectFailure,
    },
    /// The first connection could be opened, and no other.
    #[error("a single connection was possible, and then none: {reasons}")]
    NoConnection {
        /// The causes, with counts.
        reasons: String,
    },
    /// Messages were sent, and nothing at all came back.
    #[error("{sent} messages were sent and none was answered within {waited:?}")]
    NoReply {
        /// Messages sent.
        sent: u64,
        /// How long the answers were awaited.
        waited: Duration,
    },
    /// Something came back, but not what had been sent.
    #[error("the server does not echo: it answered {example}")]
    NotEcho {
        /// The start of one answer.
        example: String,
    },
    /// Every connection ended before any message was answered.
    #[error("every connection ended before a message was answered: {reasons}")]
    Ended {
        /// The causes of their ends, with counts.
        reasons: String,
    },
    /// The server's process cannot be observed.
    #[error("cannot read the CPU time and memory of process {process}: {error}")]
    Process {
        /// Its number.
        process: u32,
        /// The error from reading.
        error: io::Error,
    },
    /// A thread of the load generator could not be started, or ended early.
    #[error("a thread of the load generator failed: {0}")]
    Thread(String),
}

impl Hint for LoadError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Setting { .. } | Self::Thread(_) => return None,
            Self::OpenFiles { needed, .. } => {
                format!("`ulimit -n {needed}`, or ask for fewer connections").into()
            }
            Self::Resolve { .. } => "check the name, or write an IP address".into(),
            Self::Connect { failure, .. } => return failure.hint(),
            Self::NoReply { .. } | Self::NotEcho { .. } => {
                "the function must send each message back unchanged, as the sample `echo` does"
                    .into()
            }
            Self::Ended { .. } | Self::NoConnection { .. } => "the server's log says why".into(),
            Self::Process { .. } => {
                "the server must run on this machine, under Linux, as the same user".into()
            }
        })
    }
}
