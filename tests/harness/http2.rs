//! A peer that speaks HTTP/2, stream by stream, for tests.

use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use h2::client::{self, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{frame, within};

/// The first byte of a ping.
const PING: u8 = 0x89;

/// A TCP connection that speaks HTTP/2; dropped, it is gone.
pub struct Http2 {
    requests: SendRequest<Bytes>,
    driving: JoinHandle<Result<(), h2::Error>>,
}

/// A WebSocket on a stream.
pub struct Stream {
    pub send: SendStream<Bytes>,
    pub receive: RecvStream,
    /// What has come and is no whole frame.
    rest: Vec<u8>,
}

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, |_| {}).await
    }

    /// The same with other settings.
    pub async fn connect_with(
        address: SocketAddr,
        change: impl FnOnce(&mut client::Builder),
    ) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, change).await
    }

    /// The same over a stream that is open.
    pub async fn over<S>(stream: S, change: impl FnOnce(&mut client::Builder)) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = client::Builder::new();
        builder.enable_push(false);
        change(&mut builder);
        let (requests, connection) = within("HTTP/2", builder.handshake(stream)).await.unwrap();
        let driving = tokio::spawn(connection);
        let mut http2 = Self { requests, driving };
        // The host's settings.
        http2.ready().await.unwrap();
        super::eventually("extended CONNECT", || {
            http2.requests.is_extended_connect_protocol_enabled()
        })
        .await;
        http2
    }

    async fn ready(&mut self) -> Result<(), h2::Error> {
        let requests = self.requests.clone();
        self.requests = within("room for a stream", requests.ready()).await?;
        Ok(())
    }

    /// Sends an ordinary request and reads the answer to its end.
    pub async fn get(&mut self, path: &str) -> Result<(Response<()>, Bytes), h2::Error> {
        self.ready().await?;
        let uri = format!("http://localhost{path}");
        let request = Request::get(uri).body(()).unwrap();
        let (answer, _) = self.requests.send_request(request, true)?;
        let (head, body) = within("an answer", answer).await?.into_parts();
        let body = read(body).await?;
        Ok((Response::from_parts(head, ()), body))
    }

    /// Asks for a WebSocket and does not wait for the answer.
    pub async fn ask(
        &mut self,
        path: &str,
        change: impl FnOnce(&mut Request<()>),
    ) -> Result<(client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.ready().await?;
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://localhost{path}"))
            .header("sec-websocket-version", "13")
            .extension(Protocol::from("websocket"))
            .body(())
            .unwrap();
        change(&mut request);
        self.requests.send_request(request, false)
    }

    /// Opens a WebSocket; the answer where it is refused.
    pub async fn open(&mut self, path: &str) -> Result<Stream, Response<Bytes>> {
        let (head, stream) = self.open_with_head(path).await?;
        // What HTTP/1.1 has for the same (RFC 8441 section 5).
        for name in [
            "sec-websocket-accept",
            "upgrade",
            "connection",
            "content-length",
        ] {
            assert!(!head.headers().contains_key(name), "{name}");
        }
        Ok(stream)
    }

    /// The same with the head of the answer, whatever is in it.
    pub async fn open_with_head(
        &mut self,
        path: &str,
    ) -> Result<(Response<()>, Stream), Response<Bytes>> {
        let (answer, send) = self.ask(path, |_| {}).await.unwrap();
        let (head, receive) = within("an answer", answer).await.unwrap().into_parts();
        if head.status != 200 {
            let body = read(receive).await.unwrap();
            return Err(Response::from_parts(head, body));
        }
        let stream = Stream {
            send,
            receive,
            rest: Vec::new(),
        };
        Ok((Response::from_parts(head, ()), stream))
    }

    /// Waits until the host has ended it.
    pub async fn ended(self) -> Result<(), h2::Error> {
        let Self { requests, driving } = self;
        drop(requests);
        within("the end of a TCP connection", driving)
            .await
            .unwrap()
    }

    /// Whether the host has ended it.
    pub fn is_ended(&self) -> bool {
        self.driving.is_finished()
    }

    /// Goes away without a word.
    pub fn vanish(self) {
        self.driving.abort();
    }
}

async fn read(mut body: RecvStream) -> Result<Bytes, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = within("a piece of a body", body.data()).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

impl Stream {
    /// Sends a frame as soon as there is room for it.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = Bytes::from(frame(first, payload));
        while bytes.has_remaining() {
            self.send.reserve_capacity(bytes.len());
            let room = std::future::poll_fn(|cx| self.send.poll_capacity(cx));
            let room = within("room to send", room).await.unwrap().unwrap();
            let piece = bytes.split_to(room.min(bytes.len()));
            self.send.send_data(piece, false).unwrap();
        }
    }

    /// Reads one unmasked frame, past pings; none at the end of the stream.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((head, length)) = header(&self.rest)
                && self.rest.len() >= head + length
            {
                let first = self.rest[0];
                let payload = self.rest[head..head + length].to_vec();
                self.rest.drain(..head + length);
                if first == PING {
                    continue;
                }
                return Some((first, payload));
            }
            let piece = within("a piece of a stream", self.receive.data()).await?;
            let piece = piece.inspect_err(|error| println!("a stream failed: {error}"));
            let piece = piece.ok()?;
            let _ = self.receive.flow_control().release_capacity(piece.len());
            self.rest.extend_from_slice(&piece);
        }
    }

    /// Sends a text, which must come back.
    pub async fn echo(&mut self, text: &[u8]) {
        self.send(0x81, text).await;
        let (first, payload) = self.frame().await.unwrap();
        assert_eq!(first, 0x81);
        assert!(payload == text, "{} bytes", payload.len());
    }

    /// Reads to a close frame: its code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            let (first, payload) = self.frame().await.expect("a close frame");
            if first == 0x88 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}

/// The sizes of an unmasked frame's header and payload.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.get(1)? {
        126 => {
            let length = bytes.get(2..4)?.try_into().unwrap();
            Some((4, u16::from_be_bytes(length).into()))
        }
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap());
            Some((10, length.try_into().unwrap()))
        }
        length => Some((2, length.into())),
    }
}
