//! A TCP connection on which calls are made, in HTTP/1.1 or HTTP/2.
//!
//! Its task runs on the host's runtime, and ends with the last handle of it.
//!
//! Bounded: the buffers of a stream, and the headers of an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::error::{OutboundError, Phase};
use crate::outgoing::OutgoingBody;
use crate::stream::OutboundStream;

/// What an answer's head may have beside the names and values that are counted:
/// its first line, and the marks between headers.
const HEAD_REST_BYTES: usize = 4 * 1024;

/// The smallest buffer that hyper takes.
const BUFFER_BYTES_MIN: usize = 8 * 1024;

/// What the other host may send before the function has read it: of one stream of
/// HTTP/2, and of all of one TCP connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What waits to be written, of one stream.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// A TCP connection for calls.
#[derive(Debug)]
pub(crate) enum Pipe {
    /// With one call at a time.
    One(One),
    /// With many.
    Two(Two),
}

/// HTTP/1.1.
#[derive(Debug)]
pub(crate) struct One {
    sender: http1::SendRequest<OutgoingBody>,
    _task: Task,
}

/// HTTP/2, as the pool keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    sender: http2::SendRequest<OutgoingBody>,
    streams: Arc<AtomicU32>,
    _task: Arc<Task>,
}

/// HTTP/2, as one call has it.
#[derive(Debug)]
pub(crate) struct Two(Shared);

/// The task of a TCP connection: it ends with this.
#[derive(Debug)]
struct Task(AbortHandle);

/// Runs the tasks of HTTP/2 on the host's runtime.
#[derive(Clone, Debug)]
struct Executor(Handle);

// === impl Pipe ===

impl Pipe {
    /// Begins HTTP on a stream.
    pub(crate) async fn open(
        stream: OutboundStream,
        header_bytes: usize,
        runtime: &Handle,
    ) -> Result<Self, OutboundError> {
        let failed = |error| OutboundError::of_http(&error, Phase::Head);
        let is_http2 = stream.is_http2();
        let io = TokioIo::new(stream);
        let head = header_bytes + HEAD_REST_BYTES;
        if is_http2 {
            let mut builder = http2::Builder::new(Executor(runtime.clone()));
            let list = u32::try_from(head).unwrap_or(u32::MAX);
            builder
                .timer(TokioTimer::new())
                .max_header_list_size(list)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_send_buf_size(SEND_BUFFER_BYTES);
            let (sender, connection) = builder.handshake(io).await.map_err(failed)?;
            let task = Task::new(runtime, connection);
            return Ok(Self::Two(Two::new(Shared {
                sender,
                streams: Arc::default(),
                _task: Arc::new(task),
            })));
        }
        let mut builder = http1::Builder::new();
        builder
            .max_header_size(head)
            .max_buf_size(head.max(BUFFER_BYTES_MIN));
        let (sender, connection) = builder.handshake(io).await.map_err(failed)?;
        Ok(Self::One(One {
            sender,
            _task: Task::new(runtime, connection),
        }))
    }

    /// Whether requests name their host in the way of HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Two(_))
    }

    /// Sends a request. If it comes back with the error, nothing of it was sent.
    pub(crate) async fn send(
        &mut self,
        request: Request<OutgoingBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<OutgoingBody>>> {
        match self {
            Self::One(one) => {
                // If it fails, sending tells why.
                let _ = one.sender.ready().await;
                one.sender.try_send_request(request).await
            }
            Self::Two(two) => two.0.sender.try_send_request(request).await,
        }
    }
}

// === impl One ===

impl One {
    /// Whether it can take a call.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// Waits until it can take one; false if it cannot any more.
    pub(crate) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

// === impl Shared ===

impl Shared {
    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Calls that it carries.
    pub(crate) fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }
}

// === impl Two ===

impl Two {
    /// The place of one call.
    pub(crate) fn new(shared: Shared) -> Self {
        shared.streams.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }

    /// What further calls use.
    pub(crate) fn shared(&self) -> Shared {
        self.0.clone()
    }
}

impl Drop for Two {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Task ===

impl Task {
    fn new<T>(runtime: &Handle, connection: T) -> Self
    where
        T: Future<Output = hyper::Result<()>> + Send + 'static,
    {
        let task = runtime.spawn(async move {
            if let Err(error) = connection.await {
                // The call that it concerns is told.
                tracing::trace!(%error, "a TCP connection of calls has ended");
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
