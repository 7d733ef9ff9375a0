//! How connections end: one enum, one table.
//!
//! Codes are those of RFC 6455 section 7.4 and the registry it founded (1012
//! to 1014). Every ending of a connection goes through one [`CloseReason`].

use std::fmt;

use crate::fault::Fault;

/// The longest reason of a close frame, in bytes: a control frame carries 125
/// bytes and the code takes two (RFC 6455 sections 5.5 and 5.5.1).
pub const REASON_BYTES_MAX: usize = 123;

/// What is told when the peer's close frame had no code (RFC 6455 section
/// 7.1.5). Never sent.
pub const CODE_ABSENT: u16 = 1005;
/// What is told when no close frame came (RFC 6455 section 7.1.5). Never sent.
pub const CODE_LOST: u16 = 1006;

/// Code and reason of a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseInfo {
    /// The code; see [`CloseInfo::checked`] for which may be sent.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

/// Who ended a connection.
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
    ShuttingDown,
    /// The peer broke RFC 6455.
    Protocol,
    /// A text message or a close reason was not UTF-8.
    InvalidText,
    /// A message was larger than `message_bytes`.
    MessageTooBig,
    /// The function failed while it handled an event of this connection.
    Fault(Fault),
    /// No instance had room for the connection's next event.
    Overloaded,
    /// The peer did not read, and `outbox_bytes` were waiting for it.
    OutboxOverflow,
}

// === impl CloseInfo ===

impl CloseInfo {
    /// Code and reason of a frame that a function wants to send.
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
    /// A stable word for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Peer(_) => "peer",
            Self::Function(_) => "function",
            Self::Lost => "lost",
            Self::ShuttingDown => "shutting_down",
            Self::Protocol => "protocol",
            Self::InvalidText => "invalid_text",
            Self::MessageTooBig => "message_too_big",
            Self::Fault(fault) => fault.label(),
            Self::Overloaded => "overloaded",
            Self::OutboxOverflow => "outbox_overflow",
        }
    }

    /// Code and reason, as the function's `close` is told. For all but
    /// [`CloseReason::Lost`] also what the host's close frame says.
    pub fn info(&self) -> CloseInfo {
        let (code, reason) = match self {
            Self::Peer(info) | Self::Function(info) => return info.clone(),
            Self::Lost => (CODE_LOST, ""),
            Self::ShuttingDown => (1001, "host is shutting down"),
            Self::Protocol => (1002, "protocol error"),
            Self::InvalidText => (1007, "text is not UTF-8"),
            Self::MessageTooBig => (1009, "message is larger than message_bytes"),
            Self::Fault(fault) => (1011, fault.reason()),
            Self::Overloaded => (1013, "no instance has room"),
            Self::OutboxOverflow => (1013, "outbox is full: read faster"),
        };
        CloseInfo {
            code,
            reason: reason.into(),
        }
    }

    /// Who ended the connection.
    pub fn origin(&self) -> CloseOrigin {
        match self {
            Self::Peer(_) => CloseOrigin::Peer,
            Self::Function(_) => CloseOrigin::Function,
            Self::Lost => CloseOrigin::Lost,
            _ => CloseOrigin::Host,
        }
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
        let faults = [
            Fault::Trap,
            Fault::Stack,
            Fault::CpuTimeout,
            Fault::HandlerTimeout,
            Fault::Fuel,
            Fault::Memory,
            Fault::Start,
            Fault::Host,
        ];
        let reasons = faults.map(CloseReason::Fault).into_iter().chain([
            CloseReason::ShuttingDown,
            CloseReason::Protocol,
            CloseReason::InvalidText,
            CloseReason::MessageTooBig,
            CloseReason::Overloaded,
            CloseReason::OutboxOverflow,
        ]);
        for reason in reasons {
            let info = reason.info();
            assert_eq!(CloseInfo::checked(info.code, info.reason.clone()), Ok(info));
            assert_eq!(reason.origin(), CloseOrigin::Host);
        }
    }
}
