//! A peer that speaks WebSocket.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::within;

pub struct Client {
    stream: WebSocketStream<TcpStream>,
    /// The headers of the 101 response.
    pub headers: HeaderMap,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed {
    /// 1006 when no close frame came, 1005 when it had no code.
    pub code: u16,
    pub reason: String,
}

/// An ordinary response instead of a connection.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Client {
    pub async fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Refused> {
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request
                .headers_mut()
                .append(name, HeaderValue::from_str(value).unwrap());
        }
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let opened = tokio_tungstenite::client_async(request, socket);
        match within("the answer to a handshake", opened).await {
            Ok((stream, response)) => Ok(Self {
                stream,
                headers: response.headers().clone(),
            }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err(Refused {
                    status: response.status().as_u16(),
                    headers: response.headers().clone(),
                    body: String::from_utf8_lossy(&body).into_owned(),
                })
            }
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }

    pub async fn text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn binary(&mut self, bytes: &[u8]) {
        self.send(Message::binary(bytes.to_vec())).await;
    }

    pub async fn send(&mut self, message: Message) {
        within("a message to be sent", self.stream.send(message))
            .await
            .unwrap();
    }

    /// Writes a message without flushing it.
    pub async fn feed(&mut self, message: Message) {
        within("a message to be written", self.stream.feed(message))
            .await
            .unwrap();
    }

    pub async fn flush(&mut self) {
        within("messages to be flushed", self.stream.flush())
            .await
            .unwrap();
    }

    /// The next message; pings and pongs are passed over.
    pub async fn next(&mut self) -> Message {
        loop {
            let message = within("a message", self.stream.next()).await;
            match message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return message,
                other => panic!("no message came: {other:?}"),
            }
        }
    }

    /// The next message, which must be text.
    pub async fn next_text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// Sends a text and waits for the next one.
    pub async fn ask(&mut self, text: &str) -> String {
        self.text(text).await;
        self.next_text().await
    }

    /// The next frame of any kind.
    pub async fn next_frame(&mut self) -> Option<Result<Message, Error>> {
        within("a frame", self.stream.next()).await
    }

    /// Starts the close handshake.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        within("a close", self.stream.close(Some(frame)))
            .await
            .unwrap();
    }

    /// Reads to the end, past messages, and says how it ended.
    pub async fn closed(&mut self) -> Closed {
        let mut closed = Closed {
            code: 1006,
            reason: String::new(),
        };
        loop {
            match within("the end of a connection", self.stream.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    closed.code = frame.code.into();
                    closed.reason = frame.reason.as_str().to_owned();
                }
                Some(Ok(Message::Close(None))) => closed.code = 1005,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return closed,
            }
        }
    }

    /// Goes away without a word.
    pub fn vanish(self) {
        drop(self);
    }
}
