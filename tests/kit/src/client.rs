//! A peer that speaks WebSocket, for tests: [`Socket`] with bounded waits, which
//! panic.

use std::net::SocketAddr;
use std::ops::Deref;

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

pub use crate::socket::{Closed, Refused};
use crate::socket::{Event, NotOpened, Socket};
use crate::within;

/// An open connection. Dropped, it is gone without a close frame.
#[derive(Debug)]
pub struct Client(Socket);

impl Client {
    /// Opens a connection to a path, with headers besides those of a handshake.
    ///
    /// # Errors
    ///
    /// Where the host refuses it.
    pub async fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Refused> {
        let opened = Socket::open(address, path, headers);
        match within("the answer to a handshake", opened).await {
            Ok(socket) => Ok(Self(socket)),
            Err(NotOpened::Refused(refused)) => Err(refused),
            Err(NotOpened::Failed(error)) => panic!("the handshake failed: {error}"),
        }
    }

    /// Sends a text.
    pub async fn text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends a binary message.
    pub async fn binary(&mut self, bytes: &[u8]) {
        self.send(Message::binary(bytes.to_vec())).await;
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Message) {
        within("a message to be sent", self.0.send(message))
            .await
            .unwrap();
    }

    /// Writes a message without flushing it.
    pub async fn feed(&mut self, message: Message) {
        within("a message to be written", self.0.feed(message))
            .await
            .unwrap();
    }

    /// Flushes what was written.
    pub async fn flush(&mut self) {
        within("messages to be flushed", self.0.flush())
            .await
            .unwrap();
    }

    /// The next message, or a close frame; pings and pongs are passed over.
    pub async fn next(&mut self) -> Message {
        loop {
            match self.next_frame().await {
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

    /// The next frame of any kind; none at the end.
    pub async fn next_frame(&mut self) -> Option<Result<Message, Error>> {
        within("a frame", self.0.frame()).await
    }

    /// Starts the close handshake.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        within("a close", self.0.close(Some(frame))).await.unwrap();
    }

    /// Reads to the end, past messages, and says how it ended.
    pub async fn closed(&mut self) -> Closed {
        loop {
            let event = within("the end of a connection", self.0.event()).await;
            if let Event::Closed(closed) = event {
                return closed;
            }
        }
    }

    /// Goes away without a word.
    pub fn vanish(self) {
        drop(self);
    }
}

impl Deref for Client {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.0
    }
}
