//! Plain functions: requests and responses of wasi:http 0.2.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};

use super::{Target, headers};
use crate::http::body::{Body, Source, Writer};
use crate::http::{CallOptions, Error, ErrorCode};
use crate::raw::http_0_2::{outgoing_handler, types};
use crate::raw::streams::{InputStream, OutputStream, StreamError};

/// How much is read at a time.
const CHUNK_BYTES: u64 = 64 << 10;

/// A body that comes in.
pub(crate) struct Incoming {
    // The order matters: the stream is a child of the body.
    stream: Option<InputStream>,
    body: Option<types::IncomingBody>,
    /// The stream is made when it is needed, which costs calls of the host.
    is_opened: bool,
    remaining: Option<u64>,
}

impl Incoming {
    fn new(body: types::IncomingBody, headers: &HeaderMap) -> Self {
        Self {
            stream: None,
            body: Some(body),
            is_opened: false,
            remaining: super::declared_length(headers),
        }
    }

    /// How many bytes are to come, if the headers say so.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    /// The next bytes, never none of them.
    pub(crate) fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if !std::mem::replace(&mut self.is_opened, true) {
            let body = self.body.as_ref();
            self.stream = body.and_then(|body| body.stream().ok());
        }
        loop {
            let Some(stream) = &self.stream else {
                return Ok(None);
            };
            match stream.blocking_read(CHUNK_BYTES) {
                // Nothing, but not the end.
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => {
                    let read = chunk.len() as u64;
                    self.remaining = self.remaining.map(|left| left.saturating_sub(read));
                    return Ok(Some(chunk.into()));
                }
                Err(StreamError::Closed) => self.stream = None,
                Err(StreamError::LastOperationFailed(error)) => {
                    self.stream = None;
                    return Err(failed(&error));
                }
            }
        }
    }

    /// The trailers; the bytes have been read.
    pub(crate) fn trailers(&mut self) -> Result<Option<HeaderMap>, Error> {
        self.stream = None;
        self.is_opened = true;
        let Some(body) = self.body.take() else {
            return Ok(None);
        };
        let trailers = types::IncomingBody::finish(body);
        loop {
            match trailers.get() {
                None => trailers.subscribe().block(),
                // The second, outer error says that they were asked for before.
                Some(Err(())) => return Ok(None),
                Some(Ok(Err(code))) => return Err(Error::Failed(code.into())),
                Some(Ok(Ok(trailers))) => {
                    return Ok(trailers.map(|trailers| headers(trailers.entries())));
                }
            }
        }
    }
}

fn failed(error: &crate::raw::plain_http::wasi::io::error::Error) -> Error {
    match types::http_error_code(error) {
        Some(code) => Error::Failed(code.into()),
        None => Error::Failed(ErrorCode::InternalError(Some(error.to_debug_string()))),
    }
}

/// Where a body is written to.
pub(crate) enum Outgoing {
    Memory(Vec<u8>),
    Stream(OutputStream),
}

impl Outgoing {
    pub(crate) fn memory() -> Self {
        Self::Memory(Vec::new())
    }

    /// What was written to memory.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Stream(_) => Vec::new(),
        }
    }

    /// Writes bytes, which leave at once.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let stream = match self {
            Self::Memory(written) => {
                written.extend_from_slice(bytes);
                return Ok(());
            }
            Self::Stream(stream) => stream,
        };
        while !bytes.is_empty() {
            let room = usize::try_from(stream.check_write().map_err(not_written)?);
            let room = room.unwrap_or(usize::MAX).min(bytes.len());
            if room == 0 {
                stream.subscribe().block();
                continue;
            }
            let (now, later) = bytes.split_at(room);
            stream.write(now).map_err(not_written)?;
            bytes = later;
        }
        stream.flush().map_err(not_written)
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Outgoing")
    }
}

fn not_written(error: StreamError) -> Error {
    match error {
        StreamError::Closed => Error::Gone,
        StreamError::LastOperationFailed(error) => failed(&error),
    }
}

/// The request that the host hands over.
pub(crate) fn request(raw: &types::IncomingRequest) -> Result<Request<Body>, Error> {
    let target = Target {
        scheme: raw.scheme().map(|scheme| match scheme {
            types::Scheme::Http => "http".to_owned(),
            types::Scheme::Https => "https".to_owned(),
            types::Scheme::Other(other) => other,
        }),
        authority: raw.authority(),
        path_and_query: raw.path_with_query(),
    };
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method(&raw.method())?;
    *request.uri_mut() = target.uri()?;
    *request.headers_mut() = headers(raw.headers().entries());
    if let Ok(body) = raw.consume() {
        *request.body_mut() = Body::incoming(Incoming::new(body, request.headers()));
    }
    Ok(request)
}

fn method(raw: &types::Method) -> Result<Method, Error> {
    Ok(match raw {
        types::Method::Get => Method::GET,
        types::Method::Head => Method::HEAD,
        types::Method::Post => Method::POST,
        types::Method::Put => Method::PUT,
        types::Method::Delete => Method::DELETE,
        types::Method::Connect => Method::CONNECT,
        types::Method::Options => Method::OPTIONS,
        types::Method::Trace => Method::TRACE,
        types::Method::Patch => Method::PATCH,
        types::Method::Other(other) => super::other_method(other)?,
    })
}

fn raw_method(method: &Method) -> types::Method {
    match method.as_str() {
        "GET" => types::Method::Get,
        "HEAD" => types::Method::Head,
        "POST" => types::Method::Post,
        "PUT" => types::Method::Put,
        "DELETE" => types::Method::Delete,
        "CONNECT" => types::Method::Connect,
        "OPTIONS" => types::Method::Options,
        "TRACE" => types::Method::Trace,
        "PATCH" => types::Method::Patch,
        other => types::Method::Other(other.to_owned()),
    }
}

fn fields(headers: &HeaderMap) -> Result<types::Fields, Error> {
    types::Fields::from_list(&super::entries(headers))
        .map_err(|error| Error::Invalid(format!("a header cannot be sent: {error}")))
}

/// Answers a request, and writes the body. With `bodiless`, for `HEAD`, only the
/// head is sent.
pub(crate) fn answer(response: Response<Body>, out: types::ResponseOutparam, bodiless: bool) {
    let (mut head, body) = response.into_parts();
    super::set_length(&mut head.headers, head.status, body.length());
    // A body that is not asked for is an empty one, whatever length the head says: that
    // of `HEAD` is the length which GET would get.
    let bodiless = bodiless || body.is_empty();
    let prepared = fields(&head.headers).and_then(|headers| {
        let response = types::OutgoingResponse::new(headers);
        let taken = response.set_status_code(head.status.as_u16());
        taken.map_err(|()| Error::Invalid(format!("{} is not a status", head.status)))?;
        let outgoing = (!bodiless).then(|| response.body().map_err(|()| no_body()));
        Ok((response, outgoing.transpose()?))
    });
    match prepared {
        Ok((response, outgoing)) => {
            types::ResponseOutparam::set(out, Ok(response));
            if let Some(outgoing) = outgoing {
                // Who could be told has left, or sees that the answer breaks off.
                let _ = write(body, outgoing);
            }
        }
        Err(error) => {
            let code = types::ErrorCode::InternalError(Some(error.to_string()));
            types::ResponseOutparam::set(out, Err(code));
        }
    }
}

fn no_body() -> Error {
    Error::Failed(ErrorCode::InternalError(Some(
        "there is no body".to_owned(),
    )))
}

/// Writes a body to its end. If that fails, the body is dropped unfinished, which
/// breaks the message off.
fn write(body: Body, outgoing: types::OutgoingBody) -> Result<(), Error> {
    let (rest, source, mut trailers) = body.into_parts();
    let stream = outgoing.write().map_err(|()| no_body())?;
    let mut writer = Writer::new(Outgoing::Stream(stream));
    let written = produce(&rest, source, &mut trailers, &mut writer);
    let written = written.and_then(|()| writer.finish());
    let (stream, set) = written?;
    // The stream is a child of the body.
    drop(stream);
    let trailers = match set.or(trailers) {
        Some(trailers) => Some(fields(&trailers)?),
        None => None,
    };
    types::OutgoingBody::finish(outgoing, trailers).map_err(|code| Error::Failed(code.into()))
}

fn produce(
    rest: &[u8],
    source: Source,
    trailers: &mut Option<HeaderMap>,
    writer: &mut Writer,
) -> Result<(), Error> {
    if !rest.is_empty() {
        writer.send(rest)?;
    }
    match source {
        Source::Nothing => Ok(()),
        Source::Incoming(mut incoming) => {
            while let Some(chunk) = incoming.chunk()? {
                writer.send(&chunk)?;
            }
            *trailers = incoming.trailers()?;
            Ok(())
        }
        Source::Streaming(produce) => produce(writer),
    }
}

/// Sends a request, and waits for the head of the response.
pub(crate) fn send(request: Request<Body>, options: &CallOptions) -> Result<Response<Body>, Error> {
    let (mut head, body) = request.into_parts();
    let target = Target::of(&head.uri)?;
    if !body.is_empty() {
        super::set_length(&mut head.headers, http::StatusCode::OK, body.length());
    }
    let raw = types::OutgoingRequest::new(fields(&head.headers)?);
    let invalid = |what: &str| Error::Invalid(format!("the host does not take the {what}"));
    raw.set_method(&raw_method(&head.method))
        .map_err(|()| invalid("method"))?;
    let scheme = match target.scheme.as_deref() {
        Some("http") => types::Scheme::Http,
        Some("https") => types::Scheme::Https,
        other => types::Scheme::Other(other.unwrap_or_default().to_owned()),
    };
    raw.set_scheme(Some(&scheme))
        .map_err(|()| invalid("scheme"))?;
    raw.set_authority(target.authority.as_deref())
        .map_err(|()| invalid("authority"))?;
    raw.set_path_with_query(target.path_and_query.as_deref())
        .map_err(|()| invalid("path"))?;
    let outgoing = (!body.is_empty()).then(|| raw.body().map_err(|()| no_body()));
    let outgoing = outgoing.transpose()?;
    let answer = outgoing_handler::handle(raw, raw_options(options)?)
        .map_err(|code| Error::Failed(code.into()))?;
    match outgoing.map_or(Ok(()), |outgoing| write(body, outgoing)) {
        // The other end may answer before it has read all.
        Ok(()) | Err(Error::Gone) => {}
        Err(error) => return Err(error),
    }
    loop {
        match answer.get() {
            None => answer.subscribe().block(),
            Some(Err(())) => return Err(no_body()),
            Some(Ok(Err(code))) => return Err(Error::Failed(code.into())),
            Some(Ok(Ok(raw))) => return response(&raw),
        }
    }
}

fn raw_options(options: &CallOptions) -> Result<Option<types::RequestOptions>, Error> {
    if *options == CallOptions::default() {
        return Ok(None);
    }
    let raw = types::RequestOptions::new();
    let (connect, first, between) = options.nanoseconds();
    let refused = |()| Error::Invalid("the host does not take this timeout".to_owned());
    raw.set_connect_timeout(connect).map_err(refused)?;
    raw.set_first_byte_timeout(first).map_err(refused)?;
    raw.set_between_bytes_timeout(between).map_err(refused)?;
    Ok(Some(raw))
}

fn response(raw: &types::IncomingResponse) -> Result<Response<Body>, Error> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = super::status(raw.status())?;
    *response.headers_mut() = headers(raw.headers().entries());
    if let Ok(body) = raw.consume() {
        *response.body_mut() = Body::incoming(Incoming::new(body, response.headers()));
    }
    Ok(response)
}
