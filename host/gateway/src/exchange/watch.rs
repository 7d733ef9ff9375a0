//! The answer to a call on its way: its messages are checked in passing, and it ends
//! with a status, whatever the function does.

use std::task::Context;

use bytes::Bytes;
use hyper::body::Frame;

use super::cut_off::CutOff;
use super::incoming::Received;
use crate::grpc::{Framing, STATUS};

/// What is known of an answer.
#[derive(Debug)]
pub(super) struct Watch {
    framing: Framing,
    received: Received,
    /// What was wrong after the piece that went last.
    violated: Option<CutOff>,
}

impl Watch {
    pub(super) fn new(message_bytes: usize, received: Received) -> Self {
        Self {
            framing: Framing::new(message_bytes),
            received,
            violated: None,
        }
    }

    /// Why the answer may not go on. The task is woken when the request turns out to
    /// be bad.
    pub(super) fn violation(&mut self, cx: &mut Context<'_>) -> Option<CutOff> {
        if self.violated.is_some() {
            return self.violated.take();
        }
        self.received.refusal_or_wake(cx).map(CutOff::Request)
    }

    /// Checks a frame; what of it may go to the peer.
    pub(super) fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, CutOff> {
        match frame.into_data() {
            Ok(mut data) => match self.framing.take(&data) {
                Ok(()) => Ok(Frame::data(data)),
                Err((0, violation)) => Err(violation.into()),
                // The messages before it are good.
                Err((before, violation)) => {
                    self.violated = Some(violation.into());
                    data.truncate(before);
                    Ok(Frame::data(data))
                }
            },
            Err(frame) => {
                let has_status = |frame: &Frame<Bytes>| {
                    let trailers = frame.trailers_ref();
                    trailers.is_some_and(|trailers| trailers.contains_key(STATUS))
                };
                self.framing.end()?;
                match has_status(&frame) {
                    true => Ok(frame),
                    false => Err(CutOff::NoStatus),
                }
            }
        }
    }

    /// Why an answer that ends without trailers is not whole.
    pub(super) fn end(&self) -> CutOff {
        let ended = self.framing.end();
        ended.map_or_else(CutOff::Message, |()| CutOff::NoStatus)
    }
}
