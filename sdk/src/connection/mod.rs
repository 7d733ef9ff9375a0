//! One open connection, as a function sees it. The host owns the connection;
//! this is a handle, and every method asks the host. Here is what a connection
//! is and how it is sent to and ended; beside it what it carries (`carried`),
//! how fast it goes (`pace`), and how to find others (`lookup`).

mod carried;
mod lookup;
mod pace;

use crate::message::AsMessage;
use crate::outcome::{Error, SendOutcome};
use crate::raw::{connections, types};

pub use carried::AutoResponse;
pub use lookup::{Connections, by_tag, by_tag_page, connection, connections, connections_page};

/// One open WebSocket connection.
///
/// A handler is lent the connection whose event it handles. To reach it from
/// the handler of another, keep its [`id`](Self::id), not the handle, and look
/// it up with [`connection`].
///
/// No method panics, and but for [`writable`](Self::writable) and
/// [`block_until_writable`](Self::block_until_writable) none waits.
#[derive(Debug)]
#[repr(transparent)]
pub struct Connection {
    raw: connections::Connection,
}

impl Connection {
    /// Unguessable, 32 characters of `0-9a-f`; stays the same as long as the
    /// connection lives, whatever instance serves it.
    #[must_use]
    pub fn id(&self) -> String {
        self.raw.id()
    }

    /// Puts a message into the connection's outbox and returns at once. Text
    /// is sent as a text message, bytes as a binary one.
    ///
    /// What one call of the handler sends leaves with one write, in the order
    /// it was sent. The outcome may be ignored: a peer that does not keep up
    /// is closed with 1013 by the host.
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

    /// [`send`](Self::send) for text.
    pub fn send_text(&self, text: &str) -> SendOutcome {
        self.send(text)
    }

    /// [`send`](Self::send) for bytes.
    pub fn send_binary(&self, bytes: &[u8]) -> SendOutcome {
        self.send(bytes)
    }

    /// Starts the close handshake once what waits in the outbox is written.
    /// The first close wins; later ones, and closes of a connection that is
    /// gone, do nothing.
    ///
    /// # Errors
    ///
    /// `invalid`, and closes nothing, when `code` is not one that a function
    /// may send (1000 to 1003, 1007 to 1014, 3000 to 4999) or `reason` is
    /// longer than 123 bytes.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), Error> {
        let info = types::CloseInfoParam { code, reason };
        Ok(self.raw.close(info)?)
    }

    /// Ends the connection at once and without a close frame: the peer sees
    /// 1006. What waits in the outbox is lost. Usually [`close`](Self::close)
    /// is what is wanted; this is for a peer that is not to get any more of
    /// the host's memory or time.
    pub fn terminate(&self) {
        self.raw.terminate();
    }

    /// The subprotocol that `upgrade` chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.raw.subprotocol()
    }

    /// A parameter of the route that the connection was opened on: the `room`
    /// of `/chat/{room}`.
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

    /// The handle that a call of the host lent, under this type.
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
