//! Greets every connection and sends its messages back after a moment.
//!
//! One value of the exported type serves many connections. While one call
//! awaits, others run, so keep mutable data in a `Cell` or `RefCell`. The value
//! is a cache: the host may drop it whenever no call is in flight. Keep what
//! you can't lose in the connection's attachment.

use std::cell::Cell;
use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[derive(Default)]
struct Later {
    /// How many messages have arrived and are not sent back yet.
    waiting: Cell<u32>,
}

impl AsyncHandler for Later {
    /// The connection is open; no message has arrived yet.
    async fn open(&self, connection: &Connection) {
        let waiting = self.waiting.get();
        connection.send(format!("hello, {waiting} messages are waiting"));
    }

    /// A message has arrived, text or binary. The next message of this
    /// connection waits until this call returns; other connections do not.
    async fn message(&self, connection: &Connection, message: Message) {
        self.waiting.set(self.waiting.get() + 1);
        sleep(Duration::from_millis(100)).await;
        self.waiting.set(self.waiting.get() - 1);
        connection.send(message);
    }

    /// The connection has ended; `_origin` says which side ended it.
    async fn close(&self, _connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {}
}

openline_sdk::export_async!(Later);
