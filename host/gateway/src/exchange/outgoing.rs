//! The body of a function's answer on its way to the peer, for at most
//! `stream_time`. It holds the places of its exchange until it ends.
//!
//! A peer that leaves before the end drops it, and with it the body that the
//! function writes, by which the function learns it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Version;
use hyper::body::{Body, Frame, SizeHint};
use openline_admission::admit::Places;
use openline_core::name::FunctionName;
use openline_engine::{ResponseBody, Unfinished};
use tokio::time::{Instant, Sleep};

use super::{Answerer, Held};
use crate::gateway::{Gateway, Place};
use crate::request_id::RequestId;
use crate::rescue::{PEER_GONE, Refusal, UNFINISHED};

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
}

/// The body of an answer that a function writes.
#[derive(Debug)]
pub struct Written {
    body: ResponseBody,
    held: Held,
    gateway: Arc<Gateway>,
    function: FunctionName,
    id: RequestId,
    /// When its time is up.
    ends: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The peer will not read it: it is the answer to HEAD.
    is_head: bool,
    /// The same over HTTP/2, where hyper would send what the function writes.
    is_left_out: bool,
    is_over: bool,
}

impl Written {
    pub(super) fn new(
        body: ResponseBody,
        (gateway, service, id): Answerer<'_>,
        (places, place): (Places, Place),
        ends: Option<Instant>,
        (is_head, version): (bool, Version),
    ) -> Self {
        Self {
            body,
            held: Held {
                _places: places,
                place,
            },
            gateway: Arc::clone(gateway),
            function: service.alias.function().clone(),
            id,
            ends,
            timer: None,
            is_head,
            is_left_out: is_head && version == Version::HTTP_2,
            is_over: false,
        }
    }

    /// Whether its time is up; the task is woken when it is.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(ends) = self.ends else {
            return false;
        };
        let timer = || Box::pin(tokio::time::sleep_until(ends));
        self.timer
            .get_or_insert_with(timer)
            .as_mut()
            .poll(cx)
            .is_ready()
    }

    fn cut_off(&mut self, why: CutOff) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        self.is_over = true;
        let (id, function) = (self.id, &self.function);
        tracing::debug!(request = %id, %function, %why, "an answer is cut off");
        self.gateway.tally().refuse(match why {
            CutOff::Unfinished(_) => UNFINISHED,
            // The second is that of answers that are held, which end elsewhere.
            CutOff::StreamTime | CutOff::Ended => Refusal::StreamTime.label(),
        });
        Poll::Ready(Some(Err(why)))
    }
}

impl Body for Written {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending if self.is_late(cx) => self.cut_off(CutOff::StreamTime),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(why))) => self.cut_off(why.into()),
            Poll::Ready(None) => {
                self.is_over = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.is_left_out || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.is_left_out {
            // Its length, if there is one, is in its head.
            true => SizeHint::new(),
            false => self.body.size_hint(),
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // Its TCP connection waits for the next request from now on. A stream of
        // HTTP/2 gives its place back by itself.
        if let Place::Connection(permit) = &self.held.place {
            permit.slot().end();
        }
        if !self.is_over && !self.body.is_whole() && !self.is_head {
            self.gateway.tally().refuse(PEER_GONE);
            let (id, function) = (self.id, &self.function);
            tracing::debug!(request = %id, %function, status = 499, "the peer left before its answer was complete");
        }
    }
}
