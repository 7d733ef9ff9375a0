//! The bodies of plain functions. What comes in is read when the function asks for
//! it, in chunks, so that nothing piles up; what goes out streamed is written while
//! the function makes it.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem;

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::Error;
use super::wire::plain::{Incoming, Outgoing};

/// How much a [`Writer`] gathers of what is written by [`Write`].
const GATHERED_BYTES: usize = 8 << 10;

/// The body of a request or response, for plain functions.
///
/// One that comes in is read [whole](Self::bytes) up to a bound, [in
/// chunks](Self::chunk), or as [any reader](Self::reader). One that goes out is made from text or
/// bytes, or [streamed](Self::streaming).
///
/// ```
/// use openline_sdk::http::Body;
///
/// let mut body = Body::from("hello");
/// assert_eq!(body.length(), Some(5));
/// assert_eq!(body.bytes(5)?, "hello");
/// # Ok::<(), openline_sdk::http::Error>(())
/// ```
#[derive(Default)]
pub struct Body {
    /// What comes before the source's.
    rest: Bytes,
    source: Source,
    trailers: Option<HeaderMap>,
}

#[derive(Default)]
pub(super) enum Source {
    #[default]
    Nothing,
    Incoming(Incoming),
    Streaming(Produce),
}

/// Writes a streamed body.
pub(super) type Produce = Box<dyn FnOnce(&mut Writer) -> Result<(), Error>>;

impl Body {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that leaves while it is made: the host has the response's head before
    /// `produce` runs. Its end is the end of the body; with an error the answer
    /// breaks off, so that its peer sees that it is not whole. The instance answers
    /// nobody else meanwhile.
    ///
    /// ```
    /// use openline_sdk::http::{Body, Response};
    ///
    /// let response = Response::new(Body::streaming(|writer| {
    ///     for number in 1..=3 {
    ///         writer.send(format!("{number}\n"))?;
    ///     }
    ///     Ok(())
    /// }));
    /// assert_eq!(response.into_body().bytes(100)?, "1\n2\n3\n");
    /// # Ok::<(), openline_sdk::http::Error>(())
    /// ```
    pub fn streaming(produce: impl FnOnce(&mut Writer) -> Result<(), Error> + 'static) -> Self {
        Self {
            source: Source::Streaming(Box::new(produce)),
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

    /// Its parts, to write it.
    pub(super) fn into_parts(self) -> (Bytes, Source, Option<HeaderMap>) {
        (self.rest, self.source, self.trailers)
    }

    /// How many bytes are to come, if that is known: of a body that comes in, what
    /// its `content-length` says.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        let rest = self.rest.len() as u64;
        match &self.source {
            Source::Nothing => Some(rest),
            Source::Incoming(incoming) => incoming.remaining().map(|bytes| bytes + rest),
            Source::Streaming(_) => None,
        }
    }

    /// The next bytes, as they came; none at the end. Waits for them.
    ///
    /// A streamed body of the function's own is written to memory first.
    ///
    /// # Errors
    ///
    /// When the peer has left before the end, or breaks a rule or limit.
    pub fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if !self.rest.is_empty() {
                return Ok(Some(mem::take(&mut self.rest)));
            }
            match mem::take(&mut self.source) {
                Source::Nothing => return Ok(None),
                Source::Incoming(mut incoming) => match incoming.chunk()? {
                    Some(chunk) => {
                        self.rest = chunk;
                        self.source = Source::Incoming(incoming);
                    }
                    None => self.trailers = incoming.trailers()?,
                },
                Source::Streaming(produce) => {
                    let mut writer = Writer::new(Outgoing::memory());
                    produce(&mut writer)?;
                    let (outgoing, trailers) = writer.finish()?;
                    self.rest = outgoing.into_memory().into();
                    self.trailers = trailers.or(self.trailers.take());
                }
            }
        }
    }

    /// All bytes that are left. The bound is of the function's own; the host refuses
    /// requests over `request_body_bytes` in any case.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] if there are more, and as for [`chunk`](Self::chunk).
    pub fn bytes(&mut self, bytes_max: usize) -> Result<Bytes, Error> {
        let too_long = Error::TooLong { bytes_max };
        if self.length().is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(too_long);
        }
        let Some(first) = self.chunk()? else {
            return Ok(Bytes::new());
        };
        let mut all: Option<Vec<u8>> = None;
        let mut length = first.len();
        while length <= bytes_max {
            let Some(chunk) = self.chunk()? else {
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
    pub fn text(&mut self, bytes_max: usize) -> Result<String, Error> {
        let bytes = self.bytes(bytes_max)?;
        String::from_utf8(bytes.into()).map_err(|_| Error::NotText)
    }

    /// The bytes that are left, for code that reads from [`Read`].
    pub fn reader(&mut self) -> Reader<'_> {
        Reader(self)
    }

    /// The trailers behind the body, after all bytes that are left, which are
    /// dropped.
    ///
    /// # Errors
    ///
    /// As for [`chunk`](Self::chunk).
    pub fn trailers(&mut self) -> Result<Option<HeaderMap>, Error> {
        while self.chunk()?.is_some() {}
        Ok(self.trailers.take())
    }
}

/// Reads a body: see [`Body::reader`].
#[derive(Debug)]
pub struct Reader<'a>(&'a mut Body);

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let Some(mut chunk) = self.0.chunk()? else {
            return Ok(0);
        };
        let length = chunk.len().min(buffer.len());
        chunk.copy_to_slice(&mut buffer[..length]);
        self.0.rest = chunk;
        Ok(length)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.source {
            Source::Nothing => "whole",
            Source::Incoming(_) => "incoming",
            Source::Streaming(_) => "streaming",
        };
        formatter
            .debug_struct("Body")
            .field("kind", &kind)
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

impl From<Bytes> for Body {
    fn from(rest: Bytes) -> Self {
        Self {
            rest,
            ..Self::default()
        }
    }
}

super::body_from!(Body);

/// Writes a [streamed](Body::streaming) body.
///
/// [`send`](Self::send) lets bytes leave at once. By [`Write`], small pieces are
/// gathered until [`flush`](Write::flush), 8 KiB, or the end.
#[derive(Debug)]
pub struct Writer {
    outgoing: Outgoing,
    gathered: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Writer {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self {
            outgoing,
            gathered: Vec::new(),
            trailers: None,
        }
    }

    /// Writes what is left. Answers where it was written, and the trailers.
    pub(super) fn finish(mut self) -> Result<(Outgoing, Option<HeaderMap>), Error> {
        self.leave()?;
        Ok((self.outgoing, self.trailers))
    }

    fn leave(&mut self) -> Result<(), Error> {
        if !self.gathered.is_empty() {
            self.outgoing.write(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }

    /// Sends these bytes at once, behind all that was written before. Waits while
    /// the peer reads more slowly than the function writes.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] when the peer has left: the function can end.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.leave()?;
        self.outgoing.write(bytes.as_ref())
    }

    /// Sets the trailers, which leave at the end. HTTP/1.1 carries them only to peers
    /// that ask for them (`te: trailers`).
    pub fn trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > GATHERED_BYTES {
            self.leave()?;
        }
        if bytes.len() >= GATHERED_BYTES {
            self.outgoing.write(bytes)?;
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.leave()?)
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
