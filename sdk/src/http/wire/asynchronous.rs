//! Asynchronous functions: requests and responses of wasi:http 0.3.

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

use super::{Target, headers};
use crate::http::{AsyncBody, CallOptions, Error, ErrorCode, Frame};
use crate::raw::asynchronous_http::{wit_future, wit_stream};
use crate::raw::http_0_3::{client, types};

/// How much is read at a time.
const CHUNK_BYTES: usize = 64 << 10;

type TrailersResult = Result<Option<types::Fields>, types::ErrorCode>;
type Transmitted = Result<(), types::ErrorCode>;
type Chunk = (StreamReader<u8>, StreamResult, Vec<u8>);

/// A body that comes in.
pub(crate) struct Incoming {
    state: State,
    trailers: Option<FutureReader<TrailersResult>>,
    /// Tells the host, when it is dropped, that no more is read.
    _read: FutureWriter<Transmitted>,
    buffer: Vec<u8>,
    remaining: Option<u64>,
}

enum State {
    Idle(StreamReader<u8>),
    Reading(Pin<Box<dyn Future<Output = Chunk>>>),
    Trailers(Pin<Box<dyn Future<Output = TrailersResult>>>),
    Ended,
}

impl Incoming {
    fn new(
        stream: StreamReader<u8>,
        trailers: FutureReader<TrailersResult>,
        read: FutureWriter<Transmitted>,
        headers: &HeaderMap,
    ) -> Self {
        Self {
            state: State::Idle(stream),
            trailers: Some(trailers),
            _read: read,
            buffer: Vec::new(),
            remaining: super::declared_length(headers),
        }
    }

    /// How many bytes are to come, if the headers say so.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    /// Whether nothing has been read.
    pub(crate) fn is_untouched(&self) -> bool {
        matches!(self.state, State::Idle(_)) && self.buffer.capacity() == 0
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, Error>>> {
        loop {
            match mem::replace(&mut self.state, State::Ended) {
                State::Idle(mut stream) => {
                    let mut buffer = mem::take(&mut self.buffer);
                    buffer.reserve(CHUNK_BYTES);
                    self.state = State::Reading(Box::pin(async move {
                        let (result, buffer) = stream.read(buffer).await;
                        (stream, result, buffer)
                    }));
                }
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = reading.as_mut().poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    if let Some(bytes) = self.taken(read) {
                        return Poll::Ready(Some(Ok(Frame::Data(bytes))));
                    }
                }
                State::Trailers(mut trailers) => {
                    let Poll::Ready(trailers) = trailers.as_mut().poll(context) else {
                        self.state = State::Trailers(trailers);
                        return Poll::Pending;
                    };
                    let frame = trailers.map_err(|code| Error::Failed(code.into()));
                    let frame = frame.map(|all| all.map(|all| headers(all.copy_all())));
                    return Poll::Ready(frame.map(|all| all.map(Frame::Trailers)).transpose());
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    /// The bytes of a read, if there are any.
    fn taken(&mut self, (stream, result, mut buffer): Chunk) -> Option<Bytes> {
        self.state = match result {
            StreamResult::Dropped => match self.trailers.take() {
                Some(trailers) => State::Trailers(Box::pin(trailers.into_future())),
                None => State::Ended,
            },
            StreamResult::Complete(_) | StreamResult::Cancelled => State::Idle(stream),
        };
        let read = buffer.len() as u64;
        self.remaining = self.remaining.map(|left| left.saturating_sub(read));
        let bytes = if buffer.len() > buffer.capacity() / 2 {
            Bytes::from(mem::take(&mut buffer))
        } else {
            Bytes::copy_from_slice(&buffer)
        };
        buffer.clear();
        self.buffer = buffer;
        (!bytes.is_empty()).then_some(bytes)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Incoming")
    }
}

/// The request that the host hands over.
pub(crate) fn request(raw: types::Request) -> Result<Request<AsyncBody>, Error> {
    let target = Target {
        scheme: raw.get_scheme().map(|scheme| match scheme {
            types::Scheme::Http => "http".to_owned(),
            types::Scheme::Https => "https".to_owned(),
            types::Scheme::Other(other) => other,
        }),
        authority: raw.get_authority(),
        path_and_query: raw.get_path_with_query(),
    };
    let mut request = Request::new(AsyncBody::empty());
    *request.method_mut() = method(raw.get_method())?;
    *request.uri_mut() = target.uri()?;
    *request.headers_mut() = headers(raw.get_headers().copy_all());
    let (read, reads) = wit_future::new::<Transmitted>(|| Ok(()));
    let (stream, trailers) = types::Request::consume_body(raw, reads);
    let incoming = Incoming::new(stream, trailers, read, request.headers());
    *request.body_mut() = AsyncBody::incoming(incoming);
    Ok(request)
}

fn method(raw: types::Method) -> Result<Method, Error> {
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
        types::Method::Other(other) => super::other_method(&other)?,
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

/// An answer as the host takes it; its body is written after that. With `bodiless`,
/// for `HEAD`, only the head is sent.
pub(crate) fn answer(
    response: Response<AsyncBody>,
    bodiless: bool,
) -> Result<types::Response, types::ErrorCode> {
    let (mut head, mut body) = response.into_parts();
    super::set_length(&mut head.headers, head.status, body.length());
    let fields = fields(&head.headers).map_err(internal)?;
    if bodiless {
        body = AsyncBody::empty();
    }
    let (contents, trailers) = contents(body);
    // What has become of it is seen by whoever writes.
    let (response, _transmitted) = types::Response::new(fields, contents, trailers);
    let taken = response.set_status_code(head.status.as_u16());
    taken.map_err(|()| internal(Error::Invalid(format!("{} is not a status", head.status))))?;
    Ok(response)
}

/// An error of the function's as the host takes it.
pub(crate) fn internal(error: Error) -> types::ErrorCode {
    types::ErrorCode::InternalError(Some(error.to_string()))
}

/// A body as the host takes it: it is written beside the current call, which may
/// return meanwhile.
fn contents(body: AsyncBody) -> (Option<StreamReader<u8>>, FutureReader<TrailersResult>) {
    if body.is_empty() {
        let (_none, trailers) = wit_future::new::<TrailersResult>(|| Ok(None));
        return (None, trailers);
    }
    let body = match body.into_untouched() {
        // It passes from stream to stream without coming here.
        Ok(Incoming {
            state: State::Idle(stream),
            trailers: Some(trailers),
            ..
        }) => return (Some(stream), trailers),
        Ok(incoming) => AsyncBody::incoming(incoming),
        Err(body) => body,
    };
    let (writer, stream) = wit_stream::new::<u8>();
    // This is what the host gets if the call ends before the body.
    let (end, trailers) = wit_future::new::<TrailersResult>(|| {
        let text = "the body has broken off".to_owned();
        Err(types::ErrorCode::InternalError(Some(text)))
    });
    wit_bindgen::spawn_local(write(body, writer, end));
    (Some(stream), trailers)
}

/// Writes a body to its end.
async fn write(
    mut body: AsyncBody,
    mut writer: StreamWriter<u8>,
    end: FutureWriter<TrailersResult>,
) {
    let result = loop {
        match poll_fn(|context| body.poll_frame(context)).await {
            Some(Ok(Frame::Data(bytes))) => {
                if !writer.write_all(bytes.into()).await.is_empty() {
                    drop((writer, end));
                    body.abandon().await;
                    return;
                }
            }
            Some(Ok(Frame::Trailers(trailers))) => {
                break fields(&trailers).map(Some).map_err(internal);
            }
            Some(Err(error)) => break Err(internal(error)),
            None => break Ok(None),
        }
    };
    drop(writer);
    // If nobody wants it, nobody reads the body.
    let _ = end.write(result).await;
}

/// Sends a request, and waits for the head of the response.
pub(crate) async fn send(
    request: Request<AsyncBody>,
    options: &CallOptions,
) -> Result<Response<AsyncBody>, Error> {
    let (mut head, body) = request.into_parts();
    let target = Target::of(&head.uri)?;
    if !body.is_empty() {
        super::set_length(&mut head.headers, http::StatusCode::OK, body.length());
    }
    let fields = fields(&head.headers)?;
    let options = raw_options(options)?;
    let (contents, trailers) = contents(body);
    let (raw, _transmitted) = types::Request::new(fields, contents, trailers, options);
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
    let answer = client::send(raw).await;
    response(answer.map_err(|code| Error::Failed(ErrorCode::from(code)))?)
}

fn raw_options(options: &CallOptions) -> Result<Option<types::RequestOptions>, Error> {
    if *options == CallOptions::default() {
        return Ok(None);
    }
    let raw = types::RequestOptions::new();
    let (connect, first, between) = options.nanoseconds();
    let refused = |_| Error::Invalid("the host does not take this timeout".to_owned());
    raw.set_connect_timeout(connect).map_err(refused)?;
    raw.set_first_byte_timeout(first).map_err(refused)?;
    raw.set_between_bytes_timeout(between).map_err(refused)?;
    Ok(Some(raw))
}

fn response(raw: types::Response) -> Result<Response<AsyncBody>, Error> {
    let mut response = Response::new(AsyncBody::empty());
    *response.status_mut() = super::status(raw.get_status_code())?;
    *response.headers_mut() = headers(raw.get_headers().copy_all());
    let (read, reads) = wit_future::new::<Transmitted>(|| Ok(()));
    let (stream, trailers) = types::Response::consume_body(raw, reads);
    let incoming = Incoming::new(stream, trailers, read, response.headers());
    *response.body_mut() = AsyncBody::incoming(incoming);
    Ok(response)
}
