//! How connections end: one enum, one table.
//!
//! Codes are those of RFC 6455 section 7.4 and the registry it founded (1012
//! to 1014). Every ending of a connection goes through one [`CloseReason`].

use std::fmt;

use crate::fault::Fault;

/// The longest reason of a close frame, in bytes: a control frame carries 125
/// bytes and the code takes two (RFC 6455 sections 5.5 and 5.5.1).
pub const REASON_BYTES_MAX: usize = 123;

/// The code reported when the peer's close frame had none (RFC 6455 section
/// 7.1.5). Never sent.
pub const CODE_ABSENT: u16 = 1005;
/// The code reported when no close frame came (RFC 6455 section 7.1.5). Never
/// sent.
pub const CODE_LOST: u16 = 1006;

/// Code and reason of a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseInfo {
    /// The code; [`CloseInfo::checked`] checks that it may be sent.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

/// The party that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOrigin {
    /// The peer sent a close frame.
    Peer,
    /// The function asked for it.
    Function,
    /// The host decided.
    Host,
    /// No close frame came.
    Lost,
}

/// Why a close that a function asks for cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseInfoError {
    /// A code that RFC 6455 section 7.4 reserves or does not define.
    #[error("close code {0} may not be sent: use 1000 to 1003, 1007 to 1014 or 3000 to 4999")]
    Code(u16),
    /// A reason that does not fit into a control frame.
    #[error("a close reason has at most {REASON_BYTES_MAX} bytes, this one has {0}")]
    Reason(usize),
}

/// Whether a peer should connect again after an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// At once, with some jitter.
    Yes,
    /// After a while: the host or the function has too much to do.
    Later,
    /// Not without changing something: the same would happen again.
    No,
    /// As peer and function have agreed.
    Theirs,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer started the close handshake.
    Peer(CloseInfo),
    /// The function called `close`.
    Function(CloseInfo),
    /// The stream ended without a close frame.
    Lost,
    /// The host is shutting down.
    ShuttingDown {
        /// As of [`Redeployed`](Self::Redeployed).
        retry_after: u32,
    },
    /// The peer broke RFC 6455.
    Protocol,
    /// A text message or a close reason was not UTF-8.
    InvalidText,
    /// A compressed message could not be decompressed.
    InvalidCompression,
    /// A message was larger than `message_bytes`.
    MessageTooBig,
    /// A message had more than `fragments` frames.
    Fragments,
    /// The peer passed `messages_per_second`.
    MessageRate,
    /// The peer passed `bytes_per_second`.
    ByteRate,
    /// `connection_time` is up, and `time_up` is `close`.
    TimeUp {
        /// As of [`Redeployed`](Self::Redeployed): connections that were opened
        /// together end together.
        retry_after: u32,
    },
    /// `connection_time` is up, and `time_up` is `abort`.
    TimeUpAbort,
    /// The peer sent nothing for `idle_timeout`.
    Idle,
    /// The peer did not answer a ping within `pong_timeout`.
    NoPong,
    /// The function failed while it handled an event of this connection.
    Fault(Fault),
    /// The function ended it without a close frame.
    Terminated,
    /// An operator closed it through the admin interface.
    Operator(CloseInfo),
    /// The alias moved to another version, and drains this one.
    Redeployed {
        /// How many milliseconds the peer should wait before it reconnects.
        /// Each peer gets a different time, so that they do not all come at
        /// once.
        retry_after: u32,
    },
    /// The function keeps failing and is given no events for a while.
    BackedOff,
    /// No instance had room for the connection's next event.
    Overloaded,
    /// The peer did not read, and `outbox_bytes` were waiting for it.
    OutboxOverflow,
    /// The peer did not read, and the host's `outbox_bytes` were waiting for
    /// all peers together.
    HostOutboxOverflow,
    /// A message took too long to arrive while others waited for room in the
    /// host's `received_bytes`.
    SlowMessage,
    /// The peer's token, ticket or key has expired.
    Expired {
        /// As the trigger says.
        code: u16,
    },
    /// The peer's token was revoked.
    Revoked,
    /// The peer was upgraded before its token came, and then refused.
    Refused {
        /// 1008, 1009, 1011 or 1013.
        code: u16,
        /// The word that a refused handshake has in `openline-error-type`.
        word: &'static str,
    },
    /// The peer was upgraded before its token came, and then the function's
    /// `upgrade` rejected it.
    Rejected {
        /// The status of the rejection.
        status: u16,
    },
    /// A held answer has all that it waited for: a poll its message, or its time is
    /// over.
    Answered,
    /// An ending in the words of the trigger's dialect: the peer broke its rules.
    Dialect {
        /// A code of the dialect.
        code: u16,
        /// Its reason.
        reason: &'static str,
    },
}

// === impl CloseInfo ===

impl CloseInfo {
    /// Checks the code and reason of a frame that a function wants to send.
    pub fn checked(code: u16, reason: String) -> Result<Self, CloseInfoError> {
        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return Err(CloseInfoError::Code(code));
        }
        if reason.len() > REASON_BYTES_MAX {
            return Err(CloseInfoError::Reason(reason.len()));
        }
        Ok(Self { code, reason })
    }
}

// === impl CloseReason ===

impl CloseReason {
    /// One of each kind, in the order of the documentation. Reasons that carry
    /// a value, such as a peer's code, carry an example.
    pub fn all() -> Vec<Self> {
        let normal = || CloseInfo {
            code: 1000,
            reason: String::new(),
        };
        let first = [
            Self::Peer(normal()),
            Self::Function(normal()),
            Self::Lost,
            Self::ShuttingDown { retry_after: 1500 },
            Self::Protocol,
            Self::InvalidText,
            Self::InvalidCompression,
            Self::MessageTooBig,
            Self::Fragments,
            Self::MessageRate,
            Self::ByteRate,
            Self::TimeUp { retry_after: 1500 },
            Self::TimeUpAbort,
            Self::Idle,
            Self::NoPong,
            Self::Terminated,
            Self::Operator(normal()),
            Self::Redeployed { retry_after: 1500 },
        ];
        let last = [
            Self::BackedOff,
            Self::Overloaded,
            Self::OutboxOverflow,
            Self::HostOutboxOverflow,
            Self::SlowMessage,
            Self::Expired { code: 1008 },
            Self::Revoked,
            Self::Refused {
                code: 1008,
                word: "token_invalid",
            },
            Self::Rejected { status: 403 },
            Self::Answered,
            Self::Dialect {
                code: 3501,
                reason: "bad request",
            },
        ];
        let faults = Fault::ALL.map(Self::Fault);
        first.into_iter().chain(faults).chain(last).collect()
    }

    /// A stable word for logs and metrics; for a limit, the limit's name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Peer(_) => "peer",
            Self::Function(_) => "function",
            Self::Lost => "lost",
            Self::ShuttingDown { .. } => "shutting_down",
            Self::Protocol => "protocol",
            Self::InvalidText => "invalid_text",
            Self::InvalidCompression => "invalid_compression",
            Self::MessageTooBig => "message_bytes",
            Self::Fragments => "fragments",
            Self::MessageRate => "messages_per_second",
            Self::ByteRate => "bytes_per_second",
            Self::TimeUp { .. } => "connection_time",
            Self::TimeUpAbort => "connection_time_abort",
            Self::Idle => "idle_timeout",
            Self::NoPong => "pong_timeout",
            Self::Fault(fault) => fault.label(),
            Self::Terminated => "terminated",
            Self::Operator(_) => "operator",
            Self::Redeployed { .. } => "redeployed",
            Self::BackedOff => "backed_off",
            Self::Overloaded => "overloaded",
            Self::OutboxOverflow => "outbox_bytes",
            Self::HostOutboxOverflow => "host_outbox_bytes",
            Self::SlowMessage => "received_bytes",
            Self::Expired { .. } => "token_expired",
            Self::Revoked => "token_revoked",
            Self::Refused { .. } => "refused",
            Self::Rejected { .. } => "rejected",
            Self::Answered => "answered",
            Self::Dialect { .. } => "dialect",
        }
    }

    /// Code and reason, as the function's `close` receives them.
    pub fn info(&self) -> CloseInfo {
        let (code, reason) = match self {
            Self::Peer(info) | Self::Function(info) | Self::Operator(info) => return info.clone(),
            Self::Redeployed { retry_after } => return come_back(1012, "redeployed", *retry_after),
            Self::ShuttingDown { retry_after } => {
                return come_back(1001, "host is shutting down", *retry_after);
            }
            Self::TimeUp { retry_after } => {
                return come_back(1001, "connection_time is up", *retry_after);
            }
            Self::Rejected { status } => {
                let reason = format!("rejected: {status}");
                let code = if is_temporary(*status) { 1013 } else { 1008 };
                return CloseInfo { code, reason };
            }
            Self::Terminated => (CODE_LOST, "the function ended it"),
            Self::BackedOff => (1013, "function keeps failing: come back later"),
            Self::Lost => (CODE_LOST, ""),
            Self::Protocol => (1002, "protocol error"),
            Self::InvalidText => (1007, "text is not UTF-8"),
            Self::InvalidCompression => (1007, "message cannot be decompressed"),
            Self::MessageTooBig => (1009, "message is larger than message_bytes"),
            Self::Fragments => (1008, "message has more than fragments frames"),
            Self::MessageRate => (1008, "more than messages_per_second"),
            Self::ByteRate => (1008, "more than bytes_per_second"),
            Self::TimeUpAbort => (CODE_LOST, "connection_time is up"),
            Self::Idle => (1001, "nothing came for idle_timeout"),
            Self::NoPong => (CODE_LOST, "no answer to a ping for pong_timeout"),
            Self::Fault(fault) => (1011, fault.reason()),
            Self::Overloaded => (1013, "no instance has room"),
            Self::OutboxOverflow => (1013, "outbox is full: read faster"),
            Self::HostOutboxOverflow => (1013, "the host has too much to write"),
            Self::Expired { code } => (*code, "the token has expired"),
            Self::Revoked => (1008, "the token has been revoked"),
            Self::Refused { code, word } => (*code, *word),
            Self::Answered => (1000, "the poll has its answer"),
            Self::Dialect { code, reason } => (*code, *reason),
            Self::SlowMessage => (1013, "message took too long while others waited for room"),
        };
        CloseInfo {
            code,
            reason: reason.into(),
        }
    }

    /// The close frame that the host sends; none for an ending without one.
    /// [`CloseReason::Peer`] is answered with the peer's own code.
    pub fn frame(&self) -> Option<CloseInfo> {
        match self {
            Self::Lost | Self::TimeUpAbort | Self::NoPong | Self::Terminated => None,
            _ => Some(self.info()),
        }
    }

    /// Whether the peer should connect again.
    pub fn reconnect(&self) -> Reconnect {
        match self {
            Self::Peer(_) | Self::Function(_) | Self::Terminated | Self::Operator(_) => {
                Reconnect::Theirs
            }
            Self::Protocol
            | Self::InvalidText
            | Self::InvalidCompression
            | Self::MessageTooBig
            | Self::Fragments
            | Self::MessageRate
            | Self::ByteRate
            | Self::Expired { .. }
            | Self::Revoked => Reconnect::No,
            Self::Refused { code: 1013, .. }
            | Self::Overloaded
            | Self::BackedOff
            | Self::OutboxOverflow
            | Self::HostOutboxOverflow
            | Self::SlowMessage => Reconnect::Later,
            Self::Rejected { status } if is_temporary(*status) => Reconnect::Later,
            Self::Refused { code: 1011, .. } => Reconnect::Yes,
            // Centrifugo's clients come back below 3500, others know no such codes.
            Self::Dialect {
                code: 3000..3500, ..
            } => Reconnect::Yes,
            Self::Refused { .. } | Self::Rejected { .. } | Self::Dialect { .. } => Reconnect::No,
            Self::Lost
            | Self::Answered
            | Self::ShuttingDown { .. }
            | Self::TimeUp { .. }
            | Self::TimeUpAbort
            | Self::Idle
            | Self::NoPong
            | Self::Redeployed { .. }
            | Self::Fault(_) => Reconnect::Yes,
        }
    }

    /// The party that ended the connection.
    pub fn origin(&self) -> CloseOrigin {
        match self {
            Self::Peer(_) => CloseOrigin::Peer,
            Self::Function(_) | Self::Terminated => CloseOrigin::Function,
            Self::Lost => CloseOrigin::Lost,
            _ => CloseOrigin::Host,
        }
    }
}

/// Whether a status says that the same request may be good later.
fn is_temporary(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// An end after which the peer should come back, but not at once.
fn come_back(code: u16, why: &str, retry_after: u32) -> CloseInfo {
    CloseInfo {
        code,
        reason: format!("{why}: come back after {retry_after} ms"),
    }
}

impl fmt::Display for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yes => "yes",
            Self::Later => "later",
            Self::No => "no",
            Self::Theirs => "as agreed",
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.info();
        write!(f, "{} ({} {})", self.label(), info.code, info.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_sent() {
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert!(CloseInfo::checked(code, String::new()).is_ok(), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            assert_eq!(
                CloseInfo::checked(code, String::new()),
                Err(CloseInfoError::Code(code)),
                "{code}"
            );
        }
    }

    #[test]
    fn a_reason_at_its_length_and_past_it() {
        assert!(CloseInfo::checked(1000, "r".repeat(REASON_BYTES_MAX)).is_ok());
        assert_eq!(
            CloseInfo::checked(1000, "r".repeat(REASON_BYTES_MAX + 1)),
            Err(CloseInfoError::Reason(REASON_BYTES_MAX + 1))
        );
    }

    #[test]
    fn every_reason_the_host_gives_can_be_sent() {
        for reason in CloseReason::all() {
            if let Some(info) = reason.frame() {
                assert_eq!(CloseInfo::checked(info.code, info.reason.clone()), Ok(info));
            } else {
                assert_eq!(reason.info().code, CODE_LOST);
            }
        }
    }

    #[test]
    fn a_refusal_after_the_upgrade_says_whether_to_come_back() {
        let refused = |code| CloseReason::Refused { code, word: "w" };
        for (reason, code, text, reconnect) in [
            (refused(1008), 1008, "w", Reconnect::No),
            (refused(1009), 1009, "w", Reconnect::No),
            (refused(1011), 1011, "w", Reconnect::Yes),
            (refused(1013), 1013, "w", Reconnect::Later),
            (
                CloseReason::Rejected { status: 403 },
                1008,
                "rejected: 403",
                Reconnect::No,
            ),
            (
                CloseReason::Rejected { status: 429 },
                1013,
                "rejected: 429",
                Reconnect::Later,
            ),
            (
                CloseReason::Rejected { status: 503 },
                1013,
                "rejected: 503",
                Reconnect::Later,
            ),
        ] {
            let info = reason.info();
            assert_eq!((info.code, &*info.reason), (code, text));
            assert_eq!(reason.reconnect(), reconnect, "{reason}");
        }
    }

    #[test]
    fn every_reason_has_a_label_of_its_own() {
        let labels: std::collections::HashSet<_> =
            CloseReason::all().iter().map(CloseReason::label).collect();
        assert_eq!(labels.len(), CloseReason::all().len());
    }
}
