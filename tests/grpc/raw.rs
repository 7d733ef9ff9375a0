//! Calls by hand, over HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;

pub(super) type Body = BoxBody<Bytes, std::convert::Infallible>;

/// A message of gRPC.
pub(super) fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body whose pieces come as a test sends them.
pub(super) fn piecewise() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, mut pieces) = mpsc::channel(10);
    let frames = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    let frames = frames.map(|piece| Ok(Frame::data(piece)));
    (sender, BodyExt::boxed(StreamBody::new(frames)))
}

/// A TCP connection.
#[derive(Clone)]
pub(super) struct Raw {
    sender: SendRequest<Body>,
    address: SocketAddr,
}

/// An answer, to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    /// The head has ended the stream.
    is_all: bool,
}

impl Raw {
    pub(super) async fn connect(host: &Host) -> Self {
        let stream = TcpStream::connect(host.address).await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Self {
            sender,
            address: host.address,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Calls, and does not wait.
    pub(super) async fn send(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> hyper::Result<Response<Incoming>> {
        let headers = [&[("content-type", "application/grpc")], headers].concat();
        self.post(path, &headers, body).await
    }

    async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> hyper::Result<Response<Incoming>> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(Method::POST).uri(uri);
        request = request.header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await?;
        self.sender.send_request(request.body(body).unwrap()).await
    }

    pub(super) async fn open(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response<Incoming> {
        let sent = self.send(path, headers, body);
        within("an answer", sent).await.unwrap()
    }

    /// Calls and reads all of the answer.
    pub(super) async fn call(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        read(self.open(path, headers, body).await).await
    }

    /// The same with a body of another type.
    pub(super) async fn ask(&mut self, path: &str, content_type: &str, body: Body) -> Answer {
        let headers = [("content-type", content_type)];
        let sent = self.post(path, &headers, body);
        read(within("an answer", sent).await.unwrap()).await
    }

    /// How many streams the guest knows whose peers have left.
    pub(super) async fn left(&mut self) -> u64 {
        let answer = self.call("/state", &[], whole("")).await;
        let state: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        state["left"].as_u64().unwrap()
    }
}

pub(super) async fn read(answer: Response<Incoming>) -> Answer {
    let (head, body) = answer.into_parts();
    let is_all = body.is_end_stream();
    let collected = within("the end", body.collect()).await.unwrap();
    let trailers = collected.trailers().cloned();
    Answer {
        status: head.status.as_u16(),
        head: head.headers,
        body: collected.to_bytes(),
        trailers,
        is_all,
    }
}

impl Answer {
    /// The status of gRPC and the word of the host, where they belong: at the end.
    pub(super) fn status(&self) -> (&str, &str) {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.head["content-type"], "application/grpc", "{self:?}");
        let end = match &self.trailers {
            Some(trailers) => {
                assert!(!self.head.contains_key("grpc-status"), "{self:?}");
                trailers
            }
            None => {
                assert!(self.is_all && self.body.is_empty(), "{self:?}");
                &self.head
            }
        };
        let text = |name: &str| {
            let value = end.get(name);
            value.map_or("", |value| value.to_str().unwrap())
        };
        (text("grpc-status"), text("openline-error-type"))
    }
}
