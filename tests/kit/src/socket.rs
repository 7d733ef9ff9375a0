//! A WebSocket connection, message by message. Failures are errors. Nothing here has
//! a time limit: callers bound their waits.

use std::io;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// No close frame came (RFC 6455, section 7.1.5).
pub const LOST: u16 = 1006;
/// A close frame came that has no code.
pub const WITHOUT_CODE: u16 = 1005;

/// An open connection. Dropped, it is gone without a close frame.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// The headers of the 101 response.
    pub headers: HeaderMap,
    closed: Closed,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// [`LOST`] or [`WITHOUT_CODE`] where the peer gave none.
    pub code: u16,
    /// Empty where the peer gave none.
    pub reason: String,
}

/// An ordinary response instead of a connection.
#[derive(Debug)]
pub struct Refused {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// The host answered otherwise.
    #[error("refused with {}: {}", .0.status, .0.body)]
    Refused(Refused),
    /// The connection, or the handshake, failed.
    #[error(transparent)]
    Failed(Error),
}

/// Something that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A text or a binary message.
    Message(Message),
    /// The connection has ended.
    Closed(Closed),
}

impl Socket {
    /// Opens a connection to a path, with headers besides those of a handshake.
    ///
    /// # Errors
    ///
    /// Where the host refuses it, or the network fails.
    pub async fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, NotOpened> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::upgrade(stream, path, headers, None).await
    }

    /// The same over a TCP connection that is open.
    ///
    /// # Errors
    ///
    /// As for [`Socket::open`].
    pub async fn upgrade(
        stream: TcpStream,
        path: &str,
        headers: &[(&str, &str)],
        config: Option<WebSocketConfig>,
    ) -> Result<Self, NotOpened> {
        let url = format!("ws://{}{path}", stream.peer_addr()?);
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?;
            let value = HeaderValue::from_str(value).map_err(invalid)?;
            request.headers_mut().append(name, value);
        }
        let upgrading = tokio_tungstenite::client_async_with_config(request, stream, config);
        // Large, and there are thousands of connections.
        let (stream, response) = Box::pin(upgrading).await?;
        Ok(Self {
            stream,
            headers: response.headers().clone(),
            closed: Closed {
                code: LOST,
                reason: String::new(),
            },
        })
    }

    /// Writes a message without flushing it.
    ///
    /// # Errors
    ///
    /// Where the connection has ended.
    pub async fn feed(&mut self, message: Message) -> Result<(), Error> {
        self.stream.feed(message).await
    }

    /// Flushes what was written.
    ///
    /// # Errors
    ///
    /// Where the connection has ended.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.stream.flush().await
    }

    /// Writes and flushes a message.
    ///
    /// # Errors
    ///
    /// Where the connection has ended.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.stream.send(message).await
    }

    /// Sends a close frame, and does not wait for the answer.
    ///
    /// # Errors
    ///
    /// Where the connection has ended.
    pub async fn close(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        self.stream.close(frame).await
    }

    /// The next frame of any kind; none at the end. It may be dropped while it
    /// waits, and asked again.
    pub async fn frame(&mut self) -> Option<Result<Message, Error>> {
        self.stream.next().await
    }

    /// The next text or binary message, or the end; pings are answered and passed
    /// over. It may be dropped while it waits, and asked again.
    pub async fn event(&mut self) -> Event {
        loop {
            match self.frame().await {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    return Event::Message(message);
                }
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map_or_else(
                        || Closed {
                            code: WITHOUT_CODE,
                            reason: String::new(),
                        },
                        |frame| Closed {
                            code: frame.code.into(),
                            reason: frame.reason.as_str().to_owned(),
                        },
                    );
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Event::Closed(self.closed.clone()),
            }
        }
    }

    /// Sends a message, which must come back.
    ///
    /// # Errors
    ///
    /// Where something else comes, or the connection ends.
    pub async fn echo(&mut self, message: Message) -> anyhow::Result<()> {
        self.send(message.clone()).await?;
        match self.event().await {
            Event::Message(answer) if answer == message => Ok(()),
            Event::Message(answer) => {
                anyhow::bail!("not the echo: {} bytes", answer.len())
            }
            Event::Closed(closed) => anyhow::bail!("a connection ended: {closed:?}"),
        }
    }

    /// The same connection with fresh buffers: those that it has, and anything
    /// that has come, are given back.
    pub async fn without_buffers(self) -> Self {
        let stream = self.stream.into_inner();
        Self {
            stream: WebSocketStream::from_raw_socket(stream, Role::Client, None).await,
            ..self
        }
    }

    /// The TCP stream below it, for bytes that are no message.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        let Error::Http(response) = error else {
            return Self::Failed(error);
        };
        let body = response.body().as_deref().unwrap_or_default();
        Self::Refused(Refused {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: String::from_utf8_lossy(body).into_owned(),
        })
    }
}
