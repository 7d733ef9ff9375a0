//! Whether the peer of a TCP connection over HTTP/1.1 reads its answers.
//!
//! Bounded by `request_timeout`: a peer that takes nothing of an answer for twice as
//! long loses its TCP connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::answer_body::AnswerBody;
use crate::exchange::CutOff;

/// When the last request of a TCP connection was answered, until the next one
/// begins.
#[derive(Debug, Default)]
pub(crate) struct Answered(Mutex<Option<Instant>>);

impl Answered {
    pub(crate) fn begin(&self) {
        *self.0.lock() = None;
    }

    pub(crate) fn end(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Waits until an answer is too old to have been read: within `patience`
    /// after an answer is written, another request comes or hyper ends the TCP
    /// connection.
    pub(crate) async fn unread(&self, patience: Duration) {
        loop {
            let answered = *self.0.lock();
            if answered.is_some_and(|answered| answered.elapsed() >= 2 * patience) {
                return;
            }
            tokio::time::sleep(patience).await;
        }
    }
}

/// The body of an answer, which notes for a stream whether its peer reads it.
#[derive(Debug)]
pub(crate) struct Paced {
    pub(crate) body: AnswerBody,
    /// There for streams: since when hyper has had a piece without asking for
    /// the next one.
    pub(crate) reading: Option<Arc<Answered>>,
}

impl Drop for Paced {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.end();
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(reading) = &self.reading {
            match &polled {
                Poll::Pending => reading.begin(),
                Poll::Ready(_) => reading.end(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
