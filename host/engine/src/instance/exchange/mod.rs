//! One exchange of HTTP: a request, and the answer of a function.
//!
//! The driver of an instance makes the call, and the task of the peer moves the
//! bodies. They share an [`Exchange`], which says how far it is: so the call has
//! time while its peer sends, it learns when its peer has left, and an answer whose
//! call has failed in the middle does not look whole. `progress` has the rules of
//! time, `bodies` what a function reads and writes.
//!
//! Bounded by the seats of the instances: each has one exchange at a time, in an
//! instance of a plain handler one in all. Of a body, what is between the two is
//! what `wasi:http` keeps, a few pieces, and 256 KiB of an answer for whose call
//! others wait.

pub(crate) mod bodies;
pub(crate) mod progress;
mod written;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use openline_core::fault::Fault;
use tokio::sync::oneshot;

use crate::sync::Mutex;

pub use bodies::ResponseBody;
pub(crate) use progress::Exchange;

/// The body of a request, on its way to a function.
pub type RequestBody = UnsyncBoxBody<Bytes, RequestBodyError>;

/// The body of an answer, as the instance writes it.
pub(crate) type WrittenBody = UnsyncBoxBody<Bytes, String>;

/// Why the body of a request ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestBodyError {
    /// It is larger than it may be, in bytes.
    #[error("the body of the request has more than {0} bytes")]
    TooLarge(u64),
    /// The peer has left, or does not send what it announced.
    #[error("the body of the request ends too early")]
    Incomplete,
    /// It is not in the form that it is said to have.
    #[error("the body of the request is not in the form that it is said to have")]
    Malformed,
    /// It comes slowly, and others wait for the instance.
    #[error("the body of the request comes too slowly")]
    Slow,
}

/// Why the body of an answer is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// The function failed while it wrote it, or did not write what it announced.
    #[error("the function has not finished its answer: {0}")]
    Function(String),
    /// The peer reads or sends slowly, and others wait for the instance.
    #[error("the peer is slow, and others wait for the instance")]
    Slow,
}

/// A request for an instance.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) request: http::Request<RequestBody>,
    /// Whether the peer reaches the host by HTTPS.
    pub(crate) is_https: bool,
    pub(crate) exchange: Arc<Exchange>,
}

/// How a request went.
#[derive(Debug)]
pub(crate) enum RequestOutcome {
    Answered(http::Response<ResponseBody>),
    /// The function's answer breaks the contract; the text says how.
    Invalid(String),
    Fault(Fault),
    /// The host has no room for the instance.
    Full,
    /// The instance ended before it began; ask another one.
    Returned(Box<Request>),
}

/// Where the outcome goes, once: the answer from within a call, or else what
/// became of the call.
#[derive(Clone, Debug)]
pub(crate) struct RequestReply(Arc<Mutex<Option<oneshot::Sender<RequestOutcome>>>>);

/// A place in an instance whose call has returned, and whose answer still comes;
/// dropped at the end of that.
pub(crate) trait Streams: std::fmt::Debug + Send {
    /// Whether the instance has failed: what it was still writing is not whole.
    fn has_failed(&self) -> bool;
}

// === impl RequestReply ===

impl RequestReply {
    pub(crate) fn new(sender: oneshot::Sender<RequestOutcome>) -> Self {
        Self(Arc::new(Mutex::new(Some(sender))))
    }

    /// Gives the outcome, unless there was one. Nobody may wait for it any more.
    pub(crate) fn give(&self, outcome: RequestOutcome) {
        let sender = self.0.lock().take();
        if let Some(sender) = sender {
            let _ = sender.send(outcome);
        }
    }

    /// Whether nobody waits for an outcome.
    pub(crate) fn is_closed(&self) -> bool {
        let sender = self.0.lock();
        sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}
