//! Why an answer that has begun ends before its end.

use openline_engine::Unfinished;

use crate::grpc::{GrpcRefusal, Violation};
use crate::rescue::{BAD_ANSWER, PEER_SLOW, Refusal, UNFINISHED};

/// An answer ends before its end; hyper then closes the TCP connection, or resets
/// the stream, so that the peer does not take it for whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutOff {
    /// The function did not finish it.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The exchange has lasted for `stream_time`.
    #[error("the exchange has lasted for stream_time")]
    StreamTime,
    /// The function holds it, and it has ended as a connection.
    #[error("the connection has ended")]
    Ended,
    /// The deadline of the call of gRPC is over.
    #[error("the deadline of the call is over")]
    Deadline,
    /// A message of the answer breaks gRPC's rules, or `message_bytes`.
    #[error(transparent)]
    Message(#[from] Violation),
    /// The function has not ended its answer with a status.
    #[error("the function's answer has no grpc-status at its end")]
    NoStatus,
    /// What came of the request may not be answered.
    #[error(transparent)]
    Request(Refusal),
}

impl CutOff {
    /// The stable word.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unfinished(Unfinished::Function(_)) => UNFINISHED,
            Self::Unfinished(Unfinished::Slow) => PEER_SLOW,
            // The second is that of answers that are held, which end elsewhere.
            Self::StreamTime | Self::Ended => Refusal::StreamTime.label(),
            Self::Deadline => GrpcRefusal::Deadline.label(),
            Self::Message(_) | Self::NoStatus => BAD_ANSWER,
            Self::Request(refusal) => refusal.label(),
        }
    }

    /// Who can mend it.
    pub(super) fn blame(&self) -> &'static str {
        match self {
            Self::Unfinished(Unfinished::Function(_))
            | Self::StreamTime
            | Self::Ended
            | Self::Message(_)
            | Self::NoStatus => "function",
            Self::Deadline | Self::Unfinished(Unfinished::Slow) => "peer",
            Self::Request(refusal) => refusal.blame(),
        }
    }
}
