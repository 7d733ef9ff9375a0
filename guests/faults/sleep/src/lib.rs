//! Waits as many milliseconds as the message says, then sends it back. While
//! one connection waits, the instance serves others. Messages that are not
//! numbers come back at once. With `?decide=MILLISECONDS` it waits before it
//! accepts the connection.
//!
//! A connection opened with `?watch` gets a message at the end of every wait,
//! even if its connection has gone meanwhile, and at every close of another
//! connection: `slept MILLISECONDS`, `closed CODE ORIGIN`.

use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::publish;
use openline_sdk::time::sleep;

const WATCHERS: &str = "watchers";

#[derive(Default)]
struct Sleep;

impl AsyncHandler for Sleep {
    async fn upgrade(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let time = request.query("decide").and_then(|time| time.parse().ok());
        if let Some(milliseconds) = time {
            sleep(Duration::from_millis(milliseconds)).await;
        }
        Ok(match request.query("watch") {
            Some(_) => Acceptance::new().channel(WATCHERS),
            None => Acceptance::new(),
        })
    }

    async fn message(&self, connection: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        if let Ok(milliseconds) = text.parse() {
            sleep(Duration::from_millis(milliseconds)).await;
            // The host closes watchers whose outbox is full.
            let _ = publish(WATCHERS, format!("slept {milliseconds}"));
        }
        connection.send(message);
    }

    async fn close(&self, _connection: &Connection, info: CloseInfo, origin: CloseOrigin) {
        let _ = publish(WATCHERS, format!("closed {} {origin:?}", info.code));
    }
}

openline_sdk::export_async!(Sleep);
