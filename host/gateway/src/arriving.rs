//! The body of a request on its way in, and what becomes of one that nobody reads.
//!
//! Over HTTP/1.1 it has to go somewhere before the next request can come, so the host
//! reads what is left of one of [`DRAINED_BYTES_MAX`]. A TCP connection with more ends
//! with its answer (`ending`).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Version;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;

/// How large a body may be that the host reads itself, in bytes. To read that costs
/// less than a new TCP connection with TLS, and most refused requests have less.
const DRAINED_BYTES_MAX: u64 = 64 * 1024;

/// The body of a request, which notes whether it was read to its end.
#[derive(Debug)]
pub(crate) struct Arriving {
    /// There until it is dropped.
    body: Option<Incoming>,
    /// There over HTTP/1.1, if there is a body at all.
    reading: Option<Arc<Reading>>,
}

/// How far the body of a request was read.
#[derive(Debug)]
pub(crate) struct Reading {
    is_read: AtomicBool,
    /// Whether the host reads what the function does not.
    is_small: bool,
    left: Mutex<Option<Incoming>>,
    /// The task of the TCP connection, which reads what is left.
    waker: AtomicWaker,
}

// === impl Arriving ===

impl From<Incoming> for Arriving {
    /// A stream of HTTP/2, whose library tells the peer by itself.
    fn from(body: Incoming) -> Self {
        Self {
            body: Some(body),
            reading: None,
        }
    }
}

impl Arriving {
    /// Over HTTP/1.1, and what is noted of it if there is a body at all.
    pub(crate) fn noted(body: Incoming, head: &Parts) -> (Self, Option<Arc<Reading>>) {
        let reading = (!body.is_end_stream()).then(|| {
            let length = body.size_hint().upper();
            // A peer that waits for `100 Continue` may never send it, and one that
            // sends no other request waits for the end.
            let waits = head.headers.contains_key(EXPECT) || is_last(head);
            Arc::new(Reading {
                is_read: AtomicBool::new(false),
                is_small: !waits && length.is_some_and(|length| length <= DRAINED_BYTES_MAX),
                left: Mutex::new(None),
                waker: AtomicWaker::new(),
            })
        });
        let body = Self {
            body: Some(body),
            reading: reading.clone(),
        };
        (body, reading)
    }

    fn is_over(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }
}

/// Whether a body has come to its end: nothing follows its trailers.
fn ends(polled: &Poll<Option<Result<Frame<Bytes>, hyper::Error>>>) -> bool {
    match polled {
        Poll::Ready(None) => true,
        Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
        _ => false,
    }
}

/// Whether the TCP connection ends with the answer to a request (RFC 9112 section
/// 9.3).
fn is_last(head: &Parts) -> bool {
    let options = head.headers.get_all(CONNECTION).into_iter();
    let mut options = options.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let wanted: &[u8] = match head.version {
        Version::HTTP_10 => b"keep-alive",
        _ => b"close",
    };
    let is_there = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted));
    is_there != (head.version == Version::HTTP_10)
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if let Some(reading) = &self.reading
            && (ends(&polled) || self.is_over())
        {
            reading.is_read.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading
            && reading.is_small
            && !reading.is_read.load(Ordering::Relaxed)
        {
            *reading.left.lock() = self.body.take();
            reading.waker.wake();
        }
    }
}

// === impl Reading ===

impl Reading {
    /// Whether the TCP connection ends behind an answer that begins now. A function
    /// may still read the body while it writes; nobody knows.
    pub(crate) fn ends(&self) -> bool {
        !self.is_small && !self.is_read.load(Ordering::Relaxed)
    }

    /// Reads what is left of it, once nobody else does.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) {
        self.waker.register(cx.waker());
        let mut left = self.left.lock();
        while let Some(body) = left.as_mut() {
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => *left = None,
                Poll::Pending => return,
            }
        }
    }
}
