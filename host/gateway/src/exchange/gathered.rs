//! The beginning of a request's body, which the host reads before the function is
//! asked. A plain call has its instance, or its room, for itself: no peer gets one
//! that has sent nothing yet.
//!
//! Bounded by [`PIECE_BYTES_MAX`], or [`WHOLE_BYTES_MAX`] where the events of
//! connections wait for the call; what is beyond 16 KiB counts for the host's
//! `received_bytes`. Larger bodies, and those for which there is no room, go on as
//! streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use openline_channels::budget::FunctionBudget;
use openline_channels::received::Share;
use openline_core::limits::RECEIVED_FREE_BYTES;
use openline_engine::request::Beginning;
use openline_engine::{RequestBody, RequestBodyError};

/// Bodies that are announced to be no larger, in bytes, are read to their end: forms
/// and messages. Of one without a length, a piece is enough: its peer may wait for
/// an answer before it goes on.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// How much is read of a body with affinity, in bytes: documents and pictures.
const WHOLE_BYTES_MAX: usize = 1024 * 1024;

/// A body whose beginning is there.
struct Gathered {
    beginning: Bytes,
    share: Option<Share>,
    /// There unless it has ended.
    rest: Option<RequestBody>,
    trailers: Option<HeaderMap>,
}

/// Waits until as much of a request's body has come as its call needs.
///
/// # Errors
///
/// When the body may not go on, as that says.
pub(super) async fn gather(
    request: http::Request<RequestBody>,
    beginning: Beginning,
    budget: &Arc<FunctionBudget>,
) -> Result<http::Request<RequestBody>, RequestBodyError> {
    if beginning == Beginning::Nothing || request.body().is_end_stream() {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    let bytes_max = match (beginning, announced) {
        (Beginning::Whole, _) => WHOLE_BYTES_MAX,
        (_, Some(length)) if length <= PIECE_BYTES_MAX => PIECE_BYTES_MAX,
        _ => 1,
    };
    let gathered = gathered(body, bytes_max, budget).await?;
    Ok(http::Request::from_parts(head, gathered.boxed_unsync()))
}

async fn gathered(
    mut body: RequestBody,
    bytes_max: usize,
    budget: &Arc<FunctionBudget>,
) -> Result<Gathered, RequestBodyError> {
    let mut beginning = BytesMut::new();
    let mut share = Share::new(budget);
    let mut trailers = None;
    let mut has_ended = false;
    // Also when it is full: what is whole has no peer to wait for.
    while beginning.len() < bytes_max && !has_ended {
        match body.frame().await.transpose()?.map(Frame::into_data) {
            Some(Ok(data)) => {
                beginning.extend_from_slice(&data);
                let needed = beginning.len().saturating_sub(RECEIVED_FREE_BYTES);
                if needed > share.bytes() && !share.try_take(needed - share.bytes()) {
                    break;
                }
                has_ended = body.is_end_stream();
            }
            Some(Err(frame)) => trailers = frame.into_trailers().ok(),
            None => has_ended = true,
        }
    }
    Ok(Gathered {
        beginning: beginning.freeze(),
        share: Some(share),
        rest: Some(body).filter(|_| !has_ended),
        trailers,
    })
}

impl Body for Gathered {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.share = None;
        let beginning = std::mem::take(&mut self.beginning);
        if !beginning.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(beginning))));
        }
        if let Some(rest) = &mut self.rest {
            return Pin::new(rest).poll_frame(cx);
        }
        Poll::Ready(self.trailers.take().map(|it| Ok(Frame::trailers(it))))
    }

    fn is_end_stream(&self) -> bool {
        let rest = self.rest.as_ref();
        self.beginning.is_empty() && self.trailers.is_none() && rest.is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let beginning = self.beginning.len() as u64;
        let rest = self.rest.as_ref().map(Body::size_hint);
        let rest = rest.unwrap_or(SizeHint::with_exact(0));
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(beginning));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(beginning));
        }
        hint
    }
}
