//! The bodies of asynchronous functions: a source of frames, of which nothing is
//! made before it is asked for. So what comes in waits at the host until it is
//! read, and what goes out is made as fast as the peer reads.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;

use super::Error;
use super::async_writer::{AsyncWriter, Producer};
use super::wire::asynchronous::Incoming;

/// A piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes.
    Data(Bytes),
    /// The trailers, behind which nothing comes.
    Trailers(HeaderMap),
}

/// The body of a request or response, for asynchronous functions.
///
/// One that comes in is read [whole](Self::bytes) up to a bound, [in
/// chunks](Self::chunk), or as a [`Stream`] of chunks. One that goes out is made
/// from text or bytes, from [a stream](Self::stream), or [by code that
/// writes](Self::streaming).
#[derive(Default)]
pub struct AsyncBody {
    /// What comes before the source's.
    rest: Bytes,
    source: Source,
    trailers: Option<HeaderMap>,
}

type Frames = Pin<Box<dyn Stream<Item = Result<Frame, Error>>>>;

#[derive(Default)]
enum Source {
    #[default]
    Nothing,
    Incoming(Incoming),
    Frames(Frames),
    Streaming(Producer),
}

impl AsyncBody {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body of a stream's chunks. An error breaks it off.
    pub fn stream<B, E>(stream: impl Stream<Item = Result<B, E>> + 'static) -> Self
    where
        B: Into<Bytes>,
        E: Into<Error>,
    {
        Self::frames(Chunks(Box::pin(stream)))
    }

    /// A body of a stream's frames: chunks, then perhaps trailers.
    pub fn frames(stream: impl Stream<Item = Result<Frame, Error>> + 'static) -> Self {
        Self {
            source: Source::Frames(Box::pin(stream)),
            ..Self::default()
        }
    }

    /// A body that leaves while it is made, by code that begins to run when the
    /// response's head has been handed over, and goes on when `request` has returned.
    /// Its end is the end of the body; with an error the answer breaks off, so that
    /// its peer sees that it is not whole. The instance serves others meanwhile.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use openline_sdk::http::{AsyncBody, Response};
    ///
    /// let ticks = AsyncBody::streaming(async |writer| {
    ///     for number in 1..=3 {
    ///         writer.send(format!("{number}\n")).await?;
    ///         openline_sdk::time::sleep(Duration::from_secs(1)).await;
    ///     }
    ///     Ok(())
    /// });
    /// let response = Response::new(ticks);
    /// ```
    pub fn streaming(
        produce: impl AsyncFnOnce(&mut AsyncWriter) -> Result<(), Error> + 'static,
    ) -> Self {
        Self {
            source: Source::Streaming(Producer::new(produce)),
            ..Self::default()
        }
    }

    /// The same body, with trailers behind it. Those that a streamed body sets itself
    /// take their place.
    #[must_use]
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }

    pub(super) fn incoming(incoming: Incoming) -> Self {
        Self {
            source: Source::Incoming(incoming),
            ..Self::default()
        }
    }

    /// The body as it came in, if nothing of it has been read.
    pub(super) fn into_untouched(self) -> Result<Incoming, Self> {
        match self {
            Self {
                rest,
                source: Source::Incoming(incoming),
                trailers: None,
            } if rest.is_empty() && incoming.is_untouched() => Ok(incoming),
            touched => Err(touched),
        }
    }

    /// How many bytes are to come, if that is known: of a body that comes in, what
    /// its `content-length` says.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        let rest = self.rest.len() as u64;
        match &self.source {
            Source::Nothing => Some(rest),
            Source::Incoming(incoming) => incoming.remaining().map(|bytes| bytes + rest),
            Source::Frames(_) | Source::Streaming(_) => None,
        }
    }

    /// Whether it has neither bytes nor trailers.
    pub(super) fn is_empty(&self) -> bool {
        self.length() == Some(0) && self.trailers.is_none()
    }

    /// Polls the next frame; none is behind the end.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::Data(mem::take(&mut self.rest)))));
        }
        let polled = match &mut self.source {
            Source::Nothing => Poll::Ready(None),
            Source::Incoming(incoming) => incoming.poll_frame(context),
            Source::Frames(frames) => frames.as_mut().poll_next(context),
            Source::Streaming(producer) => producer.poll_frame(context),
        };
        let Poll::Ready(frame) = polled else {
            return Poll::Pending;
        };
        if !matches!(frame, Some(Ok(Frame::Data(_)))) {
            self.source = Source::Nothing;
        }
        Poll::Ready(match frame {
            Some(Ok(Frame::Trailers(trailers))) => {
                self.trailers = None;
                Some(Ok(Frame::Trailers(trailers)))
            }
            None => self.trailers.take().map(|all| Ok(Frame::Trailers(all))),
            data_or_error => data_or_error,
        })
    }

    /// The next frame; none at the end.
    ///
    /// # Errors
    ///
    /// When the peer has left before the end, or breaks a rule or limit.
    pub async fn frame(&mut self) -> Result<Option<Frame>, Error> {
        poll_fn(|context| self.poll_frame(context))
            .await
            .transpose()
    }

    /// The next bytes, as they came; none at the end, where the
    /// [trailers](Self::trailers) are.
    ///
    /// # Errors
    ///
    /// As for [`frame`](Self::frame).
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|context| self.poll_chunk(context))
            .await
            .transpose()
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            // Trailers stay until they are asked for.
            if matches!(self.source, Source::Nothing) && self.rest.is_empty() {
                return Poll::Ready(None);
            }
            match self.poll_frame(context) {
                Poll::Ready(Some(Ok(Frame::Data(bytes)))) if bytes.is_empty() => {}
                Poll::Ready(Some(Ok(Frame::Data(bytes)))) => {
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                    self.trailers = Some(trailers);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// All bytes that are left. The bound is of the function's own; the host refuses
    /// requests over `request_body_bytes` in any case.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] if there are more, and as for [`frame`](Self::frame).
    pub async fn bytes(&mut self, bytes_max: usize) -> Result<Bytes, Error> {
        let too_long = Error::TooLong { bytes_max };
        if self.length().is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(too_long);
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let mut all: Option<Vec<u8>> = None;
        let mut length = first.len();
        while length <= bytes_max {
            let Some(chunk) = self.chunk().await? else {
                return Ok(all.map_or(first, Bytes::from));
            };
            length += chunk.len();
            all.get_or_insert_with(|| first.to_vec())
                .extend_from_slice(&chunk);
        }
        Err(too_long)
    }

    /// The same as text.
    ///
    /// # Errors
    ///
    /// [`Error::NotText`] if it is not UTF-8, and as for [`bytes`](Self::bytes).
    pub async fn text(&mut self, bytes_max: usize) -> Result<String, Error> {
        let bytes = self.bytes(bytes_max).await?;
        String::from_utf8(bytes.into()).map_err(|_| Error::NotText)
    }

    /// Reads into a buffer: up to as many bytes as it has, none at the end.
    ///
    /// # Errors
    ///
    /// As for [`frame`](Self::frame).
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let Some(mut chunk) = self.chunk().await? else {
            return Ok(0);
        };
        let length = chunk.len().min(buffer.len());
        buffer[..length].copy_from_slice(&chunk.split_to(length));
        self.rest = chunk;
        Ok(length)
    }

    /// The trailers behind the body, after all bytes that are left, which are
    /// dropped.
    ///
    /// # Errors
    ///
    /// As for [`frame`](Self::frame).
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, Error> {
        while self.chunk().await?.is_some() {}
        Ok(self.trailers.take())
    }

    /// Tells code that writes that nobody reads any more, and lets it end.
    pub(super) async fn abandon(self) {
        if let Source::Streaming(producer) = self.source {
            producer.abandon().await;
        }
    }
}

/// The chunks, without the trailers.
impl Stream for AsyncBody {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(context)
    }
}

impl fmt::Debug for AsyncBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.source {
            Source::Nothing => "whole",
            Source::Incoming(_) => "incoming",
            Source::Frames(_) | Source::Streaming(_) => "streaming",
        };
        formatter
            .debug_struct("AsyncBody")
            .field("kind", &kind)
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

impl From<Bytes> for AsyncBody {
    fn from(rest: Bytes) -> Self {
        Self {
            rest,
            ..Self::default()
        }
    }
}

super::body_from!(AsyncBody);

/// A stream of chunks as one of frames.
struct Chunks<S>(Pin<Box<S>>);

impl<S, B, E> Stream for Chunks<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
    E: Into<Error>,
{
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = self.0.as_mut().poll_next(context);
        chunk.map(|chunk| {
            chunk.map(|chunk| {
                chunk
                    .map(|bytes| Frame::Data(bytes.into()))
                    .map_err(Into::into)
            })
        })
    }
}

#[cfg(test)]
#[path = "async_body_tests.rs"]
mod tests;
