//! Waits as many milliseconds as the message says, then sends it back. While
//! one connection waits, the instance serves others. Messages that are no
//! number come back at once.

use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[derive(Default)]
struct Sleep;

impl AsyncHandler for Sleep {
    async fn message(&self, connection: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        if let Ok(milliseconds) = text.parse() {
            sleep(Duration::from_millis(milliseconds)).await;
        }
        connection.send(message);
    }
}

openline_sdk::export_async!(Sleep);
