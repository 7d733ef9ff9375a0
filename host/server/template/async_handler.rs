//! Greets every connection and sends its messages back after a moment.
//!
//! One value of the type that is exported serves many connections: while one
//! call awaits, others run, so what changes belongs into a `Cell` or
//! `RefCell`. It is a cache: the host may drop it whenever no call is in
//! flight. What must not be lost belongs into the connection's attachment.

use std::cell::Cell;
use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[derive(Default)]
struct Later {
    /// Messages that have arrived and were not sent back yet.
    waiting: Cell<u32>,
}

impl AsyncHandler for Later {
    /// The connection is open; nothing has been received yet.
    async fn open(&self, connection: &Connection) {
        let waiting = self.waiting.get();
        connection.send(format!("hello, {waiting} messages are waiting"));
    }

    /// A message has arrived, text or binary. The next one of this connection
    /// is delivered when this call has returned; others do not wait for it.
    async fn message(&self, connection: &Connection, message: Message) {
        self.waiting.set(self.waiting.get() + 1);
        sleep(Duration::from_millis(100)).await;
        self.waiting.set(self.waiting.get() - 1);
        connection.send(message);
    }

    /// The connection has ended, whoever ended it.
    async fn close(&self, _connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {}
}

openline_sdk::export_async!(Later);
