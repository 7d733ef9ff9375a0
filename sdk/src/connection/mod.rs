//! One open connection, as a function sees it. The host owns the connection;
//! this is a handle, and every method asks the host. This file has the handle
//! itself, sending and closing; `carried` has what a connection carries, `pace`
//! its speed, and `lookup` finds others.

mod carried;
mod lookup;
mod pace;

use crate::message::AsMessage;
use crate::options::SendOptions;
use crate::outcome::{Error, SendOutcome};
use crate::raw::{connections, types};

pub use carried::AutoResponse;
pub use lookup::{Connections, by_tag, by_tag_page, connection, connections, connections_page};

/// One open WebSocket connection.
///
/// A handler borrows the connection whose event it handles. To reach a
/// connection from the handler of another, keep its [`id`](Self::id), not the
/// handle, and look it up with [`connection`].
///
/// No method panics, and only [`writable`](Self::writable) and
/// [`block_until_writable`](Self::block_until_writable) wait.
#[derive(Debug)]
#[repr(transparent)]
pub struct Connection {
    raw: connections::Connection,
}

impl Connection {
    /// Its id: 32 characters of `0-9a-f` that cannot be guessed. It stays the
    /// same as long as the connection lives, whichever instance serves it.
    #[must_use]
    pub fn id(&self) -> String {
        self.raw.id()
    }

    /// Puts a message into the connection's outbox and returns at once. Text
    /// is sent as a text message, bytes as a binary one.
    ///
    /// The messages of one call of the handler leave with one write, in the
    /// order in which they were sent. The outcome may be ignored: the host
    /// closes a peer that does not keep up with 1013.
    ///
    /// ```no_run
    /// # fn reply(connection: &openline_sdk::Connection, message: openline_sdk::Message) {
    /// connection.send("text");
    /// connection.send(format!("{} bytes", message.len()));
    /// connection.send(&message);
    /// connection.send([0, 1, 2]);
    /// # }
    /// ```
    pub fn send(&self, message: impl AsMessage) -> SendOutcome {
        self.raw.send(message.as_message().into()).into()
    }

    /// [`send`](Self::send) with options.
    ///
    /// ```no_run
    /// # use openline_sdk::{Connection, SendOptions};
    /// # fn reply(connection: &Connection, token: &str, search: &str) {
    /// use openline_sdk::Compress;
    ///
    /// // A secret beside words that somebody else may have chosen.
    /// let secret = SendOptions::new().compress(Compress::Never);
    /// connection.send_with(format!("{token} {search}"), secret);
    /// # }
    /// ```
    pub fn send_with(&self, message: impl AsMessage, options: SendOptions) -> SendOutcome {
        let message = message.as_message().into();
        self.raw.send_with(message, options.raw()).into()
    }

    /// [`send`](Self::send) for text.
    pub fn send_text(&self, text: &str) -> SendOutcome {
        self.send(text)
    }

    /// [`send`](Self::send) for bytes.
    pub fn send_binary(&self, bytes: &[u8]) -> SendOutcome {
        self.send(bytes)
    }

    /// Starts the close handshake once everything in the outbox is written. The
    /// first close wins; later ones, and closes of a connection that has ended,
    /// do nothing.
    ///
    /// # Errors
    ///
    /// `invalid` if a function may not send `code` (allowed are 1000 to 1003,
    /// 1007 to 1014, 3000 to 4999) or if `reason` is longer than 123 bytes; the
    /// connection then stays open.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), Error> {
        let info = types::CloseInfoParam { code, reason };
        Ok(self.raw.close(info)?)
    }

    /// Ends the connection at once and without a close frame, so that the peer
    /// sees 1006. Messages in the outbox are lost. Usually
    /// [`close`](Self::close) is better; this is for a peer that must not take
    /// any more of the host's memory or time.
    pub fn terminate(&self) {
        self.raw.terminate();
    }

    /// The subprotocol that `upgrade` chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.raw.subprotocol()
    }

    /// A parameter of the connection's route: the `room` of `/chat/{room}`.
    #[must_use]
    pub fn route_param(&self, name: &str) -> Option<String> {
        let mut params = self.route_params().into_iter();
        params.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All parameters of the route, in its order.
    #[must_use]
    pub fn route_params(&self) -> Vec<(String, String)> {
        self.raw.route_params()
    }

    /// Views a handle that the host has lent as this type.
    pub(crate) fn lent(raw: &connections::Connection) -> &Self {
        let raw: *const connections::Connection = raw;
        // SAFETY: `Self` is transparent over the handle's type, so both have
        // the same layout and validity, and the lifetime stays the loan's.
        #[expect(unsafe_code, reason = "a view of a borrow under another type")]
        unsafe {
            &*raw.cast::<Self>()
        }
    }

    pub(crate) fn raw(&self) -> &connections::Connection {
        &self.raw
    }
}
