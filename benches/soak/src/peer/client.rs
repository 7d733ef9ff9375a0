//! A peer's end of a WebSocket connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use openline_kit::socket::{self, Socket};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

pub(crate) use openline_kit::socket::LOST;

use super::{PATIENCE, Peer, Site, Wrong, patience};

/// Read at once. Small: there are thousands of connections, and most are idle.
const READ_BUFFER_BYTES: usize = 2 << 10;

/// The bytes that the kernel holds for a peer that never reads.
const SMALL_BUFFER_BYTES: u32 = 4 << 10;

/// An open connection. Dropped, it is gone without a close frame.
#[derive(Debug)]
pub(crate) struct Client {
    socket: Socket,
    site: Arc<Site>,
}

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// The host answered with this status.
    Refused(u16),
    /// Something else, in a few words.
    Failed(String),
}

/// The outcome of a wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A text or a binary message.
    Message(Message),
    /// The connection has ended, with this code.
    Closed(u16),
    /// Nothing came in time.
    Quiet,
}

impl Client {
    pub(crate) async fn open(peer: &mut Peer, path: &str) -> Result<Self, NotOpened> {
        let socket = peer.connect().await?;
        Self::upgrade(&peer.site, socket, path).await
    }

    /// A connection whose kernel takes little before the peer must read.
    pub(crate) async fn open_small(peer: &mut Peer, path: &str) -> Result<Self, NotOpened> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
        let socket = super::connect_with(socket, peer.site.host, &mut peer.random).await?;
        Self::upgrade(&peer.site, socket, path).await
    }

    pub(crate) async fn upgrade(
        site: &Arc<Site>,
        socket: TcpStream,
        path: &str,
    ) -> Result<Self, NotOpened> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0);
        let upgrading = Socket::upgrade(socket, path, &[], Some(config));
        let upgraded = timeout(PATIENCE, upgrading).await;
        let socket =
            upgraded.map_err(|_| NotOpened::Failed("no answer to the handshake".to_owned()))??;
        site.tally.opened.fetch_add(1, Relaxed);
        site.tally.open.fetch_add(1, Relaxed);
        Ok(Self {
            socket,
            site: Arc::clone(site),
        })
    }

    /// Writes a message; [`Client::flush`] sends it.
    pub(crate) async fn feed(&mut self, message: Message) -> Result<(), Wrong> {
        match timeout(PATIENCE, self.socket.feed(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unsent(&error)),
            Err(_) => Err(Wrong("a message could not be sent".to_owned())),
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Wrong> {
        match timeout(PATIENCE, self.socket.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unsent(&error)),
            Err(_) => Err(Wrong("messages could not be flushed".to_owned())),
        }
    }

    pub(crate) async fn send(&mut self, message: Message) -> Result<(), Wrong> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Writes bytes past the protocol. Whether they arrive is not known.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let writing = self.socket.stream().write_all(bytes);
        let _ = timeout(PATIENCE, writing).await;
    }

    /// The next message, or the end; pings are answered and passed over.
    pub(crate) async fn event(&mut self, until: Instant) -> Event {
        match timeout_at(until, self.socket.event()).await {
            Err(_) => Event::Quiet,
            Ok(socket::Event::Message(message)) => Event::Message(message),
            Ok(socket::Event::Closed(closed)) => Event::Closed(closed.code),
        }
    }

    /// Reads and drops all that comes. The code of the end, if it came in time.
    pub(crate) async fn read_until(&mut self, until: Instant) -> Option<u16> {
        loop {
            match self.event(until).await {
                Event::Message(_) => {}
                Event::Closed(code) => {
                    self.count_ending("by the host", code);
                    return Some(code);
                }
                Event::Quiet => return None,
            }
        }
    }

    /// The connection must end now, one of these ways.
    pub(crate) async fn expect_end(&mut self, allowed: &[u16]) -> Result<(), Wrong> {
        self.expect_end_within(PATIENCE, allowed).await
    }

    /// The connection must end in time, one of these ways.
    pub(crate) async fn expect_end_within(
        &mut self,
        time: Duration,
        allowed: &[u16],
    ) -> Result<(), Wrong> {
        match self.read_until(Instant::now() + time).await {
            Some(code) if allowed.contains(&code) => Ok(()),
            Some(code) => Err(Wrong(format!("closed with {code} and not {}", allowed[0]))),
            None => Err(Wrong("not closed".to_owned())),
        }
    }

    /// Sends a close frame and does not wait for what follows.
    pub(crate) async fn send_close(&mut self, frame: Option<CloseFrame>) {
        let _ = timeout(PATIENCE, self.socket.close(frame)).await;
    }

    /// Ends in good order, passing over messages; the host must answer with
    /// the same code.
    pub(crate) async fn close(mut self, frame: Option<CloseFrame>) -> Result<(), Wrong> {
        let code = frame.as_ref().map_or(1005, |frame| frame.code.into());
        self.send_close(frame).await;
        loop {
            match self.event(patience()).await {
                Event::Message(_) => {}
                Event::Closed(answer) if answer == code => {
                    self.count_ending("by the peer", code);
                    return Ok(());
                }
                Event::Closed(answer) => {
                    return Err(Wrong(format!("a close was answered with {answer}")));
                }
                Event::Quiet => return Err(Wrong("a close was not answered".to_owned())),
            }
        }
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        self.socket.stream()
    }

    fn count_ending(&self, by: &str, code: u16) {
        // Codes of peers are random.
        let code = match code {
            3000.. => "3000 and more".to_owned(),
            code => code.to_string(),
        };
        self.site.tally.endings.count(format!("{by}: {code}"));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.site.tally.open.fetch_sub(1, Relaxed);
    }
}

fn unsent(error: &Error) -> Wrong {
    match error {
        Error::Io(error) => Wrong(format!("a message could not be sent: {}", error.kind())),
        _ => Wrong("a message could not be sent: the connection is closed".to_owned()),
    }
}

impl From<NotOpened> for Wrong {
    fn from(error: NotOpened) -> Self {
        Self(match error {
            NotOpened::Refused(status) => format!("refused with {status}"),
            NotOpened::Failed(what) => format!("not opened: {what}"),
        })
    }
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.kind().to_string())
    }
}

impl From<socket::NotOpened> for NotOpened {
    fn from(error: socket::NotOpened) -> Self {
        match error {
            socket::NotOpened::Refused(refused) => Self::Refused(refused.status),
            socket::NotOpened::Failed(Error::Io(error)) => error.into(),
            socket::NotOpened::Failed(other) => Self::Failed(other.to_string()),
        }
    }
}
