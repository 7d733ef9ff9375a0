//! The body of a function's answer on its way to the peer, for at most
//! `stream_time`. It holds the places of its exchange until it ends.
//!
//! The answer to a call of gRPC that ends too early ends with a status all the same.
//!
//! A peer that leaves before the end drops it, and with it the body that the
//! function writes, by which the function learns it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use hyper::body::{Body, Frame, SizeHint};
use openline_admission::admit::Places;
use openline_core::headers::strip_trailers;
use openline_core::name::FunctionName;
use openline_engine::ResponseBody;
use tokio::time::{Instant, Sleep};

use super::cut_off::CutOff;
use super::ends::Ends;
use super::watch::Watch;
use super::{Answerer, Held, status};
use crate::gateway::{Gateway, Place};
use crate::request_id::RequestId;
use crate::rescue::{PEER_GONE, PEER_SLOW};

/// The body of an answer that a function writes.
#[derive(Debug)]
pub struct Written {
    body: ResponseBody,
    held: Held,
    gateway: Arc<Gateway>,
    function: FunctionName,
    id: RequestId,
    /// When its time is up.
    ends: Ends,
    timer: Option<Pin<Box<Sleep>>>,
    /// The peer will not read it: it is the answer to HEAD, or has a status without a
    /// body.
    is_head: bool,
    /// The same over HTTP/2, where hyper would send what the function writes.
    is_left_out: bool,
    is_over: bool,
    /// Why it is cut off, once what came before has been given away to be sent.
    broken: Option<CutOff>,
    /// There if it is a call's.
    watch: Option<Box<Watch>>,
}

impl Written {
    pub(super) fn new(
        body: ResponseBody,
        (gateway, service, id): Answerer<'_>,
        (places, place): (Places, Place),
        ends: Ends,
        (is_head, version): (bool, Version),
        watch: Option<Watch>,
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
            broken: None,
            watch: watch.map(Box::new),
        }
    }

    /// Whether its time is up; the task is woken when it is.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(ends) = self.ends.at else {
            return false;
        };
        let timer = || Box::pin(tokio::time::sleep_until(ends));
        self.timer
            .get_or_insert_with(timer)
            .as_mut()
            .poll(cx)
            .is_ready()
    }

    /// hyper drops what it has not sent when a body fails. So it gets a turn to send
    /// that first: a peer that has got nothing at all would repeat its request.
    fn cut_off(
        &mut self,
        why: CutOff,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let (id, function) = (self.id, &self.function);
        match &why {
            CutOff::Message(_) | CutOff::NoStatus => {
                tracing::warn!(request = %id, %function, details = %why, "an answer of a function is not valid");
            }
            _ => tracing::debug!(request = %id, %function, %why, "an answer is cut off"),
        }
        self.gateway.tally().refuse(why.label());
        if self.watch.is_some() {
            self.is_over = true;
            return Poll::Ready(Some(Ok(Frame::trailers(status::trailers(&why, id)))));
        }
        self.broken = Some(why);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A frame of the function, or its end.
    fn go_on(
        &mut self,
        mut frame: Option<Frame<Bytes>>,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(found) = frame.as_mut().and_then(Frame::trailers_mut) {
            strip_trailers(found);
        }
        let Some(watch) = &mut self.watch else {
            self.is_over = frame.is_none();
            return Poll::Ready(frame.map(Ok));
        };
        let passed = match frame {
            Some(frame) => watch.pass(frame),
            None => Err(watch.end()),
        };
        match passed {
            Ok(frame) => {
                self.is_over = frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Err(why) => self.cut_off(why, cx),
        }
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
        if let Some(why) = self.broken.take() {
            self.is_over = true;
            return Poll::Ready(Some(Err(why)));
        }
        let watch = self.watch.as_mut();
        if let Some(why) = watch.and_then(|watch| watch.violation(cx)) {
            return self.cut_off(why, cx);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // A function that always has more to write may not go on for that.
        let is_late = match polled.is_pending() {
            true => self.is_late(cx),
            false => self.ends.at.is_some_and(|at| Instant::now() >= at),
        };
        if is_late {
            let why = self.ends.cut_off();
            return self.cut_off(why, cx);
        }
        match ready!(polled) {
            Some(Ok(frame)) => self.go_on(Some(frame), cx),
            Some(Err(why)) => self.cut_off(why.into(), cx),
            None => self.go_on(None, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        // A call has a status to come.
        let has_ended = || self.watch.is_none() && self.body.is_end_stream();
        self.is_over || self.is_left_out || has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        // The length of one that is left out is in its head, if there is one.
        match self.is_left_out || self.watch.is_some() {
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
        let has_ended = self.is_over || self.broken.is_some();
        if !has_ended && !self.body.is_whole() && !self.is_head {
            let (id, function) = (self.id, &self.function);
            // hyper asks for nothing more while the peer does not read.
            if self.body.is_slow() {
                self.gateway.tally().refuse(PEER_SLOW);
                tracing::debug!(request = %id, %function, "a slow peer lost its instance to another");
            } else {
                self.gateway.tally().refuse(PEER_GONE);
                tracing::debug!(request = %id, %function, status = 499, "the peer left before its answer was complete");
            }
        }
    }
}
