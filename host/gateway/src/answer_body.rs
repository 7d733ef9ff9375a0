//! The bodies of answers: whole in memory, or streams, which last as long as those
//! who write them do, or what functions write. The TCP connection of a stream keeps its place in
//! `requests` meanwhile.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};

use crate::exchange::{CutOff, Written};
use crate::grpc::Translated;
use crate::held::slot::{HeldBody, Slot};

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// It is whole in memory.
    Whole(Full<Bytes>),
    /// It comes bit by bit, for as long as it may take.
    Stream(BoxBody<Bytes, Infallible>),
    /// A function holds it: it is a connection.
    Held(Held),
    /// A function writes it.
    Written(Box<Written>),
    /// The same, as a client of gRPC-Web reads it.
    Translated(Translated),
}

/// The body of an answer that a function holds.
#[derive(Debug)]
pub struct Held(pub(crate) HeldBody);

impl AnswerBody {
    /// Whether it comes bit by bit.
    pub fn is_stream(&self) -> bool {
        !matches!(self, Self::Whole(_))
    }

    /// Where its pieces come from, if a function holds it.
    pub(crate) fn held(&self) -> Option<&Arc<Slot>> {
        match self {
            Self::Held(held) => Some(held.0.slot()),
            _ => None,
        }
    }

    /// Whether it ends the TCP connection with it: it has no end of its own.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::Held(_))
    }
}

impl From<Full<Bytes>> for AnswerBody {
    fn from(body: Full<Bytes>) -> Self {
        Self::Whole(body)
    }
}

/// There is no such error.
fn endless(never: Infallible) -> CutOff {
    match never {}
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(endless),
            Self::Stream(body) => Pin::new(body).poll_frame(cx).map_err(endless),
            Self::Written(body) => Pin::new(body).poll_frame(cx),
            Self::Translated(body) => Pin::new(body).poll_frame(cx),
            Self::Held(body) => Pin::new(&mut body.0).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
            Self::Held(body) => body.0.is_end_stream(),
            Self::Written(body) => body.is_end_stream(),
            Self::Translated(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream(body) => body.size_hint(),
            Self::Held(body) => body.0.size_hint(),
            Self::Written(body) => body.size_hint(),
            Self::Translated(body) => body.size_hint(),
        }
    }
}
