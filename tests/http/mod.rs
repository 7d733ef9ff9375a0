//! Functions that answer requests, in both call styles: real guests, a real host, and
//! hyper's own client on the other side.

mod affinity;
mod answering;
mod bounds;
mod browser;
mod calling;
mod curl;
mod ending;
mod foreign;
mod holding;
mod programs;
mod seen;
mod slow;
mod strict;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openline_core::trigger::{METHODS, Methods};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::harness::{Host, HostBuilder, eventually, within};

/// Where the functions of these tests are.
const ROUTE: &str = "/{*path}";

/// The two guests, which answer alike.
const PLAIN: &str = openline_guests::FAULT_WEB;
const ASYNC: &str = openline_guests::FAULT_WEB_ASYNC;
const BOTH: [&str; 2] = [PLAIN, ASYNC];

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// A host with one of the guests, which takes all methods.
fn host(component: &str) -> HostBuilder {
    Host::with(component, ROUTE).function(|function| {
        function.triggers[0].methods = Methods::new(&METHODS).unwrap();
    })
}

fn none() -> Body {
    Empty::new().boxed()
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body whose pieces come as a test sends them, without a length.
fn piecewise() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, mut pieces) = mpsc::channel(16);
    let frames = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    let frames = frames.map(|piece| Ok(Frame::data(piece)));
    (sender, BodyExt::boxed(StreamBody::new(frames)))
}

/// A TCP connection to a host.
struct Peer {
    sender: http1::SendRequest<Body>,
    address: SocketAddr,
}

impl Peer {
    async fn connect(host: &Host) -> Self {
        Self::at(host.address).await
    }

    async fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, address }
    }

    async fn ask(&mut self, method: Method, path: &str, body: Body) -> Response<Incoming> {
        within("an answer", self.asked(method, path, body))
            .await
            .unwrap()
    }

    /// The same, where there may be no answer.
    async fn asked(
        &mut self,
        method: Method,
        path: &str,
        body: Body,
    ) -> hyper::Result<Response<Incoming>> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", self.address.to_string());
        self.send(request.header("te", "trailers").body(body).unwrap())
            .await
    }

    async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.ask(Method::GET, path, none()).await
    }

    /// The status and the whole body of an answer.
    async fn text(&mut self, path: &str) -> (u16, String) {
        read(self.get(path).await).await
    }
}

/// Asks over HTTP/2, on a TCP connection of its own.
async fn over_http2(host: &Host, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
    let stream = TcpStream::connect(host.address).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    within("an answer", sender.send_request(request)).await
}

async fn read(answer: Response<Incoming>) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = within("a body", answer.into_body().collect())
        .await
        .unwrap();
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    (status, text)
}

/// The next piece of a body; none at its end.
async fn piece(body: &mut Incoming) -> Option<Bytes> {
    let frame = within("a piece", body.frame()).await?;
    Some(frame.unwrap().into_data().unwrap())
}

/// How many requests were refused with a word.
fn refused(host: &Host, word: &str) -> u64 {
    let refused = host.gateway.tally().refused();
    refused.get(word).copied().unwrap_or_default()
}

/// The word of a refusal.
fn word(answer: &Response<Incoming>) -> &str {
    answer.headers()["openline-error-type"].to_str().unwrap()
}

/// What the guest counts in its memory.
async fn counts(peer: &mut Peer) -> Value {
    let (status, text) = peer.text("/state").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Longer than anything takes here that is not late.
const LONG: Duration = Duration::from_secs(600);
