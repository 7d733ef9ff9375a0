//! How a TCP connection over HTTP/1.1 ends, so that its peer knows what it has got.
//!
//! - The body of a request that is not read has to go somewhere before the next request
//!   can come. A small one the host reads itself (`arriving`). Otherwise the answer says
//!   `connection: close`, and the host reads on behind it for a while: the system
//!   resets a TCP connection that is closed with unread bytes, and the peer could lose
//!   the answer (RFC 9112 section 9.6).
//! - Over HTTP/1.0 an answer without a length ends with its TCP connection. One that is
//!   cut off ends with a reset, or it would look whole.
//!
//! Bounded by [`LINGER_TIME`], unless the place is needed before that.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;

use crate::answer_body::AnswerBody;
use crate::arriving::{Arriving, Reading};
use crate::requests::Slot;
use crate::upgrade::Handover;

/// How long the host reads behind the last answer. A peer that reads it at all has it
/// after a round trip.
const LINGER_TIME: Duration = Duration::from_secs(5);
/// How much of that it reads at once, in bytes.
const LINGER_BYTES: usize = 16 * 1024;

/// What is known of a TCP connection for its end.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Of the request that came last.
    reading: Mutex<Option<Arc<Reading>>>,
    /// Its answer over HTTP/1.0 has an end only by a close.
    is_old: AtomicBool,
    is_by_close: AtomicBool,
}

impl Ending {
    /// A request has come.
    pub(crate) fn begin(&self, request: Request<Incoming>) -> Request<Arriving> {
        let is_old = request.version() == Version::HTTP_10 && request.method() != Method::HEAD;
        self.is_old.store(is_old, Ordering::Relaxed);
        self.is_by_close.store(false, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let (body, reading) = Arriving::noted(body, &parts);
        *self.reading.lock() = reading;
        Request::from_parts(parts, body)
    }

    /// Its answer begins.
    pub(crate) fn answer(&self, answer: &mut Response<AnswerBody>) {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        if self.is_unread() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().append(CONNECTION, close);
        }
        let has_length = || {
            let is_known = answer.body().size_hint().exact().is_some();
            is_known || answer.headers().contains_key(CONTENT_LENGTH)
        };
        let is_written = matches!(answer.body(), AnswerBody::Written(_));
        if is_written && self.is_old.load(Ordering::Relaxed) && !has_length() {
            self.is_by_close.store(true, Ordering::Relaxed);
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
    }

    /// Whether the body of the last request is not read, and too large for the host.
    fn is_unread(&self) -> bool {
        self.reading.lock().as_ref().is_some_and(|it| it.ends())
    }

    /// Reads what is left of the body of a request; never ready.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<Infallible> {
        let reading = self.reading.lock();
        if let Some(reading) = reading.as_ref() {
            reading.poll_drain(cx);
        }
        Poll::Pending
    }

    /// Ends a TCP connection that the library has left, after it has shut it down
    /// (`is_shut`) or not.
    pub(crate) async fn end<S: Handover>(
        &self,
        stream: S,
        slot: &Slot,
        is_shut: bool,
        is_misread: bool,
    ) {
        if !is_shut && self.is_by_close.load(Ordering::Relaxed) {
            stream.reset();
        }
        if is_shut && (is_misread || self.is_unread()) {
            tokio::select! {
                biased;
                () = slot.closed() => {}
                _ = tokio::time::timeout(LINGER_TIME, read_all(stream)) => {}
            }
        }
    }
}

async fn read_all<S: Handover>(mut stream: S) {
    let mut buffer = vec![0; LINGER_BYTES];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}
