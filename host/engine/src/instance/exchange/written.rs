//! The answer of a function, between the function and its peer.
//!
//! Bounded by [`AHEAD_BYTES_MAX`] beside what `wasi:http` keeps.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::WrittenBody;

/// How much of an answer the host reads ahead of its peer, in bytes, if others wait
/// for the call that writes it: most answers are smaller, and then no peer delays
/// them.
pub(super) const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// Pieces that are read ahead are joined to these, in bytes, so that many small ones
/// take no more memory than they have bytes.
const JOINED_BYTES: usize = 16 * 1024;

/// The answer on its way from the function to the peer.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// There until it ends, and not while it is polled: without the lock, because the
    /// body may be that of the request.
    pub(super) body: Option<WrittenBody>,
    pub(super) is_polled: bool,
    /// Nobody reads any more.
    pub(super) is_closed: bool,
    /// What was read ahead.
    pub(super) ahead: VecDeque<Ahead>,
    pub(super) ahead_bytes: usize,
}

/// A part of an answer that was read ahead.
#[derive(Debug)]
pub(super) enum Ahead {
    Data(BytesMut),
    Trailers(HeaderMap),
    Failed(String),
}

// === impl Written ===

impl Written {
    /// Keeps what was read ahead.
    pub(super) fn put(&mut self, frame: Result<Frame<Bytes>, String>) {
        if self.is_closed {
            return;
        }
        let frame = match frame.map(Frame::into_data) {
            Err(why) => Ahead::Failed(why),
            Ok(Ok(data)) if data.is_empty() => return,
            Ok(Ok(data)) => {
                self.ahead_bytes += data.len();
                if let Some(Ahead::Data(last)) = self.ahead.back_mut()
                    && last.len() + data.len() <= JOINED_BYTES
                {
                    last.extend_from_slice(&data);
                    return;
                }
                Ahead::Data(BytesMut::from(data))
            }
            Ok(Err(frame)) => match frame.into_trailers() {
                Ok(trailers) => Ahead::Trailers(trailers),
                Err(_) => return,
            },
        };
        self.ahead.push_back(frame);
    }

    /// Takes the first of what was read ahead.
    pub(super) fn take(&mut self) -> Option<Result<Frame<Bytes>, String>> {
        Some(match self.ahead.pop_front()? {
            Ahead::Data(data) => {
                self.ahead_bytes -= data.len();
                Ok(Frame::data(data.freeze()))
            }
            Ahead::Trailers(trailers) => Ok(Frame::trailers(trailers)),
            Ahead::Failed(why) => Err(why),
        })
    }

    /// Whether as much was read ahead as may be.
    pub(super) fn is_full(&self) -> bool {
        self.ahead_bytes >= AHEAD_BYTES_MAX
    }

    /// Whether there is nothing more to come.
    pub(super) fn has_ended(&self) -> bool {
        let has_ended = self.body.as_ref().is_none_or(Body::is_end_stream);
        has_ended && !self.is_polled && self.ahead.is_empty()
    }

    /// What is known of the length of what is to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) if self.ahead.is_empty() => body.size_hint(),
            _ => SizeHint::new(),
        }
    }
}
