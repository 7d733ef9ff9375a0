//! The time of an exchange: `stream_time`, or the deadline of a client of gRPC.

use std::time::Duration;

use tokio::time::Instant;

use super::cut_off::CutOff;
use crate::grpc::{Call, GrpcRefusal};
use crate::rescue::Refusal;

/// When the time of an exchange is up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) at: Option<Instant>,
    /// It is the client's deadline that comes first, and not `stream_time`.
    is_deadline: bool,
}

impl Ends {
    pub(super) fn of(stream_time: Duration, call: Option<Call>) -> Self {
        let stream_time = (!stream_time.is_zero()).then_some(stream_time);
        let timeout = call.and_then(|call| call.timeout);
        let is_deadline = match (timeout, stream_time) {
            (Some(timeout), Some(stream_time)) => timeout < stream_time,
            (timeout, _) => timeout.is_some(),
        };
        let first = if is_deadline { timeout } else { stream_time };
        Self {
            // What is too far away for a clock is none.
            at: first.and_then(|first| Instant::now().checked_add(first)),
            is_deadline,
        }
    }

    /// Waits for something until then.
    pub(super) async fn bound<T>(self, waiting: impl Future<Output = T>) -> Result<T, Refusal> {
        let Some(at) = self.at else {
            return Ok(waiting.await);
        };
        // What needs no time is not done either where there is none.
        let waited = match Instant::now() < at {
            true => tokio::time::timeout_at(at, waiting).await.ok(),
            false => None,
        };
        waited.ok_or(match self.is_deadline {
            true => GrpcRefusal::Deadline.into(),
            false => Refusal::StreamTime,
        })
    }

    pub(super) fn cut_off(self) -> CutOff {
        match self.is_deadline {
            true => CutOff::Deadline,
            false => CutOff::StreamTime,
        }
    }
}
