//! The native server of HTTP that functions are compared with: hyper, written as well
//! as it allows. It gives the answers of `guests/faults/hello` and the events of
//! `guests/notify`. A subscriber of events is a body that reads from a channel of
//! tokio; past [`EVENTS_MAX`] it has lost the oldest.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use super::ACCEPT_BACKOFF;

/// What a large body is made of: so many pieces of this.
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
const PIECES: usize = 16;

/// Events that may wait for the slowest subscriber.
const EVENTS_MAX: usize = 64;

type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, anyhow::Error>>;

struct State {
    events: broadcast::Sender<Bytes>,
    /// hyper's own client, with its pool of connections.
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// Accepts and serves connections for ever.
pub async fn serve(listener: TcpListener) -> Infallible {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let state = Arc::new(State {
        events: broadcast::Sender::new(EVENTS_MAX),
        client: Client::builder(TokioExecutor::new()).build(connector),
    });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&state)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_BACKOFF).await,
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| answer(request, &state));
    // However it ended, the connection is gone.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, state: &State) -> anyhow::Result<Response<Body>> {
    match request.uri().path() {
        "/hello" => Ok(text(StatusCode::OK, Bytes::from_static(b"hello\n"))),
        "/download" => {
            let pieces = (0..PIECES).map(|_| Ok(Frame::data(Bytes::from_static(&PIECE))));
            Ok(streamed(StreamBody::new(stream::iter(pieces))))
        }
        "/upload" => {
            let (mut body, mut bytes) = (request.into_body(), 0);
            while let Some(frame) = body.frame().await {
                bytes += frame?.data_ref().map_or(0, Bytes::len);
            }
            Ok(text(StatusCode::OK, format!("{bytes}\n").into()))
        }
        "/echo" => Ok(streamed(request.into_body().map_err(Into::into))),
        "/call" => {
            let server = request.uri().query().unwrap_or_default();
            let greeting = state.client.get(format!("http://{server}/hello").parse()?);
            let greeting = greeting.await?.into_body().collect().await?.to_bytes();
            Ok(text(StatusCode::OK, greeting))
        }
        "/notify/all" if request.method() == "POST" => {
            let order = request.into_body().collect().await?.to_bytes();
            let order = String::from_utf8_lossy(&order);
            let event = format!("data: {{\"message\":\"Order complete!\",\"order\":{order}}}\n\n");
            let delivered = state.events.send(event.into()).unwrap_or(0);
            Ok(text(StatusCode::OK, format!("{delivered}\n").into()))
        }
        "/notify/all" => {
            let mut response = streamed(events(state));
            let event_stream = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(CONTENT_TYPE, event_stream);
            Ok(response)
        }
        _ => Ok(text(StatusCode::NOT_FOUND, Bytes::new())),
    }
}

fn events(
    state: &State,
) -> impl hyper::body::Body<Data = Bytes, Error = anyhow::Error> + Send + use<> {
    let first = Bytes::from_static(b": connected\n\n");
    let first = stream::once(async { Ok(Frame::data(first)) });
    let all = stream::unfold(state.events.subscribe(), |mut events| async {
        let event = events.recv().await.map_err(anyhow::Error::from);
        Some((event.map(Frame::data), events))
    });
    StreamBody::new(futures_util::StreamExt::chain(first, all))
}

fn text(status: StatusCode, text: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(text)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn streamed(
    body: impl hyper::body::Body<Data = Bytes, Error = anyhow::Error> + Send + 'static,
) -> Response<Body> {
    Response::new(Either::Right(body.boxed_unsync()))
}
