//! The speed of a connection: how much waits to be written, waiting for room,
//! pings, and pauses in reading. `outbox_bytes` bounds the outbox.

use std::time::Duration;

use super::Connection;
use crate::outcome::Error;
use crate::raw::{async_backpressure, backpressure};

impl Connection {
    /// Bytes that wait in the outbox. A message counts 64 bytes in addition to
    /// its payload.
    #[must_use]
    pub fn buffered_bytes(&self) -> u64 {
        self.raw.buffered_bytes()
    }

    /// Waits until at most 64 KiB are in the outbox, and lets the instance
    /// serve other connections meanwhile. So a large answer leaves at the speed
    /// of its peer, without filling the outbox.
    ///
    /// This is for [`AsyncHandler`](crate::AsyncHandler)s; plain handlers use
    /// [`block_until_writable`](Self::block_until_writable). Dropping the
    /// future ends the wait. The time counts towards `handler_timeout`.
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

    /// Waits until at most 64 KiB are in the outbox. So a large answer leaves
    /// at the speed of its peer, without filling the outbox.
    ///
    /// This is for plain [`Handler`](crate::Handler)s; asynchronous handlers
    /// use [`writable`](Self::writable). The whole instance waits, with its
    /// other connections, so choose an asynchronous handler where peers are
    /// often slow. The time counts towards `handler_timeout`, which ends the
    /// instance and this connection: a peer that stops reading for longer loses
    /// its connection, as it would with a full outbox.
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

    /// Sends a ping, after the messages in the outbox. When the peer has
    /// answered, [`round_trip`](Self::round_trip) says how long that took.
    ///
    /// # Errors
    ///
    /// `invalid` if the payload has more than 125 bytes, `limit` if the outbox
    /// is full, `gone` if the connection is closing or closed.
    pub fn ping(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.raw.ping(payload.as_ref())?)
    }

    /// The time between the last ping that the peer answered, the function's or
    /// the host's, and its answer; `None` before the first answer.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.raw.round_trip().map(Duration::from_nanos)
    }

    /// Stops reading from the peer. Messages that have arrived are still
    /// handled. Whatever the peer sends from now on, even its close, waits in
    /// TCP, and in the end with the peer, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.raw.pause();
    }

    /// Reads from the peer again; without a [`pause`](Self::pause) it does
    /// nothing.
    pub fn resume(&self) {
        self.raw.resume();
    }
}
