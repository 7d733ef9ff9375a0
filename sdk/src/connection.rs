//! One open connection, as a function sees it. The host owns the connection;
//! this is a handle, and every method asks the host.

use std::time::Duration;

use crate::message::AsMessage;
use crate::outcome::{Error, SendOutcome};
use crate::raw::{async_backpressure, backpressure, connections, types};

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

    /// Bytes that belong to the connection and outlive the instance: what
    /// `upgrade` or the last [`set_attachment`](Self::set_attachment) left.
    #[must_use]
    pub fn attachment(&self) -> Vec<u8> {
        self.raw.attachment()
    }

    /// Replaces the attachment.
    ///
    /// # Errors
    ///
    /// `limit` when it is larger than 16 KiB, `gone` when the connection is.
    pub fn set_attachment(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.raw.set_attachment(bytes.as_ref())?)
    }

    /// Subscribes to a channel of this function; again is harmless.
    ///
    /// # Errors
    ///
    /// `invalid` when the name has not 1 to 256 bytes, `limit` when the
    /// connection has 128 channels, `gone` when the connection is.
    pub fn subscribe(&self, channel: &str) -> Result<(), Error> {
        Ok(self.raw.subscribe(channel)?)
    }

    /// Ends a subscription; without one it does nothing.
    pub fn unsubscribe(&self, channel: &str) {
        self.raw.unsubscribe(channel);
    }

    /// Bytes that wait in the outbox. A message counts 64 bytes beside its
    /// payload.
    #[must_use]
    pub fn buffered_bytes(&self) -> u64 {
        self.raw.buffered_bytes()
    }

    /// Waits until at most 64 KiB wait in the outbox, and lets the instance
    /// serve other connections meanwhile. So a large answer leaves at the
    /// speed of its peer, without filling the outbox.
    ///
    /// For [`AsyncHandler`](crate::AsyncHandler)s; in a plain one it is
    /// [`block_until_writable`](Self::block_until_writable). Dropping the
    /// future ends the wait. The time waited counts against `handler_timeout`.
    ///
    /// # Errors
    ///
    /// `gone` as soon as the connection is closing or closed.
    ///
    /// ```no_run
    /// # use openline_sdk::{Connection, Error};
    /// /// Any number of rows, of which the host holds few at a time.
    /// async fn export(connection: &Connection, rows: u64) -> Result<(), Error> {
    ///     for row in 0..rows {
    ///         connection.writable().await?;
    ///         connection.send(format!("row {row}"));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn writable(&self) -> Result<(), Error> {
        Ok(async_backpressure::writable(&self.raw).await?)
    }

    /// Waits until at most 64 KiB wait in the outbox. So a large answer leaves
    /// at the speed of its peer, without filling the outbox.
    ///
    /// For plain [`Handler`](crate::Handler)s; in an asynchronous one it is
    /// [`writable`](Self::writable). The whole instance waits, with its other
    /// connections, so choose an asynchronous handler where peers are often
    /// slow. The time waited counts against `handler_timeout`, which ends the
    /// instance and this connection: a peer that stops reading for longer is
    /// lost, as it would be by a full outbox.
    ///
    /// # Errors
    ///
    /// `gone` as soon as the connection is closing or closed.
    ///
    /// ```no_run
    /// # use openline_sdk::{Connection, Error};
    /// /// Any number of rows, of which the host holds few at a time.
    /// fn export(connection: &Connection, rows: u64) -> Result<(), Error> {
    ///     for row in 0..rows {
    ///         connection.block_until_writable()?;
    ///         connection.send(format!("row {row}"));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn block_until_writable(&self) -> Result<(), Error> {
        Ok(backpressure::writable(&self.raw)?)
    }

    /// Sends a ping, behind what waits in the outbox. When the peer has
    /// answered, [`round_trip`](Self::round_trip) says how long that took.
    ///
    /// # Errors
    ///
    /// `invalid` when the payload has more than 125 bytes, `limit` when the
    /// outbox is full, `gone` when the connection is.
    pub fn ping(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.raw.ping(payload.as_ref())?)
    }

    /// The time between the last ping that the peer answered, this function's
    /// or the host's, and its answer; `None` before there was one.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.raw.round_trip().map(Duration::from_nanos)
    }

    /// Stops reading from the peer. Messages that have arrived are still
    /// handled; what the peer sends from now on waits in TCP, and in the end
    /// with the peer, until [`resume`](Self::resume). So does the news that it
    /// has closed.
    pub fn pause(&self) {
        self.raw.pause();
    }

    /// Reads from the peer again; without a [`pause`](Self::pause) it does
    /// nothing.
    pub fn resume(&self) {
        self.raw.resume();
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

/// An open connection of this function, whichever instance serves it; `None`
/// when no open connection has this [`id`](Connection::id).
///
/// The handle is given back when it is dropped. A function may hold a limited
/// number at once, so keep ids rather than handles.
#[must_use]
pub fn connection(id: &str) -> Option<Connection> {
    connections::get(id).map(|raw| Connection { raw })
}
