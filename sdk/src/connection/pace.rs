//! How fast a connection goes: how much waits to be written, waiting for it,
//! pings, and reading no more for a while. The outbox is bounded by
//! `outbox_bytes`.

use std::time::Duration;

use super::Connection;
use crate::outcome::Error;
use crate::raw::{async_backpressure, backpressure};

impl Connection {
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
}
