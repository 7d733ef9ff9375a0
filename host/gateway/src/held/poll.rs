//! A poll: a held answer that is the first message, or nothing.
//!
//! It waits within its request: hyper drops it when the peer goes, and the function
//! is told then. Its TCP connection keeps hyper's buffers meanwhile. Bounded in time
//! by what the function has said, and by `connection_time`.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::Full;
use openline_core::close::CloseReason;
use openline_core::message::Message;

use super::line::Line;
use super::outlet::Outlet;
use crate::answer_body::AnswerBody;
use crate::gateway::Place;
use crate::rescue::Refusal;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A poll that waits. Dropped, it ends as one whose peer has gone.
struct Waiting {
    /// There until it ends.
    line: Option<Box<Line>>,
    place: Place,
}

/// Waits for the first message, and answers with it.
///
/// # Errors
///
/// When the function or the host cannot go on.
pub(super) async fn answer(
    line: Box<Line>,
    place: Place,
    head: Parts,
) -> Result<Response<AnswerBody>, Refusal> {
    place.step_aside();
    let mut waiting = Waiting {
        line: Some(line),
        place,
    };
    let reason = std::future::poll_fn(|cx| match &mut waiting.line {
        Some(line) => line.poll(cx),
        None => std::task::Poll::Ready(CloseReason::Lost),
    });
    let reason = reason.await;
    let message = waiting.end(&reason);
    match (reason, message) {
        (_, Some(message)) => Ok(with(head, message)),
        (CloseReason::Fault(fault), None) => Err(Refusal::Fault(fault)),
        (CloseReason::Overloaded, None) => Err(Refusal::Full),
        (reason, None) => Ok(without(head, &reason)),
    }
}

impl Waiting {
    /// Ends it, behind the answer: the message, if one has come.
    fn end(&mut self, reason: &CloseReason) -> Option<Message> {
        let mut line = self.line.take()?;
        self.place.return_to();
        let message = match &mut line.outlet {
            Outlet::Answer(answer) => answer.take(),
            Outlet::Body(_) | Outlet::Direct(_) => None,
        };
        let reason = reason.clone();
        // There is none where the process ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(line.end(reason));
        }
        message
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end(&CloseReason::Lost);
    }
}

/// The answer with a message; its type is the function's, if it has said one.
fn with(mut head: Parts, message: Message) -> Response<AnswerBody> {
    let (kind, bytes) = match message {
        Message::Text(text) => (TEXT, text.into_bytes()),
        Message::Binary(bytes) => (BINARY, bytes),
    };
    head.headers.entry(CONTENT_TYPE).or_insert(kind);
    Response::from_parts(head, AnswerBody::Whole(Full::new(bytes)))
}

/// The answer without one: nothing has come, and when to come back, if not at once.
fn without(mut head: Parts, reason: &CloseReason) -> Response<AnswerBody> {
    head.status = StatusCode::NO_CONTENT;
    head.headers.remove(CONTENT_TYPE);
    if let CloseReason::ShuttingDown { retry_after }
    | CloseReason::Redeployed { retry_after }
    | CloseReason::TimeUp { retry_after } = reason
    {
        let seconds = retry_after.div_ceil(1_000);
        head.headers.insert(RETRY_AFTER, seconds.into());
    }
    Response::from_parts(head, AnswerBody::Whole(Full::new(Bytes::new())))
}
